"""Blended chips against sums over the whole scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.arraytypes import BoolArray, Float32Array
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.mosaic.blendmosaic import BlendMosaic, blended_edges, hann_window


def run(
    grid: ChipGrid, chips: dict[int, Float32Array], valid: BoolArray, first_row: int = 0
) -> tuple[list[int], Float32Array, BoolArray]:
    """All rows of the mosaic from a row of chips on: their first rows, probabilities and valid mask."""
    mosaic = BlendMosaic(grid, 2)
    starts, planes, masks = [], [], []
    for index, cell in enumerate(grid):
        if index // grid.shape[1] < first_row:
            continue
        padded = np.zeros((grid.size_px, grid.size_px), np.bool_)
        inside = valid[cell.read.row : cell.read.row1, cell.read.col : cell.read.col1]
        padded[: inside.shape[0], : inside.shape[1]] = inside
        rows = mosaic.add(cell, chips[index], padded) if index in chips else mosaic.skip(cell)
        if rows is not None:
            starts.append(rows.row0)
            planes.append(rows.probabilities)
            masks.append(rows.valid)
    return starts, np.concatenate(planes, axis=1), np.concatenate(masks)


def naive(grid: ChipGrid, chips: dict[int, Float32Array], valid: BoolArray) -> tuple[Float32Array, BoolArray]:
    """One sum over the whole scene."""
    side = max(grid.height, grid.width) + grid.size_px
    sums, weights = np.zeros((2, side, side)), np.zeros((side, side))
    for index, cell in enumerate(grid):
        if index in chips:
            rows, cols = cell.read.slices
            sums[:, rows, cols] += chips[index] * hann_window(grid.size_px)
            weights[rows, cols] += hann_window(grid.size_px)
    sums, weights = sums[:, : grid.height, : grid.width], weights[: grid.height, : grid.width]
    seen = weights > 0
    return np.divide(sums, weights, out=np.zeros_like(sums), where=seen).astype(np.float32), valid & seen


@st.composite
def scenes(draw: st.DrawFn) -> tuple[ChipGrid, dict[int, Float32Array], BoolArray]:
    size = draw(st.integers(2, 12))
    margin = draw(st.integers(0, (size - 1) // 2))
    grid = ChipGrid(draw(st.integers(1, 40)), draw(st.integers(1, 40)), size, margin)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shown = [index for index in range(len(grid)) if rng.random() < 0.8]
    chips = {index: rng.random((2, size, size), np.float32) for index in shown}
    return grid, chips, rng.random((grid.height, grid.width)) < 0.9


@settings(deadline=None)
@given(scenes())
def test_rows_are_the_weighted_means_of_the_whole_scene(
    scene: tuple[ChipGrid, dict[int, Float32Array], BoolArray],
) -> None:
    grid, chips, valid = scene
    starts, probabilities, mask = run(grid, chips, valid)
    expected, expected_mask = naive(grid, chips, valid)
    assert starts == list(grid.row_starts)
    assert probabilities.shape == expected.shape
    np.testing.assert_array_equal(mask, expected_mask)
    np.testing.assert_allclose(probabilities[:, mask], expected[:, mask], rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(scenes(), st.integers(0, 39))
def test_a_continued_run_has_the_same_rows_below_what_was_stored(
    scene: tuple[ChipGrid, dict[int, Float32Array], BoolArray], stored: int
) -> None:
    grid, chips, valid = scene
    stored = min(stored, grid.height - 1)
    first_row = max(row for row, edge in enumerate(blended_edges(grid)) if edge <= stored)
    whole = run(grid, chips, valid)[1]
    starts, part, _ = run(grid, chips, valid, first_row)
    assert starts[0] <= stored
    np.testing.assert_array_equal(part[:, stored - starts[0] :], whole[:, stored:])


@settings(deadline=None)
@given(scenes(), st.integers(1, 60))
def test_pieces_of_rows_hold_the_bits_of_whole_rows(
    scene: tuple[ChipGrid, dict[int, Float32Array], BoolArray], most_px: int
) -> None:
    grid, chips, valid = scene
    _, expected, expected_mask = run(grid, chips, valid)
    mosaic = BlendMosaic(grid, 2, most_px)
    planes, mask = np.full_like(expected, -1), np.zeros_like(expected_mask)
    for index, cell in enumerate(grid):
        padded = np.zeros((grid.size_px, grid.size_px), np.bool_)
        inside = valid[cell.read.row : cell.read.row1, cell.read.col : cell.read.col1]
        padded[: inside.shape[0], : inside.shape[1]] = inside
        piece = mosaic.add(cell, chips[index], padded) if index in chips else mosaic.skip(cell)
        if piece is not None:
            height, width = piece.valid.shape
            rows, cols = slice(piece.row0, piece.row0 + height), slice(piece.col0, piece.col0 + width)
            planes[:, rows, cols], mask[rows, cols] = piece.probabilities, piece.valid
    np.testing.assert_array_equal(planes, expected)
    np.testing.assert_array_equal(mask, expected_mask)


def test_weights_are_positive_symmetric_and_largest_in_the_middle() -> None:
    window = hann_window(8)
    assert window.min() > 0 and np.allclose(window, window[::-1, ::-1])
    assert window.max() == pytest.approx(window[3, 3])
