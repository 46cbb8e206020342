"""Rows of an unfinished raster, kept on disk as raw numbers with a journal that says how far they go.

`PATH.part.d/` holds `rows.bin` (row after row; within a row, band after band), `journal` (one entry per
write: first row, number of rows, CRC-32 of the bytes) and `job.json` (whose rows these are).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..core.arraytypes import AnyArray
from ..errors import WriteError
from . import companions
from .atomic import disk_errors, work_folder, write_all
from .journal import Journal, is_of_job, mark_job, open_at, read_entries
from .outputlock import writer_lock
from .workfolder import claim_folder, clear_folder

_FORMAT = 1
_ENTRY = re.compile(r"(\d{1,10}) ([1-9]\d{0,9}) ([0-9a-f]{8})")
_PIECE_BYTES = 2**24
# Our files in a work folder; `cog` adds "rows.vrt" and those that start with "assembled.". Version 0.1 kept
# its lock there.
_FILES = re.compile(
    rf"rows\.bin|journal|job\.json|lock|rows\.vrt|assembled\.[a-z.]+|{re.escape(companions.NOTE)}"
)


@dataclass(frozen=True, slots=True)
class RasterLayout:
    """Size and data type of a raster."""

    height: int
    """Rows."""
    width: int
    """Columns."""
    count: int
    """Bands."""
    dtype: str
    """Data type of the pixels, as numpy spells it."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of all bands."""
        return self.count * self.width * np.dtype(self.dtype).itemsize

    def describe(self) -> str:
        """The layout as one text, part of the job's fingerprint."""
        return f"{_FORMAT} {self.height} {self.width} {self.count} {self.dtype}"


@dataclass(frozen=True, slots=True)
class WrittenRows:
    """One write to `rows.bin`."""

    row0: int
    """First row."""
    rows: int
    """Number of rows."""
    crc: int
    """CRC-32 of the rows' bytes."""

    @property
    def row1(self) -> int:
        """First row below."""
        return self.row0 + self.rows

    def entry(self) -> str:
        """The write as a journal entry."""
        return f"{self.row0} {self.rows} {self.crc:08x}"

    @classmethod
    def parse(cls, entry: str) -> WrittenRows:
        """The write of a journal entry. Raises `ValueError` for any other text."""
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"{entry!r} is no entry of written rows")
        return cls(int(match[1]), int(match[2]), int(match[3], 16))


class Spill:
    """The rows of `target` that are on disk so far.

    Args:
        target: The raster to be made; the rows are kept in `TARGET.part.d` beside it.
        layout: Size and data type of the raster.
        job_key: Identifies the work. Rows of an earlier, stopped run with the same key and layout are kept;
            rows of another job are discarded. None: nothing is kept for a later run.

    Raises:
        WriteError: Another process is writing the same target, the disk has too little space, or the folder
            holds anything that we did not write.
    """

    def __init__(self, target: Path, layout: RasterLayout, job_key: str | None) -> None:
        self.layout = layout
        self.target = target
        self.folder = work_folder(target)
        self.written: list[WrittenRows] = []
        self.discarded_rows = 0
        self._next_col = self._piece_rows = 0  # of rows that come in pieces
        self._resumable = job_key is not None
        with ExitStack() as stack:
            stack.enter_context(writer_lock(target))
            with disk_errors(target):
                claim_folder(self.folder, _FILES)
                self._begin(hashlib.sha256(f"{layout.describe()}\n{job_key}".encode()).hexdigest())
            self._lock = stack.pop_all()

    @property
    def rows_path(self) -> Path:
        """The file of raw rows."""
        return self.folder / "rows.bin"

    @property
    def done_rows(self) -> int:
        """Number of rows on disk, from the top."""
        return self.written[-1].row1 if self.written else 0

    def append(self, row0: int, array: AnyArray, col0: int = 0) -> None:
        """Add rows directly below the last ones, in full width or in pieces from left to right.

        Rows count as written when their last piece is there.

        Args:
            row0: First row, equal to `done_rows`.
            array: (count, rows, width) pixels of the layout's data type.
            col0: First column.

        Raises:
            WriteError: The disk is full.
        """
        self._check_next(row0, array, col0)
        rows, layout = array.shape[1], self.layout
        with disk_errors(self.target):
            if array.shape[2] == layout.width:
                data = _row_by_row(array)
                write_all(self._rows, data)
                self._note(WrittenRows(row0, rows, zlib.crc32(data)))
                return
            self._write_piece(row0, array, col0)
            self._piece_rows, self._next_col = rows, col0 + array.shape[2]
            if self._next_col == layout.width:
                self._next_col = 0
                self._rows.seek(row0 * layout.row_bytes)
                crc = _crc_of(self._rows, rows * layout.row_bytes)
                assert crc is not None  # the rows were just written
                self._note(WrittenRows(row0, rows, crc))

    def _write_piece(self, row0: int, array: AnyArray, col0: int) -> None:
        layout = self.layout
        pixel_bytes = np.dtype(layout.dtype).itemsize
        data, length = _row_by_row(array), array.shape[2] * pixel_bytes
        for line in range(array.shape[1] * layout.count):
            place = row0 * layout.row_bytes + (line * layout.width + col0) * pixel_bytes
            self._rows.seek(place)
            write_all(self._rows, data[line * length : (line + 1) * length])

    def _note(self, write: WrittenRows) -> None:
        # The last rows are not synced: the finished raster is, right after, and a small map has no others.
        durable = self._resumable and write.row1 < self.layout.height
        if durable:
            os.fsync(self._rows.fileno())
        self._journal.append(write.entry(), durable=durable)
        self.written.append(write)

    def close(self) -> None:
        """Close the files. The rows stay for the next run if the job has a key and any row was written."""
        if not self._resumable or not self.written:
            self.remove()
        self._rows.close()
        self._lock.close()

    def remove(self) -> None:
        """Close the files and delete the folder."""
        self._rows.close()
        clear_folder(self.folder, _FILES)
        self._lock.close()  # after the folder: it might be that of the next run

    def _check_next(self, row0: int, array: AnyArray, col0: int) -> None:
        layout = self.layout
        count, rows, width = array.shape
        follows = row0 == self.done_rows and row0 + rows <= layout.height and col0 == self._next_col
        if self._next_col:
            follows = follows and rows == self._piece_rows
        fits = count == layout.count and col0 + width <= layout.width and str(array.dtype) == layout.dtype
        if not follows or not fits:
            raise ValueError(
                f"expected row {self.done_rows}, column {self._next_col}, shape "
                f"({layout.count}, n, {layout.width - self._next_col}), {layout.dtype}; found row {row0}, "
                f"column {col0}, shape {array.shape}, {array.dtype}"
            )

    def _begin(self, job: str) -> None:
        journal_path = self.folder / "journal"
        written = self._verified(journal_path)
        if not self._resumable or not is_of_job(self.folder, job):
            self.discarded_rows = written[-1].row1 if written else 0
            written = []
            self.rows_path.unlink(missing_ok=True)
            journal_path.unlink(missing_ok=True)
            (self.folder / companions.NOTE).unlink(missing_ok=True)
            _check_space(self.target, self.layout)
            mark_job(self.folder, job)
        self.written = written
        self._rows = open_at(self.rows_path, self.done_rows * self.layout.row_bytes)
        entries = [write.entry() for write in written]
        self._journal = Journal(journal_path, entries)

    def _verified(self, journal_path: Path) -> list[WrittenRows]:
        """The journal's writes, as far as they are consecutive and the rows still match their checksums."""
        verified: list[WrittenRows] = []
        if not self.rows_path.is_file():
            return verified
        with self.rows_path.open("rb") as rows:
            for entry in read_entries(journal_path):
                try:
                    write = WrittenRows.parse(entry)
                except ValueError:
                    break
                next_row = verified[-1].row1 if verified else 0
                if write.row0 != next_row or write.row1 > self.layout.height:
                    break
                if _crc_of(rows, write.rows * self.layout.row_bytes) != write.crc:
                    break
                verified.append(write)
        return verified


def _row_by_row(array: AnyArray) -> memoryview:
    """The bytes of (count, rows, width) pixels in the order of the file."""
    return np.ascontiguousarray(array.transpose(1, 0, 2)).reshape(-1).view(np.uint8).data


def _crc_of(file: IO[bytes], length: int) -> int | None:
    """CRC-32 of the next bytes of a file, a piece at a time; None if there are fewer."""
    crc, left = 0, length
    while left:
        data = file.read(min(left, _PIECE_BYTES))
        if not data:
            return None
        crc, left = zlib.crc32(data, crc), left - len(data)
    return crc


def _check_space(target: Path, layout: RasterLayout) -> None:
    needed = layout.row_bytes * layout.height
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise WriteError(
            f"{target}: needs {needed / 1e9:.1f} GB of temporary space, {target.parent} has {free / 1e9:.1f} "
            "GB free; free some space or write elsewhere"
        )
