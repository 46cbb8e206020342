"""Where chips are cut: on a grid, at random, around objects, or so that every class is met equally often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import shapely

from ..core.labelset import PixelLabels
from ..core.pixelgrid import PixelGrid
from ..core.window import Window

Sampling = Literal["grid", "random", "objects", "single", "balanced"]
Points = npt.NDArray[np.float64]
AnyWindow = TypeVar("AnyWindow", bound=Window)

# A last chip that would show less than this share of new ground is not worth being nearly a copy of its
# neighbour.
_NEW_GROUND = 0.25
_TRIES_ALONE = 40


def grid_windows(grid: PixelGrid, size_px: int, overlap_px: int) -> tuple[Window, ...]:
    """Windows in rows from the first pixel on, neighbours sharing `overlap_px`.

    The last of a row is shifted back inside, so nothing is padded unless the scene is smaller than a chip; it
    is left out where it would show less than a quarter of a chip of new ground.
    """
    rows, cols = (_starts(length, size_px, size_px - overlap_px) for length in (grid.height, grid.width))
    return tuple(Window(col, row, size_px, size_px) for row in rows for col in cols)


def _starts(length: int, size: int, stride: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    regular = tuple(range(0, length - size + 1, stride))
    left = length - (regular[-1] + size)
    return (*regular, length - size) if left >= _NEW_GROUND * size else regular


def random_windows(grid: PixelGrid, size_px: int, count: int, rng: np.random.Generator) -> tuple[Window, ...]:
    """`count` windows anywhere inside the scene, each place equally likely."""
    cols = rng.integers(0, max(grid.width - size_px, 0) + 1, count)
    rows = rng.integers(0, max(grid.height - size_px, 0) + 1, count)
    return tuple(Window(int(col), int(row), size_px, size_px) for col, row in zip(cols, rows, strict=True))


def window_around(grid: PixelGrid, size_px: int, col: float, row: float) -> Window:
    """The window centred on a point, shifted to lie inside the scene where that is large enough."""
    col0, row0 = round(col - size_px / 2), round(row - size_px / 2)
    return Window(
        min(max(col0, 0), max(grid.width - size_px, 0)),
        min(max(row0, 0), max(grid.height - size_px, 0)),
        size_px,
        size_px,
    )


def windows_around_objects(
    grid: PixelGrid, labels: PixelLabels, size_px: int, rng: np.random.Generator, count: int | None
) -> tuple[Window, ...]:
    """Windows around objects, in random order, each object at a random place in its window; an object seen
    whole in an earlier one gets none.

    With `count`, at most so many; going round again where there are fewer objects than asked for.
    """
    boxes = labels.bounds[~labels.ignore]
    if not len(boxes):
        return ()
    found: list[Window] = []
    whole = np.zeros(len(boxes), np.bool_)
    for index in rng.permutation(len(boxes)):
        if whole[index]:
            continue
        window = _jittered(grid, boxes[index], size_px, rng)
        col0, row0, col1, row1 = window.box
        whole |= (boxes[:, 0] >= col0) & (boxes[:, 1] >= row0) & (boxes[:, 2] <= col1) & (boxes[:, 3] <= row1)
        found.append(window)
    while count is not None and len(found) < count:
        found.append(_jittered(grid, boxes[rng.integers(len(boxes))], size_px, rng))
    return tuple(found if count is None else found[:count])


def windows_around_single_objects(
    grid: PixelGrid, labels: PixelLabels, size_px: int, rng: np.random.Generator, count: int | None
) -> tuple[tuple[Window, ...], int]:
    """Windows that show one object whole and nothing of any other, the object at a random place in it; and
    how many objects have no such window.

    One each, in random order; with `count`, at most so many, going round again where there are fewer objects
    than asked for.
    """
    boxes = labels.bounds
    tree = shapely.STRtree(shapely.box(*boxes.T) if len(boxes) else [])
    found: list[Window] = []
    usable, crowded = list[int](), 0
    for index in rng.permutation(np.flatnonzero(~labels.ignore)).tolist():
        window = _alone(grid, boxes, tree, index, size_px, rng)
        crowded += window is None
        if window is not None:
            usable.append(index)
            found.append(window)
    while count is not None and usable and len(found) < count:
        again = _alone(grid, boxes, tree, usable[int(rng.integers(len(usable)))], size_px, rng)
        found += [] if again is None else [again]
    return tuple(found if count is None else found[:count]), crowded


def _alone(
    grid: PixelGrid,
    boxes: npt.NDArray[np.float64],
    tree: shapely.STRtree,
    index: int,
    size_px: int,
    rng: np.random.Generator,
) -> Window | None:
    """A window that shows an object whole and no part of another; None where chance finds none."""
    box = boxes[index]
    for _ in range(_TRIES_ALONE):
        window = _jittered(grid, box, size_px, rng)
        col0, row0, col1, row1 = window.box
        whole = col0 <= box[0] and row0 <= box[1] and box[2] <= col1 and box[3] <= row1
        if whole and tree.query(shapely.box(*window.box), predicate="intersects").tolist() == [index]:
            return window
    return None


def _jittered(
    grid: PixelGrid, box: npt.NDArray[np.float64], size_px: int, rng: np.random.Generator
) -> Window:
    """A window that shows the box whole where it fits, otherwise its centre, at a random place."""
    # One pixel less than there is, because windows are rounded to whole pixels.
    shift = [
        rng.uniform(-room, room)
        for room in (max(size_px - 1 - (box[2] - box[0]), 0) / 2, max(size_px - 1 - (box[3] - box[1]), 0) / 2)
    ]
    return window_around(grid, size_px, (box[0] + box[2]) / 2 + shift[0], (box[1] + box[3]) / 2 + shift[1])


PointsOfClass = Callable[[int, int, np.random.Generator], Points]
"""(class id, how many, rng) -> up to that many (n, 2) points (col, row) on ground of that class."""


def balanced_windows(
    grid: PixelGrid,
    size_px: int,
    class_ids: Sequence[int],
    points_of: PointsOfClass,
    count: int,
    rng: np.random.Generator,
) -> tuple[Window, ...]:
    """`count` windows, the same number for every class, each with a random point of its class somewhere in
    it.
    """
    found: list[Window] = []
    for place, class_id in enumerate(class_ids):
        share = (count * (place + 1)) // len(class_ids) - (count * place) // len(class_ids)
        for col, row in points_of(class_id, share, rng):
            shift = rng.uniform(-size_px / 2, size_px / 2, 2)
            found.append(window_around(grid, size_px, col + shift[0], row + shift[1]))
    return tuple(found)


def points_in_polygons(labels: PixelLabels, frame: shapely.Geometry) -> PointsOfClass:
    """Random points in the polygons of a class, larger ones more often (by the root of their area, so that
    many small objects are met too).
    """
    shapes = np.asarray(
        shapely.intersection(shapely.make_valid(labels.geometries), frame), dtype=object
    ).reshape(-1)
    areas = np.asarray(shapely.area(shapes), np.float64)

    def points_of(class_id: int, count: int, rng: np.random.Generator) -> Points:
        usable = np.flatnonzero((labels.class_ids == class_id) & ~labels.ignore & (areas > 0))
        if not len(usable):
            return np.empty((0, 2))
        weights = np.sqrt(areas[usable])
        chosen = rng.choice(usable, size=count, p=weights / weights.sum())
        return np.array([_point_in(shapes[index], rng) for index in chosen]).reshape(-1, 2)

    return points_of


def _point_in(shape: shapely.Geometry, rng: np.random.Generator, tries: int = 40) -> tuple[float, float]:
    col0, row0, col1, row1 = shape.bounds
    points = rng.uniform((col0, row0), (col1, row1), (tries, 2))
    inside = shapely.contains_xy(shape, points[:, 0], points[:, 1])
    if inside.any():
        col, row = points[int(np.argmax(inside))]
        return float(col), float(row)
    sure = shapely.point_on_surface(shape)  # a thin shape in a large box
    return float(sure.x), float(sure.y)


def touching(windows: Sequence[AnyWindow], region: shapely.Geometry | None) -> tuple[AnyWindow, ...]:
    """The windows that share area with a region; all of them if `region` is None."""
    if region is None or not windows:
        return tuple(windows)
    boxes = shapely.box(*np.array([window.box for window in windows], np.float64).T)
    index = np.sort(shapely.STRtree(boxes).query(region, predicate="intersects"))
    common = shapely.area(shapely.intersection(boxes[index], region)) > 0
    return tuple(windows[place] for place in index[common])
