"""Names by which labels refer to images: a file name, or the end of a path ("dog/001.png") if several folders
hold an image of that name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence


def stem_of(name: str) -> str:
    """A name, or the end of a path, without the suffix of the file."""
    folder, sign, last = name.rpartition("/")
    return folder + sign + last.rsplit(".", 1)[0]


def names_of(paths: Sequence[str]) -> list[str]:
    """The shortest names that tell the images at `paths` (forward slashes) apart.

    The file name; if several paths end in it, preceded by as many folders as needed.
    """
    paths_of_name: dict[str, set[str]] = {}
    for path in paths:
        paths_of_name.setdefault(_end(path, 1), set()).add(path.lstrip("/"))
    part_count = {name: _distinct_part_count(alike) for name, alike in paths_of_name.items()}
    return [_end(path, part_count[_end(path, 1)]) for path in paths]


def _distinct_part_count(paths: set[str]) -> int:
    """The number of path parts, from the end, that tells all paths apart."""
    for count in itertools.count(1):
        if len({_end(path, count) for path in paths}) == len(paths):
            return count
    raise AssertionError("different paths differ in some part")


def _end(path: str, count: int) -> str:
    return "/".join(path.lstrip("/").split("/")[-count:])


class ImageNames:
    """Names of images. A path is found by its longest end that is one of them, with or without suffix."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._stems = frozenset(map(stem_of, self._names))
        self._folders = max((name.count("/") for name in self._names), default=0)

    def exact(self, path: str) -> str | None:
        """The name of the image at `path` (forward slashes)."""
        return next((end for end in self._ends(path) if end in self._names), None)

    def by_stem(self, path: str) -> str | None:
        """The name without its suffix."""
        return next((end for end in map(stem_of, self._ends(path)) if end in self._stems), None)

    def __contains__(self, path: str) -> bool:
        return self.exact(path) is not None or self.by_stem(path) is not None

    def _ends(self, path: str) -> Iterator[str]:
        return (_end(path, count) for count in range(min(self._folders, path.count("/")) + 1, 0, -1))
