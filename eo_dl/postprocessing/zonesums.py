"""What lies in each zone: objects, ground of each class, means of other rasters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.classes import IGNORE_ID
from ..core.commonareas import common_areas
from ..core.geometries import shifted
from ..core.window import Window
from ..errors import SceneError
from ..io.classmap import ClassMap
from ..io.rasterize import burn
from ..io.scene import Scene, SceneReader, open_scene
from .datedlayer import DatedLayer, ground_areas_m2
from .mapcleaning import row_areas_m2
from .nearestids import NearestIds
from .zones import Zones

_STRIP_PIXELS = 2**20


@dataclass(frozen=True)
class ZoneSums:
    """Sums over Z zones, by K classes."""

    class_names: tuple[str, ...]
    """(K,) the classes, without the background."""
    areas_m2: Float64Array
    """(Z, K) ground of each class in each zone."""
    measured_m2: Float64Array
    """(Z,) ground of each zone on which the map says something."""
    counts: Int64Array | None = None
    """(Z, K) objects with their centre in the zone; None for class maps."""
    scores: Float64Array | None = None
    """(Z,) mean score of these objects, NaN without any; None where the map has no scores."""
    outside: int = 0
    """Number of objects with their centre in no zone."""


def object_sums(objects: DatedLayer, zones: Zones) -> ZoneSums:
    """Objects in zones: counted where their centre lies, with the part of their area that lies in the zone.

    Args:
        objects: The objects.
        zones: The zones, in the CRS of the objects.
    """
    names, class_of = np.unique(objects.class_names.astype(str), return_inverse=True)
    shape = (len(zones), len(names))
    object_index, outline = _outlines_around(objects.geometries, zones)
    zone = zones.zone_of_outline[outline]
    counts = np.bincount(zone * shape[1] + class_of[object_index], minlength=shape[0] * shape[1]).reshape(
        shape
    )
    scored = np.isfinite(objects.scores[object_index])
    sums = np.bincount(zone[scored], objects.scores[object_index[scored]], minlength=shape[0])
    number = np.bincount(zone[scored], minlength=shape[0])
    scores = np.divide(sums, number, out=np.full(shape[0], np.nan), where=number > 0)
    return ZoneSums(
        class_names=tuple(name or "objects" for name in names.tolist()),
        areas_m2=_areas_in_zones(objects, class_of, zones, shape),
        measured_m2=zones.areas_m2,
        counts=counts.astype(np.int64),
        scores=scores if np.isfinite(objects.scores).any() else None,
        outside=len(objects) - len(np.unique(object_index)),
    )


def _outlines_around(geometries: GeometryArray, zones: Zones) -> tuple[Int64Array, Int64Array]:
    """Pairs of an object and an outline of a zone that holds its centre.

    A centre on the border of two zones belongs to the first of them.
    """
    centres = shapely.centroid(geometries)
    tree = shapely.STRtree(zones.outlines)
    inside, outline = tree.query(centres, predicate="within")
    on_border, touched = tree.query(centres, predicate="intersects")
    new = ~np.isin(on_border, inside)
    order = np.lexsort((touched[new], on_border[new]))
    centre, first = np.unique(on_border[new][order], return_index=True)
    return np.concatenate([inside, centre]), np.concatenate([outline, touched[new][order][first]])


def _areas_in_zones(
    objects: DatedLayer, class_of: Int64Array, zones: Zones, shape: tuple[int, int]
) -> Float64Array:
    plane = shapely.area(objects.geometries)
    ground = ground_areas_m2(objects.geometries, objects.crs)
    index, outline = shapely.STRtree(zones.outlines).query(objects.geometries)
    common = common_areas(objects.geometries, zones.outlines, index, outline)
    share = np.divide(common, plane[index], out=np.zeros(len(index)), where=plane[index] > 0)
    cell = zones.zone_of_outline[outline] * shape[1] + class_of[index]
    return (
        np.bincount(cell, share * ground[index], minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    )


def map_sums(class_map: ClassMap, zones: Zones) -> ZoneSums:
    """Ground of each class in zones, by the pixels whose centre lies in a zone; the map is read once.

    Args:
        class_map: The map.
        zones: The zones, in the CRS of the map.
    """
    row_areas = row_areas_m2(class_map.grid)
    areas = np.zeros(len(zones) * 256)
    for first_row, all_ids in class_map.row_strips():
        step = max(1, _STRIP_PIXELS // all_ids.shape[1])
        for start in range(0, len(all_ids), step):
            ids = all_ids[start : start + step].astype(np.int64)
            row0 = first_row + start
            weights = np.repeat(row_areas[row0 : row0 + len(ids)], ids.shape[1]).reshape(ids.shape)
            for zone in zones.burnt(class_map.grid, row0, len(ids)):
                inside = zone >= 0
                areas += np.bincount(zone[inside] * 256 + ids[inside], weights[inside], minlength=len(areas))
    table = areas.reshape(len(zones), 256)
    names = class_names_of(class_map, np.flatnonzero(table.sum(axis=0) > 0))
    wanted = [class_id for class_id in sorted(names) if class_id not in (0, IGNORE_ID)]
    measured = table[:, :IGNORE_ID].sum(axis=1)
    return ZoneSums(tuple(names[one] for one in wanted), table[:, wanted], measured)


def class_names_of(class_map: ClassMap, ids: Int64Array) -> dict[int, str]:
    """Names by id: of the classes of the file, and of ids that occur."""
    names = {class_id: str(class_id) for class_id in ids.tolist()}
    if class_map.classes is not None:
        names |= {info.id: info.name for info in class_map.classes}
    return names


@dataclass(frozen=True)
class ZoneMeans:
    """Means of another raster over Z zones."""

    name: str
    """The raster's name."""
    in_zone: Float64Array
    """(Z,) mean over the zone; NaN without a measured pixel."""
    on_map: Float64Array
    """(Z,) mean over what is mapped in the zone: the classes without background, the objects."""


def raster_means(path: str | Path, source: ClassMap | DatedLayer, zones: Zones) -> ZoneMeans:
    """Means of a raster with one band over zones, and over what is mapped in them.

    A pixel counts for the zone, the class or the object in which its centre lies.

    Args:
        path: The raster, on any grid; values are physical (scale and offset of the file).
        source: The map.
        zones: The zones.

    Raises:
        SceneError: The raster cannot be read, or has several bands.
    """
    scene = open_scene(path)
    if len(scene.bands) != 1:
        raise SceneError(
            f"{path}: has {len(scene.bands)} bands ({scene.bands.describe()}); means are taken of rasters "
            "with one band"
        )
    placed = zones.in_crs(scene.grid.crs, str(path))
    mapped = _Mapped(source, scene)
    band = scene.bands[0]
    sums, counts = np.zeros((2, len(zones))), np.zeros((2, len(zones)))
    step = max(1, _STRIP_PIXELS // scene.grid.width)
    with SceneReader(scene) as reader, mapped:
        for row0 in range(0, scene.grid.height, step):
            rows = min(step, scene.grid.height - row0)
            planes = placed.burnt(scene.grid, row0, rows)
            if not planes:
                continue
            chip = reader.read(Window(0, row0, scene.grid.width, rows))
            values = chip.pixels[0].astype(np.float64) * band.scale + band.offset
            known = chip.valid & np.isfinite(values)
            is_mapped = mapped.read(row0, rows)
            for zone in planes:
                for kind, wanted in enumerate((known, known & is_mapped)):
                    inside = (zone >= 0) & wanted
                    sums[kind] += np.bincount(zone[inside], values[inside], minlength=len(zones))
                    counts[kind] += np.bincount(zone[inside], minlength=len(zones))
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return ZoneMeans(Path(str(path)).stem, means[0], means[1])


class _Mapped:
    """Where a map shows something, at the pixels of another raster. A context manager."""

    def __init__(self, source: ClassMap | DatedLayer, scene: Scene) -> None:
        self._grid = scene.grid
        self._nearest: NearestIds | None = None
        self._reader: SceneReader | None = None
        if isinstance(source, ClassMap):
            self._nearest = NearestIds(source, scene.grid)
            self._reader = SceneReader(source.scene)
        else:
            in_map = source.in_crs(scene.grid.crs, str(scene.path))
            self._outlines = scene.grid.geometries_to_pixel(in_map)
            self._bounds = shapely.bounds(self._outlines)

    def __enter__(self) -> _Mapped:
        if self._reader is not None:
            self._reader.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._reader is not None:
            self._reader.__exit__(None, None, None)

    def read(self, row0: int, rows: int) -> BoolArray:
        """(rows, W) True where the map shows a class or an object."""
        if self._nearest is not None and self._reader is not None:
            ids = self._nearest.read(self._reader, row0, rows)
            return np.asarray((ids != 0) & (ids != IGNORE_ID), np.bool_)
        near = np.flatnonzero((self._bounds[:, 3] > row0) & (self._bounds[:, 1] < row0 + rows))
        in_rows = shifted(self._outlines[near], 0, -row0)
        burnt = burn(in_rows, np.ones(len(near), np.int64), rows, self._grid.width)
        return np.asarray(burnt == 1, np.bool_)
