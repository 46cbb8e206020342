"""Outlines as a `Cleanup` wants them: simplified, then rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import Float64Array, GeometryArray
from ..core.pixelgrid import PixelGrid
from .cleanup import Cleanup
from .smoothing import smoothed


def edited_coverage(polygons: GeometryArray, cleanup: Cleanup) -> GeometryArray:
    """Polygons of a class map with other outlines; neighbours still share their borders.

    Args:
        polygons: (N,) polygons whose corners are corners of pixels, in pixel coordinates.
        cleanup: What to do.

    Returns:
        (N,) polygons. One that would vanish keeps its outline.
    """
    if not len(polygons):
        return polygons
    # Borders are first split at every corner of a pixel: neighbours must have the same corners to be changed
    # alike.
    split = np.asarray(shapely.transform(shapely.segmentize(polygons, 1.0), np.rint), dtype=object)
    if cleanup.simplify_px:
        simple = np.asarray(shapely.coverage_simplify(split, cleanup.simplify_px), dtype=object)
        vanished = shapely.is_empty(simple)
        simple[vanished] = polygons[vanished]
        split = simple
    return smoothed(split, cleanup.smooth_px) if cleanup.smooth_px else split


def edited_outlines(polygons: GeometryArray, cleanup: Cleanup) -> GeometryArray:
    """Outlines of objects, each for itself: objects may overlap.

    Args:
        polygons: (N,) valid polygons in pixel coordinates.
        cleanup: What to do.

    Returns:
        (N,) polygons. One that would vanish or fold keeps its outline.
    """
    edited = polygons
    if cleanup.simplify_px:
        simple = np.asarray(shapely.simplify(polygons, cleanup.simplify_px), dtype=object)
        usable = shapely.is_valid(simple) & ~shapely.is_empty(simple) & (shapely.get_type_id(simple) == 3)
        edited = np.where(usable, simple, polygons)
    if cleanup.smooth_px:
        # Apart from each other, so that one does not keep the corners of another that lies across it.
        edited = _smoothed_apart(edited, cleanup.smooth_px)
    return edited


def _smoothed_apart(polygons: GeometryArray, most_px: float) -> GeometryArray:
    if not len(polygons):
        return polygons
    west, _, east, _ = shapely.bounds(polygons).T
    gaps = east - west + 4 * most_px
    moves = np.column_stack([np.cumsum(gaps) - gaps - west, np.zeros(len(polygons))])
    return _moved(smoothed(_moved(polygons, moves), most_px), -moves)


def _moved(polygons: GeometryArray, moves: Float64Array) -> GeometryArray:
    """Polygons moved by (N, 2) x and y each."""
    coordinates, polygon = shapely.get_coordinates(polygons, return_index=True)
    moved = shapely.set_coordinates(polygons.copy(), coordinates + moves[polygon])
    return np.asarray(moved, dtype=object)


def cleaned_objects(objects: Objects, grid: PixelGrid, cleanup: Cleanup) -> tuple[Objects, tuple[str, ...]]:
    """Objects of at least the least area, with the outlines that are wanted; boxes keep their form.

    Args:
        objects: Objects in pixels of `grid`.
        grid: Their frame.
        cleanup: What to do. What concerns the pixels of class maps only is named in a note.

    Returns:
        The objects, and notes.
    """
    notes = []
    if cleanup.min_area_m2 and len(objects):
        areas_m2 = grid.areas_m2(grid.geometries_to_map(objects.outlines()))
        large = areas_m2 >= cleanup.min_area_m2
        if not large.all():
            notes.append(f"objects below `min_area_m2` that were left out: {int((~large).sum())}")
        objects = objects.take(large)
    if cleanup.sieve_px:
        notes.append("`sieve_px` is for class maps and changed nothing; use `min_area_m2` for objects")
    if objects.has_outlines:
        outlines = objects.polygons
        if cleanup.fill_holes_m2:
            outlines, filled = _filled(outlines, grid, cleanup.fill_holes_m2)
            notes.append(f"holes below `fill_holes_m2` that were filled: {filled}")
        objects = replace(objects, polygons=edited_outlines(outlines, cleanup))
    elif len(objects) and (cleanup.changes_outlines or cleanup.fill_holes_m2):
        notes.append("the objects are boxes, whose outlines and holes are not changed")
    return objects, tuple(notes)


def _filled(polygons: GeometryArray, grid: PixelGrid, most_m2: float) -> tuple[GeometryArray, int]:
    """Polygons without the holes below an area, and the number of those."""
    rings, polygon = shapely.get_rings(polygons, return_index=True)
    is_hole = np.diff(polygon, prepend=-1) == 0
    as_polygons = np.asarray(shapely.polygons(rings), dtype=object)
    small = is_hole & (grid.areas_m2(grid.geometries_to_map(as_polygons)) < most_m2)
    kept_rings, kept_polygon = rings[~small], polygon[~small]
    shells = kept_rings[np.diff(kept_polygon, prepend=-1) > 0]
    holes: list[list[shapely.Geometry]] = [[] for _ in polygons]
    for ring, number in zip(kept_rings[is_hole[~small]], kept_polygon[is_hole[~small]].tolist(), strict=True):
        holes[number].append(ring)
    filled = [shapely.Polygon(shell, inner) for shell, inner in zip(shells, holes, strict=True)]
    return np.asarray(filled, dtype=object), int(small.sum())
