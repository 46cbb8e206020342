"""A folder of maps, one per scene: their names, and which of them an earlier, stopped run had finished.

Finished maps are whole files. A journal in the folder says which of them this very work made (same key), so
that the same command continues with the others. It is removed once all maps exist.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter

from ..errors import ConfigError, InputError
from .atomic import disk_errors
from .confined import leads_outside
from .discover import GEOTIFF_SUFFIXES, VECTOR_SUFFIXES
from .journal import Journal, read_entries
from .scene import Scene

_JOURNAL = ".finished.part"


def outputs_in(folder: Path, scenes: Sequence[Scene], suffix: str) -> list[Path]:
    """Output paths in `folder`, one per scene. Makes the folders they need.

    Scenes of the same name get subfolders like those the scenes lie in.

    Args:
        folder: The folder of maps; its parent must exist.
        scenes: The scenes, at least one.
        suffix: Suffix of the outputs, e.g. ".tif".

    Raises:
        ConfigError: `folder` is the name of a file.
        InputError: There is no scene, no parent folder, or two scenes would share an output.
    """
    if not scenes:
        raise InputError(f"{folder}: no input; name at least one")
    is_file_name = folder.suffix.lower() in (*GEOTIFF_SUFFIXES, *VECTOR_SUFFIXES)
    if is_file_name or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder}: several inputs need a folder for their outputs; name one, e.g. maps/")
    names = _names(scenes)
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(
            f"{folder}: {times} inputs are called {name.name!r}, so their outputs would be one file; run "
            "them one by one"
        )
    if not folder.parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first (mkdir -p)")
    folder.mkdir(exist_ok=True)
    outputs = [folder / name.with_name(f"{name.name}{suffix}") for name in names]
    for output in outputs:
        with disk_errors(output):
            output.parent.mkdir(parents=True, exist_ok=True)
    return outputs


def _names(scenes: Sequence[Scene]) -> list[Path]:
    """The stem of each scene; if two are the same, with the folders below the last common one."""
    stems = [Path(scene.stem) for scene in scenes]
    if len(set(stems)) == len(stems) or any(scene.remote for scene in scenes):
        return stems
    parents = [Path(scene.place).parent for scene in scenes]
    try:
        common = os.path.commonpath(parents)
    except ValueError:  # two drives of Windows
        return stems
    return [parent.relative_to(common) / stem for parent, stem in zip(parents, stems, strict=True)]


class _StoredFile(BaseModel):
    name: str
    size: int
    mtime_ns: int


class _StoredMap(BaseModel):
    key: str
    files: list[_StoredFile] = Field(min_length=1)
    count: int | None
    chips: int


_STORED_MAP = TypeAdapter(_StoredMap)


@dataclass(frozen=True)
class FinishedFile:
    """A file as it was when its map was finished."""

    name: str
    """Path below the folder, with forward slashes."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change."""

    @classmethod
    def of(cls, path: Path, folder: Path) -> FinishedFile:
        """The present state of a file."""
        status = path.stat()
        return cls(_name_below(path, folder), status.st_size, status.st_mtime_ns)

    def unchanged(self, folder: Path) -> bool:
        """True if the file is still the same."""
        path = folder / self.name
        return path.is_file() and FinishedFile.of(path, folder) == self


@dataclass(frozen=True)
class FinishedMap:
    """A map that is done."""

    key: str
    """Key of the work that made it."""
    files: tuple[FinishedFile, ...]
    """The map and its extra rasters, the map first."""
    count: int | None
    """Number of features of a vector output."""
    chips: int
    """Number of chips that the network saw."""

    def entry(self) -> str:
        """The map as a journal entry."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, entry: str) -> FinishedMap:
        """The map of a journal entry. Raises `ValueError` for any other text."""
        values = _STORED_MAP.validate_json(entry)
        files = tuple(FinishedFile(**file.model_dump()) for file in values.files)
        if any(leads_outside(file.name) for file in files):
            raise ValueError("a file lies outside its folder")
        return cls(values.key, files, values.count, values.chips)


class FolderJournal:
    """The finished maps of a folder.

    Args:
        folder: The folder of maps.
        enabled: False: nothing is known from an earlier run and nothing is noted for a later one.
    """

    def __init__(self, folder: Path, enabled: bool) -> None:
        self._folder = folder
        self._path = folder / _JOURNAL
        self._enabled = enabled
        self._journal: Journal | None = None
        self._entries: list[str] = []
        self._known: dict[str, FinishedMap] = {}
        self._file_names: set[str] = set()
        for entry in read_entries(self._path) if enabled else ():
            try:
                finished = FinishedMap.parse(entry)
            except ValueError:
                break  # not by us, or by another version: neither this entry nor those behind it are believed
            self._entries.append(entry)
            if all(file.unchanged(folder) for file in finished.files):
                self._known[finished.files[0].name] = finished
                self._file_names.update(file.name for file in finished.files)

    def knows(self, path: Path) -> bool:
        """True if the file belongs to a map that an earlier, stopped run finished."""
        return _name_below(path, self._folder) in self._file_names

    def finished(self, path: Path, key: str) -> FinishedMap | None:
        """The map at `path`, if the work with this key made it."""
        finished = self._known.get(_name_below(path, self._folder))
        return finished if finished is not None and finished.key == key else None

    def add(self, paths: tuple[Path, ...], key: str, count: int | None, chips: int) -> None:
        """Note a finished map: its own file first, then extra rasters."""
        if not self._enabled:
            return
        files = tuple(FinishedFile.of(path, self._folder) for path in paths)
        entry = FinishedMap(key, files, count, chips).entry()
        with disk_errors(self._path):
            if self._journal is None:
                # Not before the first map is finished, and once: it checks all known entries.
                self._journal = Journal(self._path, self._entries)
            self._journal.append(entry)

    def remove(self) -> None:
        """Delete the journal: all maps are finished."""
        self._path.unlink(missing_ok=True)


def _name_below(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
