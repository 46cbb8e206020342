"""Names by which labels refer to images: a file name, or the end of a path ("dog/001.png") if several folders
hold an image of that name.

Names are compared in one form of Unicode (NFC): macOS decomposes the letters of file names, others do not.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

# "tile_7_tif.rf.0a1b...9.jpg" is what Roboflow makes of tile_7.tif.
_ROBOFLOW = re.compile(r"(.+)_(?:tiff?|png|jpe?g|jp2|bmp|webp)\.rf\.[0-9A-Za-z]{8,}", re.IGNORECASE)
# "0a1b2c3d-tile_7.png" is what Label Studio makes of an uploaded tile_7.png. Eight digits are a date.
_LABEL_STUDIO = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{8}-(.+)")


def composed(name: str) -> str:
    """A name in the form of Unicode in which names are compared (NFC)."""
    return unicodedata.normalize("NFC", name)


def stem_of(name: str) -> str:
    """A name, or the end of a path, without the suffix of the file."""
    folder, sign, last = name.rpartition("/")
    return folder + sign + last.rsplit(".", 1)[0]


def stem_before_export(stem: str) -> str:
    """The stem that an image had before an annotation tool renamed it on export; the stem itself where no
    tool did.
    """
    folder, sign, last = stem.rpartition("/")
    for renamed in (_ROBOFLOW, _LABEL_STUDIO):
        match = renamed.fullmatch(last)
        if match is not None:
            return folder + sign + match[1]
    return stem


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
    """Names of images. A path is found by its longest end that is one of them, with or without suffix.

    Where no name is the same letter by letter, one that differs in its case alone is found, and then one of
    which an annotation tool made the other by renaming the image; neither if several names fit.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(map(composed, names))
        self._stems = frozenset(map(stem_of, self._names))
        self._folders = max((name.count("/") for name in self._names), default=0)
        self._by_case = _unique({stem: stem.casefold() for stem in self._stems})
        self._by_origin = _unique({stem: stem_before_export(stem).casefold() for stem in self._stems})

    def exact(self, path: str) -> str | None:
        """The name of the image at `path` (forward slashes)."""
        return next((end for end in self._ends(path) if end in self._names), None)

    def by_stem(self, path: str) -> str | None:
        """The name without its suffix."""
        stems = [stem_of(end) for end in self._ends(path)]
        same = next((stem for stem in stems if stem in self._stems), None)
        if same is not None:
            return same
        for known in (self._by_case, self._by_origin):
            found = next((known[stem.casefold()] for stem in stems if stem.casefold() in known), None)
            if found is not None:
                return found
        before = [stem_before_export(stem).casefold() for stem in stems]
        return next((self._by_case[stem] for stem in before if stem in self._by_case), None)

    def __contains__(self, path: str) -> bool:
        return self.exact(path) is not None or self.by_stem(path) is not None

    def _ends(self, path: str) -> Iterator[str]:
        path = composed(path)
        return (_end(path, count) for count in range(min(self._folders, path.count("/")) + 1, 0, -1))


def _unique(key_of: dict[str, str]) -> dict[str, str]:
    """Key -> name, for keys that one name alone has."""
    times = Counter(key_of.values())
    return {key: name for name, key in key_of.items() if times[key] == 1}
