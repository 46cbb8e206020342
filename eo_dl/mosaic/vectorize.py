"""`vectorize`: a class map to polygons, read in strips of rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array, GeometryArray, Int64Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import shifted
from ..core.pixelgrid import PixelGrid
from ..core.pixelpolygons import RowPolygonizer, ValuePolygons
from ..core.progress import OnProgress, silent
from ..core.window import Window
from ..errors import ConfigError, SceneError
from ..io.aoi import Aoi, read_aoi
from ..io.atomic import refuse_existing
from ..io.classmap import PARTITION_KEY, ClassMap, open_class_map, probability_bands
from ..io.outputlock import locks_output
from ..io.outputtags import GRID_TAG, grid_tag
from ..io.polygontable import PolygonTable, WkbArray
from ..io.rasterize import burn
from ..io.scene import Scene, SceneReader, open_scene
from ..io.vectorlayers import check_vector_suffix, write_layer

log = logging.getLogger(__name__)

BACKGROUND_ID = 0
_STRIP_ROWS = 512
_PORTION = 10_000


@dataclass(frozen=True)
class _Polygons:
    """N polygons."""

    outlines: WkbArray
    """(N,) WKB in map coordinates."""
    class_ids: Int64Array
    """(N,) classes."""
    areas_m2: Float64Array
    """(N,) areas on the ground."""
    scores: Float64Array | None = None
    """(N,) mean probabilities of the classes."""

    def __len__(self) -> int:
        return len(self.outlines)

    def take(self, index: BoolArray) -> _Polygons:
        """The polygons of a boolean index."""
        scores = None if self.scores is None else self.scores[index]
        return _Polygons(self.outlines[index], self.class_ids[index], self.areas_m2[index], scores)

    def in_pixels(self, grid: PixelGrid) -> GeometryArray:
        """The polygons in pixel coordinates: all their corners are corners of pixels."""
        in_map = np.asarray(shapely.from_wkb(self.outlines), dtype=object)
        return np.asarray(shapely.transform(grid.geometries_to_pixel(in_map), np.rint), dtype=object)


@locks_output
def vectorize(
    source: str | Path,
    *,
    out: str | Path,
    min_area_m2: float | None = None,
    simplify_px: float | None = None,
    aoi: str | Path | None = None,
    probabilities: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Path:
    """Convert a class map to polygons, one per connected area of a class.

    The background (id 0) and nodata become no polygons. Attributes: `class_name`, `class_id`, `area_m2` (on
    the ground; in pixels without a CRS), `reviewed` and, with `probabilities`, `score`.

    Args:
        source: The class map: a raster with one band of class ids.
        out: The vector file: .gpkg, .geojson, .fgb or .parquet.
        min_area_m2: Leave out smaller polygons, square metres. Their number is noted in the file's metadata.
        simplify_px: Remove corners smaller than about this many pixels; shared borders stay shared.
        aoi: Vector file with the area to convert.
        probabilities: The raster of probabilities that was written with the map. `score` is then the mean
            probability of the class over the polygon.
        overwrite: Replace an existing file.
        on_progress: Called with (done, total, "rows").

    Returns:
        The path `out`.

    Raises:
        SceneError: The map or the probabilities cannot be read, or do not lie on the same grid.
        ConfigError: The suffix of `out` is no vector format, or `min_area_m2` is set for a map without CRS.
        OutputExistsError: The output exists and `overwrite` is False.
        WriteError: The output cannot be written.

    Example:
        >>> vectorize("map.tif", out="map.gpkg", min_area_m2=20)  # doctest: +SKIP
    """
    target = Path(out)
    check_vector_suffix(target)
    refuse_existing(target, overwrite)
    class_map = open_class_map(source)
    for note in class_map.notes:
        log.info(note)
    if class_map.binary:
        log.info(f"{class_map.scene.name}: 255 is the only value besides 0, so it is the class 1")
    if min_area_m2 is not None and class_map.grid.crs is None:
        raise ConfigError(
            f"{source}: has no CRS, so its areas in square metres are unknown; leave `min_area_m2` out"
        )
    area = None if aoi is None else read_aoi(aoi, class_map.grid, class_map.scene.name)
    polygons = _polygonized(class_map, area, on_progress)
    classes = _all_classes(class_map.classes, polygons.class_ids)
    too_small = np.zeros(len(polygons), np.bool_)
    if min_area_m2 is not None:
        too_small = polygons.areas_m2 < min_area_m2
    polygons = polygons.take(~too_small)
    if probabilities is not None:
        polygons = _scored(polygons, classes, class_map.grid, probabilities)
    if simplify_px:
        polygons = _simplified(polygons, simplify_px, class_map.grid)
    metadata = {
        "source": class_map.scene.name,
        GRID_TAG: grid_tag(class_map.grid),
        "polygons": str(len(polygons)),
        "left_out_smaller_than_min_area": str(int(too_small.sum())),
    }
    if class_map.classes is not None and not class_map.classes.has_background:
        metadata[PARTITION_KEY] = "true"
    write_layer(
        target,
        _table(polygons, class_map.grid, classes),
        classes=classes.without_background(),
        metadata=metadata,
        overwrite=overwrite,
    )
    return target


def _polygonized(class_map: ClassMap, area: Aoi | None, on_progress: OnProgress) -> _Polygons:
    grid = class_map.grid
    polygonizer = RowPolygonizer(grid.width, skip=(BACKGROUND_ID, IGNORE_ID))
    parts = []
    for row0, ids in class_map.row_strips():
        if area is not None:
            ids[~area.mask(Window(0, row0, grid.width, len(ids)))] = IGNORE_ID
        parts.append(_measured(polygonizer.add(row0, ids), grid))
        on_progress(row0 + len(ids), grid.height, "rows")
    parts.append(_measured(polygonizer.close(), grid))
    return _Polygons(
        np.concatenate([part.outlines for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.areas_m2 for part in parts]),
    )


def _measured(polygons: ValuePolygons, grid: PixelGrid) -> _Polygons:
    geometries, class_ids = polygons
    outlines, areas_m2 = _on_the_map(geometries, grid)
    return _Polygons(outlines, class_ids, areas_m2)


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


def _all_classes(classes: ClassSet | None, class_ids: Int64Array) -> ClassSet:
    """The classes of the file, and one called by its id for each value without a name."""
    known = () if classes is None else tuple(classes)
    names = {info.id: info.name for info in known}
    for class_id in np.unique(class_ids).tolist():
        names.setdefault(class_id, str(class_id))
    if names.keys() <= {BACKGROUND_ID}:
        names[1] = "1"  # an empty map still needs a class to style
    return ClassSet.of_ids(dict(sorted(names.items())), {info.id: info.color for info in known})


def _table(polygons: _Polygons, grid: PixelGrid, classes: ClassSet) -> PolygonTable:
    """The polygons as features."""
    names = {info.id: info.name for info in classes}
    columns: dict[str, AnyArray] = {
        "class_name": np.array([names[class_id] for class_id in polygons.class_ids.tolist()], dtype=object),
        "class_id": polygons.class_ids.astype(np.int32),
        "area_m2": polygons.areas_m2.round(3),
        "reviewed": np.zeros(len(polygons), np.bool_),
    }
    if polygons.scores is not None:
        columns["score"] = polygons.scores.round(4)
    return PolygonTable(polygons.outlines, columns, grid.crs)


def _scored(polygons: _Polygons, classes: ClassSet, grid: PixelGrid, path: str | Path) -> _Polygons:
    """The polygons with the mean probability of their class over their pixels."""
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


def _simplified(polygons: _Polygons, tolerance_px: float, grid: PixelGrid) -> _Polygons:
    """Fewer corners, with borders between neighbours still shared (Visvalingam-Whyatt on the coverage).

    Borders are first split at every pixel corner: neighbours must have the same vertices to be simplified
    alike. A polygon that would vanish keeps its outline.
    """
    if not len(polygons):
        return polygons
    geometries = polygons.in_pixels(grid)
    exact = shapely.transform(shapely.segmentize(geometries, 1.0), np.rint)
    simple = np.asarray(shapely.coverage_simplify(exact, tolerance_px), dtype=object)
    vanished = shapely.is_empty(simple)
    simple[vanished] = geometries[vanished]
    outlines, areas_m2 = _on_the_map(simple, grid)
    return replace(polygons, outlines=outlines, areas_m2=areas_m2)
