"""Journals of unfinished work: one entry per line for each part that is on disk, with its own checksum.

Used by rasters written row by row (`spill`), by pieces of other outputs (`inference.spool`) and by folders of
maps (`mapfolder`). A line is `ENTRY CRC32\\n`. The data an entry describes are synced before its
line is written, so the last line of a killed run is either whole or torn. Reading stops at the first line
that is torn or changed; an entry is believed together with all entries before it, or not at all.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .atomic import write_all, write_bytes
from .confined import open_to_write

_JOB_FILE = "job.json"
_MOST_LINE = 2**20


class Journal:
    """Appends entries to a journal file.

    The file is opened for each entry, so that nothing holds it open (Windows does not delete open files).

    Args:
        path: The file, created if missing.
        entries: Entries to keep, the first ones of the file; everything behind them is cut off.
    """

    def __init__(self, path: Path, entries: Sequence[str] = ()) -> None:
        self._path = path
        open_at(path, sum(len(_line(entry)) for entry in entries)).close()

    def append(self, entry: str, *, durable: bool = True) -> None:
        """Add an entry: a text without line breaks. Raises `OSError` if the disk is full.

        Args:
            entry: The text.
            durable: Sync it to disk before returning. Not needed for work that is never resumed, or that is
                finished at once.
        """
        with open_to_write(self._path, keep=True) as file:
            file.seek(0, os.SEEK_END)
            write_all(file, memoryview(_line(entry)))
            if durable:
                os.fsync(file.fileno())


def read_entries(path: Path) -> Iterator[str]:
    """The entries of a journal up to the first torn or changed line; none if there is no such file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(_MOST_LINE):
            entry = line.rpartition(b" ")[0].decode(errors="replace")
            if line != _line(entry):
                return
            yield entry


def is_of_job(folder: Path, job: str) -> bool:
    """True if the unfinished work in `folder` was marked as that of `job`."""
    expected = _job_text(job)
    try:
        with (folder / _JOB_FILE).open("rb") as file:
            return file.read(len(expected) + 1) == expected
    except OSError:
        return False


def mark_job(folder: Path, job: str) -> None:
    """Note in `folder` whose unfinished work it holds."""
    write_bytes(folder / _JOB_FILE, _job_text(job))


def open_at(path: Path, length: int) -> IO[bytes]:
    """A file cut to `length` bytes and opened for appending, created if missing.

    Unbuffered: a full disk fails in the write that met it, not in a later `close`.
    """
    file = open_to_write(path, keep=True)
    file.truncate(length)
    file.seek(length)
    return file


def _line(entry: str) -> bytes:
    text = entry.encode()
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _job_text(job: str) -> bytes:
    return json.dumps({"job": job}).encode()
