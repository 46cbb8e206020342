"""`vectorize`: a class map to polygons, read in strips of rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..core.arraytypes import AnyArray, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..core.progress import OnProgress, silent
from ..core.window import Window
from ..errors import ConfigError
from ..io.aoi import Aoi, read_aoi
from ..io.atomic import refuse_existing
from ..io.classmap import PARTITION_KEY, ClassMap, open_class_map
from ..io.outputlock import locks_output
from ..io.outputtags import GRID_TAG, grid_tag
from ..io.polygontable import PolygonTable
from ..io.vectorlayers import check_vector_suffix, write_layer
from .cleanup import Cleanup
from .mapcleaning import cleaned_rows
from .mappolygons import MapPolygons, edited_polygons, polygonized, scored_polygons
from .outlineediting import OUTLINE_FIELD
from .regions import BACKGROUND_ID

log = logging.getLogger(__name__)


@locks_output
def vectorize(
    source: str | Path,
    *,
    out: str | Path,
    cleanup: Cleanup = Cleanup(),
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
        cleanup: Which areas are kept, and how outlines are drawn. What was changed is noted in the file's
            metadata. `min_score` needs `probabilities`.
        aoi: Vector file with the area to convert.
        probabilities: The raster of probabilities that was written with the map. `score` is then the mean
            probability of the class over the polygon.
        overwrite: Replace an existing file.
        on_progress: Called with (done, total, "rows").

    Returns:
        The path `out`.

    Raises:
        SceneError: The map or the probabilities cannot be read, or do not lie on the same grid.
        ConfigError: The suffix of `out` is no vector format, an area in square metres is set for a map
            without CRS, or `min_score` without `probabilities`.
        OutputExistsError: The output exists and `overwrite` is False.
        WriteError: The output cannot be written.

    Example:
        >>> vectorize("map.tif", out="map.gpkg", cleanup=Cleanup(min_area_m2=20))  # doctest: +SKIP
    """
    target = Path(out)
    check_vector_suffix(target)
    refuse_existing(target, overwrite)
    class_map = open_class_map(source)
    for note in (*class_map.notes, *class_map.value_notes):
        log.info(note)
    cleanup.check_grid(class_map.grid, str(source))
    if cleanup.min_score is not None and probabilities is None:
        raise ConfigError(f"{source}: `min_score` needs the scores of polygons; name `probabilities`, too")
    area = None if aoi is None else read_aoi(aoi, class_map.grid, class_map.scene.name)
    strips, counts = cleaned_rows(
        partial(_strips_inside, class_map, area), class_map.grid, cleanup, _has_background(class_map)
    )
    polygons = polygonized(strips, class_map.grid, on_progress)
    classes = _all_classes(class_map.classes, polygons.class_ids)
    if probabilities is not None:
        polygons = scored_polygons(polygons, classes, class_map.grid, probabilities)
    doubted = 0
    if cleanup.min_score is not None and polygons.scores is not None:
        sure = polygons.scores >= cleanup.min_score
        doubted = int((~sure).sum())
        polygons = polygons.take(sure)
    if cleanup.changes_outlines:
        polygons = edited_polygons(polygons, cleanup, class_map.grid)
    metadata = {
        "source": class_map.scene.name,
        GRID_TAG: grid_tag(class_map.grid),
        "polygons": str(len(polygons)),
        "left_out_below_min_score": str(doubted),
        **cleanup.tags(),
        **counts.tags(),
    }
    for note in (*counts.notes(), *polygons.notes):
        log.info(note)
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


def _has_background(class_map: ClassMap) -> bool:
    return class_map.classes is None or class_map.classes.has_background


def _strips_inside(class_map: ClassMap, area: Aoi | None) -> Iterator[tuple[int, UInt8Array]]:
    """The rows of a map, nodata outside of the area."""
    for row0, ids in class_map.row_strips():
        if area is not None:
            ids[~area.mask(Window(0, row0, class_map.grid.width, len(ids)))] = IGNORE_ID
        yield row0, ids


def _all_classes(classes: ClassSet | None, class_ids: Int64Array) -> ClassSet:
    """The classes of the file, and one called by its id for each value without a name."""
    known = () if classes is None else tuple(classes)
    names = {info.id: info.name for info in known}
    for class_id in np.unique(class_ids).tolist():
        names.setdefault(class_id, str(class_id))
    if names.keys() <= {BACKGROUND_ID}:
        names[1] = "1"  # an empty map still needs a class to style
    return ClassSet.of_ids(dict(sorted(names.items())), {info.id: info.color for info in known})


def _table(polygons: MapPolygons, grid: PixelGrid, classes: ClassSet) -> PolygonTable:
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
    if polygons.status is not None:
        columns[OUTLINE_FIELD] = polygons.status
    return PolygonTable(polygons.outlines, columns, grid.crs)
