"""Objects that their format marks as ignored: crowds of COCO, difficult ones of Pascal VOC and DOTA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .labeloptions import Crowds
from .records import PixelObject

_NEARLY_ALL = 0.9


def without_marks(
    objects: Sequence[PixelObject], crowds: Crowds, what: str, notes: list[str]
) -> list[PixelObject]:
    """The objects as `LabelOptions.crowds` wants them: marked ones are ignored, or like all others.

    Args:
        objects: The objects as the file has them.
        crowds: What the caller wants.
        what: What marked objects are called in the format ("crowds").
        notes: Gets a line on their number.
    """
    marked = sum(labelled.ignore for labelled in objects)
    if not marked:
        return list(objects)
    count = f"{marked} of {len(objects)} objects are marked as {what}"
    if crowds == "use":
        notes.append(f"{count} and used like the others, as `crowds` requests")
        return [replace(labelled, ignore=False) for labelled in objects]
    note = f"{count} and ignored"
    if marked >= _NEARLY_ALL * len(objects):
        note += "; some tools (CVAT) mark everything that was painted so"
    notes.append(f"{note}; use them with `crowds=use`")
    return list(objects)
