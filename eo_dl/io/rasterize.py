"""Polygons to pixels and back, in pixel coordinates: the only module that uses `rasterio.features`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import shapely
from rasterio import features

from ..core.arraytypes import AnyArray, BoolArray, GeometryArray, Int64Array, IntArray
from ..core.geometries import missing_or_empty
from .gdal import quietly

_WARM_UP = threading.Lock()
_warm = threading.Event()


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


def polygonize(array: AnyArray, valid: BoolArray | None = None) -> tuple[GeometryArray, Int64Array]:
    """Polygons around connected pixels of one value.

    4-connected, because 8-connected outlines of two diagonal pixels are not valid polygons.

    Args:
        array: (H, W) integer values.
        valid: (H, W) False for pixels that belong to no polygon.

    Returns:
        (N,) polygons in pixel coordinates, and their (N,) values.
    """
    _warm_up()
    if array.dtype not in (np.uint8, np.int16, np.uint16, np.int32):
        array = array.astype(np.int32)
    # rasterio silences its warning by swapping the filters of the whole process, so in one of two threads it
    # may still be shown.
    with quietly():
        shapes = list(features.shapes(np.ascontiguousarray(array), mask=valid, connectivity=4))
    polygons = np.empty(len(shapes), dtype=object)
    for index, (shape, _) in enumerate(shapes):
        polygons[index] = shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:])
    return polygons, np.array([int(value) for _, value in shapes], np.int64)


def _warm_up() -> None:
    """Run the first call alone: two first calls at once can deadlock (rasterio#3611, GDAL >= 3.11)."""
    if _warm.is_set():
        return
    with _WARM_UP:
        list(features.shapes(np.zeros((1, 1), np.uint8)))
        _warm.set()
