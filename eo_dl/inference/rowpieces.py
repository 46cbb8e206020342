"""The predicted rows of chips of one map, one file each, written by any number of machines.

`MAP.rows.part.d/` beside the map holds `job.json` (what the rows are rows of), `row_000012.KEY.npz` (a row of
chips) and, once the map is written, `done.json`. A piece is written under a temporary name, synced and
renamed, and equal work gives equal bytes: two machines that do the same row, because one of them was believed
dead, do no harm, so there are no locks, on which shared file systems differ. The key of the work is part of
the name of a piece: rows of another model or with other options are never mixed in.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from ..core.arraytypes import AnyArray, BoolArray
from ..errors import ConfigError, InputError
from ..io.arrayfiles import load_arrays
from ..io.atomic import disk_errors, part_name, publish, work_folder, write_bytes
from ..io.confined import open_to_write
from ..io.mapfolder import FinishedMap
from ..io.workfolder import claim_folder, clear_folder
from .backends.backend import Backend

_JOB, _DONE = "job.json", "done.json"
_SHARDS = "shards_"
_FILES = re.compile(r"(job|done)\.json|shards_\d+|row_\d+\.[0-9a-f]+\.npz|\..*\.part\.[a-z]+")
_KEY_LENGTH = 12
_MOST_TEXT = 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError)


class _StoredEngine(BaseModel):
    identity: dict[str, str]
    batch_px: int = Field(ge=1, le=2**40)
    chip_px: int = Field(ge=1, le=2**20)


class _StoredJob(BaseModel):
    key: str
    facts: dict[str, str]
    engine: _StoredEngine


_STORED_JOB = TypeAdapter(_StoredJob)


@dataclass(frozen=True)
class RecordedEngine:
    """The engine that predicted the rows, as far as it decides how a scene is cut and what the map says.

    It stands for the engine where rows are only put together: on a machine that could not run the model.
    """

    identity: Mapping[str, str]
    """See `EngineFacts`."""
    batch_px: int
    """See `EngineFacts`."""
    chip_px: int
    """See `EngineFacts`."""

    @classmethod
    def of(cls, backend: Backend) -> RecordedEngine:
        """The record of a running engine."""
        return cls(dict(backend.identity), backend.batch_px, backend.chip_px)


@dataclass(frozen=True)
class RowsJob:
    """What the rows are rows of."""

    key: str
    """`Plan.key`."""
    facts: dict[str, str]
    """Everything that decides the key, for the message if another machine differs."""
    engine: RecordedEngine
    """What predicts the rows."""

    def text(self) -> str:
        """The job as JSON, in the order of its values: the tags of a map list the engine's in order."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> RowsJob:
        """The job of a JSON text. Raises `ValueError` for any other text."""
        values = _STORED_JOB.validate_json(text)
        return cls(values.key, values.facts, RecordedEngine(**values.engine.model_dump()))


def rows_folder(target: Path) -> Path:
    """`NAME.rows.part.d` beside the target."""
    return work_folder(target.with_name(f"{target.name}.rows"))


class RowPieces:
    """The predicted rows of chips of one map.

    Args:
        target: The map.
        key: `Plan.key`.
        count: Number of rows of chips.
    """

    def __init__(self, target: Path, key: str, count: int) -> None:
        self.target = target
        self.folder = rows_folder(target)
        self.count = count
        self._key = key

    def claim(self, job: RowsJob) -> None:
        """Make the folder, or find that it is of this very job.

        Raises:
            ConfigError: It holds rows of another job.
            WriteError: The disk or permissions prevent writing.
        """
        path = self.folder / _JOB
        with disk_errors(self.target):
            claim_folder(self.folder, _FILES)
            if not path.exists():
                _write_first(path, job.text())
        check_job(self.target, job)

    def note_shards(self, count: int) -> None:
        """Note into how many shards the prediction is cut, for the message that names missing ones."""
        with disk_errors(self.target):
            open_to_write(self.folder / f"{_SHARDS}{count}").close()

    def noted_shards(self) -> set[int]:
        """The numbers of shards that were noted."""
        numbers = [path.name.removeprefix(_SHARDS) for path in self.folder.glob(f"{_SHARDS}*")]
        # More shards than rows are possible, but not so many that listing them takes long.
        return {int(text) for text in numbers if re.fullmatch(r"[1-9]\d{0,5}", text)}

    def has(self, row: int) -> bool:
        """True if the row is stored and undamaged."""
        if not self._piece(row).is_file():
            return False
        try:
            self._read(row)
        except _DAMAGED:
            return False
        return True

    def stored(self) -> BoolArray:
        """(count,) True for rows with a file."""
        return np.array([self._piece(row).is_file() for row in range(self.count)], np.bool_)

    def store(self, row: int, arrays: Mapping[str, AnyArray]) -> None:
        """Write a row. Raises `WriteError` if the disk is full."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # stubs take names for options
        with disk_errors(self.target):
            _write_atomically(self._piece(row), buffer.getvalue())

    def load(self, row: int) -> dict[str, AnyArray]:
        """The arrays of a row. Raises `InputError` if its file is damaged."""
        try:
            return self._read(row)
        except _DAMAGED as error:
            raise InputError(
                f"{self._piece(row)}: row of chips {row + 1} of {self.count} is missing or damaged; predict "
                "its shard again"
            ) from error

    def finish(self, finished: FinishedMap) -> None:
        """Note that the map is written, and delete the rows."""
        with disk_errors(self.target):
            _write_atomically(self.folder / _DONE, finished.entry().encode())
        for piece in self.folder.glob("row_*.npz"):
            piece.unlink(missing_ok=True)

    def finished(self) -> FinishedMap | None:
        """The map, if it was written and has not changed since."""
        path = self.folder / _DONE
        if not path.is_file():
            return None
        try:
            finished = FinishedMap.parse(_short_text(path))
        except ValueError:
            return None
        unchanged = all(file.unchanged(self.target.parent) for file in finished.files)
        return finished if unchanged and finished.key == self._key else None

    def remove(self) -> None:
        """Delete the folder."""
        clear_folder(self.folder, _FILES)

    def _piece(self, row: int) -> Path:
        return self.folder / f"row_{row:06d}.{self._key[:_KEY_LENGTH]}.npz"

    def _read(self, row: int) -> dict[str, AnyArray]:
        # Reading a member of the archive checks its CRC-32.
        return load_arrays(self._piece(row))


def read_job(target: Path) -> RowsJob | None:
    """The job whose rows lie beside `target`; None if there are none."""
    path = rows_folder(target) / _JOB
    if not path.is_file():
        return None
    try:
        return RowsJob.parse(_short_text(path))
    except ValueError as error:
        raise InputError(
            f"{path}: does not say what the rows beside it are rows of; delete the folder and predict again"
        ) from error


def check_job(target: Path, job: RowsJob) -> None:
    """Refuse a job that differs from the one whose rows lie beside `target`.

    Raises:
        ConfigError: It differs; the message says in what.
    """
    first = read_job(target)
    if first is None or first.key == job.key:
        return
    names = sorted(first.facts.keys() | job.facts.keys())
    differences = [
        f"{name} {job.facts.get(name, '(none)')}, there {first.facts.get(name, '(none)')}"
        for name in names
        if job.facts.get(name) != first.facts.get(name)
    ]
    raise ConfigError(
        f"{rows_folder(target)}: holds rows of another prediction ({'; '.join(differences)}); use the same "
        "model, scenes and options on every machine, or delete the folder"
    )


def _short_text(path: Path) -> str:
    """The text of a small file. Raises `ValueError` for a large one."""
    with path.open("rb") as file:
        data = file.read(_MOST_TEXT + 1)
    if len(data) > _MOST_TEXT:
        raise ValueError(f"{path} is larger than {_MOST_TEXT} bytes")
    return data.decode()


def _write_first(path: Path, text: str) -> None:
    """Write a file unless another machine has done so in the meantime: the first one counts."""
    temporary = part_name(path)
    write_bytes(temporary, text.encode())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = part_name(path)
    try:
        write_bytes(temporary, data)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
