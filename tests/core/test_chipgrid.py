"""The guarantees of the chip grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.chipgrid import ChipGrid, SquareGrid
from eo_dl.errors import ConfigError

lengths = st.integers(1, 300)


@st.composite
def grids(draw: st.DrawFn) -> ChipGrid:
    margin = draw(st.integers(0, 20))
    size = draw(st.integers(2 * margin + 1, 2 * margin + 90))
    return ChipGrid(draw(lengths), draw(lengths), size, margin)


@given(grids())
def test_keep_windows_partition_the_raster(grid: ChipGrid) -> None:
    hits = np.zeros((grid.height, grid.width), np.int64)
    for cell in grid:
        hits[cell.keep.slices] += 1
    assert (hits == 1).all()


@given(grids())
def test_chips_stay_inside_unless_the_raster_is_smaller(grid: ChipGrid) -> None:
    for cell in grid:
        assert (cell.read.width, cell.read.height) == (grid.size_px, grid.size_px)
        assert cell.read.contains(cell.keep)
        assert cell.read.col >= 0 and (cell.read.col1 <= grid.width or grid.width < grid.size_px)
        assert cell.read.row >= 0 and (cell.read.row1 <= grid.height or grid.height < grid.size_px)


@given(grids())
def test_every_kept_pixel_has_its_margin(grid: ChipGrid) -> None:
    for cell in grid:
        read, keep = cell.read, cell.keep
        assert keep.col - read.col >= grid.margin_px or keep.col == 0
        assert keep.row - read.row >= grid.margin_px or keep.row == 0
        assert read.col1 - keep.col1 >= grid.margin_px or keep.col1 == grid.width
        assert read.row1 - keep.row1 >= grid.margin_px or keep.row1 == grid.height


@given(grids(), st.data())
def test_an_object_within_the_margin_is_owned_once_and_seen_whole(
    grid: ChipGrid, data: st.DataObject
) -> None:
    width = data.draw(st.floats(0, min(2 * grid.margin_px, grid.width)))
    height = data.draw(st.floats(0, min(2 * grid.margin_px, grid.height)))
    col, row = data.draw(st.floats(0, grid.width - width)), data.draw(st.floats(0, grid.height - height))
    box = np.array([[col, row, col + width, row + height]])
    owners = [cell for cell in grid if grid.owned(cell, box)[0]]
    assert len(owners) == 1
    read = owners[0].read
    assert (
        read.col <= col + 1e-9
        and read.row <= row + 1e-9
        and col + width <= read.col1 + 1e-9
        and row + height <= read.row1 + 1e-9
    )


@given(grids(), st.floats(-10, 310), st.floats(-10, 310))
def test_owner_agrees_with_owned(grid: ChipGrid, col: float, row: float) -> None:
    col, row = min(max(col, 0), grid.width), min(max(row, 0), grid.height)
    box = np.array([[col, row, col, row]])
    place = grid.owner(col, row)
    assert grid.owned(grid.cell(*place), box)[0]


def test_a_margin_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="margin below 32"):
        ChipGrid(100, 100, 64, 32)


@st.composite
def square_grids(draw: st.DrawFn) -> SquareGrid:
    margin = draw(st.integers(0, 20))
    return SquareGrid(
        draw(lengths), draw(lengths), draw(st.integers(2 * margin + 1, 2 * margin + 90)), margin
    )


@given(square_grids())
def test_squares_partition_the_raster_and_are_whole_but_at_its_far_edges(grid: SquareGrid) -> None:
    hits = np.zeros((grid.height, grid.width), np.int64)
    for cell in grid:
        hits[cell.keep.slices] += 1
        assert cell.keep.col % grid.stride_px == cell.keep.row % grid.stride_px == 0
        assert cell.keep.width == min(grid.stride_px, grid.width - cell.keep.col)
        assert cell.keep.height == min(grid.stride_px, grid.height - cell.keep.row)
    assert (hits == 1).all()


@given(square_grids())
def test_a_square_lies_in_its_chip_and_the_chip_in_the_raster(grid: SquareGrid) -> None:
    for cell in grid:
        assert cell.read.contains(cell.keep)
        assert cell.read.col >= 0 and (cell.read.col1 <= grid.width or grid.width < grid.size_px)
        assert cell.read.row >= 0 and (cell.read.row1 <= grid.height or grid.height < grid.size_px)
