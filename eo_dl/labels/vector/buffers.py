"""Points and lines as areas: a buffer in metres on the ground, whatever the CRS.

A buffer in map units would be wrong in degrees and twice too small in Web Mercator at 60 N. Points become
circles by the direct geodesic (Karney 2013, through PROJ). Lines are buffered in azimuthal equidistant
projections centred close by: a line is cut where it is long, so that no part is farther than some 30 km from
its centre, where distances are off by less than 1e-5.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer

from ...core.arraytypes import GeometryArray
from ...errors import LabelError

Coordinates = npt.NDArray[np.float64]

_CIRCLE_SIDES = 64
_CELL_DEG = 0.25
_STEP_DEG = 0.01
_MAX_PIECES = 100_000.0
_LIMIT_M = 100_000.0
_POINTS = frozenset({0, 4})
_LINES = frozenset({1, 2, 5})


def is_point_or_line(geometries: GeometryArray) -> npt.NDArray[np.bool_]:
    """(N,) True for points and lines, single or multiple."""
    return np.isin(shapely.get_type_id(geometries), list(_POINTS | _LINES))


def buffered(geometries: GeometryArray, crs: CRS, radius_m: float, source: str) -> GeometryArray:
    """Areas of all points within `radius_m` metres of points or lines, in the same CRS (lines have round
    ends).
    """
    if not 0 < radius_m <= _LIMIT_M:
        raise LabelError(
            f"{source}: a buffer must be above 0 and at most {_LIMIT_M:g} m, found {radius_m:g}; change `buffer_m`"
        )
    if crs.geodetic_crs is None:
        raise LabelError(
            f"{source}: a buffer in metres needs a CRS with a place on Earth, found '{crs.name}'; state the right one with `label_crs`"
        )
    out = np.empty(len(geometries), dtype=object)
    kinds = shapely.get_type_id(geometries)
    points = np.isin(kinds, list(_POINTS))
    if points.any():
        out[points] = _circles(geometries[points], crs, radius_m, source)
    for place in np.flatnonzero(~points):
        out[place] = _ribbon(geometries[place], crs, radius_m, source)
    return out


def _circles(points: GeometryArray, crs: CRS, radius_m: float, source: str) -> GeometryArray:
    """One circle a point; those of a multipoint are united."""
    single, owner = shapely.get_parts(points, return_index=True)
    xy = shapely.get_coordinates(single)
    lon, lat = _to_lonlat(crs, xy[:, 0], xy[:, 1], source)
    angles = np.linspace(0.0, 360.0, _CIRCLE_SIDES, endpoint=False)
    shape = (len(lon), _CIRCLE_SIDES)
    geod = crs.get_geod()
    assert geod is not None
    start_lon, start_lat, towards = (
        np.broadcast_to(value, shape).ravel() for value in (lon[:, None], lat[:, None], angles)
    )
    lon1, lat1, _ = geod.fwd(start_lon, start_lat, towards, np.full(towards.shape, radius_m))
    around = np.repeat(lon, _CIRCLE_SIDES)
    lon1 = around + (np.asarray(lon1) - around + 180.0) % 360.0 - 180.0
    x, y = _from_lonlat(crs, lon1, np.asarray(lat1), source)
    circles = np.asarray(
        shapely.polygons(np.stack([x, y], axis=-1).reshape(*shape, 2)), dtype=object
    ).reshape(-1)
    if len(single) == len(points):
        return circles
    return np.array(
        [shapely.union_all(circles[owner == place]) for place in range(len(points))], dtype=object
    )


def _ribbon(line: shapely.Geometry, crs: CRS, radius_m: float, source: str) -> shapely.Geometry:
    """The area around one line, put together from pieces that each lie in a small cell of longitude and
    latitude.
    """
    pieces: dict[tuple[int, int], list[shapely.Geometry]] = {}
    for part in shapely.get_parts(shapely.force_2d(line)):
        fine = _fine(part, crs, source)
        for first, second in itertools.pairwise(fine):
            cell = (int(np.floor(first[0] / _CELL_DEG)), int(np.floor(first[1] / _CELL_DEG)))
            pieces.setdefault(cell, []).append(shapely.LineString([first, second]))
    areas = []
    for cell, segments in pieces.items():
        to_plane, to_lonlat = _plane((cell[0] + 0.5) * _CELL_DEG, (cell[1] + 0.5) * _CELL_DEG, crs)
        flat = shapely.line_merge(
            shapely.multilinestrings([shapely.transform(s, _mover(to_plane)) for s in segments])
        )
        areas.append(
            shapely.transform(shapely.buffer(flat, radius_m, quad_segs=_CIRCLE_SIDES // 4), _mover(to_lonlat))
        )
    joined = shapely.union_all(areas)

    def to_map(coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(_from_lonlat(crs, coords[:, 0], coords[:, 1], source))

    return shapely.transform(joined, to_map)


def _fine(line: shapely.Geometry, crs: CRS, source: str) -> Coordinates:
    """Longitudes and latitudes along a line, so near each other that straight in the map and straight on the
    ground are the same to 3 cm.
    """
    xy = shapely.get_coordinates(line)
    rough = shapely.LineString(np.column_stack(_to_lonlat(crs, xy[:, 0], xy[:, 1], source)))
    pieces = min(max(1.0, rough.length / _STEP_DEG), _MAX_PIECES)
    if line.length > 0:
        xy = shapely.get_coordinates(shapely.segmentize(line, line.length / pieces))
    return np.column_stack(_to_lonlat(crs, xy[:, 0], xy[:, 1], source))


class _mover:
    """A transformer as `shapely.transform` wants it."""

    def __init__(self, transformer: Transformer) -> None:
        self._transformer = transformer

    def __call__(self, coords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(self._transformer.transform(coords[:, 0], coords[:, 1]))


@lru_cache(maxsize=256)
def _plane(lon: float, lat: float, crs: CRS) -> tuple[Transformer, Transformer]:
    geod = crs.get_geod()
    assert geod is not None and crs.geodetic_crs is not None
    lat = min(max(lat, -90.0), 90.0)
    plane = CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +a={geod.a} +b={geod.b} +units=m +type=crs")
    globe = CRS.from_proj4(f"+proj=longlat +a={geod.a} +b={geod.b} +type=crs")
    return Transformer.from_crs(globe, plane, always_xy=True), Transformer.from_crs(
        plane, globe, always_xy=True
    )


def _to_lonlat(crs: CRS, xs: Coordinates, ys: Coordinates, source: str) -> tuple[Coordinates, Coordinates]:
    """Degrees on the CRS's own datum (some geographic CRSs count in grads)."""
    lon, lat = _moved(_between(crs, False), xs, ys, source)
    return lon * _degrees(crs), lat * _degrees(crs)


def _from_lonlat(
    crs: CRS, lon: Coordinates, lat: Coordinates, source: str
) -> tuple[Coordinates, Coordinates]:
    return _moved(_between(crs, True), lon / _degrees(crs), lat / _degrees(crs), source)


@lru_cache(maxsize=16)
def _between(crs: CRS, to_map: bool) -> Transformer | None:
    """From the CRS to its geographic base, or back; None where it is its own."""
    base = crs.geodetic_crs
    assert base is not None
    if base == crs:
        return None
    return (
        Transformer.from_crs(base, crs, always_xy=True)
        if to_map
        else Transformer.from_crs(crs, base, always_xy=True)
    )


@lru_cache(maxsize=16)
def _degrees(crs: CRS) -> float:
    """Degrees in one unit of the geographic base; exactly 1 for nearly all."""
    assert crs.geodetic_crs is not None
    factor = math.degrees(crs.geodetic_crs.axis_info[0].unit_conversion_factor)
    return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-9) else factor


def _moved(
    transformer: Transformer | None, xs: Coordinates, ys: Coordinates, source: str
) -> tuple[Coordinates, Coordinates]:
    if transformer is None:
        return xs, ys
    x, y = transformer.transform(xs, ys)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise LabelError(
            f"{source}: points or lines lie outside the area of their CRS; check it and correct it with `label_crs`"
        )
    return np.asarray(x, np.float64), np.asarray(y, np.float64)
