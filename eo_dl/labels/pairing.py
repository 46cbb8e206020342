"""Which label file belongs to which image, by name: the same stem, or the same but for words such as "mask"
or "labels".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from ..core.imagenames import stem_of
from ..errors import LabelError

_WORDS = re.compile(
    r"labels?|labell?ed|masks?|seg|segmentation|gt|truth|groundtruth|annotations?|annotated|target|class(es)?|polygons?|objects?|boxes|images?|img|scene|ortho|sat|rgb"
)


def stem(path: str) -> str:
    """File name without its last suffix, of a path or an address."""
    return stem_of(PurePath(path.split("?")[0]).name)


def core_name(path: str) -> str:
    """The stem in lower case without the words that tell labels from images ("tile_1_mask" and "tile_image_1"
    are both "tile 1").
    """
    words = re.split(r"[\W_]+", stem(path).casefold())
    return " ".join(word for word in words if word and not _WORDS.fullmatch(word))


def best_named(image: str, candidates: Sequence[str], what: str) -> int | None:
    """The place of the file that is named like `image`: same stem first, then same core name; None where
    there is none.

    Of several the one nearest in the folders is taken. Raises `LabelError` where two are equally near.
    """
    same = [place for place, path in enumerate(candidates) if stem(path) == stem(image)]
    core = core_name(image)
    found = same or [place for place, path in enumerate(candidates) if core and core_name(path) == core]
    if len(found) < 2:
        return found[0] if found else None
    ranked = sorted(found, key=lambda place: -_common(image, candidates[place]))
    if _common(image, candidates[ranked[0]]) == _common(image, candidates[ranked[1]]):
        raise LabelError(
            f"{image}: two {what}s fit its name, {candidates[ranked[0]]} and {candidates[ranked[1]]}; give one of them, or the scenes of one folder at a time"
        )
    return ranked[0]


def _common(first: str, second: str) -> int:
    """Number of leading folders that two paths share."""
    # Not Path.resolve(): a linked file keeps the folders by which it was named.
    first_folders = PurePath(os.path.abspath(first)).parent.parts  # noqa: PTH100
    second_folders = PurePath(os.path.abspath(second)).parent.parts  # noqa: PTH100
    pairs = zip(first_folders, second_folders, strict=False)
    count = 0
    for a, b in pairs:
        if a != b:
            break
        count += 1
    return count
