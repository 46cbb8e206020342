"""Polygons around connected pixels of one value, traced with whole arrays: no Python step per polygon.

Whether an outline turns at a pixel corner shows in the four pixels around it. The turns of one region on a
horizontal line, from left to right, are the ends of its horizontal edges: the first and the second, the third
and the fourth. Those on a vertical line are the ends of its vertical edges. Following both in turn gives the
rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import shapely

from .arraytypes import BoolArray, Float64Array, GeometryArray, Int32Array, Int64Array, IntArray, UInt8Array
from .classes import IGNORE_ID
from .components import connected_groups

ValuePolygons = tuple[GeometryArray, Int64Array]
"""(N,) polygons in pixel coordinates, and their (N,) values."""


_STRIP_PIXELS = 2**20  # traced at once; bounds the memory, not the result


def polygonize(array: IntArray | BoolArray, valid: BoolArray | None = None) -> ValuePolygons:
    """Polygons around 4-connected pixels of one value.

    4-connected, because 8-connected outlines of two diagonal pixels are not valid polygons.

    Args:
        array: (H, W) integer values.
        valid: (H, W) False for pixels that belong to no polygon.

    Returns:
        (N,) polygons in pixel coordinates, in the order of their first pixels (rows from the top), and
        their (N,) values. Outlines begin at the upper left and run downwards from there.
    """
    height, width = array.shape
    outside = np.iinfo(np.int64).min
    # With a row below, no region stays open.
    rows = np.full((height + 1, width), outside)
    rows[:height] = array
    if valid is not None:
        rows[:height][~valid] = outside
    return _RowTracer(width, np.int64).add(0, rows)


class RowPolygonizer:
    """Takes rows of class ids from top to bottom and gives finished polygons, in pixel coordinates.

    A polygon is finished once it does not reach the last row added. Memory is bounded by the outlines of the
    polygons that do. The polygons are those of `polygonize` on the whole raster, in another order.

    Args:
        width: Columns of the raster.
        skip: Ids that become no polygons.
    """

    def __init__(self, width: int, skip: Sequence[int] = (IGNORE_ID,)) -> None:
        self._wanted = np.ones(256, np.bool_)
        self._wanted[list(skip)] = False
        self._width = width
        self._next_row: int | None = None
        self._tracer = _RowTracer(width, np.int16)

    @property
    def waiting(self) -> int:
        """Number of unfinished polygons."""
        return len(self._tracer.open_values)

    def add(self, row0: int, rows: UInt8Array) -> ValuePolygons:
        """The polygons that are finished by the (R, W) class ids `rows`, which start at row `row0`."""
        if rows.ndim != 2 or rows.shape[1] != self._width or self._next_row not in (None, row0):
            raise ValueError(
                f"expected rows of {self._width} px from row {self._next_row} on, found {rows.shape} from "
                f"row {row0}"
            )
        self._next_row = row0 + len(rows)
        step = max(1, _STRIP_PIXELS // self._width)
        parts = [
            self._add_strip(row0 + start, rows[start : start + step]) for start in range(0, len(rows), step)
        ]
        return _joined(parts)

    def _add_strip(self, row0: int, rows: UInt8Array) -> ValuePolygons:
        ids = rows.astype(np.int16)
        ids[~self._wanted[rows]] = np.iinfo(np.int16).min
        return self._tracer.add(row0, ids)

    def close(self) -> ValuePolygons:
        """The polygons that reach the last row."""
        return self._tracer.close(self._next_row or 0)


def _joined(parts: Sequence[ValuePolygons]) -> ValuePolygons:
    if not parts:
        return np.empty(0, dtype=object), np.empty(0, np.int64)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@dataclass(frozen=True)
class _Turns:
    """Pixel corners at which the outline of a region turns."""

    region: Int64Array
    """(N,) the region."""
    row: Int64Array
    """(N,) the row of the corner."""
    col: Int64Array
    """(N,) the column of the corner."""
    right: BoolArray
    """(N,) of two turns of a region at one corner, True for the one whose edge goes to the right."""
    below: BoolArray
    """(N,) of two turns of a region at one corner, True for the one whose edge goes down."""
    into_column: BoolArray
    """(N,) True where the outline, its region on the left, arrives along a row and leaves along a column."""

    def take(self, index: BoolArray | Int64Array) -> _Turns:
        """The turns of a boolean or integer index."""
        return _Turns(*(getattr(self, item.name)[index] for item in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[_Turns]) -> _Turns:
        """All turns of all parts."""
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))


class _RowTracer:
    """Outlines of regions, from strips of rows; the regions of the last row stay open.

    Values are signed integers; the lowest of their type stands for pixels that belong to no polygon.
    """

    def __init__(self, width: int, dtype: npt.DTypeLike) -> None:
        self._last_row: IntArray = np.full(width, np.iinfo(dtype).min, dtype)
        self._last_regions: Int32Array = np.zeros(width, np.int32)
        self._turns: list[_Turns] = []
        self.open_values: Int64Array = np.empty(0, np.int64)
        """(K,) the value of each open region."""

    def add(self, row0: int, rows: IntArray) -> ValuePolygons:
        """The polygons that are finished by rows (R, W), which start at row `row0`."""
        if not rows.size:
            return np.empty(0, dtype=object), np.empty(0, np.int64)
        outside = np.iinfo(rows.dtype).min
        pixels = np.concatenate([self._last_row[None], rows])
        pixels = np.pad(pixels, ((0, 0), (1, 1)), constant_values=outside)
        side_differs = pixels[:, 1:] != pixels[:, :-1]
        below_differs = pixels[1:] != pixels[:-1]

        # Nodes are the open regions, then the runs: stretches of equal pixels in one of the new rows.
        run_starts = side_differs[1:, :-1].copy()
        run_starts[:, 0] = True
        open_count = len(self.open_values)
        runs = np.cumsum(run_starts, dtype=np.int32).reshape(rows.shape) + (open_count - 1)
        nodes = np.concatenate([self._last_regions[None], runs]).reshape(-1)
        continues = ~below_differs[:, 1:-1]
        continues[0] &= self._last_row != outside
        continues[1:] &= run_starts[1:] | run_starts[:-1]  # two runs touch in many columns; once is enough
        upper = np.flatnonzero(continues)
        count = open_count + int(np.count_nonzero(run_starts))
        region_of_node = connected_groups(count, (nodes[upper], nodes[upper + rows.shape[1]]))
        values = np.empty(int(region_of_node.max()) + 1, np.int64)
        values[region_of_node[:open_count]] = self.open_values
        values[region_of_node[open_count:]] = rows[run_starts]

        turns = _turns(side_differs, below_differs, pixels[:, 1:-1] != outside)
        turns = replace(turns, region=region_of_node[nodes[turns.region]], row=turns.row + row0)
        known = [replace(part, region=region_of_node[part.region]) for part in self._turns]
        turns = _Turns.concatenate([*known, turns])
        is_open = np.zeros(len(values), np.bool_)
        last_regions = region_of_node[runs[-1]]
        is_open[last_regions[rows[-1] != outside]] = True
        self._keep_open(turns, is_open, rows[-1], last_regions)
        self.open_values = values[is_open]
        return _outlines(turns.take(~is_open[turns.region]), values)

    def close(self, row1: int) -> ValuePolygons:
        """The polygons that reach the last row, which ends at `row1`."""
        return self.add(row1, np.full_like(self._last_row, np.iinfo(self._last_row.dtype).min)[None])

    def _keep_open(
        self, turns: _Turns, is_open: BoolArray, last_row: IntArray, last_regions: Int64Array
    ) -> None:
        """Keep the turns of open regions, which are counted from 0 from now on."""
        number = np.cumsum(is_open) - 1
        kept = turns.take(is_open[turns.region])
        self._turns = [replace(kept, region=number[kept.region])]
        self._last_row = last_row.copy()
        # Pixels of no region get any number; nothing is joined to them.
        self._last_regions = np.maximum(number[last_regions], 0).astype(np.int32)


def _turns(side_differs: BoolArray, below_differs: BoolArray, wanted: BoolArray) -> _Turns:
    """The turns at all corners between R + 1 rows of W pixels, by the rows of these corners.

    Args:
        side_differs: (R + 1, W + 1) True between different pixels of a row.
        below_differs: (R, W + 2) True between different pixels of a column, with a column at either side.
        wanted: (R + 1, W) the pixels that become polygons.

    Returns:
        The turns; in place of its region, each has the flat index in `wanted` of a pixel of the region.
    """
    width = wanted.shape[1]
    is_turn = side_differs[:-1] | side_differs[1:]
    is_turn &= below_differs[:, :-1] | below_differs[:, 1:]
    row, col = np.divmod(np.flatnonzero(is_turn), width + 1)
    edge_above, edge_below = side_differs[row, col], side_differs[row + 1, col]
    edge_left, edge_right = below_differs[row, col], below_differs[row, col + 1]
    only_two = ~(edge_above & edge_below) & ~(edge_left & edge_right)

    parts = []
    for is_right, is_lower in ((False, False), (True, False), (False, True), (True, True)):
        # The pixel at this side differs from both of its neighbours; or it is one of three equal pixels, and
        # the fourth lies opposite.
        side, level = (edge_right, edge_left), (edge_below, edge_above)
        convex = side[not is_right] & level[not is_lower]
        concave = only_two & side[is_right] & level[is_lower]
        chosen = np.flatnonzero(convex | concave)
        at_row, at_col = row[chosen], col[chosen]
        pixel = (at_row + is_lower) * width + at_col - 1 + is_right
        inside = (at_col < width) if is_right else (at_col > 0)
        inside[inside] = wanted.reshape(-1)[pixel[inside]]
        chosen, pixel = chosen[inside], pixel[inside]
        # Two pixels of a region that only touch at this corner: the ring around either of the other two is
        # a ring of its own. So the turn of the upper pixel has the edge below, as if they were swapped.
        parts.append(
            _Turns(
                region=pixel,
                row=row[chosen],
                col=col[chosen],
                right=np.full(len(chosen), is_right),
                below=np.full(len(chosen), not is_lower),
                into_column=convex[chosen] == (is_right == is_lower),
            )
        )
    return _Turns.concatenate(parts)


def _outlines(turns: _Turns, values: Int64Array) -> ValuePolygons:
    """The polygons of whole regions, in the order of the regions; `values` are those of all regions."""
    count = len(turns.region)
    if not count:
        return np.empty(0, dtype=object), np.empty(0, np.int64)
    rows, cols = int(turns.row.max()) + 1, int(turns.col.max()) + 1
    by_row = np.argsort(((turns.region * rows + turns.row) * cols + turns.col) * 2 + turns.right)
    by_col = np.argsort(((turns.region * cols + turns.col) * rows + turns.row) * 2 + turns.below)
    along_row, along_col = _partners(by_row), _partners(by_col)

    # Every second turn of a ring leads into a vertical edge. By region, row and column, so that the first
    # ring of a region is its outer one.
    start = by_row[turns.into_column[by_row]]
    end = along_col[start]
    position = np.empty(count, np.int64)
    position[start] = np.arange(len(start))
    leader, steps = _places_in_cycles(position[along_row[end]])

    leaders = np.flatnonzero(leader == np.arange(len(leader)))
    ring = np.searchsorted(leaders, leader)
    stops = np.cumsum(2 * np.bincount(ring, minlength=len(leaders)) + 1)
    starts = np.concatenate([[0], stops[:-1]])
    coordinates = np.empty((int(stops[-1]), 2), np.float64)
    vertex = starts[ring] + 2 * steps
    coordinates[vertex] = _points(turns, start)
    coordinates[vertex + 1] = _points(turns, end)
    coordinates[stops - 1] = coordinates[starts]

    region = turns.region[start[leaders]]
    first_rings = np.flatnonzero(np.diff(region, prepend=-1))
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON,
        coordinates,
        (np.append(starts, stops[-1]), np.append(first_rings, len(leaders))),
    )
    return np.asarray(polygons, dtype=object), values[region[first_rings]]


def _points(turns: _Turns, index: Int64Array) -> Float64Array:
    return np.column_stack([turns.col[index], turns.row[index]]).astype(np.float64)


def _partners(order: Int64Array) -> Int64Array:
    """(N,) for each element the other one of its pair, where `order` lists pair after pair."""
    partner = np.empty(len(order), np.int64)
    partner[order[0::2]] = order[1::2]
    partner[order[1::2]] = order[0::2]
    return partner


def _places_in_cycles(following: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Lowest element of the cycle of each element of a permutation, and the steps from there to the element.

    By doubling: each round knows twice as many of the elements that follow, so that a cycle of n elements
    takes log2(n) rounds.
    """
    leader = np.arange(len(following))
    to_leader = np.zeros(len(following), np.int64)
    ahead, distance = following, 1
    while True:
        nearer = leader[ahead] < leader
        if not nearer.any():
            break
        to_leader = np.where(nearer, distance + to_leader[ahead], to_leader)
        leader = np.where(nearer, leader[ahead], leader)
        ahead = ahead[ahead]
        distance *= 2
    length = np.bincount(leader, minlength=len(leader))[leader]
    return leader, (length - to_leader) % length
