"""`PixelGrid`: georeference and size of a raster (CRS + transform + height + width).

Map coordinates are always (x, y) in the order of the CRS's *traditional GIS* axes (`always_xy`),
pixel coordinates are (col, row) with (0, 0) at the outer corner of the first pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer
from shapely.geometry import Polygon

from ..errors import GridError
from .arraytypes import Float64Array, GeometryArray
from .groundareas import ground_areas
from .window import Window

# Global rasters may reach a little beyond the poles, and several times around.
_MOST_LAT_DEG, _MOST_LON_DEG = 91.0, 720.0


def apply_affine(
    transform: Affine, xs: npt.ArrayLike, ys: npt.ArrayLike
) -> tuple[Float64Array, Float64Array]:
    """Coordinates transformed as float64 arrays; `Affine` itself transforms one point at a time."""
    x, y = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def map_coordinates(geometries: GeometryArray, transform: Affine) -> GeometryArray:
    """Shapely geometries with `transform` applied to every vertex (Z dropped)."""

    moved = shapely.transform(
        shapely.force_2d(geometries),
        lambda xy: np.column_stack(apply_affine(transform, xy[:, 0], xy[:, 1])),
    )
    return np.asarray(moved, dtype=object)


@dataclass(frozen=True)
class PixelGrid:
    """Georeference and size of a raster.

    Raises `GridError` for a size below 1x1 or a transform without an inverse.
    """

    crs: CRS | None
    """Coordinate reference system; None for a plain image, whose "map" coordinates are pixels."""
    transform: Affine
    """From pixel to map coordinates; the identity for a plain image."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GridError(f"a grid needs at least 1x1 px, found {self.width}x{self.height}")
        determinant = self.transform.determinant
        if not math.isfinite(determinant) or determinant == 0:
            raise GridError(
                f"the transform {tuple(self.transform)[:6]} cannot be inverted; georeference the raster again"
            )

    @property
    def required_crs(self) -> CRS:
        """The CRS of a grid that lies on the map.

        Raises:
            GridError: The grid has no CRS.
        """
        if self.crs is None:
            raise GridError("the grid has no CRS; georeference the raster")
        return self.crs

    @cached_property
    def inverse(self) -> Affine:
        """Map to pixel transform."""
        return Affine(*tuple(~self.transform)[:6])

    @property
    def window(self) -> Window:
        """The window of all pixels."""
        return Window(0, 0, self.width, self.height)

    def to_map(self, cols: npt.ArrayLike, rows: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Map (x, y) of pixel coordinates (corner (0, 0); centre of the first pixel (0.5, 0.5))."""
        return apply_affine(self.transform, cols, rows)

    def to_pixel(self, xs: npt.ArrayLike, ys: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Pixel (col, row) of map coordinates in this grid's CRS; fractional, not rounded."""
        return apply_affine(self.inverse, xs, ys)

    def geometries_to_pixel(self, geometries: GeometryArray) -> GeometryArray:
        """Geometries in this grid's CRS, in pixel coordinates."""
        return map_coordinates(geometries, self.inverse)

    def geometries_to_map(self, geometries: GeometryArray) -> GeometryArray:
        """Geometries in pixel coordinates, in this grid's CRS."""
        return map_coordinates(geometries, self.transform)

    def footprint(self, window: Window | None = None) -> Polygon:
        """Outline of a window (default: all) in map coordinates: its four corners, no bounds arithmetic."""
        col0, row0, col1, row1 = (window or self.window).box
        xs, ys = self.to_map([col0, col1, col1, col0], [row0, row0, row1, row1])
        return Polygon(np.column_stack([xs, ys]))

    def crop(self, window: Window) -> PixelGrid:
        """The grid of a window's pixels."""
        return PixelGrid(
            self.crs, self.transform @ Affine.translation(window.col, window.row), window.height, window.width
        )

    def resized(self, height: int, width: int) -> PixelGrid:
        """A grid of `height` x `width` pixels with exactly the same extent."""
        scale = Affine.scale(self.width / width, self.height / height)
        return PixelGrid(self.crs, self.transform @ scale, height, width)

    @cached_property
    def pixel_size_m(self) -> tuple[float, float]:
        """Width and height of the centre pixel on the ground, metres.

        Geodesic on the CRS's ellipsoid, so Web Mercator at 60 N gives half its nominal size. Raises
        `GridError` if the grid has no CRS, or does not lie on Earth.
        """
        if self.crs is None:
            raise GridError("the ground size of a pixel needs a CRS, and this raster has none")
        col, row = self.width / 2, self.height / 2
        xs, ys = self.to_map([col - 0.5, col + 0.5, col, col], [row, row, row - 0.5, row + 0.5])
        lon, lat = self._to_lonlat(xs, ys)
        geod = _geod(self.crs)
        along_row = float(geod.inv(lon[0], lat[0], lon[1], lat[1])[2])
        along_col = float(geod.inv(lon[2], lat[2], lon[3], lat[3])[2])
        if not (0 < along_row < math.inf and 0 < along_col < math.inf):
            raise GridError(
                f"a pixel of {self.transform.a:g} x {self.transform.e:g} in the CRS '{self.crs.name}' has no "
                "size on the ground; check CRS and transform"
            )
        return along_row, along_col

    @property
    def gsd_m(self) -> float | None:
        """Ground sample distance, metres: geometric mean of `pixel_size_m`; None without a CRS."""
        if self.crs is None:
            return None
        width_m, height_m = self.pixel_size_m
        return math.sqrt(width_m * height_m)

    def areas_m2(self, geometries: GeometryArray) -> Float64Array:
        """Ground area of polygons given in this grid's CRS, square metres (pixels squared without a CRS).

        On the ellipsoid, because Web Mercator and degrees are not metres; see `ground_areas`.
        """
        if self.crs is None:
            return np.asarray(shapely.area(geometries), np.float64)
        return ground_areas(np.atleast_1d(geometries), _geod(self.crs), self._to_lonlat)

    def _to_lonlat(self, xs: Float64Array, ys: Float64Array) -> tuple[Float64Array, Float64Array]:
        crs = self.required_crs
        geographic = crs.geodetic_crs
        if geographic is None:
            raise GridError(f"CRS '{crs.name}' has no geographic base (a local CRS); assign a real one")
        lon, lat = Transformer.from_crs(crs, geographic, always_xy=True).transform(xs, ys)
        if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
            raise GridError(
                f"the raster lies outside the area of its CRS '{crs.name}'; check CRS and transform"
            )
        if np.abs(lat).max(initial=0) > _MOST_LAT_DEG or np.abs(lon).max(initial=0) > _MOST_LON_DEG:
            raise GridError(
                f"coordinates such as ({np.max(xs):.6g}, {np.max(ys):.6g}) are no degrees, but the CRS "
                f"'{crs.name}' is geographic; state the right one with `crs`"
            )
        return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def _geod(crs: CRS) -> Geod:
    geod = crs.get_geod()
    return geod if geod is not None else Geod(ellps="WGS84")
