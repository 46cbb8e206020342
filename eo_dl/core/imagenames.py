"""What labels call an image, and the file that is meant: a file name, or the end of a path ("dog/001.png")
where several folders hold one of that name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence


def stem_of(name: str) -> str:
    """A name or an end of a path without the suffix of its file."""
    folder, sign, last = name.rpartition("/")
    return folder + sign + last.rsplit(".", 1)[0]


def names_of(paths: Sequence[str]) -> list[str]:
    """For each path (forward slashes) its file name; where several paths end in the same, as many folders
    before it as tell all of these apart.
    """
    by_name: dict[str, set[str]] = {}
    for path in (path.lstrip("/") for path in paths):
        by_name.setdefault(path.rsplit("/", 1)[-1], set()).add(path)
    count = {
        name: next(n for n in itertools.count(1) if len({_end(path, n) for path in alike}) == len(alike))
        for name, alike in by_name.items()
    }
    return [_end(path, count[path.rsplit("/", 1)[-1]]) for path in paths]


def _end(path: str, count: int) -> str:
    return "/".join(path.lstrip("/").split("/")[-count:])


class ImageNames:
    """Names of images. A path is looked up by its longest end that is one of them, with its suffix or, where
    there is none such, without.
    """

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
