"""DOTA: a text file an image, a line an object: x1 y1 ... x4 y4 class difficult, in pixels; "imagesource:"
and "gsd:" may stand before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import LabelError
from ..classnames import value_text
from ..labeloptions import LabelOptions
from ..records import ImageRecord, PixelObject, Records, pixel_records
from .annotations import NO_SPLIT, Annotations, LabelledObject, Losses, classed, without_extras
from .labelfile import LabelFile
from .labelformat import Capabilities, LabelFormat, Recognition, WrittenFormat, images_in
from .outlineforms import four_corners, ring_polygon
from .safefile import put, read_text

_MAX_LINES = 200_000
_HEAD = re.compile(r"(imagesource|gsd)\s*:", re.IGNORECASE)
_CORNERS = 8


def is_dota_text(text: str) -> bool:
    """True where the first line is eight numbers and a class, or only the lines that may stand before are
    there.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    body = [line for line in lines if not _HEAD.match(line)]
    return _is_line(body[0].split()) if body else bool(lines)


def _is_line(parts: Sequence[str]) -> bool:
    if len(parts) not in (9, 10):
        return False
    try:
        corners = [float(part) for part in parts[:_CORNERS]]
    except ValueError:
        return False
    return all(map(math.isfinite, corners)) and not _is_yolo_polygon(parts)


def _is_yolo_polygon(parts: Sequence[str]) -> bool:
    """Whether the numbers are a class and fractions: coordinates here are pixels, and classes are names."""
    try:
        return parts[0].isdigit() and all(abs(float(part)) <= 1.5 for part in parts[1:])
    except ValueError:
        return False


def read_dota(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Turned boxes; difficult ones are ignored. The image of a file is the one of its stem. Raises
    `LabelError` with the line.
    """
    objects: list[PixelObject] = []
    for path in paths:
        lines = read_text(path).splitlines()
        if len(lines) > _MAX_LINES:
            raise LabelError(
                f"{path}: holds {len(lines)} lines, at most {_MAX_LINES} are read; split the image"
            )
        objects += [
            _object(path, number, line)
            for number, line in enumerate(lines, start=1)
            if line.strip() and not _HEAD.match(line)
        ]
    return pixel_records(source, objects, [ImageRecord(path.stem) for path in paths], class_field="class")


def _object(path: Path, number: int, line: str) -> PixelObject:
    parts = line.split()
    if len(parts) < _CORNERS + 1:
        raise LabelError(
            f"{path}: line {number} is {line.strip()[:60]!r}; x1 y1 x2 y2 x3 y3 x4 y4 class was expected"
        )
    difficult = len(parts) > _CORNERS + 1 and re.fullmatch(r"\d", parts[-1]) is not None
    name = " ".join(parts[_CORNERS : -1 if difficult else None])
    try:
        outline = ring_polygon(np.reshape([float(part) for part in parts[:_CORNERS]], (-1, 2)))
    except ValueError as cause:
        raise LabelError(
            f"{path}: line {number} has corners that are no finite pixels ({line.strip()[:60]}); correct or delete it"
        ) from cause
    return PixelObject(
        path.stem, outline, value_text(name), f"{path.name}:{number}", ignore=difficult and parts[-1] != "0"
    )


def dota_name(name: str) -> str:
    """A class name without spaces, which part the columns."""
    return "-".join(name.split())


def write_dota(found: Annotations, folder: Path, losses: Losses) -> None:
    """`labelTxt/NAME.txt`, a folder a split; spaces in class names become "-"."""
    for image in found.images:
        head = (
            "imagesource:eo_dl\n"
            + f"gsd:{'null' if image.grid is None or image.grid.gsd_m is None else f'{image.grid.gsd_m:.6g}'}\n"
        )
        lines = [_line(one, losses) for one in without_extras(classed(image, losses), losses)]
        put(
            folder,
            f"{'' if image.split == NO_SPLIT else image.split + '/'}labelTxt/{image.stem}.txt",
            head + "".join(lines),
        )


def _line(one: LabelledObject, losses: Losses) -> str:
    corners = " ".join(repr(float(value)) for value in four_corners(one.outline, losses).ravel())
    name = dota_name(one.class_name)
    losses.count('class names with spaces, which became "-"', int(name != one.class_name))
    return f"{corners} {name} {int(one.ignore)}\n"


def _is_dota(file: LabelFile) -> bool:
    return is_dota_text(file.text)


FORMAT = LabelFormat(
    name="dota",
    title="DOTA",
    recognition=Recognition(
        suffixes=frozenset({".txt"}),
        content=_is_dota,
        hint="lines of eight pixel coordinates and a class",
        text_per_image=True,
    ),
    read_records=read_dota,
    written=(
        WrittenFormat(
            name="dota",
            title="DOTA",
            holds=Capabilities(shape="turned boxes", ignore=True),
            label_files=("labelTxt", "*/labelTxt"),
            write_images=write_dota,
            image_folder=images_in("{split}/images"),
            output_names=("labelTxt",),
            class_name=dota_name,
        ),
    ),
)
