"""Strips and batches carry the pixels they should, whatever the sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.bands import Band, BandSet
from eo_dl.core.chipgrid import Cell, ChipGrid
from eo_dl.core.normalization import Normalization
from eo_dl.core.window import Window
from eo_dl.inference.backends.backend import Scaling, numpy_buffer
from eo_dl.inference.batches import BufferPool, Filler, groups, make_batches
from eo_dl.inference.strips import StripReader, strip_rows
from eo_dl.inference.superblocks import PixelLayout, SuperBlockReader, SuperBlocks

BANDS = BandSet((Band("red", 1, scale=0.5, offset=-3.0), Band("nir", 2, scale=0.1)))


class Rows:
    """A raster in memory; remembers which rows were read."""

    read: list[tuple[int, int]]

    def __init__(self, pixels: npt.NDArray[np.uint16], valid: npt.NDArray[np.bool_]) -> None:
        self.pixels, self.valid, self.read, self.closed = pixels, valid, [], 0

    def read_rows(self, row0: int, row1: int) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        self.read.append((row0, row1))
        return self.pixels[:, row0:row1] * self.valid[row0:row1], self.valid[row0:row1]

    def read_window(self, window: Window) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
        self.read.append((window.row, window.row1))
        rows, cols = window.slices
        return self.pixels[:, rows, cols] * self.valid[rows, cols], self.valid[rows, cols]

    def close(self) -> None:
        self.closed += 1


def raster(height: int, width: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(
        rng.integers(1, 60000, (2, height, width)).astype(np.uint16), rng.random((height, width)) > 0.2
    )


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 24),
    st.integers(0, 6),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 99),
    st.integers(0, 20),
)
def test_every_chip_holds_its_pixels_normalised(
    height: int, width: int, size: int, margin: int, batch: int, rows: int, seed: int, block_cols: int
) -> None:
    """Whether whole rows are held, or super-blocks of them wait in a file."""
    margin = min(margin, (size - 1) // 2)
    grid, source = ChipGrid(height, width, size, margin), raster(height, width, seed)
    normalization = Normalization((10.0, 20.0), (3.0, 7.0))
    scaling = Scaling.of(normalization, BANDS)
    padded = np.zeros((2, height + size, width + size), np.uint16)
    padded[:, :height, :width] = source.pixels
    valid = np.zeros(padded.shape[1:], np.bool_)
    valid[:height, :width] = source.valid
    pool = BufferPool([numpy_buffer(batch, 2, size, "float32")])
    seen: list[Cell] = []
    reader: StripReader | SuperBlockReader = StripReader(lambda: source, height, rows, threads=1)
    if block_cols:
        layout = PixelLayout(height, width, 2, np.dtype("uint16"), rows, block_cols)
        blocks = SuperBlocks(layout, rows, block_cols)
        folder = Path(tempfile.gettempdir())
        reader = SuperBlockReader(lambda: source, blocks, chip_px=size, threads=1, folder=folder)
    with reader:
        for made in make_batches(reader, grid, Filler(scaling.gain, scaling.shift), pool, batch_size=batch):
            seen += made.cells
            for place, cell in enumerate(made.cells):
                assert made.active[place] == valid[cell.keep.slices].any()
                if made.active[place]:
                    where = cell.read.slices
                    expected = normalization.apply(padded[(slice(None), *where)], valid[where], BANDS)
                    assert np.array_equal(made.buffer.pixels[place], expected)
                    assert made.buffer is not None
                    assert np.array_equal(made.buffer.valid[place], valid[where])
            if made.buffer is not None:
                pool.give_back(made.buffer)
    assert seen == list(grid)


@given(st.integers(1, 200), st.integers(1, 20))
def test_groups_are_nearly_equal_and_complete(count: int, most: int) -> None:
    cut = groups(count, most)
    sizes = [stop - start for start, stop in cut]
    assert [place for start, stop in cut for place in range(start, stop)] == list(range(count))
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(cut) == -(-count // most)


def test_nine_chips_at_eight_a_batch_are_five_and_four() -> None:
    assert groups(9, 8) == [(0, 5), (5, 9)]


def test_every_row_is_read_once_and_handles_are_closed() -> None:
    source = raster(100, 10)
    with StripReader(lambda: source, 100, 16, threads=1) as strips:
        for row in range(0, 90, 10):
            held = strips.rows(row, row + 20)
            assert held[0].row0 <= row and held[-1].row1 >= min(row + 20, 100)
            assert np.array_equal(
                np.concatenate([s.valid for s in held]), source.valid[held[0].row0 : held[-1].row1]
            )
            assert sum(len(s.valid) for s in strips._held) <= 20 + 2 * 16
    assert sorted(source.read) == [(row, min(row + 16, 100)) for row in range(0, 100, 16)]
    assert source.closed == 1


def test_reading_can_begin_further_down_on_a_block() -> None:
    source = raster(100, 10)
    with StripReader(lambda: source, 100, 16, first_row=40, threads=2) as strips:
        assert strips.rows(40, 60)[0].row0 == 32
    assert min(source.read) == (32, 48)


def test_strips_are_whole_blocks() -> None:
    assert [strip_rows(block) for block in (1, 2, 3, 256, 512, 1000, 5000)] == [
        256,
        256,
        255,
        256,
        512,
        1000,
        256,
    ]


def test_stored_pixels_pass_through_for_engines_that_normalise() -> None:
    grid, source = ChipGrid(20, 20, 16, 2), raster(20, 20)
    pool = BufferPool([numpy_buffer(2, 2, 16, "uint16")])
    with StripReader(lambda: source, 20, 7, threads=1) as strips:
        first = next(make_batches(strips, grid, Filler(None, None), pool, batch_size=2))
    assert first.buffer.pixels.dtype == np.uint16
    assert np.array_equal(first.buffer.pixels[1], (source.pixels * source.valid)[:, :16, 4:20])


def test_normalised_batches_are_laid_out_channels_last(tmp_path: Path) -> None:
    assert numpy_buffer(2, 4, 16, "float32").pixels.strides[1] == 4
