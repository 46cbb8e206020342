"""The area of interest (AOI), in the pixels of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray
from ..core.geometries import missing_or_empty, reproject, scaled, shifted
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import InputError
from .rasterize import burn


@dataclass(frozen=True)
class Aoi:
    """An area in pixel coordinates."""

    area: shapely.Geometry
    """Polygons or a geometry that contains polygons."""
    touched: bool = False
    """True if every pixel that the area touches belongs to it; else only pixels with their centre in it."""

    @cached_property
    def _parts(self) -> GeometryArray:
        parts = _polygons(self.area)
        shapely.prepare(parts)
        return np.asarray(parts, dtype=object)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self._parts)

    def touches(self, window: Window) -> bool:
        """False if no pixel of the window can belong to the area."""
        return len(self._tree.query(shapely.box(*window.box), predicate="intersects")) > 0

    def mask(self, window: Window) -> BoolArray:
        """(H, W) True for the pixels of the window that belong to the area."""
        frame = shapely.box(*window.box)
        near = np.sort(self._tree.query(frame, predicate="intersects"))
        if shapely.contains(self._parts[near], frame).any():
            return np.ones((window.height, window.width), np.bool_)
        in_window = shifted(self._parts[near], -window.col, -window.row)
        ones = np.ones(len(near), np.uint8)
        burnt = burn(in_window, ones, window.height, window.width, all_touched=self.touched)
        return np.asarray(burnt == 1)

    def contains(self, cols: Float64Array, rows: Float64Array) -> BoolArray:
        """(N,) True for points in the area."""
        return np.asarray(shapely.contains_xy(self.area, cols, rows), np.bool_)

    def scaled(self, cols: float, rows: float) -> Aoi:
        """The same area on a grid with `cols` times as many columns and `rows` times as many rows.

        Every pixel that it touches belongs to it.
        """
        return Aoi(scaled(self.area, cols, rows), touched=True)


def read_aoi(path: str | Path, grid: PixelGrid, scene_name: str) -> Aoi:
    """The polygons of a vector file, in the pixels of `grid`.

    Args:
        path: The vector file.
        grid: Grid of the scene.
        scene_name: Name of the scene, for messages.

    Raises:
        InputError: The file holds no polygons, none overlaps the scene, or only one of the two has a CRS.
    """
    from .vectorlayers import read_layer  # lazy: loads pandas, which rasters do not need

    frame = read_layer(path)
    polygons = shapely.make_valid(shapely.force_2d(np.asarray(frame.geometry.values, dtype=object)))
    polygons = polygons[~missing_or_empty(polygons)]
    area: shapely.Geometry = shapely.Polygon()
    if len(polygons):
        area = shapely.union_all(np.concatenate([_polygons(polygon) for polygon in polygons]))
    if area.is_empty:
        raise InputError(f"{path}: holds no polygons; an AOI needs at least one")
    if frame.crs is None and grid.crs is not None:
        raise InputError(
            f"{path}: the AOI has no CRS but {scene_name} has one; give the file its CRS, e.g. ogr2ogr -a_srs"
        )
    if frame.crs is not None and grid.crs is None:
        raise InputError(
            f"{path}: the AOI is in map coordinates but {scene_name} has no CRS; draw the AOI in pixels"
        )
    if frame.crs is not None and grid.crs is not None and frame.crs != grid.crs:
        area = reproject(np.array([area], dtype=object), frame.crs, grid.crs, str(path))[0]
    in_pixels = shapely.make_valid(grid.geometries_to_pixel(np.array([area], dtype=object))[0])
    in_scene = shapely.intersection(in_pixels, shapely.box(0, 0, grid.width, grid.height))
    if in_scene.area == 0:
        raise InputError(f"{path}: the AOI does not overlap {scene_name}; check its coordinates and its CRS")
    return Aoi(in_scene)


def _polygons(geometry: shapely.Geometry) -> GeometryArray:
    """The polygons in any geometry; repairs and clipping leave points and lines beside them."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return np.asarray(parts[np.asarray(shapely.get_dimensions(parts)) == 2], dtype=object)
