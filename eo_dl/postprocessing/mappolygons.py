"""Polygons of a class map: traced row by row, measured, scored, with other outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float32Array, Float64Array, GeometryArray, Int64Array, ObjectArray
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import shifted
from ..core.pixelgrid import PixelGrid
from ..core.pixelpolygons import RowPolygonizer, ValuePolygons
from ..core.progress import OnProgress
from ..core.window import Window
from ..errors import SceneError
from ..io.classmap import probability_bands
from ..io.polygontable import WkbArray
from ..io.rasterize import burn
from ..io.scene import Scene, SceneReader, open_scene
from .cleanup import Cleanup
from .outlineediting import edited_coverage
from .regions import BACKGROUND_ID, RowStrips

_STRIP_ROWS = 512
_PORTION = 10_000


@dataclass(frozen=True)
class MapPolygons:
    """N polygons of a class map."""

    outlines: WkbArray
    """(N,) WKB in map coordinates."""
    class_ids: Int64Array
    """(N,) classes."""
    areas_m2: Float64Array
    """(N,) areas on the ground."""
    scores: Float64Array | None = None
    """(N,) mean probabilities of the classes."""
    status: ObjectArray | None = None
    """(N,) what became of each outline, see `EditedOutlines`."""
    notes: tuple[str, ...] = ()
    """How outlines were changed."""

    def __len__(self) -> int:
        return len(self.outlines)

    def take(self, index: BoolArray) -> MapPolygons:
        """The polygons of a boolean index."""
        scores = None if self.scores is None else self.scores[index]
        return MapPolygons(self.outlines[index], self.class_ids[index], self.areas_m2[index], scores)

    def in_pixels(self, grid: PixelGrid) -> GeometryArray:
        """The polygons in pixel coordinates: all their corners are corners of pixels."""
        in_map = np.asarray(shapely.from_wkb(self.outlines), dtype=object)
        return np.asarray(shapely.transform(grid.geometries_to_pixel(in_map), np.rint), dtype=object)


def polygonized(strips: RowStrips, grid: PixelGrid, on_progress: OnProgress) -> MapPolygons:
    """Polygons of a class map, one per connected area; background and nodata become none.

    Args:
        strips: The map.
        grid: Its grid.
        on_progress: Called with (rows done, total, "rows").
    """
    polygonizer = RowPolygonizer(grid.width, skip=(BACKGROUND_ID, IGNORE_ID))
    parts = []
    for row0, ids in strips():
        parts.append(_measured(polygonizer.add(row0, ids), grid))
        on_progress(row0 + len(ids), grid.height, "rows")
    parts.append(_measured(polygonizer.close(), grid))
    return MapPolygons(
        np.concatenate([part.outlines for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.areas_m2 for part in parts]),
    )


def _measured(polygons: ValuePolygons, grid: PixelGrid) -> MapPolygons:
    geometries, class_ids = polygons
    outlines, areas_m2 = _on_the_map(geometries, grid)
    return MapPolygons(outlines, class_ids, areas_m2)


def _on_the_map(geometries: GeometryArray, grid: PixelGrid) -> tuple[WkbArray, Float64Array]:
    """Polygons in pixel coordinates as WKB in map coordinates, and their areas on the ground.

    By portions, so that only a portion of them exists twice.
    """
    outlines, areas = np.empty(len(geometries), dtype=object), np.empty(len(geometries))
    for start in range(0, len(geometries), _PORTION):
        part = slice(start, start + _PORTION)
        in_map = grid.geometries_to_map(geometries[part])
        outlines[part] = shapely.to_wkb(in_map)
        areas[part] = grid.areas_m2(in_map)
    return outlines, areas


def scored_polygons(
    polygons: MapPolygons, classes: ClassSet, grid: PixelGrid, path: str | Path
) -> MapPolygons:
    """The polygons with the mean probability of their class over their pixels.

    Args:
        polygons: Polygons whose corners are corners of pixels.
        classes: Their classes.
        grid: The grid of the map.
        path: The probabilities, on the same grid, with a band of each class that occurs.

    Raises:
        SceneError: The probabilities cannot be read, lie on another grid, or lack a class.
    """
    scene = open_scene(path)
    same_size = (scene.grid.height, scene.grid.width) == (grid.height, grid.width)
    if not same_size or not scene.grid.transform.almost_equals(grid.transform):
        raise SceneError(
            f"{path}: does not lie on the grid of the class map; use the probabilities written with the map"
        )
    used = classes
    if len(polygons):
        present = set(polygons.class_ids.tolist())
        used = ClassSet(tuple(info for info in classes if info.id in present))
    scene = probability_bands(scene, used)
    sums, counts = np.zeros(len(polygons)), np.zeros(len(polygons))
    channels = used.channel_of(polygons.class_ids)
    geometries = polygons.in_pixels(grid)
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    for row0, planes, valid in _probability_strips(scene):
        rows = planes.shape[1]
        near = np.flatnonzero((bounds[:, 3] > row0) & (bounds[:, 1] < row0 + rows))
        in_strip = shifted(geometries[near], 0, -row0)
        numbers = burn(in_strip, np.arange(1, len(near) + 1), rows, grid.width, dtype="int32")
        row, col = np.nonzero((numbers.astype(np.int64) > 0) & valid)
        polygon = near[numbers[row, col].astype(np.int64) - 1]
        np.add.at(sums, polygon, planes[channels[polygon], row, col])
        np.add.at(counts, polygon, 1)
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return replace(polygons, scores=means)


def _probability_strips(scene: Scene) -> Iterator[tuple[int, Float32Array, BoolArray]]:
    """(row0, probabilities (K, rows, W), valid (rows, W)) from top to bottom."""
    scales = np.array([band.scale for band in scene.bands], np.float32)[:, None, None]
    with SceneReader(scene) as reader:
        for row0 in range(0, scene.grid.height, _STRIP_ROWS):
            rows = min(_STRIP_ROWS, scene.grid.height - row0)
            chip = reader.read(Window(0, row0, scene.grid.width, rows))
            yield row0, chip.pixels.astype(np.float32) * scales, chip.valid


def edited_polygons(polygons: MapPolygons, cleanup: Cleanup, grid: PixelGrid) -> MapPolygons:
    """The polygons with the outlines that are wanted, measured again."""
    edited = edited_coverage(polygons.in_pixels(grid), cleanup)
    outlines, areas_m2 = _on_the_map(edited.polygons, grid)
    return replace(
        polygons,
        outlines=outlines,
        areas_m2=areas_m2,
        status=edited.status,
        notes=edited.notes(cleanup.regularize_px),
    )
