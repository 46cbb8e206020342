"""Pascal VOC boxes: one XML file an image.

By tradition the first pixel is 1 and the last one belongs to the box: pixel columns xmin-1 to xmax in our half-open count. Some tools count from
0 and mean edges; a 0 among the coordinates of a data set gives that away, since the tradition has none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ...errors import LabelError
from ..geometry import named
from ..naming import value_text
from ..records import ImageRecord, PixelObject, Records, image_name, pixel_records

_MAX_BYTES = 64 * 2**20
_MAX_OBJECTS = 200_000
_SIDES = ("xmin", "ymin", "xmax", "ymax")
Box = tuple[float, float, float, float]


def read_voc(paths: Sequence[Path], source: str, origin: int | None = None) -> Records:
    """Boxes of VOC files. `origin`: 1 (the tradition), 0 (coordinates are edges), None: 1 unless a coordinate is 0.

    Objects marked difficult are ignored; those without a name too. Raises `LabelError` for what is no VOC file.
    """
    boxes: list[tuple[Path, str, int, Element, Box]] = []
    covered: list[ImageRecord] = []
    renamed: list[str] = []
    for path in paths:
        root = _root(path)
        name = _image(root, path)
        if name.rsplit(".", 1)[0] != path.stem:
            renamed.append(f"{path.name} is for {name}")
        covered.append(ImageRecord(name, _size(root, path)))
        objects = root.findall("object")
        if len(objects) > _MAX_OBJECTS:
            raise LabelError(f"{path}: holds {len(objects)} objects, at most {_MAX_OBJECTS} are read; split it")
        boxes += [(path, name, number, found, _box(found, path, number)) for number, found in enumerate(objects, start=1)]
    first = origin if origin is not None else int(not any(0 in box for *_, box in boxes))
    notes = [] if first or origin is not None else ["a box starts at pixel 0, so coordinates are read as edges counted from 0 (VOC by tradition counts from 1)"]
    if renamed:
        notes.append(f"{len(renamed)} files are named unlike their image: {named(renamed)}")
    return pixel_records(source, [_object(*box, first) for box in boxes], covered, notes, class_field="name")


def _object(path: Path, image: str, number: int, found: Element, box: Box, first: int) -> PixelObject:
    x0, y0, x1, y1 = box[0] - first, box[1] - first, box[2], box[3]
    outline = shapely.box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else shapely.Polygon()
    return PixelObject(image, outline, value_text(found.findtext("name")), f"{path.name}#{number}", (found.findtext("difficult") or "").strip() == "1")


def _root(path: Path) -> Element:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelError(f"{path}: is larger than {_MAX_BYTES >> 20} MB, too large for a VOC file; split it")
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as cause:
        raise LabelError(f"{path}: declares XML entities or a document type, which label files do not need; remove the declaration") from cause
    except (ParseError, ValueError, LookupError) as cause:
        raise LabelError(f"{path}: is no well-formed XML ({' '.join(str(cause).split())[:100]}); write it again") from cause
    except OSError as cause:
        raise LabelError(f"{path}: cannot be read ({cause.strerror}); check the path") from cause
    if root.tag != "annotation":
        raise LabelError(f"{path}: starts with <{root.tag[:40]}>; a Pascal VOC file with <annotation> was expected")
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
        raise LabelError(f"{path}: object {number} has no complete <bndbox> (xmin, ymin, xmax, ymax = {texts}); correct or delete it") from cause
    if not all(math.isfinite(value) for value in values):
        raise LabelError(f"{path}: object {number} has a coordinate that is no finite number ({texts}); correct or delete it")
    return values[0], values[1], values[2], values[3]
