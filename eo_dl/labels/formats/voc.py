"""Pascal VOC boxes: one XML file per image.

By tradition the first pixel is 1 and the last one belongs to the box, so a box covers the pixel columns
xmin-1 to xmax in our half-open count. Some tools count from 0 and mean edges; a 0 among the coordinates of a
data set gives that away, as the tradition has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, indent

import shapely

from ...core.imagelabels import CoveredImage
from ...core.imagenames import stem_of
from ...core.wording import listed
from ...errors import LabelError
from ...io.xmltree import element, to_xml
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..records import PixelObject, Records, image_name, pixel_records
from .annotations import (
    Annotations,
    LabelledImage,
    LabelledObject,
    Losses,
    objects_with_class,
    without_extras,
)
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import box_of
from .safefile import put, read_xml
from .vocclasses import write_data_set

_MAX_OBJECTS = 200_000
_ROOT = re.compile(rb"<annotation[\s/>]")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Boxes of VOC files. Objects marked difficult and objects without a name are ignored.

    Raises:
        LabelError: A file is not a VOC file or a box is malformed; names the file and the object.
    """
    boxes: list[_Box] = []
    covered: list[CoveredImage] = []
    renamed: list[str] = []
    for path in paths:
        root = _root(path)
        image = _image(root, path)
        if stem_of(image) != path.stem:
            renamed.append(f"{path.name} is for {image}")
        covered.append(CoveredImage(image, _size(root, path)))
        nodes = root.findall("object")
        if len(nodes) > _MAX_OBJECTS:
            raise LabelError(f"{path}: holds {len(nodes)} objects, at most {_MAX_OBJECTS} are read; split it")
        for number, node in enumerate(nodes, start=1):
            boxes.append(_Box(node, image, f"{path.name}#{number}", _sides(node, path, number)))
    notes = []
    first_pixel = options.voc_origin
    if first_pixel is None:
        from_zero = any(0 in box.sides for box in boxes)
        first_pixel = 0 if from_zero else 1
        if from_zero:
            notes.append(
                "a box starts at pixel 0, so coordinates are read as edges counted from 0 "
                "(VOC by tradition counts from 1)"
            )
    if renamed:
        notes.append(f"{len(renamed)} files have another name than their image: {listed(renamed)}")
    objects = [box.as_object(first_pixel) for box in boxes]
    return pixel_records(source, objects, covered, notes, class_field="name")


@dataclass(frozen=True)
class _Box:
    """An object as the file has it, before it is known from which number pixels are counted."""

    node: Element
    image: str
    feature_id: str
    sides: tuple[float, float, float, float]

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
            ignore=(self.node.findtext("difficult") or "").strip() == "1",
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
            element("source", children=[element("database", text="eo_dl")]),
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
