"""Windows of chips: on a grid, at random, around objects, around points of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array
from ..core.gridwindow import window_outlines
from ..core.pixelgrid import PixelGrid
from ..core.pixellabels import PixelLabels
from ..core.window import Window

AnyWindow = TypeVar("AnyWindow", bound=Window)

PointsOfClass = Callable[[int, int, np.random.Generator], Float64Array]
"""(class id, count, rng) -> up to `count` points (N, 2) (col, row) on ground of that class."""

# A last chip with a smaller share of new ground would be nearly a copy of its neighbour.
_NEW_GROUND = 0.25
_TRIES_ALONE = 40
_TRIES_IN_SHAPE = 40


def grid_windows(grid: PixelGrid, size_px: int, overlap_px: int) -> tuple[Window, ...]:
    """Windows in rows from the first pixel on; neighbours share `overlap_px`.

    The last window of a row is shifted back inside, so nothing is padded unless the scene is smaller than a
    chip. It is left out if less than a quarter of it would be new ground.
    """
    stride = size_px - overlap_px
    rows, cols = _starts(grid.height, size_px, stride), _starts(grid.width, size_px, stride)
    return tuple(Window(col, row, size_px, size_px) for row in rows for col in cols)


def _starts(length: int, size: int, stride: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    regular = tuple(range(0, length - size + 1, stride))
    uncovered = length - (regular[-1] + size)
    if uncovered >= _NEW_GROUND * size:
        return (*regular, length - size)
    return regular


def random_windows(grid: PixelGrid, size_px: int, count: int, rng: np.random.Generator) -> tuple[Window, ...]:
    """`count` windows inside the scene, every position equally likely."""
    cols = rng.integers(0, max(grid.width - size_px, 0) + 1, count)
    rows = rng.integers(0, max(grid.height - size_px, 0) + 1, count)
    return tuple(Window(int(col), int(row), size_px, size_px) for col, row in zip(cols, rows, strict=True))


def window_around(grid: PixelGrid, size_px: int, col: float, row: float) -> Window:
    """The window centred on a point, shifted to lie inside the scene if that is large enough."""
    last_col, last_row = max(grid.width - size_px, 0), max(grid.height - size_px, 0)
    col0, row0 = round(col - size_px / 2), round(row - size_px / 2)
    return Window(min(max(col0, 0), last_col), min(max(row0, 0), last_row), size_px, size_px)


def windows_around_objects(
    grid: PixelGrid, labels: PixelLabels, size_px: int, rng: np.random.Generator, count: int | None
) -> tuple[Window, ...]:
    """Windows around objects in random order, each object at a random position in its window.

    Args:
        grid: The grid of the scene.
        labels: The objects; ignored ones get no window.
        size_px: Side of a window, pixels.
        rng: Where chance comes from.
        count: At most this many windows; where there are fewer objects, objects get a further window. None:
            until each object was seen whole; an object seen whole in an earlier window gets none.
    """
    boxes = labels.bounds[~labels.ignore]
    if not len(boxes):
        return ()
    windows: list[Window] = []
    seen_whole = np.zeros(len(boxes), np.bool_)
    for index in rng.permutation(len(boxes)):
        if seen_whole[index]:
            continue
        window = _jittered(grid, boxes[index], size_px, rng)
        seen_whole |= _shown_whole(boxes, window)
        windows.append(window)
    while count is not None and len(windows) < count:
        windows.append(_jittered(grid, boxes[rng.integers(len(boxes))], size_px, rng))
    return tuple(windows[:count])


def windows_around_single_objects(
    grid: PixelGrid, labels: PixelLabels, size_px: int, rng: np.random.Generator, count: int | None
) -> tuple[tuple[Window, ...], int]:
    """Windows that show one object whole and no part of another, in random order.

    Args:
        grid: The grid of the scene.
        labels: The objects; ignored ones get no window, nor may they show in one.
        size_px: Side of a window, pixels.
        rng: Where chance comes from.
        count: At most this many windows; where there are fewer objects, objects get a further window. None:
            one per object.

    Returns:
        The windows, and the number of objects for which none was found.
    """
    boxes = labels.bounds
    tree = shapely.STRtree(shapely.box(*boxes.T) if len(boxes) else [])
    windows: list[Window] = []
    isolated: list[int] = []
    crowded = 0
    for index in rng.permutation(np.flatnonzero(~labels.ignore)).tolist():
        window = _alone(grid, boxes, tree, index, size_px=size_px, rng=rng)
        if window is None:
            crowded += 1
        else:
            isolated.append(index)
            windows.append(window)
    while count is not None and isolated and len(windows) < count:
        index = isolated[int(rng.integers(len(isolated)))]
        window = _alone(grid, boxes, tree, index, size_px=size_px, rng=rng)
        if window is not None:
            windows.append(window)
    return tuple(windows[:count]), crowded


def _alone(
    grid: PixelGrid,
    boxes: Float64Array,
    tree: shapely.STRtree,
    index: int,
    *,
    size_px: int,
    rng: np.random.Generator,
) -> Window | None:
    """A window that shows an object whole and no part of another; None if chance finds none."""
    for _ in range(_TRIES_ALONE):
        window = _jittered(grid, boxes[index], size_px, rng)
        whole = bool(_shown_whole(boxes[index : index + 1], window)[0])
        if whole and tree.query(shapely.box(*window.box), predicate="intersects").tolist() == [index]:
            return window
    return None


def _shown_whole(boxes: Float64Array, window: Window) -> BoolArray:
    """(N,) True for boxes (N, 4) that lie inside a window."""
    col0, row0, col1, row1 = window.box
    starts_inside = (boxes[:, 0] >= col0) & (boxes[:, 1] >= row0)
    return np.asarray(starts_inside & (boxes[:, 2] <= col1) & (boxes[:, 3] <= row1), np.bool_)


def _jittered(grid: PixelGrid, box: Float64Array, size_px: int, rng: np.random.Generator) -> Window:
    """A window at a random position that shows a box whole if it fits, and otherwise its centre."""
    # One pixel less than the room there is, because windows are rounded to whole pixels.
    room_cols = max(size_px - 1 - (box[2] - box[0]), 0) / 2
    room_rows = max(size_px - 1 - (box[3] - box[1]), 0) / 2
    col = (box[0] + box[2]) / 2 + rng.uniform(-room_cols, room_cols)
    row = (box[1] + box[3]) / 2 + rng.uniform(-room_rows, room_rows)
    return window_around(grid, size_px, col, row)


def balanced_windows(
    grid: PixelGrid,
    size_px: int,
    class_ids: Sequence[int],
    points_of: PointsOfClass,
    *,
    count: int,
    rng: np.random.Generator,
) -> tuple[Window, ...]:
    """`count` windows, the same number per class, each with a random point of its class somewhere in it."""
    windows: list[Window] = []
    edges = [count * number // len(class_ids) for number in range(len(class_ids) + 1)]
    for class_id, start, stop in zip(class_ids, edges, edges[1:], strict=False):
        for col, row in points_of(class_id, stop - start, rng):
            shift_col, shift_row = rng.uniform(-size_px / 2, size_px / 2, 2)
            windows.append(window_around(grid, size_px, col + shift_col, row + shift_row))
    return tuple(windows)


def points_in_polygons(labels: PixelLabels, frame: shapely.Geometry) -> PointsOfClass:
    """Random points in the polygons of a class.

    Larger polygons are chosen more often, by the root of their area, so that small objects are met, too.

    Args:
        labels: The polygons; ignored ones are left out.
        frame: The outline of the scene, in the pixels of `labels`.
    """
    cut = shapely.intersection(shapely.make_valid(labels.geometries), frame)
    shapes = np.asarray(cut, dtype=object).reshape(-1)
    areas = np.asarray(shapely.area(shapes), np.float64)

    def points_of(class_id: int, count: int, rng: np.random.Generator) -> Float64Array:
        """Up to `count` points (N, 2); none if no polygon of the class touches the scene."""
        usable = np.flatnonzero((labels.class_ids == class_id) & ~labels.ignore & (areas > 0))
        if not len(usable):
            return np.empty((0, 2))
        weights = np.sqrt(areas[usable])
        chosen = rng.choice(usable, size=count, p=weights / weights.sum())
        return np.array([_point_in(shapes[index], rng) for index in chosen]).reshape(-1, 2)

    return points_of


def _point_in(shape: shapely.Geometry, rng: np.random.Generator) -> tuple[float, float]:
    col0, row0, col1, row1 = shape.bounds
    points = rng.uniform((col0, row0), (col1, row1), (_TRIES_IN_SHAPE, 2))
    inside = shapely.contains_xy(shape, points[:, 0], points[:, 1])
    if inside.any():
        col, row = points[int(np.argmax(inside))]
        return float(col), float(row)
    fallback = shapely.point_on_surface(shape)  # a thin shape in a large bounding box
    return float(fallback.x), float(fallback.y)


def touching(windows: Sequence[AnyWindow], region: shapely.Geometry | None) -> tuple[AnyWindow, ...]:
    """The windows that share area with a region; all of them if `region` is None."""
    if region is None or not windows:
        return tuple(windows)
    outlines = window_outlines(windows)
    near = np.sort(shapely.STRtree(outlines).query(region, predicate="intersects"))
    shares_area = shapely.area(shapely.intersection(outlines[near], region)) > 0
    return tuple(windows[index] for index in near[shares_area])
