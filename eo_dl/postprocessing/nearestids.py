"""`NearestIds`: the classes of a map at the pixels of another raster."""

from __future__ import annotations

import numpy as np
from pyproj import Transformer

from ..core.arraytypes import Int64Array
from ..core.classes import IGNORE_ID
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..io.classmap import ClassMap
from ..io.scene import SceneReader


class NearestIds:
    """Reads a class map on another grid: a pixel has the class of the map's pixel in which its centre lies.

    Args:
        class_map: The map.
        grid: The other grid; with a CRS if the map has one, and without if it has none.
    """

    def __init__(self, class_map: ClassMap, grid: PixelGrid) -> None:
        self._map, self._grid = class_map, grid
        self._to_map: Transformer | None = None
        if class_map.grid.crs is not None and class_map.grid.crs != grid.crs:
            self._to_map = Transformer.from_crs(grid.crs, class_map.grid.crs, always_xy=True)

    def read(self, reader: SceneReader, row0: int, rows: int) -> Int64Array:
        """(rows, W) class ids of rows of the grid, from `row0` on; 255 where the map says nothing.

        Args:
            reader: A reader of the map's scene.
            row0: The first row.
            rows: Number of rows.
        """
        width = self._grid.width
        col, row = np.meshgrid(np.arange(width) + 0.5, np.arange(row0, row0 + rows) + 0.5)
        xs, ys = self._grid.to_map(col, row)
        if self._to_map is not None:
            xs, ys = self._to_map.transform(xs, ys)
        map_grid = self._map.grid
        map_cols, map_rows = map_grid.to_pixel(xs, ys)
        inside = (
            (map_cols >= 0) & (map_cols < map_grid.width) & (map_rows >= 0) & (map_rows < map_grid.height)
        )
        ids = np.full((rows, width), IGNORE_ID, np.int64)
        if not inside.any():
            return ids
        cols_in, rows_in = map_cols[inside].astype(np.int64), map_rows[inside].astype(np.int64)
        col0, map_row0 = int(cols_in.min()), int(rows_in.min())
        window = Window.from_box(col0, map_row0, int(cols_in.max()) + 1, int(rows_in.max()) + 1)
        found = self._map.ids_of(reader.read(window))
        ids[inside] = found[rows_in - map_row0, cols_in - col0]
        return ids
