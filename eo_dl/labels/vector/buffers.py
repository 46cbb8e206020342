"""Points and lines as areas: a buffer in metres on the ground, whatever the CRS.

A buffer in map units would be wrong in degrees, and half as wide as it should be in Web Mercator at 60 N.
Points become circles by the direct geodesic (Karney 2013, through PROJ). Lines are buffered in azimuthal
equidistant projections: a line is cut where it is long, so that no part is farther than some 30 km from the
centre of its projection, where distances are off by less than 1e-5.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import shapely
from pyproj import CRS, Geod, Transformer

from ...core.arraytypes import BoolArray, Float64Array, GeometryArray
from ...errors import LabelError

_CIRCLE_SIDES = 64
_CELL_DEG = 0.25
"""Side of the cells of longitude and latitude that have a projection each."""
_STEP_DEG = 0.01
_MOST_PIECES = 100_000.0
_LARGEST_M = 100_000.0
_POINTS = [shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT]
_LINES = [
    shapely.GeometryType.LINESTRING,
    shapely.GeometryType.LINEARRING,
    shapely.GeometryType.MULTILINESTRING,
]


def is_point_or_line(geometries: GeometryArray) -> BoolArray:
    """(N,) True for points and lines, single or multiple."""
    return np.isin(shapely.get_type_id(geometries), [*_POINTS, *_LINES])


def buffered(geometries: GeometryArray, crs: CRS, radius_m: float, source: str) -> GeometryArray:
    """The ground within a distance of points or lines, in the same CRS; lines get round ends.

    Args:
        geometries: (N,) points and lines, single or multiple.
        crs: Their CRS.
        radius_m: The distance, metres on the ground, above 0 and at most 100 km.
        source: The file, for messages.

    Raises:
        LabelError: The radius is out of range, or the CRS has no geographic base.
    """
    if not 0 < radius_m <= _LARGEST_M:
        raise LabelError(
            f"{source}: expected a buffer above 0 and at most {_LARGEST_M:g} m, found {radius_m:g}; change "
            "`buffer_m`"
        )
    if crs.geodetic_crs is None:
        raise LabelError(
            f"{source}: a buffer in metres needs a CRS with a position on Earth, found '{crs.name}'; state "
            "the right one with `label_crs`"
        )
    globe = _Globe(crs, source)
    areas = np.empty(len(geometries), dtype=object)
    is_point = np.isin(shapely.get_type_id(geometries), _POINTS)
    if is_point.any():
        areas[is_point] = _circles(geometries[is_point], globe, radius_m)
    for number in np.flatnonzero(~is_point):
        areas[number] = _ribbon(geometries[number], globe, radius_m)
    return areas


class _Globe:
    """Map coordinates of a CRS as degrees on its own datum, and back."""

    def __init__(self, crs: CRS, source: str) -> None:
        self.crs, self._source = crs, source
        self.geod: Geod = _geod_of(crs)

    def to_lonlat(self, map_points: Float64Array) -> Float64Array:
        """(N, 2) longitude and latitude of (x, y), degrees; some geographic CRSs count in grads."""
        return self._transformed(map_points, to_map=False) * _degrees_per_unit(self.crs)

    def to_map(self, lonlat: Float64Array) -> Float64Array:
        """(N, 2) map coordinates (x, y) of longitude and latitude."""
        return self._transformed(lonlat / _degrees_per_unit(self.crs), to_map=True)

    def _transformed(self, points: Float64Array, to_map: bool) -> Float64Array:
        transformer = _base_transformer(self.crs, to_map)
        if transformer is None:
            return points
        transformed = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
        if not np.isfinite(transformed).all():
            raise LabelError(
                f"{self._source}: points or lines lie outside the area of their CRS; check it and correct it "
                "with `label_crs`"
            )
        return transformed


def _circles(points: GeometryArray, globe: _Globe, radius_m: float) -> GeometryArray:
    """One circle per point; those of a multipoint are united."""
    single, owner = shapely.get_parts(points, return_index=True)
    centres = globe.to_lonlat(shapely.get_coordinates(single))
    count = len(centres) * _CIRCLE_SIDES
    lon, lat = (np.repeat(column, _CIRCLE_SIDES) for column in centres.T)
    azimuths = np.tile(np.linspace(0.0, 360.0, _CIRCLE_SIDES, endpoint=False), len(centres))
    ring_lon, ring_lat, _ = globe.geod.fwd(lon, lat, azimuths, np.full(count, radius_m))
    # Longitudes near those of the centre, so that a circle over the antimeridian stays in one piece.
    ring_lon = lon + (np.asarray(ring_lon) - lon + 180.0) % 360.0 - 180.0
    rings = globe.to_map(np.column_stack([ring_lon, ring_lat])).reshape(-1, _CIRCLE_SIDES, 2)
    circles = np.asarray(shapely.polygons(rings), dtype=object).reshape(-1)
    if len(single) == len(points):
        return circles
    return np.array(
        [shapely.union_all(circles[owner == number]) for number in range(len(points))], dtype=object
    )


def _ribbon(line: shapely.Geometry, globe: _Globe, radius_m: float) -> shapely.Geometry:
    """The area around one line, merged from pieces that lie in one cell of longitude and latitude each."""
    segments_of: dict[tuple[int, int], list[shapely.Geometry]] = {}
    for part in shapely.get_parts(shapely.force_2d(line)):
        for start, end in itertools.pairwise(_densified(part, globe)):
            cell = (math.floor(start[0] / _CELL_DEG), math.floor(start[1] / _CELL_DEG))
            segments_of.setdefault(cell, []).append(shapely.LineString([start, end]))
    areas = []
    for (col, row), segments in segments_of.items():
        projection = _Projection((col + 0.5) * _CELL_DEG, (row + 0.5) * _CELL_DEG, globe.crs)
        lines = shapely.line_merge(shapely.multilinestrings(segments))
        flat = shapely.transform(lines, projection.to_plane)
        area = shapely.buffer(flat, radius_m, quad_segs=_CIRCLE_SIDES // 4)
        areas.append(shapely.transform(area, projection.to_lonlat))
    return shapely.transform(shapely.union_all(areas), globe.to_map)


def _densified(line: shapely.Geometry, globe: _Globe) -> Float64Array:
    """(N, 2) longitude and latitude along a line.

    Points are so near each other that straight on the map and straight on the ground are the same to 3 cm.
    """
    lonlat = shapely.LineString(globe.to_lonlat(shapely.get_coordinates(line)))
    pieces = min(max(1.0, lonlat.length / _STEP_DEG), _MOST_PIECES)
    if line.length > 0:
        line = shapely.segmentize(line, line.length / pieces)
    return globe.to_lonlat(shapely.get_coordinates(line))


class _Projection:
    """An azimuthal equidistant projection around a point: distances from it are metres on the ground."""

    def __init__(self, lon: float, lat: float, crs: CRS) -> None:
        self._to_plane, self._to_lonlat = _plane_transformers(lon, lat, crs)

    def to_plane(self, lonlat: Float64Array) -> Float64Array:
        """(N, 2) metres in the plane."""
        return np.column_stack(self._to_plane.transform(lonlat[:, 0], lonlat[:, 1]))

    def to_lonlat(self, plane: Float64Array) -> Float64Array:
        """(N, 2) longitude and latitude."""
        return np.column_stack(self._to_lonlat.transform(plane[:, 0], plane[:, 1]))


@lru_cache(maxsize=256)
def _plane_transformers(lon: float, lat: float, crs: CRS) -> tuple[Transformer, Transformer]:
    geod = _geod_of(crs)
    lat = min(max(lat, -90.0), 90.0)
    plane = CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +a={geod.a} +b={geod.b} +units=m +type=crs")
    lonlat = CRS.from_proj4(f"+proj=longlat +a={geod.a} +b={geod.b} +type=crs")
    return (
        Transformer.from_crs(lonlat, plane, always_xy=True),
        Transformer.from_crs(plane, lonlat, always_xy=True),
    )


@lru_cache(maxsize=16)
def _base_transformer(crs: CRS, to_map: bool) -> Transformer | None:
    """From a CRS to its geographic base, or back; None where it is its own."""
    base = crs.geodetic_crs
    if base is None or base == crs:
        return None
    if to_map:
        return Transformer.from_crs(base, crs, always_xy=True)
    return Transformer.from_crs(crs, base, always_xy=True)


@lru_cache(maxsize=16)
def _degrees_per_unit(crs: CRS) -> float:
    """Degrees in one unit of the geographic base; exactly 1 for nearly all."""
    base = crs.geodetic_crs or crs
    factor = math.degrees(base.axis_info[0].unit_conversion_factor)
    return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-9) else factor


def _geod_of(crs: CRS) -> Geod:
    return crs.get_geod() or Geod(ellps="WGS84")
