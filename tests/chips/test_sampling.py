"""Where chips are cut."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.chips.chipwindows import (
    balanced_windows,
    grid_windows,
    points_in_polygons,
    random_windows,
    touching,
    windows_around_objects,
    windows_around_single_objects,
)
from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.pixellabels import PixelLabels


def _grid(height: int, width: int) -> PixelGrid:
    return PixelGrid(None, Affine.identity(), height, width)


def _labels(boxes: np.ndarray, class_ids: np.ndarray | None = None) -> PixelLabels:
    ids = np.ones(len(boxes), np.int64) if class_ids is None else class_ids
    shapes = np.asarray(shapely.box(*boxes.T), dtype=object).reshape(-1)
    return PixelLabels(
        ClassSet.of_names(["a", "b", "c"]), shapes, ids, np.zeros(len(boxes), bool), np.arange(len(boxes))
    )


@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 64), st.data())
def test_the_grid_covers_all_but_thin_rests(height: int, width: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    windows = grid_windows(_grid(height, width), size, overlap)
    seen = np.zeros((height, width), int)
    for window in windows:
        assert (window.width, window.height) == (size, size)
        assert window.col >= 0 and window.row >= 0
        assert window.col1 <= max(width, size) and window.row1 <= max(height, size)
        seen[window.row : window.row1, window.col : window.col1] += 1
    missed_rows, missed_cols = (seen == 0).all(axis=1).sum(), (seen == 0).all(axis=0).sum()
    assert missed_rows < size / 4 and missed_cols < size / 4
    assert (seen[: height - missed_rows, : width - missed_cols] > 0).all()
    if overlap == 0 and height % size == width % size == 0:
        assert (seen == 1).all()
    assert len(set(windows)) == len(windows)


@given(st.integers(0, 10_000), st.integers(20, 120), st.integers(20, 120), st.integers(16, 150))
def test_every_object_is_seen_whole_where_it_fits(seed: int, height: int, width: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [width - 8, height - 8], (15, 2))
    boxes = np.hstack([corner, corner + rng.uniform(1, 8, (15, 2))])
    windows = windows_around_objects(_grid(height, width), _labels(boxes), size, rng, None)
    for box in boxes:
        assert any(
            w.col <= box[0] and w.row <= box[1] and w.col1 >= box[2] and w.row1 >= box[3] for w in windows
        )
    assert len(windows) <= 15
    assert len(windows_around_objects(_grid(height, width), _labels(boxes), size, rng, 40)) == 40


def test_random_windows_lie_inside() -> None:
    windows = random_windows(_grid(50, 70), 20, 500, np.random.default_rng(0))
    assert {w.col for w in windows} == set(range(51))
    assert {w.row for w in windows} == set(range(31))


@given(st.integers(0, 10_000), st.integers(1, 12), st.sampled_from([None, 1, 20]))
def test_windows_around_single_objects_show_one_whole_and_nothing_of_another(
    seed: int, number: int, count: int | None
) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 90, (number, 2))
    boxes = np.concatenate([corners, corners + rng.integers(2, 10, (number, 2))], axis=1).astype(float)
    windows, crowded = windows_around_single_objects(_grid(100, 100), _labels(boxes), 24, rng, count)
    shown = set()
    for window in windows:
        seen = [
            i
            for i, box in enumerate(boxes)
            if shapely.box(*window.box).intersection(shapely.box(*box)).area > 0
        ]
        assert len(seen) == 1 and shapely.box(*window.box).covers(shapely.box(*boxes[seen[0]]))
        shown.add(seen[0])
    assert count is None or len(windows) == (count if crowded < number else 0)
    assert count == 1 or len(shown) + crowded == number


def test_single_objects_lie_anywhere_in_their_chips() -> None:
    windows, _ = windows_around_single_objects(
        _grid(128, 128), _labels(np.array([[60.0, 60, 68, 68]])), 64, np.random.default_rng(0), 300
    )
    cols, rows = np.array([(60 - w.col, 60 - w.row) for w in windows]).T
    assert set(cols // 8) == set(rows // 8) == set(range(7))  # objects of 8 px leave 56 px of room


def test_balanced_windows_show_every_class_equally_often() -> None:
    """A class of one small object among a hundred large ones of another."""
    boxes = np.array(
        [
            [10.0, 10, 14, 14],
            *[
                [20 + 12 * (i % 10), 20 + 12 * (i // 10), 30 + 12 * (i % 10), 30 + 12 * (i // 10)]
                for i in range(100)
            ],
        ]
    )
    labels = _labels(boxes, np.array([1] + [2] * 100))
    grid = _grid(160, 160)
    points = points_in_polygons(labels, shapely.box(0, 0, 160, 160))
    windows = balanced_windows(grid, 24, [1, 2, 3], points, count=60, rng=np.random.default_rng(0))
    assert len(windows) == 40  # nothing is of class 3
    with_rare = sum(shapely.box(*w.box).intersects(shapely.box(*boxes[0])) for w in windows)
    assert with_rare >= 20


def test_points_lie_in_their_polygons() -> None:
    ring = shapely.Point(50, 50).buffer(40).difference(shapely.Point(50, 50).buffer(39.9))
    labels = PixelLabels(
        ClassSet.of_names(["a"]),
        np.array([ring], dtype=object),
        np.array([1]),
        np.array([False]),
        np.array([0]),
    )
    points = points_in_polygons(labels, shapely.box(0, 0, 100, 100))(1, 50, np.random.default_rng(0))
    assert shapely.contains_xy(shapely.buffer(ring, 1e-6), points[:, 0], points[:, 1]).all()


@given(st.integers(0, 1000))
def test_touching_keeps_what_shares_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = shapely.union_all(
        [shapely.box(col, row, col + 9, row + 9) for col, row in rng.integers(0, 60, (3, 2))]
    )
    windows = grid_windows(_grid(80, 80), 10, 0)
    naive = tuple(w for w in windows if shapely.box(*w.box).intersection(region).area > 0)
    assert touching(windows, region) == naive
    assert touching(windows, None) == windows
