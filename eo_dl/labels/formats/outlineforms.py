"""Outlines as formats can hold them: parts, rings, boxes and turned boxes; what is lost on the way is
counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from .annotations import Losses

Ring = npt.NDArray[np.float64]

_SAME = 1e-9


def polygon_parts(outline: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons of an outline, in order."""
    return [part for part in shapely.get_parts(outline) if part.geom_type == "Polygon" and not part.is_empty]


def has_holes(outline: shapely.Geometry) -> bool:
    """True where any part has a hole."""
    return any(len(part.interiors) for part in polygon_parts(outline))


def open_ring(part: shapely.Polygon) -> Ring:
    """(N, 2) the outer ring without its closing point."""
    return np.asarray(shapely.get_coordinates(part.exterior)[:-1], np.float64)


def filled_rings(outline: shapely.Geometry, losses: Losses) -> list[Ring]:
    """The outer ring of each part; holes are filled and counted."""
    losses.count("objects with holes: filled, since the format has none", int(has_holes(outline)))
    return [open_ring(part) for part in polygon_parts(outline)]


def box_of(outline: shapely.Geometry, losses: Losses) -> tuple[float, float, float, float]:
    """(col0, row0, col1, row1) around an outline; counted where the outline is something else."""
    bounds = shapely.bounds(outline)
    col0, row0, col1, row1 = (float(value) for value in bounds)
    losses.count("outlines became the boxes around them", int(not is_box(outline)))
    return col0, row0, col1, row1


def is_box(outline: shapely.Geometry) -> bool:
    """True for an upright rectangle."""
    parts = polygon_parts(outline)
    if len(parts) != 1 or len(parts[0].interiors):
        return False
    frame = shapely.box(*outline.bounds)
    return bool(abs(frame.area - outline.area) <= _SAME * frame.area)


def four_corners(outline: shapely.Geometry, losses: Losses) -> Ring:
    """(4, 2) the corners of an outline that has four, else of the smallest turned box around it, which is
    counted.
    """
    parts = polygon_parts(outline)
    if len(parts) == 1 and not len(parts[0].interiors):
        ring = open_ring(parts[0])
        if len(ring) == 4:
            return ring
    losses.count("outlines became the smallest turned boxes around them")
    turned = shapely.minimum_rotated_rectangle(outline)
    return open_ring(
        turned if turned.geom_type == "Polygon" and turned.area > 0 else shapely.box(*outline.bounds)
    )


def ring_polygon(points: Sequence[Sequence[float]] | Ring) -> shapely.Geometry:
    """The polygon of a ring, empty for fewer than three points. Raises ValueError for numbers that are not
    finite or absurd.
    """
    ring = np.asarray(points, np.float64).reshape(-1, 2)
    if not np.isfinite(ring).all() or np.abs(ring).max(initial=0.0) > 1e12:
        raise ValueError("it has a coordinate that is no finite pixel")
    return shapely.Polygon(ring) if len(ring) >= 3 else shapely.Polygon()


def edges_polygon(col0: float, row0: float, col1: float, row1: float) -> shapely.Geometry:
    """The rectangle of four edges, whichever way round; empty without area. Raises ValueError for numbers
    that are not finite.
    """
    if not np.isfinite([col0, row0, col1, row1]).all() or max(map(abs, (col0, row0, col1, row1))) > 1e12:
        raise ValueError("it has a coordinate that is no finite pixel")
    low, high = (min(col0, col1), min(row0, row1)), (max(col0, col1), max(row0, row1))
    return shapely.box(*low, *high) if high[0] > low[0] and high[1] > low[1] else shapely.Polygon()


def joined(parts: Sequence[shapely.Geometry]) -> shapely.Geometry:
    """Parts of one object as one outline: as they are where they lie apart, merged where they share ground."""
    solid = [part for part in parts if not part.is_empty]
    if len(solid) < 2:
        return solid[0] if solid else shapely.Polygon()
    together = shapely.multipolygons([piece for part in solid for piece in polygon_parts(part)])
    return (
        together
        if together.is_valid
        else shapely.union_all(
            [shapely.make_valid(part, method="structure", keep_collapsed=False) for part in solid]
        )
    )
