"""What a Pascal VOC data set says of all its images: `labelmap.txt`, classes with their colours, and the
images of each split.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...core.classes import IGNORE_ID, ClassSet
from ..classnames import ClassRequest
from .annotations import NO_SPLIT, Annotations
from .safefile import put, read_text

Color = tuple[int, int, int]

_VOID: Color = (224, 224, 192)  # of 255
_BLACK: Color = (0, 0, 0)
_LINE = re.compile(r"(.+):(\d{1,3}),(\d{1,3}),(\d{1,3})(?::[^:]*){0,2}")
_BITS = 8


def voc_color(number: int) -> Color:
    """The colour of a number in the palette of Pascal VOC: its bits dealt to red, green and blue in turn, the
    highest first.
    """
    color = [0, 0, 0]
    for bit in range(_BITS):
        for channel in range(3):
            color[channel] |= ((number >> (3 * bit + channel)) & 1) << (_BITS - 1 - bit)
    return color[0], color[1], color[2]


def class_colors(classes: ClassSet) -> dict[int, Color]:
    """A colour for each class id, no two alike: its own, else the next free one of the palette; black for 0
    and the void for 255.
    """
    colors = {0: _BLACK, IGNORE_ID: _VOID}
    free = iter(voc_color(number) for number in range(1, 1 << _BITS))
    for info in classes:
        if info.id not in colors:
            own = int(info.color[1:3], 16), int(info.color[3:5], 16), int(info.color[5:7], 16)
            colors[info.id] = (
                own
                if own not in colors.values()
                else next(color for color in free if color not in colors.values())
            )
    return colors


def write_data_set(found: Annotations, folder: Path, kind: str) -> None:
    """`labelmap.txt`, and `ImageSets/KIND/SPLIT.txt`: the images of each split by their stems."""
    colors = class_colors(found.classes)
    lines = [
        f"{info.name}:{','.join(map(str, colors[info.id]))}::\n" for info in found.classes.with_background()
    ]
    put(folder, "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))
    for split in found.splits:
        name = "default" if split == NO_SPLIT else split
        put(
            folder,
            f"ImageSets/{kind}/{name}.txt",
            "".join(f"{image.stem}\n" for image in found.of_split(split)),
        )


def labelmap_spec(path: Path) -> ClassRequest | None:
    """Which colour is which class, by the labelmap.txt of a data set; None where the file is none."""
    names: list[str] = []
    values: dict[str, str | None] = {_text(_VOID): None}
    for line in (line.strip() for line in read_text(path).splitlines()):
        if not line or line.startswith("# "):
            continue
        found = _LINE.fullmatch(line)
        if found is None or max(int(part) for part in found.groups()[1:]) > 255:
            return None
        names.append(found[1].strip())
        values[_text((int(found[2]), int(found[3]), int(found[4])))] = names[-1]
    return ClassRequest(tuple(dict.fromkeys(names)), values, False) if names else None


def _text(color: Color) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in color)
