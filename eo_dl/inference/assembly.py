"""A map put together from predicted rows of chips, with the bytes of a run in one go.

The rows go through the same sinks and mosaics as in `runplan`, in the same order; only the network is left
out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from ..core.arraytypes import AnyArray, UInt8Array
from ..core.progress import OnProgress, silent
from ..mosaic.labelmosaic import RowStrip
from ..tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind
from .chipcells import CellOutput
from .engine import Tally
from .outputs import ClassPolygons, ClassRaster, ObjectOutput, RowSink, ValueRaster, is_raster
from .plan import Plan
from .prediction import Prediction, PredictionKind
from .rowpieces import RowPieces
from .runplan import (
    Outcome,
    class_writer,
    extra_sinks,
    object_notes,
    prediction_of,
    value_writer,
    within_aoi,
    write_cells,
    write_cleaned,
    write_plan_objects,
)


def assemble_plan(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Prediction:
    """Write the map of a plan whose rows are all there. Raises `InputError` if one is damaged."""
    started = time.perf_counter()
    outcome = _ASSEMBLERS[plan.bundle.task.output](plan, pieces, on_progress)
    return prediction_of(plan, outcome, time.perf_counter() - started)


def pack_strip(strip: RowStrip | None) -> dict[str, AnyArray]:
    """Finished rows of a class map as plain arrays; nothing for a row of chips without rows of the output."""
    if strip is None:
        return {}
    packed: dict[str, AnyArray] = {"row0": np.array(strip.row0, np.int64), "labels": strip.labels}
    if strip.planes is not None:
        packed["planes"] = strip.planes
    return packed


def _unpacked_strip(packed: dict[str, AnyArray]) -> RowStrip | None:
    if not packed:
        return None
    row0, labels = int(packed["row0"]), packed["labels"].astype(np.uint8, copy=False)
    if "planes" not in packed:
        return RowStrip(row0, labels)
    planes = packed["planes"]
    if planes.dtype.kind == "f":
        return RowStrip(row0, labels, planes.astype(np.float32, copy=False))
    return RowStrip(row0, labels, planes.astype(np.uint8, copy=False))


class _NoPieces:
    """Keeps nothing: the rows of chips are on disk already."""

    count = 0

    def store(self, arrays: dict[str, AnyArray]) -> None:
        pass

    def load(self, number: int) -> dict[str, AnyArray]:
        raise IndexError(number)


class _StoredRows:
    """Rows of chips for the sinks of objects and cells, which read stored pieces on opening."""

    def __init__(self, pieces: RowPieces, on_progress: OnProgress) -> None:
        self.count = pieces.count
        self._pieces, self._on_progress = pieces, on_progress

    def store(self, arrays: dict[str, AnyArray]) -> None:
        raise ValueError("all rows of chips are stored already")

    def load(self, number: int) -> dict[str, AnyArray]:
        self._on_progress(number, self.count, "rows of chips")
        return self._pieces.load(number)


def _strips(pieces: RowPieces) -> Iterator[tuple[int, UInt8Array]]:
    """(row0, class ids (rows, W)) from top to bottom."""
    for row in range(pieces.count):
        strip = _unpacked_strip(pieces.load(row))
        if strip is not None:
            yield strip.row0, strip.labels


def _assemble_labels(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Outcome:
    if plan.request.cleanup.changes_pixels:
        return _assemble_cleaned(plan, pieces, on_progress)
    with ExitStack() as stack:
        sinks: list[RowSink] = []
        polygons = None
        if is_raster(plan.out, RASTER):
            sinks.append(ClassRaster(stack.enter_context(class_writer(plan))))
        else:
            polygons = ClassPolygons(_NoPieces(), plan.scene.native.width)
            sinks.append(polygons)
        with ExitStack() as of_extras:  # which get their names first
            sinks += extra_sinks(plan, of_extras)
            _take_rows(pieces, sinks, on_progress)
        if polygons is None:
            return _outcome("raster", pieces)
        count, notes = write_plan_objects(plan, polygons.finish(), native_grid=True)
    return _outcome("polygons", pieces, count, notes)


def _assemble_cleaned(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Outcome:
    if plan.extras:
        with ExitStack() as stack:
            _take_rows(pieces, extra_sinks(plan, stack), silent)
    count, notes = write_cleaned(plan, partial(_strips, pieces))
    on_progress(pieces.count, pieces.count, "rows of chips")
    return _outcome("raster" if count is None else "polygons", pieces, count, notes)


def _assemble_values(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Outcome:
    with value_writer(plan) as writer:
        _take_rows(pieces, [ValueRaster(writer)], on_progress)
    return _outcome("values", pieces)


def _take_rows(pieces: RowPieces, sinks: Sequence[RowSink], on_progress: OnProgress) -> None:
    """All stored rows into all sinks."""
    for row in range(pieces.count):
        strip = _unpacked_strip(pieces.load(row))
        if strip is not None:
            for sink in sinks:
                sink.take(strip)
        on_progress(row + 1, pieces.count, "rows of chips")


def _assemble_objects(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Outcome:
    output = ObjectOutput(_StoredRows(pieces, on_progress), plan.job.grid, plan.suppress_iou)
    objects = within_aoi(plan, output.finish())
    count, notes = write_plan_objects(plan, objects, native_grid=False)
    return _outcome("objects", pieces, count, (*object_notes(output), *notes))


def _assemble_cells(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Outcome:
    count, notes = write_cells(plan, CellOutput(_StoredRows(pieces, on_progress)))
    return _outcome("chips", pieces, count, notes)


def _outcome(
    kind: PredictionKind, pieces: RowPieces, count: int | None = None, notes: tuple[str, ...] = ()
) -> Outcome:
    return Outcome(kind, Tally(), pieces.count, count, notes, kept_from="assembled from shards")


_ASSEMBLERS: dict[OutputKind, Callable[[Plan, RowPieces, OnProgress], Outcome]] = {
    RASTER: _assemble_labels,
    OBJECTS: _assemble_objects,
    CHIPS: _assemble_cells,
    VALUES: _assemble_values,
}
