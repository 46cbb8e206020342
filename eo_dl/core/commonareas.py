"""Areas that polygons have in common, pair by pair, without a Python step per pair.

The indicator of a polygon is a sum over its edges: +1 below an edge that runs to the left, -1 below one that
runs to the right (outer rings counter-clockwise, holes clockwise). The common area of two polygons is
therefore a sum over pairs of their edges: the area that lies below both, with the product of the two signs.
Below both edges lies what is below the lower one, within the columns that they share. No outline of the
intersection is made, which takes GEOS most of its time; no two edges need a special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from .arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from .ringtable import RingTable

_MOST_EDGE_PAIRS = 4096  # of two polygons; beyond, the index of GEOS pays
_PORTION = 2**20  # edge pairs at once


@dataclass(frozen=True)
class _Edges:
    """The edges of N polygons, one polygon after the other."""

    starts: Int64Array
    """(N + 1,) first edge of each polygon."""
    x0: Float64Array
    y0: Float64Array
    x1: Float64Array
    y1: Float64Array
    turn: Float64Array
    """1 for edges of rings that have their polygon on the left, -1 for those that have it on the right."""

    @classmethod
    def of(cls, polygons: GeometryArray) -> _Edges:
        rings = RingTable.of(polygons)
        first = rings.first_vertex
        xy, ring = rings.coordinates, rings.ring_of_vertex
        is_edge = ring[:-1] == ring[1:]  # not from one ring to the next
        start, end = xy[:-1][is_edge], xy[1:][is_edge]
        ring_of_edge = ring[:-1][is_edge]
        corner = xy[first][ring_of_edge]  # products of large coordinates cancel
        clockwise = _is_clockwise(start - corner, end - corner, ring_of_edge, len(first))
        turn = np.where(clockwise == rings.is_hole, 1.0, -1.0)
        polygon = rings.polygon_of_ring[ring_of_edge]
        order = np.argsort(polygon, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(polygon, minlength=len(polygons)))])
        start, end = start[order], end[order]
        return cls(
            starts.astype(np.int64),
            start[:, 0],
            start[:, 1],
            end[:, 0],
            end[:, 1],
            turn[ring_of_edge[order]],
        )

    @property
    def counts(self) -> Int64Array:
        return np.diff(self.starts)


def common_areas(
    first: GeometryArray, second: GeometryArray, first_of_pair: Int64Array, second_of_pair: Int64Array
) -> Float64Array:
    """Areas that pairs of polygons have in common.

    Args:
        first: (N,) valid polygons and multipolygons.
        second: (M,) valid polygons and multipolygons.
        first_of_pair: (P,) index into `first`.
        second_of_pair: (P,) index into `second`.

    Returns:
        (P,) areas in the plane of the coordinates.
    """
    if not len(first_of_pair):
        return np.zeros(0)
    one, other = _Edges.of(first), _Edges.of(second)
    sizes = one.counts[first_of_pair] * other.counts[second_of_pair]
    areas = np.zeros(len(first_of_pair))
    large = np.flatnonzero(sizes > _MOST_EDGE_PAIRS)
    outlines = shapely.intersection(first[first_of_pair[large]], second[second_of_pair[large]])
    areas[large] = shapely.area(outlines)
    small = np.flatnonzero((sizes > 0) & (sizes <= _MOST_EDGE_PAIRS))  # points have no edges
    portion = np.cumsum(sizes[small]) // _PORTION
    for pairs in np.split(small, np.flatnonzero(np.diff(portion)) + 1):
        areas[pairs] = _by_edges(one, other, first_of_pair[pairs], second_of_pair[pairs])
    return np.maximum(areas, 0)


def _by_edges(one: _Edges, other: _Edges, first: Int64Array, second: Int64Array) -> Float64Array:
    """(P,) common areas of pairs of polygons, from all pairs of their edges."""
    across = other.counts[second]
    sizes = one.counts[first] * across
    pair = np.repeat(np.arange(len(first)), sizes)
    number = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    e = one.starts[first][pair] + number // across[pair]
    f = other.starts[second][pair] + number % across[pair]
    # From a corner of the pair, because products of large coordinates cancel.
    x, y = one.x0[one.starts[first]][pair], one.y0[one.starts[first]][pair]
    ex0, ex1, fx0, fx1 = one.x0[e] - x, one.x1[e] - x, other.x0[f] - x, other.x1[f] - x
    left = np.maximum(np.minimum(ex0, ex1), np.minimum(fx0, fx1))
    right = np.minimum(np.maximum(ex0, ex1), np.maximum(fx0, fx1))
    shared = np.flatnonzero(right > left)  # edges that run straight up share no column with any
    left, right, pair, y = left[shared], right[shared], pair[shared], y[shared]
    e, f = e[shared], f[shared]
    ex0, ex1, fx0, fx1 = ex0[shared], ex1[shared], fx0[shared], fx1[shared]
    e_left, e_right = _heights(ex0, one.y0[e] - y, ex1, one.y1[e] - y, left, right)
    f_left, f_right = _heights(fx0, other.y0[f] - y, fx1, other.y1[f] - y, left, right)
    below_both = (right - left) * _mean_of_lower(e_left, e_right, f_left, f_right)
    sign = np.where((ex1 < ex0) == (fx1 < fx0), 1.0, -1.0) * one.turn[e] * other.turn[f]
    return np.asarray(np.bincount(pair, sign * below_both, minlength=len(first)), np.float64)


def _is_clockwise(start: Float64Array, end: Float64Array, ring_of_edge: Int64Array, count: int) -> BoolArray:
    """(R,) True for rings with a negative area, by their edges."""
    twice = start[:, 0] * end[:, 1] - end[:, 0] * start[:, 1]
    return np.asarray(np.bincount(ring_of_edge, twice, minlength=count) < 0, np.bool_)


def _heights(
    x0: Float64Array,
    y0: Float64Array,
    x1: Float64Array,
    y1: Float64Array,
    left: Float64Array,
    right: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Heights of lines at two places."""
    slope = (y1 - y0) / (x1 - x0)
    return y0 + (left - x0) * slope, y0 + (right - x0) * slope


def _mean_of_lower(
    e_left: Float64Array, e_right: Float64Array, f_left: Float64Array, f_right: Float64Array
) -> Float64Array:
    """Mean height of the lower one of two lines, which may cross, between two places."""
    mean = (np.minimum(e_left, f_left) + np.minimum(e_right, f_right)) / 2
    apart_left, apart_right = e_left - f_left, e_right - f_right
    crossing = np.flatnonzero(apart_left * apart_right < 0)
    one, other = np.abs(apart_left[crossing]), np.abs(apart_right[crossing])
    # Up to the crossing one line is the lower one, behind it the other: a triangle more than the chord.
    mean[crossing] += one * other / (one + other) / 2
    return np.asarray(mean, np.float64)
