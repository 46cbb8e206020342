"""A folder of maps, one a scene: names, and what an earlier run that was stopped had already finished.

Finished maps are whole files; a journal in the folder says which of them this very work has made (same key),
so that the same command goes on with the others. It is removed when all are there.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, InputError
from ..io.atomic import disk_errors
from ..io.discover import own_path
from ..io.scene import Scene
from .outputs import RASTER_SUFFIXES, VECTOR_SUFFIXES

_JOURNAL = ".finished.part"


def outputs_in(folder: Path, scenes: Sequence[Scene], suffix: str) -> list[Path]:
    """One file a scene in `folder`, which is made where it is missing; where scenes are called alike, in
    folders like those that the scenes lie in.

    Raises `InputError` where two would be one file all the same.
    """
    if not scenes:
        raise InputError(f"{folder}: no scene was given; name at least one")
    if folder.suffix.lower() in (*RASTER_SUFFIXES, *VECTOR_SUFFIXES) or (
        folder.exists() and not folder.is_dir()
    ):
        raise ConfigError(f"{folder}: several scenes need a folder for their maps; name one, e.g. -o maps/")
    places = _places(scenes)
    place, times = Counter(places).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{folder}: {times} scenes are called {place.name!r}, so their maps would be one file; run them one by one"
        )
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first (mkdir -p)")
    folder.mkdir(exist_ok=True)
    outs = [folder / place.with_name(f"{place.name}{suffix}") for place in places]
    for out in outs:
        with disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
    return outs


def _places(scenes: Sequence[Scene]) -> list[Path]:
    """The stem of each scene; where two are the same, after the folders below the last one that all have in
    common.
    """
    stems = [Path(scene.stem) for scene in scenes]
    if len(set(stems)) == len(stems) or any(scene.remote for scene in scenes):
        return stems
    parents = [own_path(scene.path).parent for scene in scenes]
    try:
        common = os.path.commonpath(parents)
    except ValueError:  # two drives of Windows
        return stems
    return [parent.relative_to(common) / stem for parent, stem in zip(parents, stems, strict=True)]


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
        self._folder, self._path, self._wanted = folder, folder / _JOURNAL, wanted
        self._known = (
            {one.files[0][0]: one for one in self._read() if _unchanged(folder, one)} if wanted else {}
        )

    def knows(self, path: Path) -> bool:
        """True where the file is a map of an earlier run of some command."""
        return any(self._name(path) == name for one in self._known.values() for name, _, _ in one.files)

    def finished(self, path: Path, key: str) -> Finished | None:
        """What is known of a map, if this very work made it."""
        found = self._known.get(self._name(path))
        return found if found is not None and found.key == key else None

    def add(self, paths: tuple[Path, ...], key: str, count: int | None, chips: int) -> None:
        """Note a finished map (its own file first)."""
        if not self._wanted:
            return
        files = tuple((self._name(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
        with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "files": files, "count": count, "chips": chips}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """All are there."""
        self._path.unlink(missing_ok=True)

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self._folder)).as_posix()

    def _read(self) -> list[Finished]:
        found: list[Finished] = []
        for line in (
            self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            if self._path.is_file()
            else []
        ):
            try:
                one = json.loads(line)
                found.append(
                    Finished(
                        one["key"],
                        tuple((str(n), int(s), int(t)) for n, s, t in one["files"]),
                        one["count"],
                        int(one["chips"]),
                    )
                )
            except (ValueError, KeyError, TypeError):
                break
        return found


def _unchanged(folder: Path, one: Finished) -> bool:
    paths = [(folder / name, size, time) for name, size, time in one.files]
    return bool(paths) and all(
        path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (size, time)
        for path, size, time in paths
    )
