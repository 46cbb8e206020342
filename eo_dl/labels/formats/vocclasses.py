"""What a Pascal VOC data set says about all its images: the classes with their colours, and the splits."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.classes import IGNORE_ID, ClassSet
from ..classrequest import ClassRequest
from .annotations import NO_SPLIT, Annotations
from .safefile import put, read_text

Color = tuple[int, int, int]

_VOID: Color = (224, 224, 192)  # of ignored pixels
_BLACK: Color = (0, 0, 0)
_LABELMAP_LINE = re.compile(r"(.+):(\d{1,3}),(\d{1,3}),(\d{1,3})(?::[^:]*){0,2}")
_BITS = 8


def voc_color(number: int) -> Color:
    """The colour of a number in the palette of Pascal VOC.

    The bits of the number go to red, green and blue in turn, filling each channel from its highest bit.
    """
    color = [0, 0, 0]
    for bit in range(_BITS):
        for channel in range(3):
            color[channel] |= ((number >> (3 * bit + channel)) & 1) << (_BITS - 1 - bit)
    return color[0], color[1], color[2]


def class_colors(classes: ClassSet) -> dict[int, Color]:
    """A colour per class id, no two alike: that of the class, or the next unused one of the palette.

    0 is black, and 255 has the colour of ignored pixels.
    """
    colors = {0: _BLACK, IGNORE_ID: _VOID}
    palette = [voc_color(number) for number in range(1, 1 << _BITS)]
    for info in classes:
        if info.id in colors:
            continue
        color = int(info.color[1:3], 16), int(info.color[3:5], 16), int(info.color[5:7], 16)
        used = set(colors.values())
        colors[info.id] = next(choice for choice in (color, *palette) if choice not in used)
    return colors


def write_data_set(annotations: Annotations, folder: Path, kind: str) -> None:
    """Write `labelmap.txt`, and `ImageSets/KIND/SPLIT.txt` with the stems of the images of each split."""
    colors = class_colors(annotations.classes)
    labelmap = ["# label:color_rgb:parts:actions\n"]
    for info in annotations.classes.with_background():
        labelmap.append(f"{info.name}:{','.join(map(str, colors[info.id]))}::\n")
    put(folder, "labelmap.txt", "".join(labelmap))
    for split in annotations.splits:
        name = "default" if split == NO_SPLIT else split
        stems = "".join(f"{image.stem}\n" for image in annotations.of_split(split))
        put(folder, f"ImageSets/{kind}/{name}.txt", stems)


def labelmap_request(path: Path) -> ClassRequest | None:
    """Which colour is which class, by the labelmap.txt of a data set; None if the file is something else."""
    names: list[str] = []
    name_of: dict[str, str | None] = {_hex(_VOID): None}
    for line in (line.strip() for line in read_text(path).splitlines()):
        if not line or line.startswith("# "):
            continue
        match = _LABELMAP_LINE.fullmatch(line)
        if match is None:
            return None
        red, green, blue = (int(channel) for channel in match.groups()[1:])
        if max(red, green, blue) > 255:
            return None
        names.append(match[1].strip())
        name_of[_hex((red, green, blue))] = names[-1]
    return ClassRequest(tuple(dict.fromkeys(names)), name_of, False) if names else None


def _hex(color: Color) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)
