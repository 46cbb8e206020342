"""Objects that their format marks: as ignored (crowds of COCO, difficult ones of Pascal VOC and DOTA), or as
standing for whole images (tags of CVAT, choices of Label Studio, flags of LabelMe).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.wording import listed
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


def without_whole_images(
    objects: Sequence[PixelObject], what: str, notes: list[str]
) -> tuple[list[PixelObject], dict[str, int]]:
    """The objects without those of whole images, if any other object is among them: then those describe
    images ("cloudy") and would lie over the objects drawn in them.

    Args:
        objects: The objects as the file has them.
        what: What objects of whole images are called in the format ("tags").
        notes: Gets a line on their number.

    Returns:
        The objects that are left, and those left out, by kind.
    """
    whole = [labelled for labelled in objects if labelled.whole_image]
    if not whole or len(whole) == len(objects):
        return list(objects), {}
    names = listed(sorted({labelled.value for labelled in whole if labelled.value is not None}))
    notes.append(
        f"{len(whole)} {what} of whole images ({names}) are left out, since objects are drawn in the images; "
        "for the classes of whole images write a CSV with the columns file and label"
    )
    drawn = [labelled for labelled in objects if not labelled.whole_image]
    return drawn, {f"{what} of whole images": len(whole)}
