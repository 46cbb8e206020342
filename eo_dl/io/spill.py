"""Rows of an unfinished raster on disk: raw numbers plus a journal that says, with checksums, how far they
go.

`PATH.part.d/` holds `rows.bin` (row after row, in each row band after band), `journal` (a line for each
write: first row, rows, CRC-32 of the bytes, CRC-32 of the line), `job.json` (whose rows these are) and
`lock`. Data are synced before their line is written, so a killed run's last line is either true or torn; a
torn one is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..core.arraytypes import AnyArray
from ..errors import WriteError
from .atomic import disk_errors, work_folder, write_bytes

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class RasterLayout:
    """Size and type of the raster whose rows are kept."""

    height: int
    width: int
    count: int
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of all bands."""
        return self.count * self.width * np.dtype(self.dtype).itemsize

    def describe(self) -> str:
        """For the job's fingerprint."""
        return f"{_FORMAT} {self.height} {self.width} {self.count} {self.dtype}"


@dataclass(frozen=True, slots=True)
class Written:
    """One write: rows `[row0, row0 + rows)` with the CRC-32 of their bytes."""

    row0: int
    rows: int
    crc: int

    def line(self) -> bytes:
        """The journal's line, ended by its own checksum."""
        text = f"{self.row0} {self.rows} {self.crc:08x}"
        return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()

    @classmethod
    def parse(cls, line: bytes) -> Written | None:
        """The write that a line tells of, None for a torn or changed line."""
        words = line.split()
        if len(words) != 4:
            return None
        try:
            found = cls(int(words[0]), int(words[1]), int(words[2], 16))
        except ValueError:
            return None
        return found if found.line() == line else None


class Spill:
    """The rows that were written so far, for one target. Raises `WriteError` where another process writes the
    same.
    """

    def __init__(self, target: Path, layout: RasterLayout, job_key: str | None) -> None:
        self.layout = layout
        self.target = target
        self.keep = job_key is not None
        self.folder = work_folder(target)
        self.written: list[Written] = []
        self.discarded_rows = 0
        with disk_errors(target):
            self.folder.mkdir(exist_ok=True)
            self._lock = _lock(self.folder / "lock", target)
            try:
                self._begin(hashlib.sha256(f"{layout.describe()}\n{job_key}".encode()).hexdigest())
            except BaseException:
                self._lock.close()
                raise

    @property
    def rows_path(self) -> Path:
        """The raw rows."""
        return self.folder / "rows.bin"

    @property
    def done_rows(self) -> int:
        """Rows written so far, from the top."""
        return self.written[-1].row0 + self.written[-1].rows if self.written else 0

    def append(self, row0: int, array: AnyArray) -> None:
        """Add rows (count, rows, width), which must follow the last. Raises `WriteError` for a full disk."""
        layout = self.layout
        rows = array.shape[1]
        if (
            row0 != self.done_rows
            or array.shape != (layout.count, rows, layout.width)
            or row0 + rows > layout.height
            or str(array.dtype) != layout.dtype
        ):
            raise ValueError(
                f"rows from {self.done_rows} of shape ({layout.count}, n, {layout.width}) {layout.dtype} must follow, "
                f"found row {row0}, shape {array.shape}, {array.dtype}"
            )
        data = np.ascontiguousarray(array.transpose(1, 0, 2)).reshape(-1).view(np.uint8).data
        entry = Written(row0, rows, zlib.crc32(data))
        with disk_errors(self.target):
            _write_all(self._rows, data)
            if self.keep:
                os.fsync(self._rows.fileno())
            _write_all(self._journal, memoryview(entry.line()))
            if self.keep:
                os.fsync(self._journal.fileno())
        self.written.append(entry)

    def close(self) -> None:
        """Close the files; rows stay for the next run where the job has a key, and go where it has none."""
        if not self.keep or not self.written:
            self.remove()
        for file in (self._rows, self._journal, self._lock):
            file.close()

    def remove(self) -> None:
        """Close the files and delete the folder."""
        for file in (self._rows, self._journal, self._lock):
            file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self, job: str) -> None:
        state = self.folder / "job.json"
        same = self.keep and state.is_file() and state.read_bytes() == json.dumps({"job": job}).encode()
        found = self._verified() if self.rows_path.is_file() and (self.folder / "journal").is_file() else []
        if not same:
            self.discarded_rows = found[-1].row0 + found[-1].rows if found else 0
            found = []
            for path in (state, self.rows_path, self.folder / "journal"):
                path.unlink(missing_ok=True)
            _check_space(self.target, self.layout)
            write_bytes(state, json.dumps({"job": job}).encode())
        self.written = found
        self._rows: IO[bytes] = _opened(self.rows_path, self.done_rows * self.layout.row_bytes)
        self._journal: IO[bytes] = _opened(self.folder / "journal", sum(len(entry.line()) for entry in found))

    def _verified(self) -> list[Written]:
        """The journal's entries, as far as they follow one another and the rows still have their checksums."""
        good: list[Written] = []
        with (self.folder / "journal").open("rb") as journal, self.rows_path.open("rb") as rows:
            for line in journal:
                entry = Written.parse(line)
                next_row = good[-1].row0 + good[-1].rows if good else 0
                if entry is None or entry.row0 != next_row or entry.row0 + entry.rows > self.layout.height:
                    break
                data = rows.read(entry.rows * self.layout.row_bytes)
                if len(data) != entry.rows * self.layout.row_bytes or zlib.crc32(data) != entry.crc:
                    break
                good.append(entry)
        return good


def _opened(path: Path, length: int) -> IO[bytes]:
    """A file cut to `length` and ready to be added to, without a buffer that could fail later."""
    path.touch()
    file = path.open("r+b", buffering=0)
    file.truncate(length)
    file.seek(length)
    return file


def _write_all(file: IO[bytes], data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += file.write(data[done:])


def _check_space(target: Path, layout: RasterLayout) -> None:
    needed, free = layout.row_bytes * layout.height, shutil.disk_usage(target.parent).free
    if needed > free:
        raise WriteError(
            f"{target}: needs {needed / 1e9:.1f} GB while it is made, and {target.parent} has {free / 1e9:.1f} GB free; free some space or write elsewhere"
        )


def _lock(path: Path, target: Path) -> IO[bytes]:
    file = path.open("wb")
    if sys.platform != "win32":
        import fcntl  # not there on Windows

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            file.close()
            raise WriteError(
                f"{target}: is being written by another process; wait for it or choose another name"
            ) from cause
    return file
