"""DOTA: a text file an image, a line an object: x1 y1 ... x4 y4 class difficult, in pixels; "imagesource:"
and "gsd:" may stand before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import LabelError
from ..classnames import value_text
from ..records import ImageRecord, PixelObject, Records, pixel_records
from .annotations import NO_SPLIT, Annotations, LabelledObject, Losses, classed, without_extras
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
        return all(np.isfinite(float(part)) for part in parts[:_CORNERS])
    except ValueError:
        return False


def read_dota(paths: Sequence[Path], source: str) -> Records:
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
