"""Ground areas of the pixels of a grid, which differ in degrees and in Web Mercator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pyproj import Geod, Proj, Transformer

from ..errors import GridError
from .arraytypes import Float64Array
from .pixelgrid import PixelGrid
from .window import Window

_NODES = 65
"""Places per side of the grid at which areas are computed; in between they are interpolated. Over 90 degrees
of latitude, the error is then below 0.03 %."""

_EARTH_RADIUS_M = 6_378_137.0

_EQUAL = 1e-3
"""Areas that differ less than this are taken as equal, as in a projection for large scales."""


@dataclass(frozen=True)
class PixelAreas:
    """Ground areas of pixels, square metres; on a grid without CRS the area in pixels."""

    grid: PixelGrid
    """The grid."""

    @cached_property
    def _places(self) -> tuple[Float64Array, Float64Array]:
        """Rows (R,) and columns (C,) of pixel centres at which areas are computed."""
        height, width = self.grid.height, self.grid.width
        rows = np.linspace(0.5, height - 0.5, min(_NODES, height))
        cols = np.linspace(0.5, width - 0.5, min(_NODES, width))
        return rows, cols

    @cached_property
    def _lattice(self) -> Float64Array:
        """(R, C) ground areas at `_places`."""
        rows, cols = self._places
        row, col = np.meshgrid(rows, cols, indexing="ij")
        if self.grid.crs is None:
            return np.ones(row.shape)
        corners = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
        xs, ys = zip(
            *(_equal_area(self.grid, col + right, row + down) for right, down in corners), strict=True
        )
        return _quadrilaterals(np.stack(xs), np.stack(ys))

    @property
    def equal(self) -> bool:
        """True if all pixels have the same area on the ground, to a thousandth."""
        return bool(np.ptp(self._lattice) <= _EQUAL * self._lattice.mean())

    @property
    def mean(self) -> float:
        """The mean area of a pixel."""
        return float(self._lattice.mean())

    def of(self, window: Window) -> Float64Array:
        """(H, W) area of each pixel of a window inside the grid."""
        if self.equal:
            return np.full((window.height, window.width), self.mean)
        rows, cols = self._places
        wanted_rows = window.row + np.arange(window.height) + 0.5
        wanted_cols = window.col + np.arange(window.width) + 0.5
        by_rows = np.stack([np.interp(wanted_rows, rows, column) for column in self._lattice.T])
        # (C, H) to (H, W): linear along the columns
        right = np.clip(np.searchsorted(cols, wanted_cols), 1, max(len(cols) - 1, 1))
        if len(cols) == 1:
            return np.repeat(by_rows.T, window.width, axis=1)
        share = (wanted_cols - cols[right - 1]) / (cols[right] - cols[right - 1])
        left_areas, right_areas = by_rows[right - 1].T, by_rows[right].T
        return np.asarray(left_areas + share * (right_areas - left_areas), np.float64)


def _equal_area(grid: PixelGrid, cols: Float64Array, rows: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Pixel coordinates in a cylindrical equal-area projection, metres.

    Edges along parallels and meridians stay straight in it, so pixels of a grid in degrees are rectangles,
    and their areas exact.
    """
    crs = grid.required_crs
    degrees = crs.geodetic_crs
    if degrees is None:
        raise GridError(f"CRS '{crs.name}' has no geographic base (a local CRS); assign a real one")
    geod = crs.get_geod() or Geod(ellps="WGS84")
    projection = Proj(proj="cea", a=geod.a, rf=1 / geod.f if geod.f else 0)
    lon, lat = Transformer.from_crs(crs, degrees, always_xy=True).transform(*grid.to_map(cols, rows))
    x, y = projection(np.asarray(lon), np.clip(lat, -90, 90))
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _quadrilaterals(xs: Float64Array, ys: Float64Array) -> Float64Array:
    """Areas of quadrilaterals by their corners (4, ...), across the antimeridian, too."""
    around = 2 * np.pi * _EARTH_RADIUS_M
    # relative to the first corner, the short way around
    x = (xs - xs[0] + around / 2) % around - around / 2
    y = ys - ys[0]
    following_x, following_y = np.roll(x, -1, axis=0), np.roll(y, -1, axis=0)
    twice = (x * following_y - following_x * y).sum(axis=0)
    return np.asarray(np.abs(twice) / 2, np.float64)
