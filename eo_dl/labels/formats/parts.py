"""Objects of several parts from formats that hold each part as an object of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..records import PixelObject
from .outlineforms import joined


def joined_parts(objects: Sequence[PixelObject], groups: Sequence[str | None]) -> list[PixelObject]:
    """Objects with the parts of each as one outline.

    Args:
        objects: Objects and parts of objects.
        groups: The group of each; None: an object by itself.

    Returns:
        One object per group, image and class, in the place of its first part.
    """
    parts_of: dict[tuple[str, str, str | None], list[PixelObject]] = {}
    for part, group in zip(objects, groups, strict=True):
        if group is not None:
            parts_of.setdefault((part.image, group, part.value), []).append(part)
    whole: list[PixelObject] = []
    for part, group in zip(objects, groups, strict=True):
        parts = [part] if group is None else parts_of[part.image, group, part.value]
        if len(parts) == 1:
            whole.append(part)
        elif parts[0] is part:
            outlines = [other.outline for other in parts if other.outline is not None]
            whole.append(replace(part, outline=joined(outlines)))
    return whole
