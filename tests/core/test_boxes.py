"""Boxes: which window owns one, and the pixel under its centre."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.boxes import centre_in, centre_pixels, centres

SIDE = 32
CORNERS = st.tuples(st.integers(0, 2 * SIDE - 1), st.integers(0, 2 * SIDE - 1), *[st.integers(0, 8)] * 2)
# Half pixels, so that many centres lie exactly on a border.
BOXES = st.lists(CORNERS, min_size=1, max_size=20).map(
    lambda corners: np.array([(c / 2, r / 2, (c + w) / 2, (r + h) / 2) for c, r, w, h in corners])
)


@given(BOXES, st.integers(1, SIDE - 1), st.integers(1, SIDE - 1))
def test_windows_that_partition_the_ground_own_each_box_once(boxes: np.ndarray, col: int, row: int) -> None:
    whole = 2.0 * SIDE
    windows = [(0, 0, col, row), (col, 0, whole, row), (0, row, col, whole), (col, row, whole, whole)]
    assert (np.sum([centre_in(boxes, window) for window in windows], axis=0) == 1).all()


@given(BOXES)
def test_the_pixel_under_a_centre_holds_it(boxes: np.ndarray) -> None:
    rows, cols = centre_pixels(boxes, 3 * SIDE, 3 * SIDE)
    inside = np.column_stack([cols, rows, cols + 1, rows + 1])
    middle = centres(boxes)
    assert ((inside[:, :2] <= middle) & (middle < inside[:, 2:])).all()


def test_centres_beyond_the_edge_take_the_nearest_pixel() -> None:
    rows, cols = centre_pixels(np.array([[-9.0, 2, -5, 4], [7, 30, 9, 32]]), 10, 8)
    assert rows.tolist() == [3, 9] and cols.tolist() == [0, 7]
