"""Rows of a scene, read in strips of whole blocks: each block is decoded once, ahead of need, by several
threads.

Why strips and not one window per chip: neighbouring chips share rows, and GDAL's block cache is too small to
keep the blocks of a wide scene until the next row of chips; windows would decode every block two to four
times.

Strips of a wide scene would take too much memory; `superblocks` keeps them in a file.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray
from ..core.window import Window

T = TypeVar("T")

_WANTED_ROWS = 256
_MAX_ROWS = 2048


class RowReader(Protocol):
    """What reads a strip (`io.scene.SceneReader`); used by one thread only."""

    def read_rows(self, row0: int, row1: int) -> tuple[AnyArray, BoolArray]:
        """Rows `[row0, row1)`: stored pixels (C, rows, W), 0 where invalid, and the valid mask (rows, W)."""
        ...

    def read_window(self, window: Window) -> tuple[AnyArray, BoolArray]:
        """A window inside the scene: stored pixels (C, H, W), 0 where invalid, and the valid mask (H, W)."""
        ...

    def close(self) -> None:
        """Release the file handle."""
        ...


@dataclass(frozen=True)
class PixelStrip:
    """Rows of a scene, of full width or from some columns."""

    row0: int
    """First row."""
    pixels: AnyArray
    """(C, rows, W) stored values, 0 where not valid."""
    valid: BoolArray
    """(rows, W) valid mask."""
    col0: int = 0
    """First column."""

    @property
    def row1(self) -> int:
        """First row below."""
        return self.row0 + len(self.valid)

    @property
    def window(self) -> Window:
        """The window of the scene that the strip holds."""
        height, width = self.valid.shape
        return Window(self.col0, self.row0, int(width), int(height))


class PixelSource(Protocol):
    """Hands out the pixels of groups of chips, from top to bottom and from left to right."""

    def part(self, window: Window) -> list[PixelStrip]:
        """Strips that do not overlap and together hold a window inside the scene."""
        ...


def strip_rows(block_rows: int) -> int:
    """Height of a strip for a file with blocks of `block_rows` rows: whole blocks, about 256 rows."""
    if block_rows > _MAX_ROWS:
        return _WANTED_ROWS
    return block_rows * max(1, _WANTED_ROWS // block_rows)


class StripReader:
    """Hands out the rows of a scene from top to bottom. A context manager, used from one thread.

    Args:
        open_reader: Opens a file handle for one reading thread.
        height: Rows of the scene.
        rows: Height of a strip.
        first_row: The row to begin with.
        threads: Number of reading threads.
        ahead: At most this many strips beyond the requested ones are read or being read.
    """

    def __init__(
        self,
        open_reader: Callable[[], RowReader],
        height: int,
        rows: int,
        *,
        first_row: int = 0,
        threads: int = 2,
        ahead: int = 3,
    ) -> None:
        self._height, self._rows = height, rows
        self._next_row = first_row // rows * rows
        self._held: deque[PixelStrip] = deque()
        self._pending: deque[Future[PixelStrip]] = deque()
        self._ahead = ahead
        self._threads = ReadingThreads(open_reader, threads)

    def __enter__(self) -> StripReader:
        self._submit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.close()

    def part(self, window: Window) -> list[PixelStrip]:
        """See `PixelSource`. The strips have full width."""
        return self.rows(window.row, window.row1)

    def rows(self, row0: int, row1: int) -> list[PixelStrip]:
        """The strips with rows `[row0, row1)`. Call it from top to bottom: it drops earlier strips."""
        while self._held and self._held[0].row1 <= row0:
            self._held.popleft()
        while self._pending and (not self._held or self._held[-1].row1 < row1):
            strip = self._pending.popleft().result()
            self._submit()
            if strip.row1 > row0:
                self._held.append(strip)
        return [strip for strip in self._held if strip.row0 < row1]

    def _submit(self) -> None:
        """Let the threads read on, as far as `ahead` allows."""
        while len(self._pending) < self._ahead and self._next_row < self._height:
            self._pending.append(self._threads.submit(partial(self._read, self._next_row)))
            self._next_row += self._rows

    def _read(self, row0: int, reader: RowReader) -> PixelStrip:
        pixels, valid = reader.read_rows(row0, min(row0 + self._rows, self._height))
        if valid.all():
            valid = np.broadcast_to(np.True_, valid.shape)  # takes no memory in the usual case
        return PixelStrip(row0, pixels, valid)


class ReadingThreads:
    """Threads that read a scene, each with a file handle of its own, opened on first use.

    Args:
        open_reader: Opens a file handle.
        count: Number of threads.
    """

    def __init__(self, open_reader: Callable[[], RowReader], count: int) -> None:
        self._open_reader = open_reader
        self._readers: list[RowReader] = []
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="eo_dl-read")

    def submit(self, read: Callable[[RowReader], T]) -> Future[T]:
        """Call `read` with the handle of a thread, in that thread."""
        return self._pool.submit(lambda: read(self._handle()))

    def close(self) -> None:
        """Wait for what is being read, drop what waits, and close all handles."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for reader in self._readers:
            reader.close()

    def _handle(self) -> RowReader:
        reader: RowReader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._open_reader()
            self._readers.append(reader)
        return reader
