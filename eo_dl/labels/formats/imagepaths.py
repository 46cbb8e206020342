"""Which image a label file with the same stem is about, where several folders hold images of that name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_LABEL_FOLDER = re.compile(r"labels?|annotations?|labeltxt.*|xmls?|txts?|jsons?", re.IGNORECASE)
_IMAGE_FOLDERS = ("images", "JPEGImages", "image", "imgs", "img")


def image_folder(folder: Path) -> Path:
    """The folder of the images of a folder of label files: images/train for labels/train, where it exists;
    else the folder without the part that stands for labels.
    """
    parts = folder.parts
    for number in range(len(parts) - 1, -1, -1):
        if not _LABEL_FOLDER.fullmatch(parts[number]):
            continue
        before, after = Path(*parts[:number]), parts[number + 1 :]
        mirrored = [before.joinpath(name, *after) for name in _IMAGE_FOLDERS]
        return next((path for path in mirrored if path.is_dir()), before.joinpath(*after))
    return folder


def paths_beside(files: Sequence[Path], names: Sequence[str]) -> list[str]:
    """The image of each label file: its name, or its path in the folder of images if two files name one.

    Args:
        files: (N,) label files of one image each.
        names: (N,) the names by which they refer to their images.
    """
    if len(set(names)) == len(names):
        return list(names)
    pairs = zip(files, names, strict=True)
    return [(image_folder(file.parent) / name).as_posix() for file, name in pairs]
