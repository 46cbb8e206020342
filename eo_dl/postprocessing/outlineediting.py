"""Outlines as a `Cleanup` wants them: simplified and rounded, or regular."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import Float64Array, GeometryArray, ObjectArray
from ..core.pixelgrid import PixelGrid
from .cleanup import Cleanup
from .regularoutlines import CIRCLE, KEPT, REGULAR, regular_outlines
from .smoothing import smoothed

OUTLINE_FIELD = "outline"
"""Attribute: what became of an outline that was to be made regular."""


@dataclass(frozen=True)
class EditedOutlines:
    """N outlines after editing."""

    polygons: GeometryArray
    """(N,) polygons."""
    status: ObjectArray | None = None
    """(N,) what became of each ("regular", "circle", "kept"); None where outlines were not made regular."""

    def notes(self, most_px: float | None) -> tuple[str, ...]:
        """How many outlines became regular."""
        if self.status is None:
            return ()
        counts = {kind: int((self.status == kind).sum()) for kind in (REGULAR, CIRCLE, KEPT)}
        return (
            f"outlines within {most_px:g} px of those found: {counts[REGULAR]} regular, "
            f"{counts[CIRCLE]} circles, {counts[KEPT]} kept as found",
        )


def edited_coverage(polygons: GeometryArray, cleanup: Cleanup) -> EditedOutlines:
    """Polygons of a class map with other outlines; neighbours still share their borders.

    Args:
        polygons: (N,) polygons whose corners are corners of pixels, in pixel coordinates.
        cleanup: What to do.

    Returns:
        The polygons. One that would vanish keeps its outline.
    """
    if not len(polygons):
        return EditedOutlines(polygons, _no_status(cleanup))
    # Borders are first split at every corner of a pixel: neighbours must have the same corners to be changed
    # alike.
    split = np.asarray(shapely.transform(shapely.segmentize(polygons, 1.0), np.rint), dtype=object)
    if cleanup.regularize_px:
        regular = regular_outlines(split, cleanup.regularize_px)
        return EditedOutlines(regular.polygons, regular.status)
    if cleanup.simplify_px:
        simple = np.asarray(shapely.coverage_simplify(split, cleanup.simplify_px), dtype=object)
        vanished = shapely.is_empty(simple)
        simple[vanished] = polygons[vanished]
        split = simple
    return EditedOutlines(smoothed(split, cleanup.smooth_px) if cleanup.smooth_px else split)


def _no_status(cleanup: Cleanup) -> ObjectArray | None:
    return np.empty(0, dtype=object) if cleanup.regularize_px else None


def edited_outlines(polygons: GeometryArray, cleanup: Cleanup) -> EditedOutlines:
    """Outlines of objects, each for itself: objects may overlap.

    Args:
        polygons: (N,) valid polygons in pixel coordinates.
        cleanup: What to do.

    Returns:
        The polygons. One that would vanish or fold keeps its outline.
    """
    if cleanup.regularize_px:
        regular = regular_outlines(polygons, cleanup.regularize_px)
        return EditedOutlines(regular.polygons, regular.status)
    edited = polygons
    if cleanup.simplify_px:
        simple = np.asarray(shapely.simplify(polygons, cleanup.simplify_px), dtype=object)
        usable = shapely.is_valid(simple) & ~shapely.is_empty(simple) & (shapely.get_type_id(simple) == 3)
        edited = np.where(usable, simple, polygons)
    if cleanup.smooth_px:
        # Apart from each other, so that one does not keep the corners of another that lies across it.
        edited = _smoothed_apart(edited, cleanup.smooth_px)
    return EditedOutlines(edited)


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


@dataclass(frozen=True)
class CleanedObjects:
    """Objects after cleaning."""

    objects: Objects
    """The objects that are left."""
    status: ObjectArray | None
    """See `EditedOutlines`."""
    notes: tuple[str, ...]
    """What was left out or changed."""


def cleaned_objects(objects: Objects, grid: PixelGrid, cleanup: Cleanup) -> CleanedObjects:
    """Objects of at least the least area, with the outlines that are wanted; boxes keep their form.

    Args:
        objects: Objects in pixels of `grid`.
        grid: Their frame.
        cleanup: What to do. What concerns the pixels of class maps only is named in a note.
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
    status = _no_status(cleanup)
    if objects.has_outlines:
        outlines = objects.polygons
        if cleanup.fill_holes_m2:
            outlines, filled = _filled(outlines, grid, cleanup.fill_holes_m2)
            notes.append(f"holes below `fill_holes_m2` that were filled: {filled}")
        edited = edited_outlines(outlines, cleanup)
        objects, status = replace(objects, polygons=edited.polygons), edited.status
        notes += edited.notes(cleanup.regularize_px)
    elif len(objects) and (cleanup.changes_outlines or cleanup.fill_holes_m2):
        notes.append("the objects are boxes, whose outlines and holes are not changed")
        status = np.full(len(objects), KEPT, dtype=object) if cleanup.regularize_px else None
    return CleanedObjects(objects, status, tuple(notes))


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
