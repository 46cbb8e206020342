"""Where chips lie on the ground, in one frame for all scenes that see the same place.

Two dates of one place must never end up in two splits, so splits are decided by ground, not by file. Scenes
that overlap, or lie nearer to each other than the guard, make one `Place`; its frame is the pixel frame of
its first scene, continued in all directions, and scenes in another CRS are brought into it. An image without
CRS is a place of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer

from ..core.pixelgrid import PixelGrid
from ..core.window import Window

Polygons = npt.NDArray[np.object_]

_DECIMALS = 6  # px; two scenes on one lattice then share coordinates to the last bit
_POINTS_A_SIDE = 8  # a straight edge bends when it is brought to another CRS


@dataclass(frozen=True)
class Place:
    """Ground seen by one or more scenes. `extent` (col0, row0, col1, row1) of all of them in pixels of
    `frame`.
    """

    number: int
    frame: PixelGrid
    scenes: tuple[int, ...]
    extent: tuple[float, float, float, float]


def find_places(grids: Sequence[PixelGrid], reach_px: float) -> tuple[Place, ...]:
    """Scenes grouped by ground: two belong together where their extents are nearer than `reach_px` of their
    own pixels.
    """
    group = list(range(len(grids)))
    for first, second in _neighbours(grids, reach_px):
        old, new = sorted((_root(group, first), _root(group, second)), reverse=True)
        group[old] = new
    roots = [_root(group, index) for index in range(len(grids))]
    places = []
    for number, root in enumerate(sorted(set(roots))):
        members = tuple(index for index, found in enumerate(roots) if found == root)
        outlines = np.concatenate(
            [windows_in_frame(grids[root], grids[m], [grids[m].window]) for m in members]
        )
        col0, row0, col1, row1 = shapely.total_bounds(outlines).tolist()
        places.append(Place(number, grids[root], members, (col0, row0, col1, row1)))
    return tuple(places)


def windows_in_frame(frame: PixelGrid, grid: PixelGrid, windows: Sequence[Window]) -> Polygons:
    """(N,) outlines of windows of `grid`, in pixels of `frame`; what sticks out of `grid` is no ground and is
    cut off.
    """
    inside = np.array([_inside(window, grid) for window in windows], np.float64).reshape(-1, 4)
    boxes = np.asarray(
        shapely.box(inside[:, 0], inside[:, 1], inside[:, 2], inside[:, 3]), dtype=object
    ).reshape(-1)
    if grid == frame or grid.crs is None or frame.crs is None:
        return boxes
    if grid.crs != frame.crs:
        longest = float(np.max(inside[:, 2:] - inside[:, :2], initial=1.0))
        boxes = np.asarray(shapely.segmentize(boxes, longest / _POINTS_A_SIDE), dtype=object)
    return _rounded(frame.geometries_to_pixel(_moved(grid.geometries_to_map(boxes), grid.crs, frame.crs)))


def shared_areas_m2(place: Place, overlaps: Polygons) -> float:
    """Ground covered by any of the polygons (pixels of the place's frame), square metres; square pixels
    without CRS.
    """
    if not len(overlaps):
        return 0.0
    parts = np.asarray(shapely.get_parts(shapely.union_all(overlaps)), dtype=object).reshape(-1)
    parts = parts[shapely.get_dimensions(parts) == 2]
    return float(place.frame.areas_m2(place.frame.geometries_to_map(parts)).sum()) if len(parts) else 0.0


def _inside(window: Window, grid: PixelGrid) -> tuple[int, int, int, int]:
    found = window.intersection(grid.window)
    assert found is not None, "a chip shares pixels with its scene"
    return found.box


def _neighbours(grids: Sequence[PixelGrid], reach_px: float) -> list[tuple[int, int]]:
    """Pairs of scenes nearer than `reach_px`, compared in the CRS of each."""
    pairs: list[tuple[int, int]] = []
    known = [crs for crs in dict.fromkeys(grid.crs for grid in grids) if crs is not None]
    for crs in known:
        members = [i for i, grid in enumerate(grids) if grid.crs is not None]
        outlines = np.array([_outline(grids[i], crs) for i in members], dtype=object)
        own = [place for place, i in enumerate(members) if grids[i].crs == crs]
        tree = shapely.STRtree(outlines)
        for place in own:
            grid = grids[members[place]]
            side = max(
                np.hypot(grid.transform.a, grid.transform.d), np.hypot(grid.transform.b, grid.transform.e)
            )
            near = tree.query(outlines[place], predicate="dwithin", distance=reach_px * side)
            pairs += [(members[place], members[int(other)]) for other in near if other != place]
    return sorted({(min(pair), max(pair)) for pair in pairs})


def _outline(grid: PixelGrid, crs: CRS) -> shapely.Geometry:
    outline = grid.footprint()
    if grid.crs is None or grid.crs == crs:
        return outline
    moved = _moved(
        np.array([shapely.segmentize(outline, shapely.length(outline) / (4 * _POINTS_A_SIDE))], dtype=object),
        grid.crs,
        crs,
    )[0]
    return (
        shapely.make_valid(moved) if np.isfinite(shapely.get_coordinates(moved)).all() else shapely.Polygon()
    )


def _moved(geometries: Polygons, source: CRS, target: CRS) -> Polygons:
    """Like `geometries.reproject`, but what has no place in the target CRS comes out infinite instead of as an
    error.
    """
    if source == target:
        return geometries
    transformer = Transformer.from_crs(source, target, always_xy=True)
    return np.asarray(
        shapely.transform(geometries, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))),
        dtype=object,
    )


def _rounded(geometries: Polygons) -> Polygons:
    return np.asarray(shapely.transform(geometries, lambda xy: np.round(xy, _DECIMALS)), dtype=object)


def _root(group: list[int], index: int) -> int:
    while group[index] != index:
        group[index] = group[group[index]]
        index = group[index]
    return index
