"""A raster cut into chips and put together again is the raster."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.window import Window
from eo_dl.mosaic.labelmosaic import LabelMosaic


def _crop(raster: npt.NDArray[np.uint8], window: Window) -> npt.NDArray[np.uint8]:
    """Pixels of a window, 7 where it sticks out."""
    out = np.full((*raster.shape[:-2], window.height, window.width), 7, np.uint8)
    height, width = raster.shape[-2:]
    inside = window.intersection(Window(0, 0, width, height))
    assert inside is not None
    out[(..., *inside.relative_to(window).slices)] = raster[(..., *inside.slices)]
    return out


@st.composite
def _grids(draw: st.DrawFn) -> ChipGrid:
    size = draw(st.integers(1, 40))
    margin = draw(st.integers(0, (size - 1) // 2))
    return ChipGrid(draw(st.integers(1, 97)), draw(st.integers(1, 97)), size, margin)


@given(_grids(), st.randoms(use_true_random=False))
@example(ChipGrid(1, 1, 1, 0), None)
@example(ChipGrid(1, 1, 32, 8), None)
@example(ChipGrid(97, 89, 32, 15), None)
def test_cropping_and_mosaicking_gives_the_raster_exactly(grid: ChipGrid, order: object) -> None:
    rng = np.random.default_rng(grid.height * 1000 + grid.width)
    raster = rng.integers(0, 256, (grid.height, grid.width)).astype(np.uint8)
    planes = rng.integers(0, 256, (3, grid.height, grid.width)).astype(np.uint8)
    mosaic, rows = LabelMosaic(grid, planes=3), []
    for grid_row in range(grid.shape[0]):
        cells = list(grid.row(grid_row))
        if order is not None:
            order.shuffle(cells)
        bands = [mosaic.add(cell, _crop(raster, cell.read), _crop(planes, cell.read)) for cell in cells]
        assert [band is None for band in bands] == [True] * (len(cells) - 1) + [False]
        rows.append(bands[-1])
    assert [band.row0 for band in rows] == list(grid.row_edges[:-1])
    assert np.array_equal(np.concatenate([band.labels for band in rows]), raster)
    assert np.array_equal(np.concatenate([band.planes for band in rows], axis=1), planes)


@given(_grids(), st.integers(1, 99))
def test_pieces_of_rows_come_from_left_to_right_and_give_the_raster(grid: ChipGrid, most_px: int) -> None:
    raster = np.random.default_rng(grid.width).integers(0, 256, (grid.height, grid.width)).astype(np.uint8)
    mosaic, out = LabelMosaic(grid, planes=1, most_px=most_px), np.zeros_like(raster)
    reached = []
    for cell in grid:
        chip = _crop(raster, cell.read)
        strip = mosaic.add(cell, chip, chip[None])
        if strip is not None:
            assert strip.planes is not None and np.array_equal(strip.planes[0], strip.labels)
            assert strip.labels.shape[1] <= most_px or strip.col1 - strip.col0 == cell.keep.width
            out[strip.row0 : strip.row1, strip.col0 : strip.col1] = strip.labels
            reached.append((strip.row0, strip.col0, strip.col1))
    assert np.array_equal(out, raster)
    assert reached == sorted(reached)
    assert sum(col1 - col0 for _, col0, col1 in reached) == grid.width * grid.shape[0]


def test_skipped_chips_stay_nodata() -> None:
    grid = ChipGrid(8, 16, 8, 0)
    mosaic = LabelMosaic(grid, planes=1)
    left, right = grid.row(0)
    assert mosaic.skip(left) is None
    band = mosaic.add(right, np.ones((8, 8), np.uint8), np.full((1, 8, 8), 9, np.uint8))
    assert band is not None and band.planes is not None
    assert (band.labels[:, :8] == 255).all() and (band.labels[:, 8:] == 1).all()
    assert (band.planes[0, :, :8] == 0).all() and (band.planes[0, :, 8:] == 9).all()


def test_a_band_handed_out_is_not_written_again() -> None:
    grid = ChipGrid(16, 8, 8, 0)
    mosaic = LabelMosaic(grid)
    first, second = list(grid)
    band = mosaic.add(first, np.ones((8, 8), np.uint8))
    mosaic.add(second, np.full((8, 8), 2, np.uint8))
    assert band is not None and (band.labels == 1).all()


def test_a_cell_twice_or_a_row_too_early_is_refused() -> None:
    grid = ChipGrid(16, 16, 8, 0)
    mosaic = LabelMosaic(grid)
    chip = np.zeros((8, 8), np.uint8)
    mosaic.add(grid.cell(0, 0), chip)
    for cell in (grid.cell(0, 0), grid.cell(1, 0)):
        with pytest.raises(ValueError, match="twice, or before"):
            mosaic.add(cell, chip)
    with pytest.raises(ValueError, match="uint8"):
        mosaic.add(grid.cell(0, 1), chip.astype(np.int64))
