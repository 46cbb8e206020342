"""Which label file belongs to which image, by name: the same stem, or the same apart from words such as
"mask" or "labels".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from ..core.imagenames import composed, stem_of
from ..errors import LabelError

_WORDS_OF_LABELS = (
    "labels?|labell?ed|masks?|seg|segmentation|gt|truth|groundtruth|annotations?|annotated|target|class(es)?|"
    "polygons?|objects?|boxes"
)
_WORDS_OF_IMAGES = "images?|img|scene|ortho|sat|rgb"
_WORDS = re.compile(f"{_WORDS_OF_LABELS}|{_WORDS_OF_IMAGES}")


def stem(path: str) -> str:
    """The file name of a path or an address without its last suffix."""
    return stem_of(composed(PurePath(path.split("?")[0]).name))


def core_name(path: str) -> str:
    """The stem in lower case without words for labels and images.

    "tile_1_mask" and "tile_image_1" both give "tile 1".
    """
    return _without_words(stem(path))


def _without_words(name: str) -> str:
    words = re.split(r"[\W_]+", name.casefold())
    return " ".join(word for word in words if word and not _WORDS.fullmatch(word))


def best_named(image: str, candidates: Sequence[str], what: str) -> int | None:
    """The number of the file that is named like an image; None if there is none.

    Files with the same stem come first, then those with the same core name; of several, the one that shares
    most folders: leading ones, and those that follow the folders of images and labels (images/train,
    masks/train). The image itself is not a candidate.

    Args:
        image: Path of the image.
        candidates: Paths of the files.
        what: What the files are, for messages ("label file").

    Raises:
        LabelError: Two files fit equally well.
    """
    own = _place(image)
    others = [number for number, path in enumerate(candidates) if _place(path) != own]
    numbers = [number for number in others if stem(candidates[number]) == stem(image)]
    name = core_name(image)
    if not numbers and name:
        numbers = [number for number in others if core_name(candidates[number]) == name]
    if not numbers:
        return None
    ranked = sorted(numbers, key=lambda number: -_shared_folders(image, candidates[number]))
    best, *rest = (candidates[number] for number in ranked)
    if rest and _shared_folders(image, best) == _shared_folders(image, rest[0]):
        raise LabelError(
            f"{image}: two {what}s fit its name, {best} and {rest[0]}; give one of them, or the scenes of "
            "one folder at a time"
        )
    return ranked[0]


def _place(path: str) -> PurePath:
    # Not Path.resolve(): a linked file keeps the folders by which it was named.
    return PurePath(os.path.abspath(path))  # noqa: PTH100


def _shared_folders(first: str, second: str) -> int:
    """Number of leading folders that two paths share, and of trailing ones that agree apart from words for
    labels and images.
    """
    first_folders, second_folders = _place(first).parent.parts, _place(second).parent.parts
    leading = _count_equal(first_folders, second_folders)
    trailing = _count_equal(
        [_without_words(name) for name in reversed(first_folders[leading:])],
        [_without_words(name) for name in reversed(second_folders[leading:])],
    )
    return leading + trailing


def _count_equal(first: Sequence[str], second: Sequence[str]) -> int:
    """How many items two sequences share from their start."""
    count = 0
    for first_item, second_item in zip(first, second, strict=False):
        if first_item != second_item:
            break
        count += 1
    return count
