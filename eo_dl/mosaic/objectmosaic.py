"""Objects of chips, assembled to the objects of the scene while rows of chips stream in.

An object belongs to its owner, the cell whose keep window holds the centre of its box. For objects no wider
than twice the margin, that keeps each exactly once. Beyond that:

- A *cut* object touches the border of its chip's read window where the scene continues. It is joined with the
  part seen by the neighbouring chip: same class, and each is the other's best match inside the ground that
  both chips saw. If one of them saw it whole, that view is taken, else the union; the score is the higher
  one. A cut object without a counterpart stays as it is, flagged `cut`, and is counted in `cut_at_seam`.
- A network places one object slightly differently in two chips, so its centre may fall into both keep windows
  or into neither. Centres within `SLACK_PX` of a keep window count as owned, and duplicates from *different*
  chips are then suppressed, class by class (`suppress_iou`; None: neither slack nor suppression).

Nothing is handed out before it is final: `finished(row)` returns the objects that no later row of chips can
change, neither themselves nor what they compete with. So memory is bounded by the open seam, and the result
is the same as with all chips at once.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, Int64Array
from ..core.boxes import centre_in, overlapping_pairs
from ..core.chipgrid import Cell, ChipGrid
from ..core.components import connected_groups
from .seams import Views, find_links, outline_ious, resolve_groups
from .suppress import survivors

SLACK_PX = 1.0
TOUCH_PX = 1.0


class ObjectMosaic:
    """Takes the objects of each chip, in scene pixels, and hands out those of the scene.

    Call `add` for the cells of a row of chips in any order, then `finished(grid_row)`; rows from top to
    bottom.

    Args:
        grid: The chip grid.
        suppress_iou: Of two objects of one class from different chips that overlap by more than this, only
            the one with the higher score remains. None: ownership alone decides.

    Attributes:
        joined: Number of objects made of two or more parts.
        cut_at_seam: Number of objects that may continue beyond a chip border.
        undecided: Number of objects among `cut_at_seam` that match a part in the neighbouring chip which
            another object matches better: separate in one chip, merged in the other.
        duplicates: Number of objects suppressed in favour of another chip's view.
    """

    def __init__(self, grid: ChipGrid, *, suppress_iou: float | None = 0.5) -> None:
        self.grid = grid
        self.joined = 0
        self.cut_at_seam = 0
        self.undecided = 0
        self.duplicates = 0
        self._suppress_iou = suppress_iou
        self._waiting: list[Views] = []

    def add(self, cell: Cell, objects: Objects) -> None:
        """Add the objects of one chip, in scene pixels. Parts outside the scene (in padding) are cut off."""
        inside = _clipped(objects, self.grid)
        if not len(inside):
            return
        grid_row = bisect_right(self.grid.row_starts, cell.read.row) - 1
        grid_col = bisect_right(self.grid.col_starts, cell.read.col) - 1
        views = Views(
            objects=replace(inside, cut=None),
            chips=np.tile(np.array([grid_row, grid_col], np.int64), (len(inside), 1)),
            cut_sides=_cut_sides(cell, inside.boxes, self.grid),
            owned=self._owned(cell, inside.boxes),
        )
        # A cut view that another chip owns is only a witness: it may join two parts, but is no object itself.
        kept = views.owned | views.cut_sides.any(axis=1)
        if kept.any():
            self._waiting.append(views.take(kept))

    def finished(self, grid_row: int) -> Objects:
        """The objects that are final once grid row `grid_row` is complete; all others with the last row."""
        if not self._waiting:
            return Objects.none()
        views = Views.concatenate(self._waiting)
        is_last = grid_row + 1 >= len(self.grid.row_starts)
        final_above = np.inf if is_last else self.grid.row_starts[grid_row + 1] - TOUCH_PX
        reaches_open_seam = views.objects.boxes[:, 3] > final_above
        final, rest = self._settled(views, reaches_open_seam)
        self._waiting = [rest] if len(rest) else []
        return final

    def _owned(self, cell: Cell, boxes: Float64Array) -> BoolArray:
        if self._suppress_iou is None:
            return self.grid.owned(cell, boxes)
        col0, row0, col1, row1 = cell.keep.box
        near = centre_in(boxes, (col0 - SLACK_PX, row0 - SLACK_PX, col1 + SLACK_PX, row1 + SLACK_PX))
        return near | self.grid.owned(cell, boxes)

    def _settled(self, views: Views, reaches_open_seam: BoolArray) -> tuple[Objects, Views]:
        """Join and suppress; returns the final objects and the views that must wait."""
        links = find_links(views, self.grid)
        group = connected_groups(len(views), (links.first[links.linked], links.second[links.linked]))
        group_count = int(group.max()) + 1
        resolved = resolve_groups(views, group, links, self.grid)
        rivals = self._rivals(views, group)

        # Groups that may still influence each other form one community, which waits as a whole.
        community = connected_groups(group_count, (group[links.first], group[links.second]), rivals)
        open_communities = np.unique(community[group[reaches_open_seam]])
        waits = np.isin(community, open_communities)

        strength = np.zeros(group_count)
        strength[resolved.group] = resolved.objects.scores
        survives = survivors(strength, *rivals)[resolved.group]
        final = ~waits[resolved.group]
        handed_out = final & survives
        objects = resolved.objects.take(handed_out)
        self.duplicates += int((final & ~survives).sum())
        self.joined += int(resolved.united[handed_out].sum())
        if objects.cut is not None:
            refused = ~links.linked
            refused_views = np.concatenate([links.first[refused], links.second[refused]])
            was_refused = np.isin(resolved.group[handed_out], group[refused_views])
            self.cut_at_seam += int(objects.cut.sum())
            self.undecided += int((objects.cut & was_refused).sum())
        top_to_bottom = np.lexsort((objects.boxes[:, 0], objects.boxes[:, 1]))
        return objects.take(top_to_bottom), views.take(waits[group])

    def _rivals(self, views: Views, group: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Pairs of groups that are duplicates: two owned views from different chips overlap too much.

        Views are compared, not the unions, because a union may still grow while the other object is final.
        Outlines decide where there are any: boxes of slanting neighbours overlap while the objects only
        touch.
        """
        if self._suppress_iou is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        owned = np.flatnonzero(views.owned)
        first, second = overlapping_pairs(
            views.objects.boxes[owned],
            above_iou=self._suppress_iou,
            groups=views.objects.class_ids[owned],
        )
        first, second = owned[first], owned[second]
        polygons = views.objects.polygons
        if len(polygons):
            alike = outline_ious(polygons[first], polygons[second]) > self._suppress_iou
            first, second = first[alike], second[alike]
        different_chips = (views.chips[first] != views.chips[second]).any(axis=1)
        apart = different_chips & (group[first] != group[second])
        return group[first[apart]], group[second[apart]]


def _clipped(objects: Objects, grid: ChipGrid) -> Objects:
    """The objects inside the scene, their boxes and polygons clipped to it."""
    boxes = np.asarray(objects.boxes, np.float64)
    limits = np.array([grid.width, grid.height, grid.width, grid.height], np.float64)
    clipped = np.clip(boxes, 0, limits)
    inside = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    polygons = objects.polygons
    sticks_out = (clipped != boxes).any(axis=1) & inside
    if len(polygons) and sticks_out.any():
        scene = shapely.box(0, 0, grid.width, grid.height)
        polygons = polygons.copy()
        polygons[sticks_out] = shapely.intersection(polygons[sticks_out], scene)
    return replace(objects, boxes=clipped, polygons=polygons).take(inside)


def _cut_sides(cell: Cell, boxes: Float64Array, grid: ChipGrid) -> BoolArray:
    """(N, 4) left, top, right, bottom: the box touches the border of the chip where the scene continues."""
    read = cell.read
    scene_continues = np.array([read.col > 0, read.row > 0, read.col1 < grid.width, read.row1 < grid.height])
    gaps = np.column_stack(
        [boxes[:, 0] - read.col, boxes[:, 1] - read.row, read.col1 - boxes[:, 2], read.row1 - boxes[:, 3]]
    )
    return np.asarray((gaps <= TOUCH_PX) & scene_continues, np.bool_)
