"""Outlines with rounded corners: no point moves farther than a bound, and shared borders stay shared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array

_ROUNDS = 3


@dataclass(frozen=True)
class _Rings:
    """R closed rings with V corners in all; a ring's last corner is not its first one again."""

    corners: Float64Array
    """(V, 2) corners."""
    starts: Int64Array
    """(R,) index of the first corner of each ring."""
    ring_of_polygon: Int64Array
    """(P + 1,) first ring of each polygon, and the number of rings."""

    @property
    def lengths(self) -> Int64Array:
        """(R,) numbers of corners."""
        return np.diff(np.append(self.starts, len(self.corners)))

    @property
    def following(self) -> Int64Array:
        """(V,) the next corner of the ring."""
        following = np.arange(1, len(self.corners) + 1)
        following[self.starts + self.lengths - 1] = self.starts
        return following

    def take(self, kept: BoolArray) -> _Rings:
        """The rings with some of their corners; a ring without corners stays as an empty one."""
        counts = np.add.reduceat(kept.astype(np.int64), self.starts)
        return _Rings(self.corners[kept], np.cumsum(counts) - counts, self.ring_of_polygon)

    def polygons(self) -> GeometryArray:
        """The polygons of the rings."""
        stops = self.starts + self.lengths
        closed = np.insert(self.corners, stops, self.corners[self.starts], axis=0)
        offsets = np.concatenate([self.starts, stops[-1:]]) + np.arange(len(self.starts) + 1)
        made = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, closed, (offsets, self.ring_of_polygon)
        )
        return np.asarray(made, dtype=object)


def smoothed(polygons: GeometryArray, most_px: float) -> GeometryArray:
    """Polygons with rounded corners.

    Corners are cut as by Chaikin (1974), three times, each at a quarter of its edges, but never more than
    `most_px` from the first corner. Where three or more areas meet, and where a cut could touch another
    outline, the corner stays. What a corner becomes depends on its two edges alone, so that two polygons with
    a common border get the same one.

    Args:
        polygons: (N,) valid polygons. Neighbours must have the same corners along their common border.
        most_px: Most distance between old and new outline, in the unit of the polygons.

    Returns:
        (N,) valid polygons.
    """
    if not len(polygons):
        return polygons
    rings = _rings_of(polygons)
    fixed = _meeting_points(rings)
    straight = _is_straight(rings) & ~fixed
    rings, fixed = rings.take(~straight), fixed[~straight]
    fixed |= _near_another_corner(rings, most_px)
    for number in range(_ROUNDS):
        # Halved each time, so that all cuts of a corner together stay within `most_px` of it.
        rings, fixed = _corners_cut(rings, fixed, 0.25, most_px / 2 ** (number + 1))
    made = rings.polygons()
    # Floating point may fold a sliver; its outline stays.
    wrong = ~shapely.is_valid(made)
    made[wrong] = polygons[wrong]
    return made


def chamfered(polygons: GeometryArray, reach_px: float) -> GeometryArray:
    """Polygons whose corners are cut once, half of an edge or `reach_px` away from the corner.

    With half a pixel, the steps of a slanting line of pixels become points in line with it. Where three or
    more areas meet, the corner stays. The result may be invalid where two corners touch.

    Args:
        polygons: (N,) valid polygons. Neighbours must have the same corners along their common border.
        reach_px: Most distance of a cut from its corner, in the unit of the polygons.
    """
    if not len(polygons):
        return polygons
    rings = _rings_of(polygons)
    fixed = _meeting_points(rings)
    straight = _is_straight(rings) & ~fixed
    rings, fixed = rings.take(~straight), fixed[~straight]
    return _corners_cut(rings, fixed, 0.5, reach_px)[0].polygons()


def _rings_of(polygons: GeometryArray) -> _Rings:
    _, coordinates, (ring_offsets, polygon_offsets) = shapely.to_ragged_array(list(polygons))
    is_last = np.zeros(len(coordinates), np.bool_)
    is_last[ring_offsets[1:] - 1] = True
    starts = ring_offsets[:-1] - np.arange(len(ring_offsets) - 1)
    return _Rings(coordinates[~is_last, :2], starts, polygon_offsets)


def _meeting_points(rings: _Rings) -> BoolArray:
    """(V,) True for corners from which more than two different edges go out, over all polygons."""
    _, point = np.unique(rings.corners, axis=0, return_inverse=True)
    point = point.reshape(-1)
    other = point[rings.following]
    edges = np.unique(np.sort(np.column_stack([point, other]), axis=1), axis=0)
    degree = np.bincount(edges.reshape(-1), minlength=int(point.max()) + 1)
    return np.asarray(degree[point] > 2, np.bool_)


def _previous(rings: _Rings) -> Int64Array:
    previous = np.empty(len(rings.corners), np.int64)
    previous[rings.following] = np.arange(len(rings.corners))
    return previous


def _is_straight(rings: _Rings) -> BoolArray:
    """(V,) True for corners at which the outline does not turn."""
    corners = rings.corners
    into = corners - corners[_previous(rings)]
    out = corners[rings.following] - corners
    cross = into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]
    length = np.hypot(*into.T) * np.hypot(*out.T)
    return np.asarray(np.abs(cross) <= 1e-9 * length, np.bool_)


def _near_another_corner(rings: _Rings, most_px: float) -> BoolArray:
    """(V,) True for corners whose cut would reach another corner.

    All cuts of a corner stay in the triangle of the corner and a point on either of its edges, half of the
    edge or `most_px` away. If no other corner lies in it, no outline crosses it: an edge would have to end in
    it, or cross one of the corner's own edges.
    """
    corners = rings.corners
    before, after = _cut_points(rings, 0.5, most_px)
    triangles = shapely.polygons(np.stack([before, corners, after, before], axis=1))
    places = np.unique(corners, axis=0)
    tree = shapely.STRtree(shapely.points(places))
    triangle, _ = tree.query(triangles, predicate="intersects")
    # Each triangle holds its own corner.
    return np.asarray(np.bincount(triangle, minlength=len(corners)) > 1, np.bool_)


def _cut_points(rings: _Rings, share: float, reach: float) -> tuple[Float64Array, Float64Array]:
    """(V, 2) points on the edge before each corner and on the edge after it.

    They lie `share` of the edge from the corner, but at most `reach`.
    """
    corners = rings.corners
    previous, following = corners[_previous(rings)], corners[rings.following]
    return _along(corners, previous, share, reach), _along(corners, following, share, reach)


def _along(start: Float64Array, end: Float64Array, share: float, reach: float) -> Float64Array:
    length = np.hypot(*(end - start).T)
    within_reach = np.divide(reach, length, out=np.full(len(length), share), where=length > 0)
    return np.asarray(start + np.minimum(share, within_reach)[:, None] * (end - start), np.float64)


def _corners_cut(rings: _Rings, fixed: BoolArray, share: float, reach: float) -> tuple[_Rings, BoolArray]:
    """Each corner that is not fixed becomes the two points of its cut."""
    before, after = _cut_points(rings, share, reach)
    counts = np.where(fixed, 1, 2)
    place = np.cumsum(counts) - counts
    corners = np.empty((int(counts.sum()), 2))
    corners[place] = np.where(fixed[:, None], rings.corners, before)
    corners[place[~fixed] + 1] = after[~fixed]
    new_fixed = np.repeat(fixed, counts)
    return _Rings(corners, place[rings.starts], rings.ring_of_polygon), new_fixed
