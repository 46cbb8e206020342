"""Areas of many polygons on the ground, without a Python step per polygon."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import shapely
from pyproj import Geod, Proj

from .arraytypes import Float64Array, GeometryArray, Int64Array
from .ringtable import RingTable

ToDegrees = Callable[[Float64Array, Float64Array], tuple[Float64Array, Float64Array]]

MOST_ERROR = 1e-5
"""Bound of the relative difference between an area here and the geodesic one."""

_FARTHEST_RAD = 0.5  # up to here the bound of the error was measured
_CENTRE_SAMPLE = 1000


def ground_areas(polygons: GeometryArray, geod: Geod, to_degrees: ToDegrees) -> Float64Array:
    """Areas of polygons on an ellipsoid, square metres.

    From a Lambert azimuthal equal-area projection centred on the polygons. It distorts no area, but bends
    edges, which are geodesics on the ground. At the angular distance r from its centre, a geodesic has at
    most the curvature (r + 0.005) / R, where R is the radius of the Earth (measured: 0.76 r / R on a sphere,
    0.003 / R more on the ellipsoid). So an edge of length s encloses at most s³ (r + 0.005) / (12 R) with its
    chord. Where that could exceed `MOST_ERROR` of a polygon, its area is computed geodesically (Karney 2013,
    through PROJ).

    Args:
        polygons: (N,) polygons and multipolygons; other and empty geometries have no area.
        geod: The ellipsoid.
        to_degrees: Longitudes and latitudes of the coordinates x and y of the polygons.

    Returns:
        (N,) areas.
    """
    rings = RingTable.of(polygons)
    coordinates = rings.coordinates
    if not len(coordinates):
        return np.zeros(len(polygons))
    degrees = np.column_stack(to_degrees(coordinates[:, 0], coordinates[:, 1]))
    lon0, lat0 = _centre(degrees)
    projection = Proj(proj="laea", lon_0=lon0, lat_0=lat0, a=geod.a, rf=1 / geod.f if geod.f else 0)
    xy = np.column_stack(projection(degrees[:, 0], degrees[:, 1]))
    xy[~np.isfinite(xy)] = np.nan  # at the other side of the Earth
    ring_areas, ring_errors = _ring_areas(xy, rings.first_vertex, geod.a)

    count = len(polygons)
    signed = np.where(rings.is_hole, -ring_areas, ring_areas)
    areas = np.bincount(rings.polygon_of_ring, signed, minlength=count)
    errors = np.bincount(rings.polygon_of_ring, ring_errors, minlength=count)
    # Also true for NaN, which far vertices have.
    for index in np.flatnonzero(~(errors <= MOST_ERROR * np.abs(areas))).tolist():
        in_degrees = shapely.transform(polygons[index], lambda xy: np.column_stack(to_degrees(*xy.T)))
        areas[index] = _geodesic_area(in_degrees, geod)
    return np.asarray(areas, np.float64)


def _centre(degrees: Float64Array) -> tuple[float, float]:
    """Longitude and latitude in the middle of points, wherever the antimeridian is."""
    lon, lat = np.radians(degrees[:: max(1, len(degrees) // _CENTRE_SAMPLE)]).T
    x, y, z = (np.cos(lat) * np.cos(lon)).mean(), (np.cos(lat) * np.sin(lon)).mean(), np.sin(lat).mean()
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def _ring_areas(
    xy: Float64Array, first_vertex: Int64Array, radius: float
) -> tuple[Float64Array, Float64Array]:
    """Area of closed rings in the projection, and the bound of its difference to the geodesic area."""
    last_vertex = np.append(first_vertex[1:], len(xy)) - 1
    start, end = xy[:-1], xy[1:]
    # From the first vertex of the ring, because products of large coordinates cancel.
    origin = np.repeat(xy[first_vertex], last_vertex - first_vertex + 1, axis=0)[:-1]
    twice = (start[:, 0] - origin[:, 0]) * (end[:, 1] - origin[:, 1])
    twice -= (end[:, 0] - origin[:, 0]) * (start[:, 1] - origin[:, 1])
    # The chord of r / R radians is slightly shorter than the arc; the 0.005 are more than that.
    far = np.maximum(np.hypot(*start.T), np.hypot(*end.T)) / radius
    length = np.hypot(*(end - start).T)
    error = length**3 * (far + 0.005) / (12 * radius)
    error[~(far <= _FARTHEST_RAD)] = np.inf
    between_rings = last_vertex[:-1]
    twice[between_rings] = error[between_rings] = 0
    areas = np.abs(np.add.reduceat(twice, first_vertex)) / 2
    return areas, np.add.reduceat(error, first_vertex)


def _geodesic_area(geometry: shapely.Geometry, geod: Geod) -> float:
    """Area of one geometry, with outer rings counter-clockwise and holes clockwise as `geod` expects."""
    oriented = shapely.orient_polygons(geometry)
    return abs(float(geod.geometry_area_perimeter(oriented)[0]))
