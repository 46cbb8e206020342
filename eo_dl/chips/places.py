"""Where chips lie on the ground, in one frame for all scenes that see the same place.

Two dates of one place must never be in two splits, so splits are decided by ground, not by file. Scenes that
overlap, or are closer to each other than the guard, form one `Place`; its frame is the pixel grid of its
first scene, continued in all directions, and scenes in another CRS are brought into it. An image without a
CRS is a place of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS, Transformer

from ..core.arraytypes import Float64Array, GeometryArray
from ..core.gridwindow import window_outlines
from ..core.pixelgrid import PixelGrid
from ..core.window import Window

_DECIMALS = 6  # px; scenes with aligned pixels then share coordinates to the last bit
_POINTS_PER_SIDE = 8  # a straight edge bends when it is brought to another CRS


@dataclass(frozen=True)
class Place:
    """Ground seen by one or more scenes."""

    number: int
    """Its number, from 0."""

    frame: PixelGrid
    """The grid of its first scene, in whose pixels everything of the place is measured."""

    scenes: tuple[int, ...]
    """Indices of its scenes."""

    extent: tuple[float, float, float, float]
    """(col0, row0, col1, row1) of all its scenes, in pixels of `frame`."""


def find_places(grids: Sequence[PixelGrid], reach_px: float) -> tuple[Place, ...]:
    """Group scenes by ground.

    Args:
        grids: The grid of each scene.
        reach_px: Scenes belong together if their extents are closer than this many of their pixels.
    """
    # Union by the smallest index: each scene ends up with the first scene of its place as root.
    parent = list(range(len(grids)))
    for first, second in _neighbours(grids, reach_px):
        older, newer = sorted((_root(parent, first), _root(parent, second)))
        parent[newer] = older
    roots = [_root(parent, index) for index in range(len(grids))]
    places = []
    for number, root in enumerate(sorted(set(roots))):
        members = tuple(index for index, root_of in enumerate(roots) if root_of == root)
        frame = grids[root]
        outlines = [windows_in_frame(frame, grids[m], [grids[m].window]) for m in members]
        col0, row0, col1, row1 = shapely.total_bounds(np.concatenate(outlines)).tolist()
        places.append(Place(number, frame, members, (col0, row0, col1, row1)))
    return tuple(places)


def windows_in_frame(frame: PixelGrid, grid: PixelGrid, windows: Sequence[Window]) -> GeometryArray:
    """(N,) outlines of windows of `grid`, in pixels of `frame`. What lies outside `grid` is clipped: it is no
    ground.
    """
    inside = [window.clipped_to(grid.window) for window in windows]
    outlines = window_outlines(inside)
    if grid == frame or grid.crs is None or frame.crs is None:
        return outlines
    if grid.crs != frame.crs:
        longest = max([max(window.width, window.height) for window in inside], default=1)
        outlines = np.asarray(shapely.segmentize(outlines, longest / _POINTS_PER_SIDE), dtype=object)
    on_map = _to_crs(grid.geometries_to_map(outlines), grid.crs, frame.crs)
    return _rounded(frame.geometries_to_pixel(on_map))


def shared_areas_m2(place: Place, overlaps: GeometryArray) -> float:
    """The area that polygons cover together.

    Args:
        place: The place in whose frame they lie.
        overlaps: (N,) polygons; where they overlap, ground counts once.

    Returns:
        Square metres; square pixels without a CRS.
    """
    if not len(overlaps):
        return 0.0
    parts = np.asarray(shapely.get_parts(shapely.union_all(overlaps)), dtype=object).reshape(-1)
    polygons = parts[shapely.get_dimensions(parts) == 2]
    if not len(polygons):
        return 0.0
    return float(place.frame.areas_m2(place.frame.geometries_to_map(polygons)).sum())


def _neighbours(grids: Sequence[PixelGrid], reach_px: float) -> list[tuple[int, int]]:
    """Pairs of scenes closer than `reach_px`, compared in the CRS of each of them."""
    georeferenced = [index for index, grid in enumerate(grids) if grid.crs is not None]
    pairs: set[tuple[int, int]] = set()
    for crs in dict.fromkeys(grids[index].required_crs for index in georeferenced):
        outlines = np.array([_outline(grids[index], crs) for index in georeferenced], dtype=object)
        tree = shapely.STRtree(outlines)
        for position, index in enumerate(georeferenced):
            if grids[index].crs != crs:
                continue
            distance = reach_px * _pixel_side(grids[index])
            for other in tree.query(outlines[position], predicate="dwithin", distance=distance):
                neighbour = georeferenced[int(other)]
                if neighbour != index:
                    pairs.add((min(index, neighbour), max(index, neighbour)))
    return sorted(pairs)


def _pixel_side(grid: PixelGrid) -> float:
    """The longer side of a pixel, in units of the CRS."""
    along_row = np.hypot(grid.transform.a, grid.transform.d)
    along_col = np.hypot(grid.transform.b, grid.transform.e)
    return float(max(along_row, along_col))


def _outline(grid: PixelGrid, crs: CRS) -> shapely.Geometry:
    """The outline of a scene in a CRS; empty if it has no position there."""
    outline = grid.footprint()
    if grid.crs is None or grid.crs == crs:
        return outline
    bent = shapely.segmentize(outline, shapely.length(outline) / (4 * _POINTS_PER_SIDE))
    moved = _to_crs(np.array([bent], dtype=object), grid.crs, crs)[0]
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        return shapely.Polygon()
    return shapely.make_valid(moved)


def _to_crs(geometries: GeometryArray, source: CRS, target: CRS) -> GeometryArray:
    """Like `core.geometries.reproject`, but what has no position in the target CRS becomes infinite instead
    of an error.
    """
    if source == target:
        return geometries
    transformer = Transformer.from_crs(source, target, always_xy=True)

    def move(xy: Float64Array) -> Float64Array:
        """Coordinates (N, 2) in the target CRS."""
        return np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))

    return np.asarray(shapely.transform(geometries, move), dtype=object)


def _rounded(geometries: GeometryArray) -> GeometryArray:
    return np.asarray(shapely.transform(geometries, lambda xy: np.round(xy, _DECIMALS)), dtype=object)


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]  # halves the path for the next look-up
        index = parent[index]
    return index
