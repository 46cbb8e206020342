"""DOTA: a text file per image with one line per object, x1 y1 x2 y2 x3 y3 x4 y4 class difficult.

Coordinates are pixels. Lines that start with "imagesource:" or "gsd:" may come first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.imagelabels import CoveredImage
from ...errors import LabelError
from ..classrequest import value_text
from ..labeloptions import LabelOptions
from ..marks import without_marks
from ..records import PixelObject, Records, pixel_records
from .annotations import (
    NO_SPLIT,
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
from .outlineforms import four_corners, ring_polygon
from .safefile import put, read_text

_MAX_LINES = 200_000
_HEADER = re.compile(r"(imagesource|gsd)\s*:", re.IGNORECASE)
_COORDINATES = 8
_FARTHEST_FRACTION = 1.5


def _is_dota(file: LabelFile) -> bool:
    """Whether the first line is eight numbers and a class, or there are only lines of the header."""
    lines = [line for line in file.text.splitlines() if line.strip()]
    body = [line for line in lines if not _HEADER.match(line)]
    return _is_line(body[0].split()) if body else bool(lines)


def _is_line(words: Sequence[str]) -> bool:
    if len(words) not in (_COORDINATES + 1, _COORDINATES + 2):
        return False
    try:
        corners = [float(word) for word in words[:_COORDINATES]]
    except ValueError:
        return False
    return all(map(math.isfinite, corners)) and not _is_yolo_polygon(words)


def _is_yolo_polygon(words: Sequence[str]) -> bool:
    """Whether a line is a class number and fractions: DOTA has pixels, and names of classes."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return False
    return words[0].isdigit() and all(abs(number) <= _FARTHEST_FRACTION for number in numbers[1:])


def read_dota(paths: Sequence[Path], source: str, options: LabelOptions) -> Records:
    """Turned boxes; difficult ones are ignored unless `options.crowds` says otherwise. A file is about the
    image with the same stem.

    Raises:
        LabelError: A line is malformed; names the file and the line.
    """
    objects: list[PixelObject] = []
    images = paths_beside(paths, [path.stem for path in paths])
    for path, image in zip(paths, images, strict=True):
        lines = read_text(path).splitlines()
        if len(lines) > _MAX_LINES:
            raise LabelError(
                f"{path}: holds {len(lines)} lines, at most {_MAX_LINES} are read; split the image"
            )
        for number, line in enumerate(lines, start=1):
            if line.strip() and not _HEADER.match(line):
                objects.append(_object(path, image, number, line))
    notes: list[str] = []
    objects = without_marks(objects, options.crowds, "difficult", notes)
    covered = [CoveredImage(image) for image in images]
    return pixel_records(source, objects, covered, notes, class_field="class", ignored_as="difficult")


def _object(path: Path, image: str, number: int, line: str) -> PixelObject:
    words = line.split()
    shown = line.strip()[:60]
    if len(words) <= _COORDINATES:
        raise LabelError(f"{path}: line {number}: expected x1 y1 x2 y2 x3 y3 x4 y4 class, found {shown!r}")
    try:
        outline = ring_polygon(np.reshape([float(word) for word in words[:_COORDINATES]], (-1, 2)))
    except ValueError as cause:
        raise LabelError(
            f"{path}: line {number}: a corner is not a finite pixel position ({shown}); "
            "correct or delete the line"
        ) from cause
    # Class names may have spaces, so only a single digit at the end is the difficulty.
    has_difficulty = len(words) > _COORDINATES + 1 and re.fullmatch(r"\d", words[-1]) is not None
    name = words[_COORDINATES:-1] if has_difficulty else words[_COORDINATES:]
    return PixelObject(
        image=image,
        outline=outline,
        value=value_text(" ".join(name)),
        feature_id=f"{path.name}:{number}",
        ignore=has_difficulty and words[-1] != "0",
    )


def dota_name(class_name: str) -> str:
    """A class name with "-" in place of spaces, which separate the columns."""
    return "-".join(class_name.split())


def write_dota(annotations: Annotations, folder: Path, losses: Losses) -> None:
    """Write `labelTxt/NAME.txt` in a folder per split; spaces in class names become "-"."""
    for image in annotations.images:
        objects = without_extras(objects_with_class(image, losses), losses)
        lines = [_line(labelled, losses) for labelled in objects]
        split_folder = "" if image.split == NO_SPLIT else f"{image.split}/"
        put(folder, f"{split_folder}labelTxt/{image.stem}.txt", _header(image) + "".join(lines))


def _header(image: LabelledImage) -> str:
    gsd_m = None if image.grid is None else image.grid.gsd_m
    return f"imagesource:eo_dl\ngsd:{'null' if gsd_m is None else f'{gsd_m:.6g}'}\n"


def _line(labelled: LabelledObject, losses: Losses) -> str:
    corners = four_corners(labelled.outline, losses).ravel()
    name = dota_name(labelled.class_name)
    losses.count('class names with spaces, which became "-"', int(name != labelled.class_name))
    return f"{' '.join(repr(float(value)) for value in corners)} {name} {int(labelled.ignore)}\n"


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
