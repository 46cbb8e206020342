"""`vectorize`: a class map to polygons, read by bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import shapely

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array, GeometryArray, Int64Array
from ..core.classes import IGNORE_ID, ClassInfo, ClassSet, default_color
from ..core.pixelgrid import PixelGrid
from ..core.progress import OnProgress, silent
from ..core.window import Window
from ..errors import ConfigError, SceneError
from ..io.aoi import Aoi, read_aoi
from ..io.atomic import refuse_existing
from ..io.classmap import PARTITION_KEY, ClassMap, open_class_map, probability_bands
from ..io.outputtags import GRID_TAG, grid_tag
from ..io.rasterize import burn
from ..io.scene import Scene, SceneReader, open_scene
from ..io.vectorlayers import check_vector_suffix, write_layer
from .rowpolygons import RowPolygonizer

BACKGROUND_ID = 0
_BAND_ROWS = 512


@dataclass(frozen=True)
class _Polygons:
    """Polygons in pixels with class id, ground area and, where known, score (N,)."""

    geometries: GeometryArray
    class_ids: Int64Array
    areas_m2: Float64Array
    scores: Float64Array | None = None

    def take(self, kept: BoolArray) -> _Polygons:
        return _Polygons(
            self.geometries[kept],
            self.class_ids[kept],
            self.areas_m2[kept],
            None if self.scores is None else self.scores[kept],
        )


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
    """Polygons of a class map (`source`, one band of class ids), one for each connected area of a class;
    returns `out`.

    The background (id 0) and nodata are no polygons. Attributes: `class_name`, `class_id`, `area_m2` (on the
    ground; pixels without a CRS), `reviewed`, and `score`, the mean probability of the class, where the
    raster of `probabilities` is given. `min_area_m2` leaves out smaller ones (how many is in the file's
    metadata); `simplify_px` removes corners smaller than about that many pixels, alike on both sides of a
    shared border. `out`: .gpkg, .geojson, .fgb or .parquet.

    Raises `SceneError`, `ConfigError`, `OutputExistsError`, `WriteError`.

    >>> vectorize("map.tif", out="map.gpkg", min_area_m2=20)  # doctest: +SKIP
    """
    target = Path(out)
    check_vector_suffix(target)
    refuse_existing(target, overwrite)
    found_map = open_class_map(source)
    if min_area_m2 is not None and found_map.grid.crs is None:
        raise ConfigError(
            f"{source}: has no CRS, so a smallest area in square metres means nothing for it; leave --min-area out"
        )
    area = None if aoi is None else read_aoi(aoi, found_map.grid, found_map.scene.name)
    found = _polygonized(found_map, area, on_progress)
    classes = _named(found_map.classes, found.class_ids)
    small = np.zeros(len(found.class_ids), np.bool_) if min_area_m2 is None else found.areas_m2 < min_area_m2
    kept = found.take(~small)
    if probabilities is not None:
        kept = _scored(kept, classes, found_map.grid, probabilities)
    if simplify_px:
        kept = _simplified(kept, simplify_px, found_map.grid)
    metadata = {
        "source": found_map.scene.name,
        GRID_TAG: grid_tag(found_map.grid),
        "polygons": str(len(kept.class_ids)),
        "left_out_smaller_than_min_area": str(int(small.sum())),
        **(
            {PARTITION_KEY: "true"}
            if found_map.classes is not None and not found_map.classes.has_background
            else {}
        ),
    }
    write_layer(
        target,
        _table(kept, found_map.grid, classes),
        classes=classes.without_background(),
        metadata=metadata,
        overwrite=overwrite,
    )
    return target


def _polygonized(found_map: ClassMap, area: Aoi | None, on_progress: OnProgress) -> _Polygons:
    grid = found_map.grid
    polygonizer = RowPolygonizer(grid.width, skip=(BACKGROUND_ID, IGNORE_ID))
    parts = []
    for row0, ids in found_map.row_bands():
        if area is not None:
            ids[~area.mask(Window(0, row0, grid.width, len(ids)))] = IGNORE_ID
        parts.append(polygonizer.add(row0, ids))
        on_progress(row0 + len(ids), grid.height, "rows")
    parts.append(polygonizer.close())
    geometries, class_ids = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    areas = grid.areas_m2(grid.geometries_to_map(geometries)) if len(geometries) else np.empty(0)
    return _Polygons(geometries, class_ids, areas)


def _named(classes: ClassSet | None, class_ids: Int64Array) -> ClassSet:
    """The file's classes, and one called by its id for each value that has no name."""
    known = {} if classes is None else {info.id: info for info in classes}
    unnamed = sorted(set(np.unique(class_ids).tolist()) - set(known))
    made = [ClassInfo(i, str(i), default_color(i)) for i in unnamed]
    if not any(info.id != BACKGROUND_ID for info in (*known.values(), *made)):
        made = [ClassInfo(1, "1", default_color(1))]  # an empty map has no class to style
    return ClassSet(tuple(sorted((*known.values(), *made), key=lambda info: info.id)))


def _table(found: _Polygons, grid: PixelGrid, classes: ClassSet) -> geopandas.GeoDataFrame:
    names = {info.id: info.name for info in classes}
    columns: dict[str, AnyArray] = {
        "class_name": np.array([names.get(i, str(i)) for i in found.class_ids.tolist()], dtype=object),
        "class_id": found.class_ids.astype(np.int32),
        "area_m2": found.areas_m2.round(3),
        "reviewed": np.zeros(len(found.class_ids), np.bool_),
    }
    if found.scores is not None:
        columns["score"] = found.scores.round(4)
    geometries = grid.geometries_to_map(found.geometries) if len(found.geometries) else found.geometries
    return geopandas.GeoDataFrame(
        columns, geometry=geometries, crs=None if grid.crs is None else grid.crs.to_wkt()
    )


def _scored(found: _Polygons, classes: ClassSet, grid: PixelGrid, path: str | Path) -> _Polygons:
    """With the mean probability of its class over the pixels of each polygon."""
    scene = open_scene(path)
    if (scene.grid.height, scene.grid.width) != (
        grid.height,
        grid.width,
    ) or not scene.grid.transform.almost_equals(grid.transform):
        raise SceneError(
            f"{path}: does not lie on the grid of the class map; give the probabilities that were written with it"
        )
    used = (
        ClassSet(tuple(info for info in classes if info.id in set(found.class_ids.tolist())))
        if len(found.class_ids)
        else classes
    )
    scene = probability_bands(scene, used)
    sums, counts = np.zeros(len(found.class_ids)), np.zeros(len(found.class_ids))
    channels = used.channel_of(found.class_ids)
    bounds = shapely.bounds(found.geometries).reshape(-1, 4)
    for row0, planes, valid in _planes(scene):
        rows = planes.shape[1]
        near = np.flatnonzero((bounds[:, 3] > row0) & (bounds[:, 1] < row0 + rows))
        moved = shapely.transform(found.geometries[near], lambda xy, row0=row0: xy - (0, row0))
        owner = burn(moved, np.arange(1, len(near) + 1), rows, grid.width, dtype="int32")
        row, col = np.nonzero((owner.astype(np.int64) > 0) & valid)
        polygon = near[owner[row, col].astype(np.int64) - 1]
        np.add.at(sums, polygon, planes[channels[polygon], row, col])
        np.add.at(counts, polygon, 1)
    means = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return _Polygons(found.geometries, found.class_ids, found.areas_m2, means)


def _planes(scene: Scene) -> Iterator[tuple[int, Float32Array, BoolArray]]:
    """(row0, probabilities (K, rows, W), valid (rows, W)) from top to bottom."""
    scales = np.array([band.scale for band in scene.bands], np.float32)[:, None, None]
    with SceneReader(scene) as reader:
        for row0 in range(0, scene.grid.height, _BAND_ROWS):
            chip = reader.read(Window(0, row0, scene.grid.width, min(_BAND_ROWS, scene.grid.height - row0)))
            yield row0, chip.pixels.astype(np.float32) * scales, chip.valid


def _simplified(found: _Polygons, tolerance_px: float, grid: PixelGrid) -> _Polygons:
    """Fewer corners, with borders between neighbours still shared (Visvalingam-Whyatt on the coverage).

    Borders are first cut at every pixel corner, because neighbours must have the same vertices to be
    simplified alike.
    """
    if not len(found.geometries):
        return found
    exact = shapely.transform(shapely.segmentize(found.geometries, 1.0), np.rint)
    simple = np.asarray(shapely.coverage_simplify(exact, tolerance_px), dtype=object)
    gone = shapely.is_empty(simple)
    simple[gone] = found.geometries[gone]
    return _Polygons(simple, found.class_ids, grid.areas_m2(grid.geometries_to_map(simple)), found.scores)
