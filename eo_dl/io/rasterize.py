"""Polygons to pixels and back, in pixel coordinates: the only users of `rasterio.features`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from rasterio import features

from ..core.arraytypes import AnyArray, BoolArray, GeometryArray, Int64Array, IntArray
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
    """(H, W) array with each geometry's value in the pixels whose centre it holds; later ones win.

    Geometries are in pixel coordinates, (0, 0) being the outer corner of the first pixel; empty ones and None
    burn nothing. `all_touched`: every pixel that a geometry touches.
    """
    inside = _cut(np.asarray(geometries, dtype=object).reshape(-1), height, width)
    shapes = list(_shapes(inside, np.asarray(values).tolist()))
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
    """What rasterio burns: geometries with their values, simple polygons as the dictionaries that it would
    make of them ten times slower.
    """
    there = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    simple = (
        there & (shapely.get_type_id(geometries) == 3) & (shapely.get_num_interior_rings(geometries) == 0)
    )
    xy, owner = shapely.get_coordinates(geometries[simple], return_index=True)
    points = [tuple(point) for point in xy.tolist()]
    ends = np.flatnonzero(np.diff(owner, append=-1)) + 1
    outlines = iter(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))
    for place in np.flatnonzero(there).tolist():
        if simple[place]:
            first, end = next(outlines)
            yield {"type": "Polygon", "coordinates": [points[first:end]]}, values[place]
        else:
            yield geometries[place], values[place]


def _cut(geometries: GeometryArray, height: int, width: int) -> GeometryArray:
    """Polygons cut to a little more than the raster: rasterio turns every vertex into Python numbers, 20 ms
    for a large one, under the lock.
    """
    bounds = shapely.bounds(geometries)
    far = (bounds[:, 0] < -2) | (bounds[:, 1] < -2) | (bounds[:, 2] > width + 2) | (bounds[:, 3] > height + 2)
    far &= (shapely.get_type_id(geometries) == 3) | (shapely.get_type_id(geometries) == 6)
    if not far.any():
        return geometries
    cut = np.asarray(
        shapely.intersection(geometries[far], shapely.box(-1, -1, width + 1, height + 1)), dtype=object
    )
    mixed = shapely.get_dimensions(cut) < 2
    mixed |= shapely.get_type_id(cut) == 7
    # a polygon that only touches leaves a line or a point, which would be burnt
    for place in np.flatnonzero(mixed):
        parts = shapely.get_parts(cut[place])
        cut[place] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    out = geometries.copy()
    out[far] = cut
    return out


def polygonize(array: AnyArray, valid: BoolArray | None = None) -> tuple[GeometryArray, Int64Array]:
    """Polygons (N,) around connected pixels of one value in an (H, W) array, and their values (N,).

    In pixel coordinates; 4-connected, because 8-connected outlines of two diagonal pixels are not valid
    polygons. Pixels that are not `valid` belong to none.
    """
    _warm_up()
    source = array if array.dtype in (np.uint8, np.int16, np.uint16, np.int32) else array.astype(np.int32)
    # rasterio means to, but swaps the filters of the whole process for it: of two threads one may still be
    # warned
    with quietly():
        found = list(features.shapes(np.ascontiguousarray(source), mask=valid, connectivity=4))
    polygons = np.empty(len(found), dtype=object)
    for place, (shape, _) in enumerate(found):
        polygons[place] = shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:])
    return polygons, np.array([int(value) for _, value in found], np.int64)


def _warm_up() -> None:
    """Make the first call from one thread alone: two first calls at once can deadlock (rasterio#3611, GDAL >=
    3.11).
    """
    if _warm.is_set():
        return
    with _WARM_UP:
        list(features.shapes(np.zeros((1, 1), np.uint8)))
        _warm.set()
