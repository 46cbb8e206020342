"""A `Plan` carried out: engine, decoder and outputs put together for each kind of result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Literal

from ..core.arrays import Objects
from ..core.chipgrid import SquareGrid
from ..core.progress import OnProgress
from ..errors import Cancelled
from ..io.atomic import work_folder
from ..io.qgisstyles import PROBABILITIES_TAG, classes_tag
from ..io.rasterwriter import RasterWriter
from ..io.scene import SceneReader
from ..tasks import ChipCodec, RasterCodec
from .backends import Backend
from .chipcells import CellDecoder, CellOutput, Cells
from .chipdecoders import LabelDecoder, ObjectDecoder
from .engine import Tally, run_chips
from .outputs import (
    PROBABILITY_SCALE,
    ClassPolygons,
    ClassRaster,
    ObjectOutput,
    ProbabilityRaster,
    RowOutput,
    RowSink,
    is_raster,
    write_objects,
)
from .plan import Plan
from .prediction import Prediction
from .regrid import OwnRows, RowMap, SameRows
from .spool import Spool

Kind = Literal["raster", "polygons", "objects", "chips"]


def run_plan(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    """Predict one scene. Raises `Cancelled` on Ctrl-C, which says what was kept."""
    started = time.perf_counter()
    kind = plan.bundle.task.output
    try:
        found = _RUNS[kind](plan, backend, on_progress)
    except KeyboardInterrupt as stop:
        raise Cancelled(_stopped(plan)) from stop
    return replace(found, seconds=time.perf_counter() - started)


def _stopped(plan: Plan) -> str:
    kept = work_folder(plan.out)
    if plan.request.resume and kept.is_dir():
        return (
            f"{plan.out}: stopped; what was finished is kept in {kept.name}, and the same command continues"
        )
    return f"{plan.out}: stopped; nothing was kept, and the same command begins again"


def _run_labels(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    if is_raster(plan.out, "raster"):
        return _run_raster(plan, backend, on_progress)
    return _run_polygons(plan, backend, on_progress)


def _run_raster(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    with ExitStack() as stack:
        sinks: list[RowSink] = [ClassRaster(stack.enter_context(_class_writer(plan)))]
        output, tally = _run_rows(plan, backend, sinks, stack, on_progress)
    return _prediction(plan, "raster", tally, output.first_row, None, ())


def _run_polygons(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    own = plan.scene.native
    with ExitStack() as stack:
        polygons = ClassPolygons(stack.enter_context(Spool(plan.out, plan.job_key)), own.width)
        output, tally = _run_rows(plan, backend, [polygons], stack, on_progress)
        found = polygons.finish()
        write_objects(plan.out, found, own, plan.bundle.classes, plan.tags, plan.request.overwrite)
    return _prediction(plan, "polygons", tally, output.first_row, len(found), ())


def _run_rows(
    plan: Plan, backend: Backend, sinks: list[RowSink], stack: ExitStack, on_progress: OnProgress
) -> tuple[RowOutput, Tally]:
    """All rows into `sinks`, and into the probability raster where one is asked for."""
    codec, grid = plan.bundle.codec(), plan.job.grid
    assert isinstance(codec, RasterCodec)
    if plan.probabilities is not None:
        sinks = [*sinks, ProbabilityRaster(stack.enter_context(_probability_writer(plan)))]
    with _row_map(plan) as rows:
        output = RowOutput(sinks, rows, grid)
        decoder = LabelDecoder(codec, grid, plan.probabilities is not None, plan.job.aoi)
        return output, run_chips(plan.job, backend, decoder, output, on_progress)


@contextmanager
def _row_map(plan: Plan) -> Iterator[RowMap]:
    if not plan.scene.resampled:
        yield SameRows()
        return
    own = replace(plan.scene, grid=plan.scene.native)
    with SceneReader(own) as reader:
        yield OwnRows(plan.scene.grid, own.grid, reader.read_valid, plan.aoi)


def _class_writer(plan: Plan) -> RasterWriter:
    return RasterWriter(
        plan.out,
        plan.scene.native,
        nodata=255,
        descriptions=("class",),
        tags=plan.tags,
        classes=plan.bundle.classes,
        overwrite=plan.request.overwrite,
        job_key=plan.job_key,
    )


def _probability_writer(plan: Plan) -> RasterWriter:
    assert plan.probabilities is not None
    names = plan.bundle.classes.names
    return RasterWriter(
        plan.probabilities,
        plan.scene.native,
        count=len(names),
        nodata=255,
        descriptions=names,
        tags={**plan.tags, PROBABILITIES_TAG: classes_tag(plan.bundle.classes)},
        scales=[PROBABILITY_SCALE] * len(names),
        overwrite=plan.request.overwrite,
        job_key=plan.job_key,
    )


def _run_objects(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    grid, bundle = plan.job.grid, plan.bundle
    with Spool(plan.out, plan.job_key) as spool:
        output = ObjectOutput(spool, grid, plan.suppress_iou)
        kept = output.first_row
        tally = run_chips(
            plan.job, backend, ObjectDecoder(bundle.codec(), grid, plan.min_score), output, on_progress
        )
        found = _within_aoi(plan, output.finish())
        write_objects(plan.out, found, plan.scene.grid, bundle.classes, plan.tags, plan.request.overwrite)
    mosaic = output.mosaic
    counted = {
        "objects made of parts seen by neighbouring chips": mosaic.joined,
        "objects cut at the border of a chip and not joined (a larger margin sees them whole: --margin)": mosaic.cut_at_seam,
        "of these, objects that one chip told apart and its neighbour took for one with another": mosaic.undecided,
        "objects with their centre on ground that was not measured, left out": output.on_invalid,
    }
    return _prediction(
        plan,
        "objects",
        tally,
        kept,
        len(found),
        tuple(f"{what}: {count}" for what, count in counted.items() if count),
    )


def _run_chips(plan: Plan, backend: Backend, on_progress: OnProgress) -> Prediction:
    grid, codec = plan.job.grid, plan.bundle.codec()
    assert isinstance(grid, SquareGrid) and isinstance(codec, ChipCodec)
    with Spool(plan.out, plan.job_key) as spool:
        output = CellOutput(spool)
        kept = output.first_row
        tally = run_chips(plan.job, backend, CellDecoder(codec, grid), output, on_progress)
        cells = Cells(output.finish(), grid, plan.scene.grid, plan.bundle.classes, codec.several)
        if is_raster(plan.out, "chips"):
            count = None
            cells.write_raster(plan.out, plan.tags, plan.request.overwrite)
        else:
            count = cells.write_table(plan.out, plan.tags, plan.request.overwrite)
        if plan.probabilities is not None:
            cells.write_probabilities(plan.probabilities, plan.tags, plan.request.overwrite)
    return _prediction(plan, "chips", tally, kept, count, cells.edge_note())


_RUNS: dict[str, Callable[[Plan, Backend, OnProgress], Prediction]] = {
    "raster": _run_labels,
    "objects": _run_objects,
    "chips": _run_chips,
}


def _within_aoi(plan: Plan, objects: Objects) -> Objects:
    if plan.job.aoi is None or not len(objects):
        return objects
    centres = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    return objects.take(plan.job.aoi.contains(centres[:, 0], centres[:, 1]))


def kept_prediction(plan: Plan, count: int | None) -> Prediction:
    """A result that an earlier run had finished."""
    kind = plan.bundle.task.output
    shown: Kind = kind if kind != "raster" else "raster" if is_raster(plan.out, kind) else "polygons"
    return _prediction(plan, shown, Tally(), plan.job.grid.shape[0], count, ())


def _prediction(
    plan: Plan, kind: Kind, tally: Tally, first_row: int, count: int | None, notes: tuple[str, ...]
) -> Prediction:
    kept = first_row * plan.job.grid.shape[1]
    idle = (
        ("no chip had anything to answer for: the AOI lies on ground that was not measured",)
        if not kept and not tally.run
        else ()
    )
    said = (f"continued a stopped run: {kept} of {len(plan.job.grid)} chips were done",) if kept else ()
    return Prediction(
        plan.out,
        kind,
        plan.bundle.task.name,
        plan.bundle.classes,
        str(plan.bundle.path),
        plan.bundle.hash,
        scene=plan.scene.path,
        grid=plan.scene.native,
        count=count,
        probabilities=plan.probabilities,
        chips=tally.run,
        skipped=tally.skipped,
        kept=kept,
        notes=(*plan.notes, *said, *idle, *notes),
    )
