"""Where results go: class rasters, probability rasters, polygons of classes, objects. Each can be continued
after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import geopandas
import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import GeometryArray, Int64Array, UInt8Array
from ..core.chipgrid import ChipGrid
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..errors import ConfigError
from ..io.classmap import QUANTA
from ..io.rasterwriter import RasterWriter
from ..io.vectorlayers import check_vector_suffix, write_layer
from ..mosaic.labelmosaic import RowStrip
from ..mosaic.objectmosaic import ObjectMosaic
from ..mosaic.rowpolygons import RowPolygonizer
from .chipdecoders import ChipObjects
from .regrid import RowMap
from .spool import Spool, pack_objects, unpack_objects

RASTER_SUFFIXES = (".tif", ".tiff")
VECTOR_SUFFIXES = (".gpkg", ".geojson", ".fgb", ".parquet")


def is_raster(out: Path, output: str) -> bool:
    """True where the suffix of `out` asks for a raster. Raises `ConfigError` for one that a model of this
    output kind cannot give.
    """
    suffix = out.suffix.lower()
    if output in ("raster", "chips") and suffix in RASTER_SUFFIXES:
        return True
    if suffix in VECTOR_SUFFIXES:
        check_vector_suffix(out)
        return False
    allowed = VECTOR_SUFFIXES if output == "objects" else (".tif", *VECTOR_SUFFIXES)
    what = {"objects": "the model finds objects", "chips": "the model tells the class of whole chips"}.get(
        output, "the model makes class maps"
    )
    raise ConfigError(
        f"{out}: {what}, which are written as {', '.join(allowed)}; found suffix {out.suffix or '(none)'!r}; name the output so (-o/--out)"
    )


class RowSink(Protocol):
    """Takes finished bands of output rows; those it already has from a killed run it leaves alone."""

    @property
    def done_rows(self) -> int: ...

    def take(self, strip: RowStrip) -> None: ...


@dataclass(frozen=True)
class ClassRaster:
    """Class ids into a raster of one band."""

    writer: RasterWriter

    @property
    def done_rows(self) -> int:
        """Rows of a killed run."""
        return self.writer.done_rows

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        new = max(self.writer.done_rows, strip.row0) - strip.row0
        if new < len(strip.labels):
            self.writer.write(strip.row0 + new, strip.labels[None, new:])


@dataclass(frozen=True)
class ProbabilityRaster:
    """Probabilities into a raster with a band a class."""

    writer: RasterWriter

    @property
    def done_rows(self) -> int:
        """Rows of a killed run."""
        return self.writer.done_rows

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        assert strip.planes is not None
        # The mosaic leaves the planes of skipped chips at 0, which would say "certainly not" where nobody
        # looked.
        strip.planes[:, strip.labels == IGNORE_ID] = IGNORE_ID
        new = max(self.writer.done_rows, strip.row0) - strip.row0
        if new < len(strip.labels):
            self.writer.write(strip.row0 + new, strip.planes[:, new:])


class ClassPolygons:
    """Connected ground of one class as polygons in output pixels; the background is none."""

    def __init__(self, spool: Spool, width: int) -> None:
        self._spool = spool
        self._polygonizer = RowPolygonizer(width, skip=(0, IGNORE_ID))
        self._outlines: list[GeometryArray] = []
        self._class_ids: list[Int64Array] = []
        self.done_rows = 0
        for number in range(spool.count):
            self._add(spool.load(number)["labels"].astype(np.uint8))

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        if strip.row0 >= self.done_rows:
            self._spool.store({"labels": strip.labels})
            self._add(strip.labels)

    def finish(self) -> Objects:
        """All polygons, without scores (NaN): a polygon's certainty is not in a map of classes."""
        self._keep(self._polygonizer.close())
        outlines, class_ids = np.concatenate(self._outlines), np.concatenate(self._class_ids)
        boxes = geopandas.GeoSeries(outlines).bounds.to_numpy(np.float64).reshape(-1, 4)
        return Objects(boxes, class_ids, np.full(len(boxes), np.nan, np.float32), outlines)

    def _add(self, labels: UInt8Array) -> None:
        self._keep(self._polygonizer.add(self.done_rows, labels))
        self.done_rows += len(labels)

    def _keep(self, found: tuple[GeometryArray, Int64Array]) -> None:
        self._outlines.append(found[0])
        self._class_ids.append(found[1])


class RowOutput:
    """The sink of class maps: bands of working rows, placed on the output grid, into each of `sinks`."""

    def __init__(self, sinks: Sequence[RowSink], rows: RowMap, grid: ChipGrid) -> None:
        self._sinks, self._rows = sinks, rows
        done = min(sink.done_rows for sink in sinks)
        # The last row of chips whose results begin within, or right below, what is done; all of them when all
        # is.
        begins = [rows.first_out_row(edge) for edge in grid.row_edges]
        self.first_row = max(place for place, begin in enumerate(begins) if begin <= done)

    def take(self, strip: RowStrip) -> None:
        """See `engine.Sink`."""
        placed = self._rows.place(strip)
        if placed is not None:
            for sink in self._sinks:
                sink.take(placed)


class ObjectOutput:
    """The sink of objects: rows of chips, through the mosaic; `finish` gives the objects of the scene in
    working pixels.
    """

    def __init__(self, spool: Spool, grid: ChipGrid, suppress_iou: float) -> None:
        self._spool, self._grid = spool, grid
        self.mosaic = ObjectMosaic(grid, suppress_iou=suppress_iou)
        self.on_invalid = 0
        self._found: list[Objects] = []
        for grid_row in range(spool.count):
            self._add(_unpacked(spool, grid_row))
        self.first_row = spool.count

    def take(self, row: ChipObjects) -> None:
        """See `engine.Sink`."""
        lengths = [len(part) for part in row.parts]
        together = pack_objects(Objects.concatenate(list(row.parts)))
        self._spool.store(
            together
            | {
                "columns": np.array(row.columns, np.int64),
                "lengths": np.array(lengths, np.int64),
                "on_invalid": np.array(row.on_invalid),
            }
        )
        self._add(row)

    def finish(self) -> Objects:
        """All objects."""
        return Objects.concatenate(self._found)

    def _add(self, row: ChipObjects) -> None:
        for column, part in zip(row.columns, row.parts, strict=True):
            self.mosaic.add(self._grid.cell(row.grid_row, column), part)
        self._found.append(self.mosaic.finished(row.grid_row))
        self.on_invalid += row.on_invalid


def _unpacked(spool: Spool, grid_row: int) -> ChipObjects:
    packed = spool.load(grid_row)
    together, stops = unpack_objects(packed), np.cumsum(packed["lengths"].astype(np.int64)).tolist()
    parts = tuple(
        together.take(np.arange(stop - length, stop))
        for stop, length in zip(stops, packed["lengths"].tolist(), strict=True)
    )
    return ChipObjects(grid_row, tuple(packed["columns"].tolist()), parts, int(packed["on_invalid"]))


def object_table(objects: Objects, grid: PixelGrid, classes: ClassSet) -> geopandas.GeoDataFrame:
    """Objects in pixels of `grid` as features in map coordinates, with the attributes that every eo_dl layer
    has.
    """
    outlines = grid.geometries_to_map(objects.outlines())
    name_of: Callable[[int], str] = {info.id: info.name for info in classes}.__getitem__
    columns = {
        "class_name": np.array([name_of(i) for i in objects.class_ids.tolist()], dtype=object),
        "class_id": objects.class_ids.astype(np.int32),
        "score": objects.scores.astype(np.float64).round(4),
        "area_m2": grid.areas_m2(outlines).round(3) if len(objects) else np.empty(0),
        "reviewed": np.zeros(len(objects), np.bool_),
    }
    return geopandas.GeoDataFrame(
        columns, geometry=outlines, crs=None if grid.crs is None else grid.crs.to_wkt()
    )


def write_objects(
    path: Path, objects: Objects, grid: PixelGrid, classes: ClassSet, tags: dict[str, str], overwrite: bool
) -> None:
    """The vector output. Raises `WriteError` where it does not read back."""
    table = object_table(objects, grid, classes)
    write_layer(path, table, classes=classes, style_field="class_name", metadata=tags, overwrite=overwrite)


PROBABILITY_SCALE = 1 / QUANTA
