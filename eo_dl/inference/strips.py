"""Rows of a scene, read in strips of whole blocks: each block is decoded once, ahead of need, by threads with
a handle each.

Why strips and not a window a chip: neighbouring chips share rows, and GDAL's block cache is too small to keep
the blocks of a wide scene until the next row of chips; windows would decode every block two to four times.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray

_ROWS_WANTED = 256
_ROWS_AT_MOST = 2048


class RowReader(Protocol):
    """What a strip is read with (`io.scene.SceneReader`); used by one thread only."""

    def read_rows(self, row0: int, row1: int) -> tuple[AnyArray, BoolArray]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class PixelStrip:
    """Whole rows from `row0` on: stored `pixels` (C, rows, W), 0 where not `valid` (rows, W)."""

    row0: int
    pixels: AnyArray
    valid: BoolArray

    @property
    def row1(self) -> int:
        """First row below."""
        return self.row0 + len(self.valid)


def strip_rows(block_rows: int) -> int:
    """Height of a strip for files whose blocks are `block_rows` high: whole blocks, about 256 rows or one
    block.
    """
    if block_rows > _ROWS_AT_MOST:
        return _ROWS_WANTED
    return block_rows * max(1, _ROWS_WANTED // block_rows)


class StripReader:
    """Hands out the rows of a scene from top to bottom. A context manager, used from one thread.

    `rows`: height of a strip. At most `ahead` strips beyond those asked for are read or being read, by
    `threads` threads.
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
        self._open_reader, self._height, self._rows = open_reader, height, rows
        self._next = first_row // rows * rows
        self._held: deque[PixelStrip] = deque()
        self._coming: deque[Future[PixelStrip]] = deque()
        self._ahead = ahead
        self._readers: list[RowReader] = []
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="eo_dl-read")

    def __enter__(self) -> StripReader:
        self._order()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for reader in self._readers:
            reader.close()

    def rows(self, row0: int, row1: int) -> list[PixelStrip]:
        """The strips that hold rows `[row0, row1)`; what lies above `row0` is forgotten, so ask from top to
        bottom.
        """
        while self._held and self._held[0].row1 <= row0:
            self._held.popleft()
        while self._coming and (not self._held or self._held[-1].row1 < row1):
            strip = self._coming.popleft().result()
            self._order()
            if strip.row1 > row0:
                self._held.append(strip)
        return [strip for strip in self._held if strip.row0 < row1]

    def _order(self) -> None:
        while len(self._coming) < self._ahead and self._next < self._height:
            self._coming.append(self._pool.submit(self._read, self._next))
            self._next += self._rows

    def _read(self, row0: int) -> PixelStrip:
        reader: RowReader | None = getattr(self._own, "reader", None)
        if reader is None:
            reader = self._own.reader = self._open_reader()
            self._readers.append(reader)
        pixels, valid = reader.read_rows(row0, min(row0 + self._rows, self._height))
        if valid.all():
            valid = np.broadcast_to(np.True_, valid.shape)  # no memory for the usual case
        return PixelStrip(row0, pixels, valid)
