"""A folder of maps, one a scene: names, and what an earlier run that was stopped had already finished.

Finished maps are whole files; a journal in the folder says which of them this very work has made (same key), so that the
same command goes on with the others. It is removed when all are there.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, InputError
from ..io.atomic import disk_errors
from .outputs import RASTER_SUFFIXES, VECTOR_SUFFIXES

_JOURNAL = ".finished.part"


def outputs_in(folder: Path, stems: list[str], suffix: str) -> list[Path]:
    """One file a scene in `folder`, which is made where it is missing. Raises `InputError` where two would have one name."""
    if not stems:
        raise InputError(f"{folder}: no scene was given; name at least one")
    if folder.suffix.lower() in (*RASTER_SUFFIXES, *VECTOR_SUFFIXES) or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder}: several scenes need a folder for their maps; name one, e.g. -o maps/")
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise InputError(f"{folder}: {stems.count(twice[0])} scenes are called {twice[0]!r}, so their maps would be one file; run them one by one")
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first (mkdir -p)")
    folder.mkdir(exist_ok=True)
    return [folder / f"{stem}{suffix}" for stem in stems]


@dataclass(frozen=True)
class Finished:
    """One map that is done: the key of the work that made it, its files' sizes and times, features and chips."""

    key: str
    files: tuple[tuple[str, int, int], ...]
    count: int | None
    chips: int


class FolderJournal:
    """What was finished in a folder. Lines that are torn, or whose files have changed, are not believed."""

    def __init__(self, folder: Path, wanted: bool) -> None:
        self._path, self._wanted = folder / _JOURNAL, wanted
        self._known = {one.files[0][0]: one for one in self._read() if _unchanged(folder, one)} if wanted else {}

    def knows(self, path: Path) -> bool:
        """True where the file is a map of an earlier run of some command."""
        return any(path.name == name for one in self._known.values() for name, _, _ in one.files)

    def finished(self, path: Path, key: str) -> Finished | None:
        """What is known of a map, if this very work made it."""
        found = self._known.get(path.name)
        return found if found is not None and found.key == key else None

    def add(self, paths: tuple[Path, ...], key: str, count: int | None, chips: int) -> None:
        """Note a finished map (its own file first)."""
        if not self._wanted:
            return
        files = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "files": files, "count": count, "chips": chips}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """All are there."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> list[Finished]:
        found: list[Finished] = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []:
            try:
                one = json.loads(line)
                found.append(Finished(one["key"], tuple((str(n), int(s), int(t)) for n, s, t in one["files"]), one["count"], int(one["chips"])))
            except (ValueError, KeyError, TypeError):
                break
        return found


def _unchanged(folder: Path, one: Finished) -> bool:
    paths = [(folder / name, size, time) for name, size, time in one.files]
    return bool(paths) and all(path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (size, time) for path, size, time in paths)
