"""`Zones`: the plots, districts or parcels by which a map is summed up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.commonareas import common_areas
from ..core.geometries import missing_or_empty, reproject, shifted
from ..core.pixelgrid import PixelGrid
from ..errors import LabelError
from ..io.rasterize import burn
from ..io.vectorlayers import read_layer
from .datedlayer import ground_areas_m2, texts_of


@dataclass(frozen=True)
class Zones:
    """Z zones, made of F polygons."""

    path: str
    """Their file."""
    names: ObjectArray
    """(Z,) names, in the order of the file."""
    outlines: GeometryArray
    """(F,) valid polygons and multipolygons."""
    zone_of_outline: Int64Array
    """(F,) zone of each."""
    crs: CRS | None
    """CRS of the outlines; None: pixels."""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def areas_m2(self) -> Float64Array:
        """(Z,) areas on the ground."""
        areas = ground_areas_m2(self.outlines, self.crs)
        return np.bincount(self.zone_of_outline, areas, minlength=len(self)).astype(np.float64)

    def in_crs(self, crs: CRS | None, name: str) -> Zones:
        """The zones in the CRS of a map.

        Args:
            crs: That CRS.
            name: The map, for messages.

        Raises:
            LabelError: One of both has no CRS.
        """
        if (self.crs is None) != (crs is None):
            without = self.path if self.crs is None else name
            raise LabelError(f"{without}: has no CRS, so zones and map cannot be laid over each other")
        if self.crs is None or crs is None:
            return self
        return replace(self, outlines=reproject(self.outlines, self.crs, crs, self.path), crs=crs)

    @cached_property
    def layers(self) -> list[Int64Array]:
        """Outlines by number, in as few groups as it takes that no two zones of a group overlap."""
        first, second = shapely.STRtree(self.outlines).query(self.outlines)
        pairs = (first < second) & (self.zone_of_outline[first] != self.zone_of_outline[second])
        first, second = first[pairs], second[pairs]
        common = common_areas(self.outlines, self.outlines, first, second)
        areas = shapely.area(self.outlines)
        overlap = common > 1e-6 * np.minimum(areas[first], areas[second])
        neighbours: dict[int, list[int]] = {}
        for one, other in zip(first[overlap].tolist(), second[overlap].tolist(), strict=True):
            neighbours.setdefault(other, []).append(one)
        group = np.zeros(len(self.outlines), np.int64)
        for outline in sorted(neighbours):
            taken = {int(group[other]) for other in neighbours[outline]}
            group[outline] = next(number for number in range(len(taken) + 1) if number not in taken)
        return [np.flatnonzero(group == number) for number in range(int(group.max(initial=0)) + 1)]

    def burnt(self, grid: PixelGrid, row0: int, rows: int) -> list[Int64Array]:
        """Zones in rows of a grid.

        Returns:
            For each of `layers` that touches the rows (rows, W) numbers of zones, -1 outside of them.
        """
        near = (self._rows_in(grid)[:, 1] > row0) & (self._rows_in(grid)[:, 0] < row0 + rows)
        planes = []
        for layer in self.layers:
            chosen = layer[near[layer]]
            if len(chosen):
                in_rows = shifted(grid.geometries_to_pixel(self.outlines[chosen]), 0, -row0)
                numbers = self.zone_of_outline[chosen]
                burnt = burn(in_rows, numbers, rows, grid.width, fill=-1, dtype="int32")
                planes.append(burnt.astype(np.int64))
        return planes

    def _rows_in(self, grid: PixelGrid) -> Float64Array:
        """(F, 2) first and last row of each outline on a grid."""
        west, south, east, north = self._bounds.T
        corners = [grid.to_pixel(x, y)[1] for x in (west, east) for y in (south, north)]
        return np.column_stack([np.min(corners, axis=0), np.max(corners, axis=0)])

    @cached_property
    def _bounds(self) -> Float64Array:
        return np.asarray(shapely.bounds(self.outlines), np.float64).reshape(-1, 4)


def read_zones(path: str | Path, *, by: str | None = None, layer: str | None = None) -> Zones:
    """The zones of a file.

    Args:
        path: Vector file with polygons.
        by: Field with the name of a zone; polygons of one name are one zone (default: each polygon is one,
            called by its id in the file).
        layer: Name of the layer, for files with several.

    Raises:
        LabelError: The file cannot be read, has no such field, or holds no polygons.
    """
    frame = read_layer(path, layer=layer)
    outlines = np.asarray(frame.geometry.array, dtype=object)
    there = ~missing_or_empty(outlines)
    frame, outlines = frame[there], np.asarray(shapely.force_2d(outlines[there]), dtype=object)
    if not len(outlines) or not (shapely.get_dimensions(outlines) == 2).all():
        raise LabelError(f"{path}: expected polygons as zones, found none, or points or lines among them")
    wrong = ~shapely.is_valid(outlines)
    outlines[wrong] = shapely.make_valid(outlines[wrong], method="structure", keep_collapsed=False)
    names = np.asarray(frame.index.astype(str), dtype=object)
    if by is not None:
        names = texts_of(frame, by, None, path, "by")
    unique, zone_of_outline = _in_order(names)
    crs = None if frame.crs is None else CRS(frame.crs)
    return Zones(str(path), unique, outlines, zone_of_outline, crs)


def _in_order(names: ObjectArray) -> tuple[ObjectArray, Int64Array]:
    """Each name once, in the order in which they come, and its number for each of `names`."""
    number = {name: index for index, name in enumerate(dict.fromkeys(names.tolist()))}
    return np.array(list(number), dtype=object), np.array([number[name] for name in names.tolist()], np.int64)
