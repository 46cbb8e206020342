"""Pascal VOC boxes: one XML file an image.

By tradition the first pixel is 1 and the last one belongs to the box: pixel columns xmin-1 to xmax in our
half-open count. Some tools count from 0 and mean edges; a 0 among the coordinates of a data set gives that
away, since the tradition has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import shapely

from ...core.imagenames import stem_of
from ...errors import LabelError
from ..classnames import value_text
from ..geometry import named
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records
from .annotations import Annotations, LabelledImage, LabelledObject, Losses, classed, without_extras
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import box_of
from .safefile import put, read_xml, xml_text
from .vocclasses import write_data_set

_MAX_OBJECTS = 200_000
_ROOT = re.compile(rb"<annotation[\s/>]")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
Box = tuple[float, float, float, float]


def read_voc(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Boxes of VOC files. `origin`: 1 (the tradition), 0 (coordinates are edges), None: 1 unless a coordinate
    is 0.

    Objects marked difficult are ignored; those without a name too. Raises `LabelError` for what is no VOC
    file.
    """
    boxes: list[tuple[Path, str, int, Element, Box]] = []
    covered: list[ImageRecord] = []
    renamed: list[str] = []
    for path in paths:
        root = _root(path)
        name = _image(root, path)
        if stem_of(name) != path.stem:
            renamed.append(f"{path.name} is for {name}")
        covered.append(ImageRecord(name, _size(root, path)))
        objects = root.findall("object")
        if len(objects) > _MAX_OBJECTS:
            raise LabelError(
                f"{path}: holds {len(objects)} objects, at most {_MAX_OBJECTS} are read; split it"
            )
        boxes += [
            (path, name, number, found, _box(found, path, number))
            for number, found in enumerate(objects, start=1)
        ]
    origin = options.voc_origin
    first = origin if origin is not None else int(not any(0 in box for *_, box in boxes))
    notes = (
        []
        if first or origin is not None
        else [
            "a box starts at pixel 0, so coordinates are read as edges counted from 0 (VOC by tradition counts from 1)"
        ]
    )
    if renamed:
        notes.append(f"{len(renamed)} files are named unlike their image: {named(renamed)}")
    return pixel_records(source, [_object(*box, first) for box in boxes], covered, notes, class_field="name")


def _object(path: Path, image: str, number: int, found: Element, box: Box, first: int) -> PixelObject:
    x0, y0, x1, y1 = box[0] - first, box[1] - first, box[2], box[3]
    outline = shapely.box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else shapely.Polygon()
    return PixelObject(
        image,
        outline,
        value_text(found.findtext("name")),
        f"{path.name}#{number}",
        (found.findtext("difficult") or "").strip() == "1",
    )


def _root(path: Path) -> Element:
    root = read_xml(path)
    if root.tag != "annotation":
        raise LabelError(
            f"{path}: starts with <{root.tag[:40]}>; a Pascal VOC file with <annotation> was expected"
        )
    return root


def _image(root: Element, path: Path) -> str:
    text = (root.findtext("filename") or "").strip()
    return image_name(text, str(path), "<filename>") if text else path.stem


def _size(root: Element, path: Path) -> tuple[int, int] | None:
    texts = [root.findtext(f"size/{side}") for side in ("width", "height")]
    try:
        width, height = (int(float(text or 0)) for text in texts)
    except (ValueError, OverflowError) as cause:
        raise LabelError(f"{path}: its <size> is no number ({texts}); correct it") from cause
    return (width, height) if width > 0 and height > 0 else None


def _box(found: Element, path: Path, number: int) -> Box:
    texts = [found.findtext(f"bndbox/{side}") for side in _SIDES]
    try:
        values = [float(text or "") for text in texts]
    except ValueError as cause:
        raise LabelError(
            f"{path}: object {number} has no complete <bndbox> (xmin, ymin, xmax, ymax = {texts}); correct or delete it"
        ) from cause
    if not all(math.isfinite(value) for value in values):
        raise LabelError(
            f"{path}: object {number} has a coordinate that is no finite number ({texts}); correct or delete it"
        )
    return values[0], values[1], values[2], values[3]


# Writing


def write_voc(found: Annotations, folder: Path, losses: Losses) -> None:
    """`Annotations/NAME.xml` an image, `labelmap.txt`, and `ImageSets/Main/SPLIT.txt`; fractions of pixels
    are kept, ignored objects are difficult.
    """
    for image in found.images:
        objects = without_extras(classed(image, losses), losses)
        put(
            folder,
            f"Annotations/{image.stem}.xml",
            _document(image, "".join(_object_text(one, losses) for one in objects)),
        )
    write_data_set(found, folder, "Main")


def _document(image: LabelledImage, objects: str) -> str:
    size = f"<size><width>{image.width}</width><height>{image.height}</height><depth>{image.bands}</depth></size>"
    return (
        f"<annotation>\n<folder>JPEGImages</folder><filename>{xml_text(image.name)}</filename>\n"
        f"<source><database>eo_dl</database></source>\n{size}\n<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def _object_text(one: LabelledObject, losses: Losses) -> str:
    col0, row0, col1, row1 = box_of(one.outline, losses)
    sides = zip(_SIDES, (col0 + 1, row0 + 1, col1, row1), strict=True)
    box = "".join(f"<{name}>{_number(value)}</{name}>" for name, value in sides)
    return (
        f"<object><name>{xml_text(one.class_name)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{int(one.ignore)}</difficult><bndbox>{box}</bndbox></object>\n"
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
