"""The ground that is asked for, in the pixels of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray
from ..core.labelset import reproject
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import InputError
from .rasterize import burn
from .vectorlayers import read_layer


@dataclass(frozen=True)
class Aoi:
    """Polygons in pixel coordinates. A pixel belongs to it where its centre does, or (`touched`) where any of
    it does.
    """

    area: shapely.Geometry
    touched: bool = False

    @cached_property
    def _parts(self) -> GeometryArray:
        parts = _polygons(self.area)
        shapely.prepare(parts)
        return np.asarray(parts, dtype=object)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self._parts)

    def touches(self, window: Window) -> bool:
        """False where no pixel of the window can belong to it."""
        return len(self._tree.query(shapely.box(*window.box), predicate="intersects")) > 0

    def mask(self, window: Window) -> BoolArray:
        """(H, W) which pixels of the window belong to it."""
        frame = shapely.box(*window.box)
        near = np.sort(self._tree.query(frame, predicate="intersects"))
        if shapely.contains(self._parts[near], frame).any():
            return np.ones((window.height, window.width), np.bool_)
        moved = shapely.transform(self._parts[near], lambda xy: xy - (window.col, window.row))
        return np.asarray(
            burn(moved, np.ones(len(near), np.uint8), window.height, window.width, all_touched=self.touched)
            == 1
        )

    def contains(self, cols: Float64Array, rows: Float64Array) -> BoolArray:
        """(N,) which points lie in it."""
        return np.asarray(shapely.contains_xy(self.area, cols, rows), np.bool_)

    def scaled(self, cols: float, rows: float) -> Aoi:
        """The same ground on a grid with so many times as many columns and rows, with every pixel that it
        touches.
        """
        return Aoi(shapely.transform(self.area, lambda xy: xy * (cols, rows)), touched=True)


def read_aoi(path: str | Path, grid: PixelGrid, scene_name: str) -> Aoi:
    """The polygons of a vector file, in the pixels of `grid`.

    Raises `InputError` where there are none, or none on the scene, or the frames cannot be brought together.
    """
    frame = read_layer(path)
    polygons = shapely.make_valid(shapely.force_2d(np.asarray(frame.geometry.values, dtype=object)))
    polygons = polygons[~shapely.is_missing(polygons)]
    area = (
        shapely.union_all(np.concatenate([_polygons(polygon) for polygon in polygons]))
        if len(polygons)
        else shapely.Polygon()
    )
    if area.is_empty:
        raise InputError(f"{path}: holds no polygons; an AOI (--aoi) needs at least one")
    if (frame.crs is None) != (grid.crs is None):
        which = (
            "the AOI has no CRS and the scene has one"
            if frame.crs is None
            else "the AOI is in map coordinates and the scene has no CRS"
        )
        raise InputError(f"{path}: {which}; give both a CRS, or draw the AOI in pixels")
    if frame.crs is not None and grid.crs is not None and frame.crs != grid.crs:
        area = reproject(np.array([area], dtype=object), frame.crs, grid.crs, str(path))[0]
    area = shapely.intersection(
        shapely.make_valid(grid.geometries_to_pixel(np.array([area], dtype=object))[0]),
        shapely.box(0, 0, grid.width, grid.height),
    )
    if area.area == 0:
        raise InputError(f"{path}: the AOI does not overlap {scene_name}; check its place and its CRS")
    return Aoi(area)


def _polygons(geometry: shapely.Geometry) -> GeometryArray:
    """The polygons in a geometry of any kind; repairs and cuts leave points and lines beside them."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return np.asarray(parts[np.asarray(shapely.get_dimensions(parts)) == 2], dtype=object)
