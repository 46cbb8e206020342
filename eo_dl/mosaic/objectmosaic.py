"""Objects of chips put together to the objects of the scene, streaming by rows of chips.

An object belongs to its owner, the cell whose keep window holds the centre of its box. For objects no
wider than twice the margin this keeps each exactly once. Beyond that:

- A *cut* object touches the border of its chip's read window where the scene goes on. It is joined with the
  part that the neighbouring chip saw: same class, and each is the other's best match inside the ground that
  both chips saw. If one of them saw it whole, that view is taken, else the union; the score is the higher
  one. What finds no counterpart stays as it is, flagged `cut`, and is counted in `cut_at_seam`.
- A network places one object a little differently in two chips, so its centre may fall into both keep windows
  or into neither. Centres within `SLACK_PX` of a keep window count as owned, and doubles from *different*
  chips are then suppressed (class by class, `suppress_iou`; None: neither slack nor suppression, the pure
  rule).

Nothing is said before it is final: `finished(row)` hands out the objects that no later row of chips can
change (neither themselves nor what they compete with), so memory is bounded by the open seam, and the result
is the same as with all chips at once.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, Int64Array
from ..core.boxes import overlapping_pairs
from ..core.chipgrid import Cell, ChipGrid
from .seams import find_links, outline_ious, resolve_groups
from .suppress import survivors

SLACK_PX = 1.0
TOUCH_PX = 1.0


@dataclass(frozen=True)
class Pool:
    """Objects still in play: `place` (N, 2) grid row and column of the chip that saw each, `sides` (N, 4)
    where it may be cut (left, top, right, bottom), `owned` (N,).
    """

    objects: Objects
    place: Int64Array
    sides: BoolArray
    owned: BoolArray

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, index: BoolArray | Int64Array) -> Pool:
        """Some of them."""
        return Pool(self.objects.take(index), self.place[index], self.sides[index], self.owned[index])

    @classmethod
    def concatenate(cls, parts: list[Pool]) -> Pool:
        """All of them, in order."""
        return cls(
            Objects.concatenate([p.objects for p in parts]),
            np.concatenate([p.place for p in parts]),
            np.concatenate([p.sides for p in parts]),
            np.concatenate([p.owned for p in parts]),
        )


class ObjectMosaic:
    """Takes the objects of each chip, in scene pixels, and hands out those of the scene.

    `add` for the cells of a row of chips in any order, then `finished(grid_row)`, rows from top to bottom.
    Counts, also in between: `joined` (objects made of two or more parts), `cut_at_seam` (handed out although
    they may go on beyond a seam), `undecided` (those of them that fit a part of the neighbouring chip which
    another object fits better: one chip told two objects apart, the other took them for one), `doubles`.
    """

    def __init__(self, grid: ChipGrid, *, suppress_iou: float | None = 0.5) -> None:
        self.grid = grid
        self.joined = 0
        self.cut_at_seam = 0
        self.undecided = 0
        self.doubles = 0
        self._suppress_iou = suppress_iou
        self._waiting: list[Pool] = []

    def add(self, cell: Cell, objects: Objects) -> None:
        """The objects of one chip in scene pixels. What lies outside the scene (in padding) is cut off."""
        inside = _clipped(objects, self.grid)
        if not len(inside):
            return
        place = (
            bisect_right(self.grid.row_starts, cell.read.row) - 1,
            bisect_right(self.grid.col_starts, cell.read.col) - 1,
        )
        sides = _cut_sides(cell, inside.boxes, self.grid)
        owned = self._owned(cell, inside.boxes)
        # A cut view of somebody else's object is only a witness: it may join two parts, but is no object.
        kept = owned | sides.any(axis=1)
        pool = Pool(
            replace(inside, cut=None), np.tile(np.array(place, np.int64), (len(inside), 1)), sides, owned
        )
        if kept.any():
            self._waiting.append(pool.take(kept))

    def finished(self, grid_row: int) -> Objects:
        """Objects that are final once row `grid_row` of chips is in, from top to bottom; all the rest with
        the last row.
        """
        if not self._waiting:
            return Objects.none()
        pool = Pool.concatenate(self._waiting)
        last = grid_row + 1 >= len(self.grid.row_starts)
        limit = np.inf if last else self.grid.row_starts[grid_row + 1] - TOUCH_PX
        final, rest = self._settled(pool, pool.objects.boxes[:, 3] > limit)
        self._waiting = [rest] if len(rest) else []
        return final

    def _owned(self, cell: Cell, boxes: Float64Array) -> BoolArray:
        if self._suppress_iou is None:
            return self.grid.owned(cell, boxes)
        keep = cell.keep
        cols, rows = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        near_cols = (cols >= keep.col - SLACK_PX) & (cols < keep.col1 + SLACK_PX)
        near_rows = (rows >= keep.row - SLACK_PX) & (rows < keep.row1 + SLACK_PX)
        return np.asarray(near_cols & near_rows | self.grid.owned(cell, boxes), np.bool_)

    def _settled(self, pool: Pool, is_open: BoolArray) -> tuple[Objects, Pool]:
        """Join, suppress, and split into what is final and what must wait."""
        first, second, linked = find_links(pool.objects, pool.place, pool.sides, self.grid)
        group = _components(len(pool), first[linked], second[linked])
        result = resolve_groups(
            pool.objects,
            pool.place,
            pool.sides,
            pool.owned,
            group,
            (first[linked], second[linked]),
            self.grid,
        )
        rivals = self._rivals(pool, group)
        # Whatever may still influence whatever: one community waits as a whole.
        community = _components(int(group.max()) + 1, group[first], group[second], *rivals)
        waiting = np.isin(community, np.unique(community[group[is_open]]))
        strength = np.zeros(int(group.max()) + 1)
        strength[result.group] = result.objects.scores
        stays = survivors(strength, *rivals)[result.group]
        final = ~waiting[result.group]
        self.joined += int(result.united[final & stays].sum())
        self.doubles += int((final & ~stays).sum())
        objects = result.objects.take(final & stays)
        assert objects.cut is not None
        self.cut_at_seam += int(objects.cut.sum())
        refused = group[np.concatenate([first[~linked], second[~linked]])]
        self.undecided += int((objects.cut & np.isin(result.group[final & stays], refused)).sum())
        order = np.lexsort((objects.boxes[:, 0], objects.boxes[:, 1]))
        return objects.take(order), pool.take(waiting[group])

    def _rivals(self, pool: Pool, group: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Pairs of groups that are doubles: two owned views of theirs, from different chips, overlap too much
        (outlines where there are any).

        Views are compared, not the unions, because a union may still grow while the other object is final.
        """
        if self._suppress_iou is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        owned = np.flatnonzero(pool.owned)
        first, second = overlapping_pairs(
            pool.objects.boxes[owned], above_iou=self._suppress_iou, groups=pool.objects.class_ids[owned]
        )
        first, second = owned[first], owned[second]
        # boxes of slanting neighbours overlap where they themselves only touch
        if len(pool.objects.polygons):
            alike = (
                outline_ious(pool.objects.polygons[first], pool.objects.polygons[second]) > self._suppress_iou
            )
            first, second = first[alike], second[alike]
        apart = (pool.place[first] != pool.place[second]).any(axis=1) & (group[first] != group[second])
        return group[first[apart]], group[second[apart]]


def _components(count: int, *pairs: Int64Array) -> Int64Array:
    first, second = np.concatenate(pairs[0::2]), np.concatenate(pairs[1::2])
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _clipped(objects: Objects, grid: ChipGrid) -> Objects:
    boxes = np.asarray(objects.boxes, np.float64)
    limits = np.array([grid.width, grid.height, grid.width, grid.height], np.float64)
    clipped = np.clip(boxes, 0, limits)
    inside = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    polygons = objects.polygons
    outside = (clipped != boxes).any(axis=1) & inside
    if len(polygons) and outside.any():
        polygons = polygons.copy()
        polygons[outside] = shapely.intersection(
            polygons[outside], shapely.box(0, 0, grid.width, grid.height)
        )
    return replace(objects, boxes=clipped, polygons=polygons).take(inside)


def _cut_sides(cell: Cell, boxes: Float64Array, grid: ChipGrid) -> BoolArray:
    """(N, 4) left, top, right, bottom: touches the border of what the chip saw, where the scene goes on."""
    read = cell.read
    inner = np.array([read.col > 0, read.row > 0, read.col1 < grid.width, read.row1 < grid.height])
    gaps = np.column_stack(
        [boxes[:, 0] - read.col, boxes[:, 1] - read.row, read.col1 - boxes[:, 2], read.row1 - boxes[:, 3]]
    )
    return np.asarray((gaps <= TOUCH_PX) & inner, np.bool_)
