"""Which label file belongs to which image, by name: the same stem, or the same apart from words such as
"mask" or "labels".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from ..core.imagenames import stem_of
from ..errors import LabelError

_WORDS_OF_LABELS = (
    "labels?|labell?ed|masks?|seg|segmentation|gt|truth|groundtruth|annotations?|annotated|target|class(es)?|"
    "polygons?|objects?|boxes"
)
_WORDS_OF_IMAGES = "images?|img|scene|ortho|sat|rgb"
_WORDS = re.compile(f"{_WORDS_OF_LABELS}|{_WORDS_OF_IMAGES}")


def stem(path: str) -> str:
    """The file name of a path or an address without its last suffix."""
    return stem_of(PurePath(path.split("?")[0]).name)


def core_name(path: str) -> str:
    """The stem in lower case without words for labels and images.

    "tile_1_mask" and "tile_image_1" both give "tile 1".
    """
    words = re.split(r"[\W_]+", stem(path).casefold())
    return " ".join(word for word in words if word and not _WORDS.fullmatch(word))


def best_named(image: str, candidates: Sequence[str], what: str) -> int | None:
    """The number of the file that is named like an image; None if there is none.

    Files with the same stem come first, then those with the same core name; of several, the one that shares
    most leading folders.

    Args:
        image: Path of the image.
        candidates: Paths of the files.
        what: What the files are, for messages ("label file").

    Raises:
        LabelError: Two files fit equally well.
    """
    numbers = [number for number, path in enumerate(candidates) if stem(path) == stem(image)]
    name = core_name(image)
    if not numbers and name:
        numbers = [number for number, path in enumerate(candidates) if core_name(path) == name]
    if not numbers:
        return None
    ranked = sorted(numbers, key=lambda number: -_shared_folders(image, candidates[number]))
    best, *others = (candidates[number] for number in ranked)
    if others and _shared_folders(image, best) == _shared_folders(image, others[0]):
        raise LabelError(
            f"{image}: two {what}s fit its name, {best} and {others[0]}; give one of them, or the scenes of "
            "one folder at a time"
        )
    return ranked[0]


def _shared_folders(first: str, second: str) -> int:
    """Number of leading folders that two paths share."""
    # Not Path.resolve(): a linked file keeps the folders by which it was named.
    first_folders = PurePath(os.path.abspath(first)).parent.parts  # noqa: PTH100
    second_folders = PurePath(os.path.abspath(second)).parent.parts  # noqa: PTH100
    count = 0
    for first_name, second_name in zip(first_folders, second_folders, strict=False):
        if first_name != second_name:
            break
        count += 1
    return count
