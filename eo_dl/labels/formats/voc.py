"""Pascal VOC boxes: one XML file per image.

By tradition the first pixel is 1 and the last one belongs to the box, so a box covers the pixel columns
xmin-1 to xmax in our half-open count. Some tools count from 0 and mean edges; a 0 or a fraction among the
coordinates of a data set gives that away, as the tradition has none. Files of ours have fractions, too, and
count from 1; they say who wrote them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, indent

import shapely

from ...core.imagelabels import CoveredImage
from ...core.imagenames import stem_of
from ...core.wording import listed
from ...errors import LabelError
from ...io.xmltree import element, to_xml
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_marks
from ..records import PixelObject, Records, image_name, pixel_records
from .annotations import (
    Annotations,
    LabelledImage,
    LabelledObject,
    Losses,
    objects_with_class,
    without_extras,
)
from .imagepaths import paths_beside
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import box_of
from .safefile import put, read_xml
from .vocclasses import write_data_set

_MAX_OBJECTS = 200_000
_ROOT = re.compile(rb"<annotation[\s/>]")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_MARKED = ("1", "true", "yes")
_OUR_DATABASE = "eo_dl"


def read_voc(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Boxes of VOC files. Objects without a name are ignored, and those marked difficult unless
    `options.crowds` says otherwise.

    Raises:
        LabelError: A file is not a VOC file or a box is malformed; names the file and the object.
    """
    boxes: list[_Box] = []
    covered: list[CoveredImage] = []
    renamed: list[str] = []
    outlined = parts = 0
    roots = [_root(path) for path in paths]
    images = paths_beside(paths, [_image(root, path) for root, path in zip(roots, paths, strict=True)])
    for path, root, image in zip(paths, roots, images, strict=True):
        name = PurePosixPath(image).name
        if stem_of(name) != path.stem:
            renamed.append(f"{path.name} is for {name}")
        covered.append(CoveredImage(image, _size(root, path)))
        nodes = root.findall("object")
        if len(nodes) > _MAX_OBJECTS:
            raise LabelError(f"{path}: holds {len(nodes)} objects, at most {_MAX_OBJECTS} are read; split it")
        for number, node in enumerate(nodes, start=1):
            sides = _sides(node, path, number)
            boxes.append(_Box(node, image, f"{path.name}#{number}", sides, _is_ours(root)))
            outlined += node.find("polygon") is not None
            parts += len(node.findall("part"))
    notes: list[str] = []
    first_pixel = options.voc_origin
    if first_pixel is None:
        first_pixel = _guessed_origin(boxes, notes)
    if outlined:
        notes.append(f"{outlined} objects have a polygon beside their box: the box is taken")
    if parts:
        notes.append(f"{parts} parts of objects (<part>) are left out")
    if renamed:
        notes.append(f"{len(renamed)} files have another name than their image: {listed(renamed)}")
    objects = [
        box.as_object(1 if box.is_ours and options.voc_origin is None else first_pixel) for box in boxes
    ]
    objects = without_marks(objects, options.crowds, "difficult", notes)
    return pixel_records(
        source,
        objects,
        covered,
        notes,
        class_field="name",
        ignored_as="difficult",
        dropped={"parts of objects": parts},
    )


def _is_ours(root: Element) -> bool:
    return root.findtext("source/database") == _OUR_DATABASE


def _guessed_origin(boxes: Sequence[_Box], notes: list[str]) -> int:
    """The number of the first pixel, by what the coordinates of all boxes show, with a note of the reason."""
    foreign = [box for box in boxes if not box.is_ours]
    if not foreign:
        return 1
    if any(0 in box.sides for box in foreign):
        reason, origin = "a coordinate is 0", 0
    elif any(side != int(side) for box in foreign for side in box.sides):
        reason, origin = "coordinates have fractions", 0
    else:
        notes.append(
            "boxes count pixels from 1, as is the tradition of VOC: no coordinate is 0 or has a fraction; if "
            "the tool that wrote them counts from 0, set `voc_origin=0`"
        )
        return 1
    notes.append(
        f"{reason}, so boxes are read as edges counted from 0 (VOC by tradition counts from 1); otherwise "
        "set `voc_origin=1`"
    )
    return origin


@dataclass(frozen=True)
class _Box:
    """An object as the file has it, before it is known from which number pixels are counted."""

    node: Element
    image: str
    feature_id: str
    sides: tuple[float, float, float, float]
    is_ours: bool

    def as_object(self, first_pixel: int) -> PixelObject:
        """The object with edges counted from 0."""
        xmin, ymin, xmax, ymax = self.sides
        col0, row0 = xmin - first_pixel, ymin - first_pixel
        has_area = xmax > col0 and ymax > row0
        return PixelObject(
            image=self.image,
            outline=shapely.box(col0, row0, xmax, ymax) if has_area else shapely.Polygon(),
            value=value_text(self.node.findtext("name")),
            feature_id=self.feature_id,
            ignore=(self.node.findtext("difficult") or "").strip().casefold() in _MARKED,
        )


def _root(path: Path) -> Element:
    root = read_xml(path)
    if root.tag != "annotation":
        raise LabelError(f"{path}: expected a Pascal VOC file with <annotation>, found <{root.tag[:40]}>")
    return root


def _image(root: Element, path: Path) -> str:
    text = (root.findtext("filename") or "").strip()
    return image_name(text, str(path), "<filename>") if text else path.stem


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    texts = [root.findtext(f"size/{side}") for side in ("width", "height")]
    try:
        width, height = (int(float(text or 0)) for text in texts)
    except (ValueError, OverflowError) as cause:
        raise LabelError(f"{path}: the <size> is not two numbers ({texts}); correct it") from cause
    return (width, height) if width > 0 and height > 0 else None


def _sides(node: Element, path: Path, number: int) -> tuple[float, float, float, float]:
    texts = [node.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        xmin, ymin, xmax, ymax = (float(text or "") for text in texts)
    except ValueError as cause:
        raise LabelError(
            f"{path}: object {number} has no complete <bndbox> (xmin, ymin, xmax, ymax = {texts}); "
            "correct or delete it"
        ) from cause
    sides = (xmin, ymin, xmax, ymax)
    if not all(map(math.isfinite, sides)):
        raise LabelError(
            f"{path}: object {number}: a coordinate is not a finite number ({texts}); correct or delete it"
        )
    return sides


# Writing


def write_voc(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `Annotations/NAME.xml` per image, `labelmap.txt`, and `ImageSets/Main/SPLIT.txt`.

    Fractions of pixels are kept; ignored objects are marked difficult.
    """
    for image in annotations.images:
        objects = without_extras(objects_with_class(image, losses), losses)
        document = _document(image, [_object_element(labelled, losses) for labelled in objects])
        indent(document)
        put(folder, f"Annotations/{image.stem}.xml", f"{to_xml(document)}\n")
    write_data_set(annotations, folder, "Main")


def _document(image: LabelledImage, objects: Sequence[Element]) -> Element:
    size = {"width": image.width, "height": image.height, "depth": image.bands}
    return element(
        "annotation",
        children=[
            element("folder", text="JPEGImages"),
            element("filename", text=image.name),
            element("source", children=[element("database", text=_OUR_DATABASE)]),
            element("size", children=[element(name, text=str(value)) for name, value in size.items()]),
            element("segmented", text="0"),
            *objects,
        ],
    )


def _object_element(labelled: LabelledObject, losses: Losses) -> Element:
    col0, row0, col1, row1 = box_of(labelled.outline, losses)
    sides = zip(_SIDES, (col0 + 1, row0 + 1, col1, row1), strict=True)
    return element(
        "object",
        children=[
            element("name", text=labelled.class_name),
            element("pose", text="Unspecified"),
            element("truncated", text="0"),
            element("difficult", text=str(int(labelled.ignore))),
            element("bndbox", children=[element(name, text=_number(value)) for name, value in sides]),
        ],
    )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _is_voc(file: LabelFile) -> bool:
    return _ROOT.search(file.head) is not None


FORMAT = LabelFormat(
    name="voc",
    title="Pascal VOC",
    recognition=Recognition(
        suffixes=frozenset({".xml"}),
        content=_is_voc,
        hint="<annotation> as its root",
    ),
    read_records=read_voc,
    written=(
        WrittenFormat(
            name="voc",
            title="Pascal VOC",
            holds=Capabilities(shape="boxes", ignore=True),
            label_files=("Annotations",),
            write_images=write_voc,
            image_folder=images_in("JPEGImages"),
            output_names=("Annotations", "ImageSets", "labelmap.txt"),
        ),
    ),
)
