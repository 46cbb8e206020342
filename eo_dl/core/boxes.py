"""Many boxes at once: areas, overlaps, and the pairs that overlap, without looking at all pairs.

Boxes are (N, 4) float64 (col0, row0, col1, row1), half open.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

Boxes = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Candidate pairs looked at in one go: bounds the memory, not the result.
_CHUNK = 2_000_000
# A cell grid needs sides of one order; with a few giant boxes the tree is faster.
_GIANT = 8.0


def areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N,) areas; 0 for a box turned inside out."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersection_areas(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """(N,) common areas of `a[i]` and `b[i]`."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.asarray(np.maximum(width, 0) * np.maximum(height, 0), np.float64)


def ious(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """(N,) intersection over union of `a[i]` and `b[i]`; 0 where both are empty."""
    common = intersection_areas(a, b)
    union = areas(a) + areas(b) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def overlapping_pairs(
    boxes: Boxes, *, above_iou: float = 0.0, groups: npt.NDArray[np.int64] | None = None
) -> tuple[Index, Index]:
    """All pairs (i, j) whose IoU is above `above_iou`, each once, in no order; with `groups` only pairs of
    one group.
    """
    found: list[tuple[Index, Index]] = []
    for first, second in _candidates(boxes):
        if groups is not None:
            same = groups[first] == groups[second]
            first, second = first[same], second[same]
        good = ious(boxes[first], boxes[second]) > above_iou
        found.append((first[good], second[good]))
    return _joined(found)


def crossing_pairs(a: Boxes, b: Boxes) -> tuple[Index, Index]:
    """All (i, j) where `a[i]` and `b[j]` touch or overlap, sorted by i, then j."""
    if not len(a) or not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    first, second = _tree(b).query(_rectangles(a))
    order = np.lexsort((second, first))
    return first[order].astype(np.int64), second[order].astype(np.int64)


def _candidates(boxes: Boxes) -> Iterator[tuple[Index, Index]]:
    if len(boxes) < 2:
        return
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    largest = float(sides.max())
    if largest <= 0:
        return
    yield from (
        _grid_candidates(boxes, largest)
        if largest <= _GIANT * float(np.median(sides))
        else _tree_candidates(boxes)
    )


def _grid_candidates(boxes: Boxes, cell: float) -> Iterator[tuple[Index, Index]]:
    """Pairs of which the first corners lie in neighbouring cells as large as the largest box.

    Sorted by cell, the partners of a box are two runs: the rest of its own and the next cell, and three cells
    of the next row.
    """
    cols = np.floor((boxes[:, 0] - boxes[:, 0].min()) / cell).astype(np.int64) + 1
    rows = np.floor((boxes[:, 1] - boxes[:, 1].min()) / cell).astype(np.int64)
    across = int(cols.max()) + 2
    keys = rows * across + cols
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    position = np.arange(len(keys))
    runs = (
        (position + 1, np.searchsorted(keys, keys + 1, side="right")),
        (
            np.searchsorted(keys, keys + across - 1, side="left"),
            np.searchsorted(keys, keys + across + 1, side="right"),
        ),
    )
    for start, stop in runs:
        for first, second in _expanded(start, stop):
            yield order[first], order[second]


def _expanded(start: Index, stop: Index) -> Iterator[tuple[Index, Index]]:
    """Every (i, j) with `start[i] <= j < stop[i]`, in chunks."""
    counts = np.maximum(stop - start, 0)
    ends = np.cumsum(counts)
    done = 0
    while done < len(counts):
        before = int(ends[done - 1]) if done else 0
        upto = max(int(np.searchsorted(ends, before + _CHUNK, side="right")), done + 1)
        part = counts[done:upto]
        first = np.repeat(np.arange(done, upto), part)
        within = np.arange(int(part.sum())) - np.repeat(np.cumsum(part) - part, part)
        yield first, np.repeat(start[done:upto], part) + within
        done = upto


def _tree_candidates(boxes: Boxes) -> Iterator[tuple[Index, Index]]:
    rectangles = _rectangles(boxes)
    tree = shapely.STRtree(rectangles)
    for done in range(0, len(boxes), 20_000):
        first, second = tree.query(rectangles[done : done + 20_000])
        once = first + done < second
        yield (first[once] + done).astype(np.int64), second[once].astype(np.int64)


def _rectangles(boxes: Boxes) -> npt.NDArray[np.object_]:
    return np.asarray(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]), dtype=object).reshape(
        -1
    )


def _tree(boxes: Boxes) -> shapely.STRtree:
    return shapely.STRtree(_rectangles(boxes))


def _joined(found: list[tuple[Index, Index]]) -> tuple[Index, Index]:
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])
