"""Outlines with straight walls and right angles, within a bound of the outlines that were found.

Steps of pixels become points in line first. Polygons that share walls are changed together: their outlines
are cut at the points where more than two walls meet, and each piece is simplified (Douglas and Peucker 1973),
so that a wall of two houses stays one wall. Then corners move: a wall that runs nearly along one of the two
main directions is laid along it, by giving its two ends one coordinate in the turned frame. Walls in line get
the mean of all points that they stand for; walls in other directions keep theirs. What leaves the bound in
spite of that, folds, or comes to lie on a neighbour stays as it was found.

Why not the package buildingregulariser: it changes each building for itself, so that walls of row houses
part, and states no bound (compared in `benchmarks/outlines.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.commonareas import common_areas
from ..core.components import connected_groups
from .smoothing import chamfered

REGULAR, CIRCLE, KEPT = "regular", "circle", "kept"
"""What became of an outline: straight walls, a circle, or as it was found."""

_LEAST_TOLERANCE_DEG = 15.0
_MOST_TURN_DEG = 10.0
_ROUNDS = 6
_HALF_PIXEL = 0.5
_ROUND_ENOUGH = 0.92  # 4 pi area / perimeter²: 1 for a circle, 0.79 for a square, 0.95 for an octagon
_CIRCLE_CORNERS = 32


@dataclass(frozen=True)
class RegularOutlines:
    """N outlines, made regular where that was possible."""

    polygons: GeometryArray
    """(N,) valid polygons."""
    status: ObjectArray
    """(N,) `REGULAR`, `CIRCLE` or `KEPT`."""


def regular_outlines(polygons: GeometryArray, most_px: float) -> RegularOutlines:
    """Polygons with straight walls and right angles.

    Args:
        polygons: (N,) valid polygons. Neighbours that share a wall have the same corners along it.
        most_px: Most distance between an old and a new outline, in the unit of the polygons.

    Returns:
        The polygons; those of a group that shares walls are made regular together, or kept together. None
        comes to lie on another one.
    """
    made = polygons.copy()
    status = np.full(len(polygons), KEPT, dtype=object)
    group_of = np.zeros(len(polygons), np.int64)
    in_line = chamfered(polygons, _HALF_PIXEL)
    for group, members in enumerate(_groups(polygons)):
        group_of[members] = group
        outlines = [polygons[index] for index in members]
        without_steps = [in_line[index] for index in members]
        found = _as_circle(outlines, without_steps, most_px)
        kind = CIRCLE
        if found is None:
            found, kind = _regular_group(outlines, without_steps, most_px), REGULAR
        if found is not None:
            for index, outline in zip(members, found, strict=True):
                made[index], status[index] = outline, kind
    _undo_overlaps(polygons, made, status, group_of)
    return RegularOutlines(made, status)


def _undo_overlaps(
    polygons: GeometryArray, made: GeometryArray, status: ObjectArray, group_of: Int64Array
) -> None:
    """Give back their old outlines to groups that now lie on others, on which they did not lie before."""
    while True:
        first, second = shapely.STRtree(made).query(made)
        apart = (first < second) & (group_of[first] != group_of[second])
        first, second = first[apart], second[apart]
        before = common_areas(polygons, polygons, first, second)
        more = common_areas(made, made, first, second) - before
        worse = more > 1e-6 * np.minimum(shapely.area(made[first]), shapely.area(made[second]))
        involved = np.unique(np.concatenate([group_of[first[worse]], group_of[second[worse]]]))
        undone = np.isin(group_of, involved) & (status != KEPT)
        if not undone.any():
            return
        made[undone], status[undone] = polygons[undone], KEPT


def _groups(polygons: GeometryArray) -> list[list[int]]:
    """Numbers of polygons that share a stretch of their outlines, directly or through others."""
    if not len(polygons):
        return []
    first, second = shapely.STRtree(polygons).query(polygons, predicate="touches")
    later = first < second
    first, second = first[later], second[later]
    walls = shapely.length(shapely.intersection(polygons[first], polygons[second])) > 0
    group = connected_groups(len(polygons), (first[walls], second[walls]))
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [members.tolist() for members in np.split(order, cuts)]


def _as_circle(
    outlines: Sequence[shapely.Polygon], in_line: Sequence[shapely.Polygon], most_px: float
) -> list[shapely.Polygon] | None:
    """The circle of the same area, if the outline is round; None if it is not, or shares a wall."""
    if len(outlines) > 1 or len(outlines[0].interiors):
        return None
    outline = outlines[0]
    radius = float(np.sqrt(outline.area / np.pi))
    simple = in_line[0].simplify(most_px / 2)
    if radius < 3 * most_px or 4 * np.pi * simple.area < _ROUND_ENOUGH * simple.length**2:
        return None
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_CORNERS, endpoint=False)
    # A polygon of the circle's area, whose corners lie slightly outside.
    area_of_unit = _CIRCLE_CORNERS / 2 * np.sin(2 * np.pi / _CIRCLE_CORNERS)
    reach = float(np.sqrt(outline.area / area_of_unit))
    corners = np.column_stack([np.cos(angles), np.sin(angles)]) * reach + outline.centroid.coords[0]
    circle = shapely.Polygon(corners)
    return [circle] if _distance(outline, circle) <= most_px else None


def _distance(one: shapely.Polygon, other: shapely.Polygon) -> float:
    """Largest distance from any point of either outline to the other outline."""
    # The distance along a straight stretch is largest near its ends or middle; pixels are short enough.
    lines = shapely.segmentize(np.array([one.boundary, other.boundary]), 0.5)
    return float(shapely.hausdorff_distance(lines[0], lines[1]))


@dataclass(frozen=True)
class _Walls:
    """Walls between corners that several polygons share."""

    corners: Float64Array
    """(V, 2) corners."""
    rings: list[list[list[int]]]
    """Corners of each ring of each polygon, outer ring first."""
    middles: dict[tuple[int, int], Float64Array]
    """(2,) mean place of what a wall stands for, by its corners (the smaller number first); empty before
    anything was simplified."""

    @property
    def edges(self) -> Int64Array:
        """(E, 2) corners at both ends of each wall."""
        pairs = {
            (min(pair), max(pair))
            for rings in self.rings
            for ring in rings
            for pair in zip(ring, [*ring[1:], ring[0]], strict=True)
        }
        return np.array(sorted(pairs), np.int64).reshape(-1, 2)

    @classmethod
    def of(cls, outlines: Sequence[shapely.Polygon]) -> _Walls:
        """The walls of polygons; corners with equal coordinates are one."""
        number: dict[tuple[float, float], int] = {}
        rings = []
        for outline in outlines:
            of_polygon = []
            for ring in (outline.exterior, *outline.interiors):
                corners = [number.setdefault(point, len(number)) for point in list(ring.coords)[:-1]]
                of_polygon.append(_without_repeats(corners))
            rings.append(of_polygon)
        return cls(np.array(list(number), np.float64), rings, {})


def _without_repeats(ring: list[int]) -> list[int]:
    """A ring without corners that follow on themselves."""
    before = [ring[-1], *ring[:-1]]
    return [corner for corner, last in zip(ring, before, strict=True) if corner != last]


def _regular_group(
    outlines: Sequence[shapely.Polygon], in_line: Sequence[shapely.Polygon], most_px: float
) -> list[shapely.Polygon] | None:
    """Polygons with regular outlines; None if they cannot be had within the bound.

    Args:
        outlines: The outlines as they were found.
        in_line: The same without steps of pixels.
        most_px: The bound.
    """
    walls = _simplified(_Walls.of(in_line), most_px / 2)
    if walls is None:
        return None
    angle = _main_direction(walls, most_px)
    if angle is None:
        return None
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    turned = walls.corners @ turn  # main directions along the axes
    middles = np.array([walls.middles[one, other] for one, other in walls.edges.tolist()]) @ turn
    moved = _aligned(turned, walls.edges, middles, most_px)
    made = [_polygon(moved, rings, turn) for rings in walls.rings]
    for before, after in zip(outlines, made, strict=True):
        if after is None or not after.is_valid or _distance(before, after) > most_px:
            return None
    return [outline for outline in made if outline is not None]


@dataclass(frozen=True)
class _Pieces:
    """Pieces of outlines between two cuts, each simplified once."""

    corners: Float64Array
    """(V, 2) corners."""
    tolerance: float
    """Most distance of a corner that is left out."""
    known: dict[tuple[int, ...], list[int]]
    """Corners that are left, by all corners of the piece."""
    middles: dict[tuple[int, int], Float64Array]
    """See `_Walls`."""

    def simple(self, piece: list[int]) -> list[int]:
        """The corners of a piece that are left; the same ones in both directions."""
        backwards = piece[::-1]
        if piece > backwards:
            return self.simple(backwards)[::-1]
        key = tuple(piece)
        if key not in self.known:
            self.known[key] = self._simplify(piece)
        return self.known[key]

    def _simplify(self, piece: list[int]) -> list[int]:
        points = self.corners[piece]
        line = shapely.simplify(shapely.LineString(points), self.tolerance, preserve_topology=False)
        places, place = [], 0
        for point in shapely.get_coordinates(line):  # some of the piece's corners, in their order
            while (points[place] != point).any():
                place += 1
            places.append(place)
            place += 1
        for start, stop in pairwise(places):
            pair = piece[start], piece[stop]
            self.middles[min(pair), max(pair)] = _middle(points[start : stop + 1])
        return [piece[place] for place in places]


def _middle(points: Float64Array) -> Float64Array:
    """(2,) mean place of a line."""
    length = np.hypot(*np.diff(points, axis=0).T)
    return np.asarray(np.average((points[:-1] + points[1:]) / 2, axis=0, weights=length), np.float64)


def _simplified(walls: _Walls, tolerance: float) -> _Walls | None:
    """Walls with fewer corners; None if a ring would vanish.

    Rings are cut where more than two walls meet. A piece is simplified in one direction for all its polygons.
    """
    edges = walls.edges
    degree = np.bincount(edges.reshape(-1), minlength=len(walls.corners))
    pieces = _Pieces(walls.corners, tolerance, {}, {})
    rings = []
    for polygon in walls.rings:
        simple = [_simple_ring(ring, degree, pieces) for ring in polygon]
        if any(len(ring) < 3 for ring in simple):
            return None
        rings.append(simple)
    return _Walls(walls.corners, rings, pieces.middles)


def _simple_ring(ring: list[int], degree: Int64Array, pieces: _Pieces) -> list[int]:
    cuts = [place for place, corner in enumerate(ring) if degree[corner] > 2]
    if not cuts:
        # Any corner may begin, so it is one that certainly stays: the farthest from the middle.
        away = pieces.corners[ring] - pieces.corners[ring].mean(axis=0)
        cuts = [int(np.argmax((away**2).sum(axis=1)))]
    turned = ring[cuts[0] :] + ring[: cuts[0]]
    stops = [cut - cuts[0] for cut in cuts] + [len(ring)]
    simple: list[int] = []
    for start, stop in pairwise(stops):
        piece = [*turned[start:stop], turned[stop % len(ring)]]
        simple += pieces.simple(piece)[:-1]
    return simple


def _main_direction(walls: _Walls, most_px: float) -> float | None:
    """The direction, radians, along which most of the walls run, or across it; None if polygons differ.

    Length-weighted mean of four times the angle, which is the same for opposite and for perpendicular walls.
    """
    directions = []
    for rings in walls.rings:
        ring = rings[0]
        steps = walls.corners[[*ring[1:], ring[0]]] - walls.corners[ring]
        length = np.hypot(steps[:, 0], steps[:, 1])
        angle = np.arctan2(steps[:, 1], steps[:, 0])
        # Long walls say more about the direction than their length: short ones are steps of pixels.
        weight = length * np.minimum(1, length / (2 * most_px))
        directions.append(complex((weight * np.exp(4j * angle)).sum()))
    mean = complex(np.sum(directions))
    apart = np.abs(np.angle(np.array(directions) * np.conj(mean))) / 4
    if np.rad2deg(apart).max() > _MOST_TURN_DEG:
        return None
    return float(np.angle(mean) / 4)


def _aligned(corners: Float64Array, edges: Int64Array, middles: Float64Array, most_px: float) -> Float64Array:
    """(V, 2) corners, moved so that walls run along the axes; no corner moves by more than the bound."""
    free = np.zeros(len(corners), np.bool_)
    moved = corners
    for _ in range(_ROUNDS):
        moved = np.column_stack(
            [_one_axis(corners, edges, middles[:, axis], axis, free, most_px) for axis in (0, 1)]
        )
        too_far = np.hypot(*(moved - corners).T) > most_px
        if not (too_far & ~free).any():
            break
        free |= too_far
    moved[too_far] = corners[too_far]
    return moved


def _one_axis(
    corners: Float64Array,
    edges: Int64Array,
    middles: Float64Array,
    axis: int,
    free: BoolArray,
    most_px: float,
) -> Float64Array:
    """(V,) one coordinate of all corners: walls across this axis give their ends the same one, the mean of
    what the walls in line stand for.
    """
    start, end = corners[edges[:, 0]], corners[edges[:, 1]]
    along, across = np.abs(end - start)[:, 1 - axis], np.abs(end - start)[:, axis]
    length = np.hypot(along, across)
    # A short wall may be a step of pixels, whose direction says little.
    tolerance = np.clip(np.rad2deg(np.arctan2(most_px, length)), _LEAST_TOLERANCE_DEG, 45)
    laid = np.rad2deg(np.arctan2(across, along)) < tolerance
    laid |= length < most_px  # a step, of which nothing is left
    laid &= ~free[edges].any(axis=1)
    chosen = edges[laid]
    group = connected_groups(len(corners), (chosen[:, 0], chosen[:, 1]))
    weight = np.bincount(group[chosen[:, 0]], length[laid], minlength=len(corners))
    total = np.bincount(group[chosen[:, 0]], length[laid] * middles[laid], minlength=len(corners))
    mean = np.divide(total, weight, out=np.zeros(len(corners)), where=weight > 0)
    return np.asarray(np.where(weight[group] > 0, mean[group], corners[:, axis]), np.float64)


def _polygon(corners: Float64Array, rings: list[list[int]], turn: Float64Array) -> shapely.Polygon | None:
    """The polygon of some rings, without corners at which nothing turns; None if one is lost."""
    made = []
    for ring in rings:
        points = corners[ring]
        points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
        if len(points) < 3:
            return None
        # Rounded, so that what is valid here is valid in the large coordinates of a map, too.
        made.append(np.round(points @ turn.T, 3))
    outline = shapely.Polygon(made[0], made[1:])
    return outline if outline.area > 0 else None
