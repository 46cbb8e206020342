"""Outlines as formats can hold them: parts, rings, boxes and turned boxes. What is lost on the way is
counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ...core.arraytypes import BoolArray, Float64Array
from ...core.geometries import polygons_in
from ...io.rasterize import burn
from .annotations import LabelledImage, Losses

_SAME_SHARE = 1e-9  # areas that differ by less of themselves are the same
_FARTHEST_PX = 1e12


def has_holes(outline: shapely.Geometry) -> bool:
    """Whether any part has a hole."""
    return any(len(part.interiors) for part in polygons_in(outline))


def open_ring(part: shapely.Polygon) -> Float64Array:
    """(N, 2) the corners of the outer ring, without repeating the first one at the end."""
    return np.asarray(shapely.get_coordinates(part.exterior)[:-1], np.float64)


def filled_rings(outline: shapely.Geometry, losses: Losses) -> list[Float64Array]:
    """(N, 2) the outer ring of each part. Holes are filled and counted."""
    losses.count("objects with holes: filled, since the format has none", int(has_holes(outline)))
    return [open_ring(part) for part in polygons_in(outline)]


def box_of(outline: shapely.Geometry, losses: Losses) -> tuple[float, float, float, float]:
    """The bounding box (col0, row0, col1, row1). Outlines that are not boxes are counted."""
    losses.count("outlines became the boxes around them", int(not is_box(outline)))
    col0, row0, col1, row1 = (float(side) for side in shapely.bounds(outline))
    return col0, row0, col1, row1


def is_box(outline: shapely.Geometry) -> bool:
    """Whether an outline is an upright rectangle."""
    parts = polygons_in(outline)
    if len(parts) != 1 or len(parts[0].interiors):
        return False
    frame = shapely.box(*outline.bounds)
    return bool(abs(frame.area - outline.area) <= _SAME_SHARE * frame.area)


def four_corners(outline: shapely.Geometry, losses: Losses) -> Float64Array:
    """(4, 2) the corners of a quadrilateral; of others, which are counted, the smallest turned box."""
    parts = polygons_in(outline)
    if len(parts) == 1 and not len(parts[0].interiors):
        ring = open_ring(parts[0])
        if len(ring) == 4:
            return ring
    losses.count("outlines became the smallest turned boxes around them")
    turned = shapely.minimum_rotated_rectangle(outline)
    if turned.geom_type == "Polygon" and turned.area > 0:
        return open_ring(turned)
    return open_ring(shapely.box(*outline.bounds))


def ring_polygon(points: Sequence[Sequence[float]] | Float64Array) -> shapely.Geometry:
    """The polygon of a ring of (x, y) pairs; empty for fewer than three corners.

    Raises:
        ValueError: A coordinate is not finite, or beyond any image.
    """
    ring = np.asarray(points, np.float64).reshape(-1, 2)
    check_coordinates(ring)
    return shapely.Polygon(ring) if len(ring) >= 3 else shapely.Polygon()


def edges_polygon(col0: float, row0: float, col1: float, row1: float) -> shapely.Geometry:
    """The rectangle between two opposite corners; empty if it has no area.

    Raises:
        ValueError: A coordinate is not finite, or beyond any image.
    """
    check_coordinates([col0, row0, col1, row1])
    low = min(col0, col1), min(row0, row1)
    high = max(col0, col1), max(row0, row1)
    has_area = high[0] > low[0] and high[1] > low[1]
    return shapely.box(*low, *high) if has_area else shapely.Polygon()


def check_coordinates(values: Sequence[float] | Float64Array) -> None:
    """Refuse coordinates that no image has.

    Raises:
        ValueError: A value is not finite, or beyond any image.
    """
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > _FARTHEST_PX:
        raise ValueError("a coordinate is not a pixel position")


def joined(parts: Sequence[shapely.Geometry]) -> shapely.Geometry:
    """Parts of one object as one outline; parts that overlap are merged."""
    solid = [part for part in parts if not part.is_empty]
    if not solid:
        return shapely.Polygon()
    if len(solid) == 1:
        return solid[0]
    polygons: list[shapely.Polygon] = []
    for part in solid:
        polygons.extend(polygons_in(part))
    outline = shapely.multipolygons(polygons)
    if outline.is_valid:
        return outline
    return shapely.union_all(shapely.make_valid(solid, method="structure", keep_collapsed=False))


@dataclass(frozen=True)
class CutMask:
    """The pixels of an object inside the rectangle around them."""

    pixels: BoolArray
    """(H, W) where the object is."""

    row: int
    """Row of the image in which the rectangle begins."""

    col: int
    """Column of the image in which the rectangle begins."""


def cut_mask(outline: shapely.Geometry, image: LabelledImage) -> CutMask:
    """The pixels of an image whose centres are in an outline; one pixel if it holds no centre."""
    mask = burn([outline], [1], image.height, image.width) == 1
    if not mask.any():
        col, row, *_ = (int(side) for side in outline.bounds)
        mask[min(max(row, 0), image.height - 1), min(max(col, 0), image.width - 1)] = True
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    pixels = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    return CutMask(pixels, int(rows[0]), int(cols[0]))
