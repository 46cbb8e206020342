"""Where results go: class rasters, probability rasters, rasters of values, polygons of classes, objects.

Each can be continued after a kill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import AnyArray, ObjectArray, UInt8Array
from ..core.chipgrid import ChipGrid
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixelgrid import PixelGrid
from ..core.pixelpolygons import RowPolygonizer, ValuePolygons
from ..errors import ConfigError
from ..io.discover import GEOTIFF_SUFFIXES, VECTOR_SUFFIXES
from ..io.rasterwriter import RasterWriter
from ..mosaic.labelmosaic import RowStrip
from ..mosaic.objectmosaic import ObjectMosaic
from ..postprocessing.outlineediting import OUTLINE_FIELD
from ..tasks import OutputKind
from ..uncertainty.scoreprecision import ScorePrecision
from .chipdecoders import ChipObjects
from .regrid import RowMap
from .spool import Pieces, pack_objects, unpack_objects

if TYPE_CHECKING:
    import geopandas


def is_raster(out: Path, output: OutputKind) -> bool:
    """True if the suffix of `out` means a raster.

    Raises `ConfigError` for a suffix that a model of this output kind cannot write.
    """
    suffix = out.suffix.lower()
    if output.writes_rasters and suffix in GEOTIFF_SUFFIXES:
        return True
    if output.writes_vectors and suffix in VECTOR_SUFFIXES:
        from ..io.vectorlayers import check_vector_suffix  # lazy: loads pandas, which rasters do not need

        check_vector_suffix(out)
        return False
    allowed: tuple[str, ...] = (".tif",) if output.writes_rasters else ()
    if output.writes_vectors:
        allowed += VECTOR_SUFFIXES
    raise ConfigError(
        f"{out}: the model predicts {output.gives}, written as {', '.join(allowed)}; found suffix "
        f"{out.suffix or '(none)'!r}, choose one of those"
    )


class RowSink(Protocol):
    """Takes finished output rows from top to bottom, in pieces from left to right.

    Rows it has from a killed run are ignored.
    """

    @property
    def done_rows(self) -> int:
        """Number of rows that are safely stored."""
        ...

    def take(self, strip: RowStrip) -> None:
        """Store a strip of rows."""
        ...


@dataclass(frozen=True)
class ClassRaster:
    """Class ids into a raster with one band."""

    writer: RasterWriter
    """The raster."""

    @property
    def done_rows(self) -> int:
        """See `RowSink`."""
        return self.writer.done_rows

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        _write_new_rows(self.writer, strip, strip.labels[None])


@dataclass(frozen=True)
class ExtraRaster:
    """Some of the planes of a map into a raster beside it."""

    writer: RasterWriter
    """The raster."""
    first: int
    """The first of its planes."""
    count: int
    """Number of its planes."""

    @property
    def done_rows(self) -> int:
        """See `RowSink`."""
        return self.writer.done_rows

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        assert strip.planes is not None
        planes = strip.planes[self.first : self.first + self.count]
        # The mosaic leaves the planes of skipped chips at 0, which would claim "certainly not" for pixels
        # that were never predicted.
        planes[:, strip.labels == IGNORE_ID] = IGNORE_ID
        _write_new_rows(self.writer, strip, planes)


@dataclass(frozen=True)
class ValueRaster:
    """Numbers into a raster with one band per value, and per end of an interval."""

    writer: RasterWriter
    """The raster."""

    @property
    def done_rows(self) -> int:
        """See `RowSink`."""
        return self.writer.done_rows

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        assert strip.planes is not None
        _write_new_rows(self.writer, strip, strip.planes)


def _write_new_rows(writer: RasterWriter, strip: RowStrip, rows: AnyArray) -> None:
    """Write the (count, rows, W) of a strip without the rows that are already there."""
    known = max(writer.done_rows - strip.row0, 0)
    if known < rows.shape[1]:
        writer.write(strip.row0 + known, rows[:, known:], strip.col0)


class HeldRows:
    """Rows of a class map that wait on disk, until all are there, for their cleaning. Full width only."""

    def __init__(self, spool: Pieces) -> None:
        self._spool = spool
        self.done_rows = sum(len(labels) for _, labels in self.strips())

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        if strip.row0 >= self.done_rows:
            self._spool.store({"labels": strip.labels})
            self.done_rows += len(strip.labels)

    def strips(self) -> Iterator[tuple[int, UInt8Array]]:
        """(row0, class ids (rows, W)) from top to bottom."""
        row0 = 0
        for number in range(self._spool.count):
            labels = self._spool.load(number)["labels"].astype(np.uint8, copy=False)
            yield row0, labels
            row0 += len(labels)


def polygon_objects(polygonizer: RowPolygonizer, parts: Sequence[ValuePolygons]) -> Objects:
    """Polygons of a class map as objects, those that reach the last row included.

    Their scores are NaN: a class map does not hold the certainty of a polygon.
    """
    finished = [*parts, polygonizer.close()]
    outlines = np.concatenate([part[0] for part in finished])
    class_ids = np.concatenate([part[1] for part in finished])
    boxes = np.asarray(shapely.bounds(outlines), np.float64).reshape(-1, 4)
    return Objects(boxes, class_ids, np.full(len(boxes), np.nan, np.float32), outlines)


class ClassPolygons:
    """Connected areas of one class as polygons in output pixels, without the background.

    Takes rows of full width only.
    """

    def __init__(self, spool: Pieces, width: int) -> None:
        self._spool = spool
        self._polygonizer = RowPolygonizer(width, skip=(0, IGNORE_ID))
        self._finished: list[ValuePolygons] = []
        self.done_rows = 0
        for number in range(spool.count):
            self._add(spool.load(number)["labels"].astype(np.uint8))

    def take(self, strip: RowStrip) -> None:
        """See `RowSink`."""
        if strip.row0 >= self.done_rows:
            self._spool.store({"labels": strip.labels})
            self._add(strip.labels)

    def finish(self) -> Objects:
        """All polygons, see `polygon_objects`."""
        return polygon_objects(self._polygonizer, self._finished)

    def _add(self, labels: UInt8Array) -> None:
        self._finished.append(self._polygonizer.add(self.done_rows, labels))
        self.done_rows += len(labels)


class RowOutput:
    """The sink of class maps: moves strips of working rows to the output grid and into each of `sinks`.

    Args:
        sinks: Where the rows go.
        rows: From rows of the working grid to those of the output.
        edges: For each row of chips the first working row on which the rows of chips above it have no
            influence; and the last edge.
    """

    def __init__(self, sinks: Sequence[RowSink], rows: RowMap, edges: Sequence[int]) -> None:
        self._sinks, self._rows = sinks, rows
        done = min(sink.done_rows for sink in sinks)
        # Continue with the last row of chips whose results begin within, or right below, the stored rows. If
        # all rows are stored, that is the edge below the last row of chips: nothing is left to do.
        begins = [rows.first_out_row(edge) for edge in edges]
        self.first_row = max(index for index, begin in enumerate(begins) if begin <= done)

    def take(self, strip: RowStrip) -> None:
        """See `engine.Sink`."""
        output_rows = self._rows.to_output(strip)
        if output_rows is not None:
            for sink in self._sinks:
                sink.take(output_rows)


class ObjectOutput:
    """The sink of objects: puts rows of chips through the mosaic.

    Attributes:
        first_row: Rows of chips taken over from a stopped run.
        mosaic: The mosaic, with its counts.
        on_invalid: Number of objects left out because their centre lies on nodata.
    """

    def __init__(self, spool: Pieces, grid: ChipGrid, suppress_iou: float) -> None:
        self._spool, self._grid = spool, grid
        self.mosaic = ObjectMosaic(grid, suppress_iou=suppress_iou)
        self.on_invalid = 0
        self._finished: list[Objects] = []
        for grid_row in range(spool.count):
            self._add(_unpacked(spool, grid_row))
        self.first_row = spool.count

    def take(self, row: ChipObjects) -> None:
        """See `engine.Sink`."""
        self._spool.store(pack_chip_objects(row))
        self._add(row)

    def finish(self) -> Objects:
        """All objects of the scene, in working pixels."""
        return Objects.concatenate(self._finished)

    def _add(self, row: ChipObjects) -> None:
        for column, part in zip(row.columns, row.parts, strict=True):
            self.mosaic.add(self._grid.cell(row.grid_row, column), part)
        self._finished.append(self.mosaic.finished(row.grid_row))
        self.on_invalid += row.on_invalid


def pack_chip_objects(row: ChipObjects) -> dict[str, AnyArray]:
    """A row of chips as plain arrays."""
    packed = pack_objects(Objects.concatenate(list(row.parts)))
    packed["columns"] = np.array(row.columns, np.int64)
    packed["lengths"] = np.array([len(part) for part in row.parts], np.int64)
    packed["on_invalid"] = np.array(row.on_invalid)
    return packed


def _unpacked(spool: Pieces, grid_row: int) -> ChipObjects:
    packed = spool.load(grid_row)
    objects = unpack_objects(packed)
    parts = []
    start = 0
    for count in packed["lengths"].tolist():
        parts.append(objects.take(np.arange(start, start + count)))
        start += count
    return ChipObjects(grid_row, tuple(packed["columns"].tolist()), tuple(parts), int(packed["on_invalid"]))


def object_table(
    objects: Objects, grid: PixelGrid, classes: ClassSet, precision: ScorePrecision | None = None
) -> geopandas.GeoDataFrame:
    """Objects in pixels of `grid` as features in map coordinates, with the usual attributes.

    Where it is known what precision a score stands for, that is an attribute, too. It does not take the place
    of the score: thresholds are chosen on scores, which tell more objects apart.
    """
    import geopandas  # lazy: loads pandas, which rasters do not need

    outlines = grid.geometries_to_map(objects.outlines())
    names = {info.id: info.name for info in classes}
    columns = {
        "class_name": np.array([names[class_id] for class_id in objects.class_ids.tolist()], dtype=object),
        "class_id": objects.class_ids.astype(np.int32),
        "score": objects.scores.astype(np.float64).round(4),
        "area_m2": grid.areas_m2(outlines).round(3) if len(objects) else np.empty(0),
        "reviewed": np.zeros(len(objects), np.bool_),
    }
    if precision is not None:
        columns["precision"] = precision.of(objects.scores.astype(np.float64)).round(4)
    crs = None if grid.crs is None else grid.crs.to_wkt()
    return geopandas.GeoDataFrame(columns, geometry=outlines, crs=crs)


def write_objects(
    path: Path,
    objects: Objects,
    grid: PixelGrid,
    classes: ClassSet,
    *,
    outline_status: ObjectArray | None = None,
    tags: dict[str, str],
    overwrite: bool,
    precision: ScorePrecision | None = None,
) -> None:
    """Write objects in pixels of `grid` as a styled layer. Raises `WriteError` if it does not read back."""
    from ..io.vectorlayers import write_layer  # lazy: loads pandas, which rasters do not need

    table = object_table(objects, grid, classes, precision)
    if outline_status is not None:
        table[OUTLINE_FIELD] = outline_status
    write_layer(path, table, classes=classes, outlines=True, metadata=tags, overwrite=overwrite)
