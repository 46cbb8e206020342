"""Parts of one object that a format can only hold as several, put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..records import PixelObject
from .outlineforms import joined


def joined_parts(objects: Sequence[PixelObject], groups: Sequence[str | None]) -> list[PixelObject]:
    """Objects of one group (None: of none), image and class as one, in the place of the first."""
    members: dict[tuple[str, str, str | None], list[PixelObject]] = {}
    for found, group in zip(objects, groups, strict=True):
        if group is not None:
            members.setdefault((found.image, group, found.value), []).append(found)
    out: list[PixelObject] = []
    for found, group in zip(objects, groups, strict=True):
        mates = [found] if group is None else members[found.image, group, found.value]
        if mates[0] is found:
            outlines = [mate.outline for mate in mates if mate.outline is not None]
            out.append(found if len(mates) == 1 else replace(found, outline=joined(outlines)))
    return out
