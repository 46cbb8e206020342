"""Arrays of shapely geometries: which hold nothing, and the same shapes moved, scaled or in another CRS."""

from __future__ import annotations

import logging
from typing import TypeVar

import numpy as np
import shapely
from pyproj import CRS, Transformer

from ..errors import LabelError
from .arraytypes import BoolArray, Float64Array, GeometryArray
from .datumshift import RoughShift, lonlat_area, rough_shift

log = logging.getLogger(__name__)
_warned: set[tuple[str, RoughShift]] = set()

# One geometry or an array of them: what goes in comes out.
Shapes = TypeVar("Shapes", bound="shapely.Geometry | GeometryArray")


def missing_or_empty(geometries: GeometryArray) -> BoolArray:
    """(N,) True for None and for geometries without a point."""
    return np.asarray(shapely.is_missing(geometries) | shapely.is_empty(geometries), np.bool_)


def shifted(geometries: Shapes, cols: float, rows: float) -> Shapes:
    """Geometries moved by a number of columns and rows (x and y)."""
    moved: Shapes = shapely.transform(geometries, lambda xy: np.add(xy, (cols, rows)))
    return moved


def scaled(geometries: Shapes, cols: float, rows: float) -> Shapes:
    """Geometries with their columns and rows (x and y) multiplied by a factor each."""
    resized: Shapes = shapely.transform(geometries, lambda xy: np.multiply(xy, (cols, rows)))
    return resized


def polygons_in(geometry: shapely.Geometry) -> GeometryArray:
    """(N,) the polygons of a polygon, multipolygon or collection; parts without area are left out."""
    parts = np.asarray(shapely.get_parts(geometry), dtype=object).reshape(-1)
    return np.asarray(parts[~shapely.is_empty(parts) & (shapely.get_dimensions(parts) == 2)], dtype=object)


def reproject(geometries: GeometryArray, source: CRS, target: CRS, name: str) -> GeometryArray:
    """Geometries in another CRS, vertex by vertex; the argument itself where both CRS are the same.

    A change of datum that PROJ can only make roughly is logged as a warning, once per file.

    Args:
        geometries: (N,) in map coordinates (x, y) of `source`; heights are dropped.
        source: CRS of the geometries.
        target: CRS of the result.
        name: File that the geometries come from, for the message.

    Raises:
        LabelError: A vertex has no finite coordinates in `target`.
    """
    if source == target:
        return geometries
    transformer = Transformer.from_crs(source, target, always_xy=True)
    _warn_of_rough_shift(geometries, source, target, name)

    def move(coordinates: Float64Array) -> Float64Array:
        moved = np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))
        impossible = ~np.isfinite(moved).all(axis=1)
        if impossible.any():
            x, y = coordinates[impossible][0]
            raise LabelError(
                f"{name}: the point ({x:g}, {y:g}) cannot be transformed from '{source.name}' to "
                f"'{target.name}'; check the CRS of the labels"
            )
        return moved

    return np.asarray(shapely.transform(shapely.force_2d(geometries), move), dtype=object)


def _warn_of_rough_shift(geometries: GeometryArray, source: CRS, target: CRS, name: str) -> None:
    west, south, east, north = shapely.total_bounds(geometries)
    if not np.isfinite([west, south, east, north]).all():
        return
    corners = np.array([(west, south), (west, north), (east, south), (east, north)])
    shift = rough_shift(source, target, lonlat_area(corners, source))
    if shift is not None and (name, shift) not in _warned:
        _warned.add((name, shift))
        log.warning("%s: %s", name, shift.describe(source, target, None))
