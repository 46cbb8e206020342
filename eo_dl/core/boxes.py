"""Many boxes at once: centres, areas, overlaps, and the pairs that overlap, without comparing all pairs.

Boxes are (N, 4) float64 (col0, row0, col1, row1), half open.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from .arrays import boxes_to_polygons
from .arraytypes import BoolArray, Float64Array, FloatArray, Int64Array

# Candidate pairs compared at once: bounds the memory, not the result.
_CHUNK = 2_000_000
# A grid of cells needs boxes of similar size; with a few much larger ones the tree is faster.
_GIANT = 8.0

Bounds = tuple[float, float, float, float]
"""(col0, row0, col1, row1), half open, e.g. `Window.box`."""
Pairs = tuple[Int64Array, Int64Array]
"""Indices (P,) of the first and (P,) of the second box of each pair."""


def centres(boxes: FloatArray) -> Float64Array:
    """(N, 2) col and row of the centres."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float64)


def centre_in(boxes: FloatArray, bounds: Bounds) -> BoolArray:
    """(N,) True for boxes whose centre lies within half-open bounds.

    This is the rule of ownership: an object belongs to the window that holds the centre of its box. Windows
    that partition an area own each object exactly once.
    """
    col0, row0, col1, row1 = bounds
    cols, rows = centres(boxes).T
    return np.asarray((cols >= col0) & (cols < col1) & (rows >= row0) & (rows < row1), np.bool_)


def centre_pixels(boxes: FloatArray, height: int, width: int) -> tuple[Int64Array, Int64Array]:
    """(N,) rows and (N,) columns of the pixels under the centres; centres outside take the nearest pixel."""
    cols, rows = np.floor(centres(boxes)).T
    return (
        np.clip(rows, 0, height - 1).astype(np.int64),
        np.clip(cols, 0, width - 1).astype(np.int64),
    )


def areas(boxes: FloatArray) -> Float64Array:
    """(N,) areas; 0 for a box turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float64)


def intersection_areas(a: Float64Array, b: Float64Array) -> Float64Array:
    """(N,) common areas of `a[i]` and `b[i]`."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0), np.float64)


def ious(a: Float64Array, b: Float64Array) -> Float64Array:
    """(N,) intersection over union of `a[i]` and `b[i]`; 0 where both are empty."""
    common = intersection_areas(a, b)
    union = areas(a) + areas(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def overlapping_pairs(
    boxes: Float64Array, *, above_iou: float = 0.0, groups: Int64Array | None = None
) -> Pairs:
    """The pairs of boxes that overlap, each once, in no particular order.

    Args:
        boxes: (N, 4) boxes.
        above_iou: Only pairs with a larger IoU.
        groups: (N,) numbers; only pairs of one group.
    """
    parts: list[Pairs] = []
    for first, second in _candidates(boxes):
        if groups is not None:
            same = groups[first] == groups[second]
            first, second = first[same], second[same]
        overlap = ious(boxes[first], boxes[second]) > above_iou
        parts.append((first[overlap], second[overlap]))
    return _joined(parts)


def crossing_pairs(a: Float64Array, b: Float64Array) -> Pairs:
    """All (i, j) where `a[i]` and `b[j]` touch or overlap, sorted by i, then j."""
    if not len(a) or not len(b):
        return _joined([])
    first, second = shapely.STRtree(boxes_to_polygons(b)).query(boxes_to_polygons(a))
    order = np.lexsort((second, first))
    return first[order].astype(np.int64), second[order].astype(np.int64)


def _candidates(boxes: Float64Array) -> Iterator[Pairs]:
    """Pairs that may overlap, each once; all that do are among them."""
    if len(boxes) < 2:
        return
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    largest = float(sides.max())
    if largest <= 0:
        return
    if largest <= _GIANT * float(np.median(sides)):
        yield from _grid_candidates(boxes, largest)
    else:
        yield from _tree_candidates(boxes)


def _grid_candidates(boxes: Float64Array, cell: float) -> Iterator[Pairs]:
    """Pairs whose first corners lie in neighbouring cells, each as large as the largest box.

    Sorted by cell, the partners of a box are two runs: the rest of its cell and the next one, and three cells
    of the next row.
    """
    cols = np.floor((boxes[:, 0] - boxes[:, 0].min()) / cell).astype(np.int64) + 1
    rows = np.floor((boxes[:, 1] - boxes[:, 1].min()) / cell).astype(np.int64)
    across = int(cols.max()) + 2
    keys = rows * across + cols
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    this_row = np.arange(len(keys)) + 1, np.searchsorted(keys, keys + 1, side="right")
    next_row = (
        np.searchsorted(keys, keys + across - 1, side="left"),
        np.searchsorted(keys, keys + across + 1, side="right"),
    )
    for start, stop in (this_row, next_row):
        for first, second in _expanded(start, stop):
            yield order[first], order[second]


def _expanded(start: Int64Array, stop: Int64Array) -> Iterator[Pairs]:
    """Every (i, j) with `start[i] <= j < stop[i]`, in chunks."""
    counts = np.maximum(stop - start, 0)
    ends = np.cumsum(counts)
    done = 0
    while done < len(counts):
        before = int(ends[done - 1]) if done else 0
        end = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), done + 1)
        chunk = counts[done:end]
        first = np.repeat(np.arange(done, end), chunk)
        offset = np.arange(int(chunk.sum())) - np.repeat(np.cumsum(chunk) - chunk, chunk)
        yield first, np.repeat(start[done:end], chunk) + offset
        done = end


def _tree_candidates(boxes: Float64Array) -> Iterator[Pairs]:
    rectangles = boxes_to_polygons(boxes)
    tree = shapely.STRtree(rectangles)
    for done in range(0, len(boxes), 20_000):
        first, second = tree.query(rectangles[done : done + 20_000])
        once = first + done < second
        yield (first[once] + done).astype(np.int64), second[once].astype(np.int64)


def _joined(parts: list[Pairs]) -> Pairs:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate([first for first, _ in parts]), np.concatenate([second for _, second in parts])
