"""Polygons to pixels, in pixel coordinates: the only module that uses `rasterio.features`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import shapely
from rasterio import features

from ..core.arraytypes import AnyArray, GeometryArray, IntArray
from ..core.geometries import missing_or_empty
from .gdal import quietly


def burn(
    geometries: GeometryArray | Sequence[shapely.Geometry],
    values: IntArray | Sequence[int],
    height: int,
    width: int,
    *,
    fill: int = 0,
    dtype: str = "uint8",
    all_touched: bool = False,
) -> AnyArray:
    """Rasterize geometries.

    Args:
        geometries: Geometries in pixel coordinates; (0, 0) is the outer corner of the first pixel. Empty ones
            and None burn nothing.
        values: A value per geometry. Later geometries overwrite earlier ones.
        height: Rows of the result.
        width: Columns of the result.
        fill: Value of all other pixels.
        dtype: Data type of the result.
        all_touched: Burn every pixel that a geometry touches, instead of those whose centre it contains.

    Returns:
        (height, width) array.
    """
    clipped = _clipped(np.asarray(geometries, dtype=object).reshape(-1), height, width)
    shapes = list(_shapes(clipped, np.asarray(values).tolist()))
    if not shapes:
        return np.full((height, width), fill, dtype)
    with quietly():
        out: AnyArray = features.rasterize(
            shapes, out_shape=(height, width), fill=fill, dtype=dtype, all_touched=all_touched
        )
    return out


def _shapes(
    geometries: GeometryArray, values: list[int]
) -> Iterator[tuple[dict[str, object] | shapely.Geometry, int]]:
    """The (geometry, value) pairs that rasterio burns.

    Polygons without holes come as GeoJSON dictionaries, which rasterio would make itself, ten times slower.
    """
    present = ~missing_or_empty(geometries)
    is_polygon = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
    simple = present & is_polygon & (shapely.get_num_interior_rings(geometries) == 0)
    coordinates, owner = shapely.get_coordinates(geometries[simple], return_index=True)
    points = [tuple(point) for point in coordinates.tolist()]
    stops = np.flatnonzero(np.diff(owner, append=-1)) + 1
    ring_ranges = pairwise([0, *stops.tolist()])
    for index in np.flatnonzero(present).tolist():
        if simple[index]:
            start, stop = next(ring_ranges)
            yield {"type": "Polygon", "coordinates": [points[start:stop]]}, values[index]
        else:
            yield geometries[index], values[index]


def _clipped(geometries: GeometryArray, height: int, width: int) -> GeometryArray:
    """The geometries, polygons clipped to slightly more than the raster.

    rasterio turns every vertex into Python numbers under a lock, 20 ms for a large polygon.
    """
    bounds = shapely.bounds(geometries)
    far = (bounds[:, 0] < -2) | (bounds[:, 1] < -2) | (bounds[:, 2] > width + 2) | (bounds[:, 3] > height + 2)
    types = shapely.get_type_id(geometries)
    far &= (types == shapely.GeometryType.POLYGON) | (types == shapely.GeometryType.MULTIPOLYGON)
    if not far.any():
        return geometries
    frame = shapely.box(-1, -1, width + 1, height + 1)
    clipped = np.asarray(shapely.intersection(geometries[far], frame), dtype=object)
    # A polygon that only touches the frame leaves a line or a point, which must not be burnt.
    has_lines = shapely.get_dimensions(clipped) < 2
    has_lines |= shapely.get_type_id(clipped) == shapely.GeometryType.GEOMETRYCOLLECTION
    for index in np.flatnonzero(has_lines):
        parts = shapely.get_parts(clipped[index])
        clipped[index] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    out = geometries.copy()
    out[far] = clipped
    return out
