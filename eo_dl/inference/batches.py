"""Chips cut from strips, normalized and batched for the network.

Which chips share a batch depends on the chip grid and the batch size alone: each row of chips is cut into
groups of nearly equal size (9 chips with batch size 8: 5 and 4, not 8 and 1). The size of a batch changes the
last bits of a network's output, so this is what makes the same command give the same bytes, even when it
continues a killed run or skips parts of the scene. A group without any active chip never reaches the network;
in a mixed group, the inactive chips hold zeros.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array
from ..core.chipgrid import Cell, ChipGrid
from ..core.pipeline import Stopped
from ..core.window import Window
from ..io.aoi import Aoi
from .strips import PixelSource, PixelStrip

# Rows are normalized a few at a time, so that the scratch memory stays in the processor's cache: twice as
# fast as whole planes.
_SCRATCH_PX = 2**15


@dataclass(frozen=True)
class Buffer:
    """Memory of one batch, used again and again."""

    pixels: AnyArray
    """(N, C, H, W) input of the network, laid out channels last."""
    valid: BoolArray
    """(N, H, W) valid masks."""


class BufferPool:
    """The buffers that circulate between reading and decoding."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._free: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        for buffer in buffers:
            self._free.put(buffer)

    def take(self) -> Buffer:
        """A free buffer; waits for one. Raises `Stopped` after `close`."""
        buffer = self._free.get()
        if buffer is None:
            self.close()
            raise Stopped
        return buffer

    def give_back(self, buffer: Buffer) -> None:
        """Return a buffer to the pool."""
        self._free.put(buffer)

    def close(self) -> None:
        """End the waiting of every `take`: no buffers are needed any more."""
        self._free.put(None)


@dataclass(frozen=True)
class CellBatch:
    """A group of neighbouring cells of one row of chips."""

    grid_row: int
    """The row of chips."""
    cells: tuple[Cell, ...]
    """The cells, N of them."""
    active: BoolArray
    """(N,) True if the cell has valid pixels to predict."""
    buffer: Buffer | None
    """The chips, in the first N entries; None if no cell is active."""


def groups(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Ranges (start, stop) that cut `count` chips into groups of nearly equal size, larger ones first.

    No group is larger than `batch_size`.
    """
    number = -(-count // batch_size)
    small, larger = divmod(count, number)
    sizes = [small + 1] * larger + [small] * (number - larger)
    stops = np.cumsum(sizes).tolist()
    return [(stop - size, stop) for stop, size in zip(stops, sizes, strict=True)]


@dataclass(frozen=True)
class Filler:
    """Turns stored pixels into the network's input: `stored * gain + shift` per band.

    Both None: pixels are passed on as stored, and the engine normalizes them.
    """

    gain: Float32Array | None
    """(C,) factors."""
    shift: Float32Array | None
    """(C,) summands."""
    fills: bool = False
    """Make what is NaN, because a band was not measured there, 0: the mean of training."""

    def fill(self, out: AnyArray, source: AnyArray) -> None:
        """Write stored pixels (C, h, w) into `out` (C, h, w), bit for bit as `Normalization.apply` does."""
        if self.gain is None or self.shift is None:
            np.copyto(out, source)
            return
        _, height, width = source.shape
        step = max(1, _SCRATCH_PX // width)
        scratch = np.empty((min(step, height), width), np.float32)
        for row in range(0, height, step):
            rows = slice(row, min(row + step, height))
            part = scratch[: rows.stop - row]
            for band, (gain, shift) in enumerate(zip(self.gain, self.shift, strict=True)):
                np.copyto(part, source[band, rows], casting="unsafe")
                np.multiply(part, gain, out=part)
                np.add(part, shift, out=out[band, rows])
                if self.fills:
                    np.copyto(out[band, rows], 0, where=np.isnan(part))


def cell_groups(grid: ChipGrid, grid_row: int, batch_size: int) -> list[tuple[Cell, ...]]:
    """The cells of a row of chips in the groups that share a batch."""
    cells = grid.row(grid_row)
    return [cells[start:stop] for start, stop in groups(len(cells), batch_size)]


def group_window(grid: ChipGrid, group: Sequence[Cell]) -> Window:
    """What the chips of a group see of the scene."""
    first, last = group[0].read, group[-1].read
    return Window.from_box(
        max(first.col, 0), max(first.row, 0), min(last.col1, grid.width), min(last.row1, grid.height)
    )


def make_batches(
    source: PixelSource,
    grid: ChipGrid,
    filler: Filler,
    pool: BufferPool,
    *,
    batch_size: int,
    rows: range | None = None,
    aoi: Aoi | None = None,
) -> Iterator[CellBatch]:
    """The batches of `rows` of chips (default: of all), their buffers filled."""
    for grid_row in range(grid.shape[0]) if rows is None else rows:
        for group in cell_groups(grid, grid_row, batch_size):
            row_strips = source.part(group_window(grid, group))
            active = np.array([_is_active(cell, row_strips, aoi) for cell in group], np.bool_)
            buffer = _filled(group, active, row_strips, filler, pool) if active.any() else None
            yield CellBatch(grid_row, group, active, buffer)


def _is_active(cell: Cell, strips: list[PixelStrip], aoi: Aoi | None) -> bool:
    """True if the cell's keep window holds a valid pixel (in the AOI)."""
    if aoi is not None and not aoi.touches(cell.keep):
        return False
    wanted = None if aoi is None else aoi.mask(cell.keep)
    for strip in strips:
        common = cell.keep.intersection(strip.window)
        if common is None:
            continue
        valid = strip.valid[common.relative_to(strip.window).slices]
        if wanted is not None:
            valid = valid & wanted[common.relative_to(cell.keep).slices]
        if valid.any():
            return True
    return False


def _filled(
    cells: tuple[Cell, ...], active: BoolArray, strips: list[PixelStrip], filler: Filler, pool: BufferPool
) -> Buffer:
    buffer = pool.take()
    for index, cell in enumerate(cells):
        if active[index]:
            _fill(buffer.pixels[index], buffer.valid[index], cell, strips, filler)
        else:
            buffer.pixels[index] = 0
            buffer.valid[index] = False
    return buffer


def _fill(pixels: AnyArray, valid: BoolArray, cell: Cell, strips: list[PixelStrip], filler: Filler) -> None:
    """Fill one chip: `pixels` (C, size, size) and `valid` (size, size). Padding is 0 and not valid."""
    read = cell.read
    if max(strip.window.col1 for strip in strips) < read.col1 or strips[-1].row1 < read.row1:
        pixels[...] = 0
        valid[...] = False
    for strip in strips:
        common = read.intersection(strip.window)
        if common is None:
            continue
        into_rows, into_cols = common.relative_to(read).slices
        rows, cols = common.relative_to(strip.window).slices
        filler.fill(pixels[:, into_rows, into_cols], strip.pixels[:, rows, cols])
        valid[into_rows, into_cols] = strip.valid[rows, cols]
    if not valid.all():
        np.copyto(pixels, np.zeros((), pixels.dtype), where=~valid)
