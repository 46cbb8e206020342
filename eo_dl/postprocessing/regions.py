"""Connected areas of a class map as a graph, from strips of rows: what cleaning decides on.

Memory holds the areas and their borders, never the pixels. The map is read twice: once to build the graph,
once to give its areas their new classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID
from ..core.components import connected_groups

BACKGROUND_ID = 0
_STRIP_PIXELS = 2**20  # looked at at once; bounds the memory, not the result

RowStrips = Callable[[], Iterable[tuple[int, UInt8Array]]]
"""Reads a class map: (row0, class ids (rows, W)) from top to bottom; 255 = nodata. May be called again."""


@dataclass(frozen=True)
class Regions:
    """N 4-connected areas of one class id each, and the E pairs of them that share a border."""

    values: Int64Array
    """(N,) class ids; 255 for nodata."""
    pixels: Int64Array
    """(N,) numbers of pixels."""
    areas_m2: Float64Array
    """(N,) areas on the ground."""
    at_edge: BoolArray
    """(N,) True for areas that reach the edge of the raster."""
    first: Int64Array
    """(E,) one area of each pair."""
    second: Int64Array
    """(E,) the other one."""
    border_px: Int64Array
    """(E,) length of their common border, pixels."""

    def __len__(self) -> int:
        return len(self.values)

    def with_values(self, values: Int64Array) -> tuple[Regions, Int64Array]:
        """The areas of a map whose areas have other values: equal neighbours become one area.

        Args:
            values: (N,) new class ids.

        Returns:
            The areas, and for each old area (N,) the number of the new one.
        """
        same = values[self.first] == values[self.second]
        group = connected_groups(len(self), (self.first[same], self.second[same]))
        count = int(group.max(initial=-1)) + 1
        new_values = np.zeros(count, np.int64)
        new_values[group] = values
        at_edge = np.zeros(count, np.bool_)
        np.logical_or.at(at_edge, group, self.at_edge)
        first, second, border_px = _pairs(
            group[self.first[~same]], group[self.second[~same]], self.border_px[~same]
        )
        regions = Regions(
            values=new_values,
            pixels=np.bincount(group, self.pixels, minlength=count).astype(np.int64),
            areas_m2=np.bincount(group, self.areas_m2, minlength=count).astype(np.float64),
            at_edge=at_edge,
            first=first,
            second=second,
            border_px=border_px,
        )
        return regions, group

    def largest_neighbours(self) -> Int64Array:
        """(N,) the neighbour with the most pixels, nodata left out; -1 without one.

        Of equal ones that with the longer common border, then the one that begins first.
        """
        one = np.concatenate([self.first, self.second])
        other = np.concatenate([self.second, self.first])
        border = np.concatenate([self.border_px, self.border_px])
        counts = self.values[other] != IGNORE_ID
        one, other, border = one[counts], other[counts], border[counts]
        order = np.lexsort((other, -border, -self.pixels[other], one))
        chosen, place = np.unique(one[order], return_index=True)
        largest = np.full(len(self), -1, np.int64)
        largest[chosen] = other[order][place]
        return largest

    def enclosing_class(self) -> Int64Array:
        """(N,) the class of all neighbours; -1 where they are of several classes, nodata or the edge."""
        lowest = np.full(len(self), IGNORE_ID + 1, np.int64)
        highest = np.full(len(self), -1, np.int64)
        for one, other in ((self.first, self.second), (self.second, self.first)):
            np.minimum.at(lowest, one, self.values[other])
            np.maximum.at(highest, one, self.values[other])
        enclosed = (lowest == highest) & (highest != IGNORE_ID) & ~self.at_edge
        return np.where(enclosed, highest, -1)


@dataclass(frozen=True)
class RegionMap:
    """The areas of a class map, and the way back to its pixels."""

    regions: Regions
    """The areas."""
    region_of_part: Int64Array
    """(M,) the area of each part: an area within one strip of rows. Parts are numbered from top to bottom."""

    def rows(self, strips: RowStrips, values: Int64Array) -> Iterator[tuple[int, UInt8Array]]:
        """The map with the value (N,) of each area in place of its class id."""
        new_id = values[self.region_of_part].astype(np.uint8)
        start = 0
        for row0, ids in _thin(strips()):
            parts, count = _parts(ids)
            yield row0, new_id[start : start + count][parts]
            start += count


def find_regions(strips: RowStrips, row_areas_m2: Float64Array) -> RegionMap:
    """The areas of a class map.

    Args:
        strips: The map.
        row_areas_m2: (H,) area of a pixel on the ground, by row.
    """
    collected = _Collected()
    height = len(row_areas_m2)
    for row0, ids in _thin(strips()):
        collected.add(row0, ids, row_areas_m2, height)
    return collected.finish()


class _Collected:
    """Parts of areas, strip by strip."""

    def __init__(self) -> None:
        self._count = 0
        self._parts: list[Regions] = []
        self._last_ids: UInt8Array | None = None
        self._last_parts: Int64Array = np.empty(0, np.int64)

    def add(self, row0: int, ids: UInt8Array, row_areas_m2: Float64Array, height: int) -> None:
        """Add a strip of rows."""
        parts, count = _parts(ids)
        numbers = parts + self._count
        flat = parts.reshape(-1)
        values = np.zeros(count, np.int64)
        values[flat] = ids.reshape(-1)
        rows = row_areas_m2[row0 : row0 + len(ids)]
        at_edge = np.zeros(count, np.bool_)
        at_edge[parts[:, 0]] = at_edge[parts[:, -1]] = True
        if row0 == 0:
            at_edge[parts[0]] = True
        if row0 + len(ids) == height:
            at_edge[parts[-1]] = True
        side_differs, below_differs = ids[:, :-1] != ids[:, 1:], ids[:-1] != ids[1:]
        borders = [
            (numbers[:, :-1][side_differs], numbers[:, 1:][side_differs]),
            (numbers[:-1][below_differs], numbers[1:][below_differs]),
        ]
        if self._last_ids is not None:
            # Parts of one area in two strips have one value: `finish` joins all such neighbours.
            borders.append((self._last_parts, numbers[0]))
        first = np.concatenate([pair[0] for pair in borders])
        second = np.concatenate([pair[1] for pair in borders])
        pairs = _pairs(first, second, np.ones(len(first), np.int64))
        self._parts.append(
            Regions(
                values,
                np.bincount(flat, minlength=count).astype(np.int64),
                np.bincount(flat, np.repeat(rows, ids.shape[1]), minlength=count).astype(np.float64),
                at_edge,
                *pairs,
            )
        )
        self._count += count
        self._last_ids, self._last_parts = ids[-1].copy(), numbers[-1].copy()

    def finish(self) -> RegionMap:
        """The areas of all strips."""
        names = ("values", "pixels", "areas_m2", "at_edge", "first", "second", "border_px")
        columns = {name: np.concatenate([getattr(part, name) for part in self._parts]) for name in names}
        regions, region_of_part = Regions(**columns).with_values(columns["values"])
        return RegionMap(regions, region_of_part)


def _thin(strips: Iterable[tuple[int, UInt8Array]]) -> Iterator[tuple[int, UInt8Array]]:
    """The same rows in strips that take little memory, always cut in the same way."""
    for row0, ids in strips:
        step = max(1, _STRIP_PIXELS // ids.shape[1])
        for start in range(0, len(ids), step):
            yield row0 + start, ids[start : start + step]


def _parts(ids: UInt8Array) -> tuple[Int64Array, int]:
    """(rows, W) number of the 4-connected area of each pixel, and the number of areas.

    By runs of equal pixels in a row, which are joined with the runs below.
    """
    starts = np.ones(ids.shape, np.bool_)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    run = np.cumsum(starts.reshape(-1), dtype=np.int32).reshape(ids.shape) - 1
    joined = ids[1:] == ids[:-1]
    joined &= starts[1:] | starts[:-1]  # two runs touch in many columns; once is enough
    part_of_run = connected_groups(int(run[-1, -1]) + 1, (run[:-1][joined], run[1:][joined]))
    return part_of_run[run], int(part_of_run.max()) + 1


def _pairs(
    first: Int64Array, second: Int64Array, border_px: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Pairs listed once each, the smaller number first, with the sum of their borders."""
    if not len(first):
        return first, second, border_px
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    base = int(upper.max()) + 1
    keys, place = np.unique(lower * base + upper, return_inverse=True)
    lower, upper = np.divmod(keys, base)
    return lower, upper, np.bincount(place, border_px).astype(np.int64)


def _follow(target: Int64Array, small: BoolArray) -> Int64Array:
    """(N,) where each small area ends up: its neighbour, that one's neighbour if it is small, too, and so on.

    -1 where no area that is not small is reached.
    """
    end = np.where(small, target, np.arange(len(small)))
    for _ in range(len(small).bit_length()):
        known = end >= 0
        end[known] = end[end[known]]
    reaches_none = (end < 0) | small[np.maximum(end, 0)]
    return np.where(reaches_none, -1, end)


@dataclass(frozen=True)
class CleanedRegions:
    """New class ids of the areas of a map, and how many areas got one."""

    values: Int64Array
    """(N,) class ids."""
    sieved: int = 0
    """Areas that took the class of their largest neighbour because they are small."""
    filled: int = 0
    """Holes that took the class around them."""
    left_out: int = 0
    """Areas of a class below the least area."""


def clean_regions(
    regions: Regions,
    *,
    sieve_px: int | None = None,
    fill_holes_m2: float | None = None,
    min_area_m2: float | None = None,
    has_background: bool = True,
) -> CleanedRegions:
    """Give small areas and holes another class; nodata stays as it is.

    Args:
        regions: The areas of a map.
        sieve_px: Areas of fewer pixels take the class of their largest neighbour, or of that one's, if it is
            small, too. One that reaches no other stays.
        fill_holes_m2: Background below this area that one class encloses takes it.
        min_area_m2: Areas of a class below this become background.
        has_background: False: areas below `min_area_m2` take the class of their largest neighbour instead.
    """
    cleaned = CleanedRegions(regions.values)
    group = np.arange(len(regions))
    current = regions
    if sieve_px:
        small = (current.pixels < sieve_px) & (current.values != IGNORE_ID)
        values, changed = _given_to_neighbours(current, small)
        cleaned = replace(cleaned, sieved=changed)
        current, joined = current.with_values(values)
        group = joined[group]
    if fill_holes_m2:
        around = current.enclosing_class()
        holes = (current.values == BACKGROUND_ID) & (current.areas_m2 < fill_holes_m2) & (around > 0)
        cleaned = replace(cleaned, filled=int(holes.sum()))
        current, joined = current.with_values(np.where(holes, around, current.values))
        group = joined[group]
    values = current.values
    if min_area_m2:
        of_class = (values != IGNORE_ID) & ((values != BACKGROUND_ID) | (not has_background))
        small = of_class & (current.areas_m2 < min_area_m2)
        changed = int(small.sum())
        if has_background:
            values = np.where(small, BACKGROUND_ID, values)
        else:
            values, changed = _given_to_neighbours(current, small)
        cleaned = replace(cleaned, left_out=changed)
    return replace(cleaned, values=values[group])


def _given_to_neighbours(regions: Regions, small: BoolArray) -> tuple[Int64Array, int]:
    """(N,) values where small areas have that of their largest neighbour, and the number of those."""
    end = _follow(regions.largest_neighbours(), small)
    moved = small & (end >= 0)
    return np.where(moved, regions.values[np.maximum(end, 0)], regions.values), int(moved.sum())
