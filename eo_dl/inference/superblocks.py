"""Pixels of a wide scene: its rows of blocks are cut into super-blocks of bounded width, which wait for their
chips in a temporary file.

A row of chips needs two or three rows of the file's blocks. In a wide scene these take more memory than all
the rest, and reading the window of each group of chips alone would decode every block two to four times. So
each super-block is decoded once, written to a file, and read back when the chips that see it are cut; memory
holds those that one group of chips sees. The order of the chips does not change, so the result does not.

The file has no name: the system removes it with the process, however that ends. It is as large as the rows of
blocks in use, and a row of them takes the place of one that no chip needs any more. What was just written is
read from the system's cache of files, which gives way when memory is short.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, UInt8Array
from ..core.window import Window
from ..errors import WriteError
from ..io.atomic import disk_errors, write_all
from .strips import PixelStrip, ReadingThreads, RowReader

_WANTED_ROWS = 256
_WANTED_BYTES = 8 * 2**20


@dataclass(frozen=True)
class PixelLayout:
    """The pixels of a scene and how its file stores them."""

    height: int
    """Rows that are read."""
    width: int
    """Columns."""
    bands: int
    """Number of bands."""
    dtype: np.dtype[np.generic]
    """Data type of the stored pixels."""
    block_rows: int
    """Rows of a block of the file."""
    block_cols: int
    """Columns of a block of the file."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel of all bands."""
        return self.bands * self.dtype.itemsize


@dataclass(frozen=True)
class SuperBlocks:
    """Whole blocks of a file, so many that a super-block holds about 8 MB."""

    layout: PixelLayout
    """The scene."""
    rows: int
    """Rows of a super-block."""
    cols: int
    """Columns of a super-block."""

    @classmethod
    def of(cls, layout: PixelLayout) -> SuperBlocks:
        """The super-blocks of a scene: up to 256 rows, or one block, and then as many columns as fit."""
        wanted_px = max(1, _WANTED_BYTES // layout.pixel_bytes)
        fitting = wanted_px // (layout.block_rows * layout.block_cols)
        rows = layout.block_rows * max(1, min(fitting, _WANTED_ROWS // layout.block_rows))
        cols = layout.block_cols * max(1, wanted_px // (rows * layout.block_cols))
        return cls(layout, min(rows, layout.height), min(cols, layout.width))

    @property
    def across(self) -> int:
        """Number of super-blocks in a row of them."""
        return -(-self.layout.width // self.cols)

    @property
    def down(self) -> int:
        """Number of rows of super-blocks."""
        return -(-self.layout.height // self.rows)

    def window(self, row: int, col: int) -> Window:
        """The window of the super-block in a row and a column of them."""
        return Window.from_box(
            col * self.cols,
            row * self.rows,
            min((col + 1) * self.cols, self.layout.width),
            min((row + 1) * self.rows, self.layout.height),
        )

    def touched_by(self, window: Window) -> list[tuple[int, int]]:
        """Rows and columns of the super-blocks that a window touches, from top to bottom."""
        rows = range(window.row // self.rows, -(-window.row1 // self.rows))
        cols = range(window.col // self.cols, -(-window.col1 // self.cols))
        return [(row, col) for row in rows for col in cols]


class SuperBlockReader:
    """Hands out the pixels of groups of chips. A context manager, used from one thread.

    Args:
        open_reader: Opens a file handle for one reading thread.
        blocks: How the scene is cut.
        chip_px: Side of a chip.
        first_row: The scene row to begin with.
        threads: Number of reading threads.
        folder: Where the temporary file is made.

    Raises:
        WriteError: The folder has too little space.
    """

    def __init__(
        self,
        open_reader: Callable[[], RowReader],
        blocks: SuperBlocks,
        *,
        chip_px: int,
        first_row: int = 0,
        threads: int = 2,
        folder: Path,
    ) -> None:
        self._blocks = blocks
        # What a row of chips touches at most, and one row of super-blocks that is read ahead of need.
        slots = min(-(-(chip_px - 1) // blocks.rows) + 2, blocks.down)
        self._scratch = _Scratch(blocks, slots, folder)
        self._slots = slots
        self._next_row = first_row // blocks.rows
        self._written: dict[tuple[int, int], Future[bool]] = {}
        self._held: dict[tuple[int, int], _HeldRows] = {}
        self._threads = ReadingThreads(open_reader, threads)

    def __enter__(self) -> SuperBlockReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.close()
        self._scratch.close()

    def part(self, window: Window) -> list[PixelStrip]:
        """See `PixelSource`. What it returned before is overwritten."""
        self._go_to(window.row // self._blocks.rows)
        touched = self._blocks.touched_by(window)
        for place in [place for place in self._held if place not in touched]:
            self._scratch.give_back(self._held.pop(place).memory)
        return [self._strip(place, window) for place in touched]

    def _go_to(self, row: int) -> None:
        """Forget rows of super-blocks above `row`, and let the threads read on into their places."""
        for place in [place for place in self._written if place[0] < row]:
            del self._written[place]
        while self._next_row < min(row + self._slots, self._blocks.down):
            for col in range(self._blocks.across):
                place = (self._next_row, col)
                self._written[place] = self._threads.submit(partial(self._write, place))
            self._next_row += 1

    def _write(self, place: tuple[int, int], reader: RowReader) -> bool:
        """Decode a super-block and keep it; True if all its pixels are valid."""
        pixels, valid = reader.read_window(self._blocks.window(*place))
        all_valid = bool(valid.all())
        self._scratch.write(place, pixels, None if all_valid else valid)
        return all_valid

    def _strip(self, place: tuple[int, int], window: Window) -> PixelStrip:
        """The rows of a super-block that lie in a window."""
        block = self._blocks.window(*place)
        row0, row1 = max(window.row, block.row), min(window.row1, block.row1)
        held = self._held.get(place)
        if held is None or (held.strip.row0, held.strip.row1) != (row0, row1):
            if held is not None:
                self._scratch.give_back(held.memory)
            all_valid = self._written[place].result()
            held = self._held[place] = self._scratch.read(place, row0, row1, all_valid)
        return held.strip


@dataclass(frozen=True)
class _HeldRows:
    """Rows of a super-block in memory."""

    strip: PixelStrip
    memory: UInt8Array


class _Scratch:
    """A file with a slot for each of some rows of super-blocks; the next row takes the slot of the oldest.

    In a super-block, a band follows a band, and the valid mask follows the bands. Reading and writing threads
    may use it at once.
    """

    def __init__(self, blocks: SuperBlocks, slots: int, folder: Path) -> None:
        self._blocks, self._slots, self._folder = blocks, slots, folder
        self._block_bytes = blocks.rows * blocks.cols * (blocks.layout.pixel_bytes + 1)
        needed = slots * blocks.across * self._block_bytes
        with disk_errors(folder):
            free = shutil.disk_usage(folder).free
            if needed > free:
                raise WriteError(
                    f"{folder}: reading a scene of this width needs {needed / 1e9:.1f} GB of temporary space "
                    f"there, {free / 1e9:.1f} GB are free; free some space or name another folder with TMPDIR"
                )
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # `close`
        self._lock = threading.Lock()
        self._memory: list[UInt8Array] = []

    def write(self, place: tuple[int, int], pixels: AnyArray, valid: AnyArray | None) -> None:
        """Keep a super-block: (C, H, W) pixels and, unless all are valid, the (H, W) mask."""
        with disk_errors(self._folder), self._lock:
            self._file.seek(self._start(place))
            for array in (pixels, valid):
                if array is not None:
                    write_all(self._file, _bytes_of(array))

    def read(self, place: tuple[int, int], row0: int, row1: int, all_valid: bool) -> _HeldRows:
        """Scene rows `[row0, row1)` of a super-block, in memory that `give_back` takes back."""
        window, layout = self._blocks.window(*place), self._blocks.layout
        memory = self._memory.pop() if self._memory else np.empty(self._block_bytes, np.uint8)
        shape = (row1 - row0, window.width)
        count = layout.bands * shape[0] * shape[1]
        pixel_bytes = count * layout.dtype.itemsize
        pixels = memory[:pixel_bytes].view(layout.dtype).reshape(layout.bands, *shape)
        row_bytes = window.width * layout.dtype.itemsize
        start = self._start(place)
        for band in range(layout.bands):
            first_row = band * window.height + row0 - window.row
            self._read_into(pixels[band], start + first_row * row_bytes)
        valid: BoolArray = np.broadcast_to(np.True_, shape)  # takes no memory in the usual case
        if not all_valid:
            valid = memory[pixel_bytes : pixel_bytes + shape[0] * shape[1]].view(np.bool_).reshape(shape)
            mask_start = start + layout.bands * window.height * row_bytes
            self._read_into(valid, mask_start + (row0 - window.row) * window.width)
        return _HeldRows(PixelStrip(row0, pixels, valid, window.col), memory)

    def give_back(self, memory: UInt8Array) -> None:
        """Take memory of `read` back: fresh memory costs as much as reading into it."""
        self._memory.append(memory)

    def close(self) -> None:
        """Close the file, which removes it."""
        self._file.close()

    def _start(self, place: tuple[int, int]) -> int:
        row, col = place
        return (row % self._slots * self._blocks.across + col) * self._block_bytes

    def _read_into(self, array: AnyArray, start: int) -> None:
        data, done = _bytes_of(array), 0
        with self._lock:
            self._file.seek(start)
            while done < len(data):
                count = self._file.readinto(data[done:])  # type: ignore[attr-defined]  # raw files have it
                if not count:
                    raise WriteError(f"{self._folder}: a temporary file there was cut short; predict again")
                done += count


def _bytes_of(array: AnyArray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
