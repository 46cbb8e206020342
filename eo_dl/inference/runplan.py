"""Carrying out a `Plan`: engine, decoder and outputs, combined for each kind of result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.arrays import Objects
from ..core.boxes import centres
from ..core.classes import IGNORE_ID
from ..core.pixelpolygons import RowPolygonizer
from ..core.progress import OnProgress
from ..errors import Cancelled
from ..io.atomic import work_folder
from ..io.companions import is_companion
from ..io.rasterwriter import RasterWriter
from ..io.scene import Scene, SceneReader
from ..mosaic.blendmosaic import blended_edges
from ..mosaic.labelmosaic import RowStrip
from ..postprocessing.classtotals import class_totals
from ..postprocessing.mapcleaning import cleaned_rows
from ..postprocessing.outlineediting import CleanedObjects, cleaned_objects, edited_coverage
from ..postprocessing.regions import RowStrips
from ..tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind
from .backends.backend import Backend
from .chipcells import CellDecoder, CellOutput, Cells
from .chipdecoders import BlendDecoder, Decoder, LabelDecoder, ObjectDecoder
from .dissimilarity import ChipDissimilarity, outside_notes
from .engine import ChipJob, ChipRunner, Sink, T, Tally, run_chips
from .extraplanes import ExtraPlanes, extra_planes
from .outputs import (
    ClassPolygons,
    ClassRaster,
    ExtraRaster,
    HeldRows,
    ObjectOutput,
    RowOutput,
    RowSink,
    ValueRaster,
    is_raster,
    polygon_objects,
    write_objects,
)
from .plan import Plan
from .prediction import Prediction, PredictionKind
from .regrid import NativeRows, RowMap, SameRows
from .spool import Spool, pieces_folder
from .valuedecoders import ValueBlendDecoder, ValueDecoder

# Rasters take rows in pieces of this width, so that wide ones need no more memory.
_PIECE_PX = 4096
_WITHOUT_TOTALS: tuple[PredictionKind, ...] = ("chips", "values")  # no areas of classes


@dataclass(frozen=True)
class Outcome:
    """What carrying out a plan gave."""

    kind: PredictionKind
    """What the output holds."""
    tally: Tally
    """Counts of chips of this run."""
    kept_rows: int
    """Rows of chips taken over from an earlier run."""
    count: int | None = None
    """Number of features of a vector output."""
    notes: tuple[str, ...] = ()
    """Remarks on the objects or cells."""
    kept_from: str = "continued a stopped run"
    """Where the rows that were taken over come from."""


@dataclass(frozen=True)
class EngineRunner:
    """Reads chips and runs them through an engine."""

    backend: Backend

    def run(self, job: ChipJob, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress) -> Tally:
        """See `engine.run_chips`."""
        return run_chips(job, self.backend, decoder, sink, on_progress)


@dataclass(frozen=True)
class _SceneWatcher:
    """Runs chips as `runner` does, then checks that the scene has not changed: nothing is finished before."""

    runner: ChipRunner
    scene: Scene

    def run(self, job: ChipJob, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress) -> Tally:
        """See `engine.run_chips`."""
        tally = self.runner.run(job, decoder, sink, on_progress)
        self.scene.refuse_if_changed()
        return tally


def run_plan(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Prediction:
    """Predict one scene.

    Raises `Cancelled` on Ctrl-C, with a message that says what was kept, and `SceneChangedError`.
    """
    started = time.perf_counter()
    run = _RUNS[plan.bundle.task.output]
    try:
        outcome = run(plan, _SceneWatcher(runner, plan.scene), on_progress)
    except KeyboardInterrupt as stop:
        raise Cancelled(_stopped(plan)) from stop
    return prediction_of(plan, outcome, time.perf_counter() - started)


def kept_prediction(plan: Plan, count: int | None) -> Prediction:
    """The prediction of a plan whose output an earlier run had finished."""
    return prediction_of(plan, Outcome(_kind(plan), Tally(), plan.job.grid.shape[0], count), 0.0)


def _kind(plan: Plan) -> PredictionKind:
    output = plan.bundle.task.output
    if output == VALUES:
        return "values"
    if output == OBJECTS:
        return "objects"
    if output == CHIPS:
        return "chips"
    return "raster" if is_raster(plan.out, output) else "polygons"


def _stopped(plan: Plan) -> str:
    for kept in (work_folder(plan.out), pieces_folder(plan.out)):
        if plan.request.resume and kept.is_dir():
            return (
                f"{plan.out}: stopped; finished parts are kept in {kept.name}, run the same command to "
                "continue"
            )
    return f"{plan.out}: stopped; nothing was kept, the same command starts over"


def _run_labels(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    if plan.request.cleanup.changes_pixels:
        return _run_cleaned(plan, runner, on_progress)
    if is_raster(plan.out, RASTER):
        return _run_raster(plan, runner, on_progress)
    return _run_polygons(plan, runner, on_progress)


def _run_raster(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    with ExitStack() as stack:
        class_raster = ClassRaster(stack.enter_context(class_writer(plan)))
        output, tally = _run_rows(plan, runner, class_raster, stack, on_progress, most_px=_PIECE_PX)
    return Outcome("raster", tally, output.first_row)


def _run_values(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    with ExitStack() as stack:
        value_raster = ValueRaster(stack.enter_context(value_writer(plan)))
        output, tally = _run_rows(plan, runner, value_raster, stack, on_progress, most_px=_PIECE_PX)
    return Outcome("values", tally, output.first_row)


def _run_polygons(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    native = plan.scene.native
    with ExitStack() as stack:
        spool = stack.enter_context(Spool(plan.out, plan.job_key))
        polygons = ClassPolygons(spool, native.width)
        with ExitStack() as of_extras:  # which get their name first
            output, tally = _run_rows(plan, runner, polygons, of_extras, on_progress)
        count, notes = write_plan_objects(plan, polygons.finish(), native_grid=True)
    return Outcome("polygons", tally, output.first_row, count, notes)


def _run_cleaned(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    with ExitStack() as stack:
        held = HeldRows(stack.enter_context(Spool(plan.out, plan.job_key)))
        with ExitStack() as of_extras:
            output, tally = _run_rows(plan, runner, held, of_extras, on_progress)
        count, notes = write_cleaned(plan, held.strips)
    return Outcome("polygons" if count is not None else "raster", tally, output.first_row, count, notes)


def write_cleaned(plan: Plan, strips: RowStrips) -> tuple[int | None, tuple[str, ...]]:
    """Write a class map without small areas and holes as the output of a plan.

    Returns:
        The number of polygons (None for a raster), and notes.
    """
    native = plan.scene.native
    has_background = plan.bundle.classes.has_background
    rows, counts = cleaned_rows(strips, native, plan.request.cleanup, has_background)
    if is_raster(plan.out, RASTER):
        with class_writer(plan) as writer:
            for row0, ids in rows():
                if row0 >= writer.done_rows:
                    writer.write(row0, ids)
        return None, counts.notes()
    polygonizer = RowPolygonizer(native.width, skip=(0, IGNORE_ID))
    objects = polygon_objects(polygonizer, [polygonizer.add(row0, ids) for row0, ids in rows()])
    count, notes = write_plan_objects(plan, objects, native_grid=True)
    return count, (*counts.notes(), *notes)


def _run_rows(
    plan: Plan,
    runner: ChipRunner,
    class_sink: RowSink,
    stack: ExitStack,
    on_progress: OnProgress,
    most_px: int | None = None,
) -> tuple[RowOutput, Tally]:
    """All rows into `class_sink`, and into the rasters beside the map.

    In pieces of at most `most_px`, or in full width.
    """
    sinks: list[RowSink] = [class_sink, *extra_sinks(plan, stack)]
    with row_map(plan) as rows:
        output = RowOutput(sinks, rows, label_edges(plan))
        decoder = label_decoder(plan, most_px)
        tally = runner.run(plan.job, decoder, output, on_progress)
    return output, tally


def kept_in(plan: Plan) -> Path:
    """The folder that keeps the unfinished output of a plan."""
    output = plan.bundle.task.output
    is_map = output == RASTER and is_raster(plan.out, output) and not plan.request.cleanup.changes_pixels
    return work_folder(plan.out) if is_map else pieces_folder(plan.out)


def label_edges(plan: Plan) -> Sequence[int]:
    """For each row of chips the first working row on which the rows above have no influence, and the end."""
    grid = plan.job.grid
    return blended_edges(grid) if plan.request.chips.blend == "hann" else grid.row_edges


def label_decoder(plan: Plan, most_px: int | None = None) -> Decoder[RowStrip]:
    """The decoder of class maps, and of what lies beside them, or of maps of values.

    It gives rows in pieces of at most `most_px`, or in full width.
    """
    if plan.bundle.task.output == VALUES:
        maker = ValueBlendDecoder if plan.request.chips.blend == "hann" else ValueDecoder
        return maker(plan.bundle.codec_for(VALUES), plan.job.grid, plan.job.aoi, most_px)
    codec, extras = plan.bundle.codec_for(RASTER), extra_planes(plan.bundle, plan.request.extras)
    kind = BlendDecoder if plan.request.chips.blend == "hann" else LabelDecoder
    dissimilarity = ChipDissimilarity.of(plan.bundle, plan.request.extras)
    return kind(codec, plan.job.grid, extras, plan.job.aoi, most_px, dissimilarity)


@contextmanager
def row_map(plan: Plan) -> Iterator[RowMap]:
    """From rows of the working grid to those of the output."""
    if not plan.scene.resampled:
        yield SameRows()
        return
    native = replace(plan.scene, grid=plan.scene.native)
    with SceneReader(native) as reader:
        yield NativeRows(plan.scene.grid, native.grid, reader.read_valid, plan.aoi)


def class_writer(plan: Plan) -> RasterWriter:
    """The writer of the class map."""
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


def value_writer(plan: Plan) -> RasterWriter:
    """The writer of the map of values."""
    codec = plan.bundle.codec_for(VALUES)
    units = [info.unit for info in plan.bundle.classes.value_infos]
    repeats = len(codec.band_names) // len(units)
    return RasterWriter(
        plan.out,
        plan.scene.native,
        dtype="float32",
        count=len(codec.band_names),
        nodata=math.nan,
        descriptions=codec.band_names,
        tags=plan.tags,
        units=units * repeats,
        overwrite=plan.request.overwrite,
        job_key=plan.job_key,
    )


def extra_sinks(plan: Plan, stack: ExitStack) -> list[RowSink]:
    """The rasters beside a class map, opened until `stack` is left; without those that were finished by a run
    that was killed before the map was.
    """
    sinks: list[RowSink] = []
    first = 0
    for place, planes in zip(plan.extras, extra_planes(plan.bundle, plan.request.extras), strict=True):
        count = len(planes.bands)
        if not is_companion(kept_in(plan), place.path):
            writer = stack.enter_context(_extra_writer(plan, place.path, planes))
            sinks.append(ExtraRaster(writer, first, count))
        first += count
    return sinks


def _extra_writer(plan: Plan, out: Path, planes: ExtraPlanes) -> RasterWriter:
    count = len(planes.bands)
    return RasterWriter(
        out,
        plan.scene.native,
        count=count,
        nodata=255,
        descriptions=planes.bands,
        tags={**plan.tags, **planes.tags},
        scales=planes.scales,
        style=planes.style,
        overwrite=plan.request.overwrite,
        job_key=plan.job_key,
        companion_of=kept_in(plan),
    )


def _run_objects(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    grid = plan.job.grid
    with Spool(plan.out, plan.job_key) as spool:
        output = ObjectOutput(spool, grid, plan.suppress_iou)
        kept_rows = output.first_row
        decoder = ObjectDecoder(plan.bundle.codec_for(OBJECTS), grid, plan.min_score, plan.suppression)
        tally = runner.run(plan.job, decoder, output, on_progress)
        objects = within_aoi(plan, output.finish())
        count, notes = write_plan_objects(plan, objects, native_grid=False)
    return Outcome("objects", tally, kept_rows, count, (*object_notes(output), *notes))


def write_plan_objects(plan: Plan, objects: Objects, *, native_grid: bool) -> tuple[int, tuple[str, ...]]:
    """Write objects, in pixels of the working grid or of the scene's own, as the output of a plan.

    Returns:
        The number of objects written, and notes on those that were left out.
    """
    cleanup = plan.request.cleanup
    cleaned = CleanedObjects(objects, None, ())
    if plan.bundle.task.output != RASTER:
        cleaned = cleaned_objects(objects, plan.scene.grid, cleanup)
    elif cleanup.changes_outlines:
        edited = edited_coverage(objects.polygons, cleanup)
        edited_objects = replace(objects, polygons=edited.polygons)
        cleaned = CleanedObjects(edited_objects, edited.status, edited.notes(cleanup.regularize_px))
    write_objects(
        plan.out,
        cleaned.objects,
        plan.scene.native if native_grid else plan.scene.grid,
        plan.bundle.classes,
        outline_status=cleaned.status,
        tags=plan.tags,
        overwrite=plan.request.overwrite,
        precision=plan.bundle.spec.score_precision,
    )
    return len(cleaned.objects), cleaned.notes


def object_notes(output: ObjectOutput) -> tuple[str, ...]:
    """What was joined and left out."""
    mosaic = output.mosaic
    counts = {
        "objects joined from parts seen in neighbouring chips": mosaic.joined,
        "duplicates removed (the same object detected in neighbouring chips)": mosaic.duplicates,
        "objects cut at a chip border and not joined (a larger `margin_px` may show them whole)": (
            mosaic.cut_at_seam
        ),
        "of those, objects separated in one chip but merged in the neighbouring one": mosaic.undecided,
        "objects left out because their centre lies on nodata": output.on_invalid,
    }
    return tuple(f"{text}: {count}" for text, count in counts.items() if count)


def within_aoi(plan: Plan, objects: Objects) -> Objects:
    """The objects with their centre in the AOI."""
    if plan.job.aoi is None or not len(objects):
        return objects
    cols, rows = centres(objects.boxes).T
    return objects.take(plan.job.aoi.contains(cols, rows))


def _run_chips(plan: Plan, runner: ChipRunner, on_progress: OnProgress) -> Outcome:
    grid, codec = plan.job.grid, plan.bundle.codec_for(CHIPS)
    with Spool(plan.out, plan.job_key) as spool:
        output = CellOutput(spool)
        kept_rows = output.first_row
        decoder = CellDecoder(codec, grid, ChipDissimilarity.of(plan.bundle, plan.request.extras))
        tally = runner.run(plan.job, decoder, output, on_progress)
        count, notes = write_cells(plan, output)
    return Outcome("chips", tally, kept_rows, count, notes)


def write_cells(plan: Plan, output: CellOutput) -> tuple[int | None, tuple[str, ...]]:
    """Write all cells as the output of a plan; returns the number of vector features, and notes."""
    codec, overwrite = plan.bundle.codec_for(CHIPS), plan.request.overwrite
    cells = Cells(
        output.finish(), plan.job.grid, plan.scene.grid, plan.bundle.classes, codec.rule.multi_label
    )
    work = kept_in(plan)
    for place, planes in zip(plan.extras, extra_planes(plan.bundle, plan.request.extras), strict=True):
        if not is_companion(work, place.path):
            cells.write_extra(place.path, planes, plan.tags, overwrite, work)
    count = None
    if is_raster(plan.out, CHIPS):
        cells.write_raster(plan.out, plan.tags, overwrite)
    else:
        count = cells.write_table(plan.out, plan.tags, overwrite)
    return count, cells.edge_notes()


_RUNS: dict[OutputKind, Callable[[Plan, ChipRunner, OnProgress], Outcome]] = {
    RASTER: _run_labels,
    OBJECTS: _run_objects,
    CHIPS: _run_chips,
    VALUES: _run_values,
}


def prediction_of(plan: Plan, outcome: Outcome, seconds: float) -> Prediction:
    """The prediction that a plan gave."""
    kept = outcome.kept_rows * plan.job.grid.shape[1]
    notes = list(plan.notes)
    if kept:
        notes.append(f"{outcome.kept_from}: {kept} of {len(plan.job.grid)} chips were done")
    elif not outcome.tally.run:
        notes.append("nothing to predict: the AOI contains only nodata")
    return Prediction(
        path=plan.out,
        kind=outcome.kind,
        task=plan.bundle.task.name,
        classes=plan.bundle.classes,
        model=str(plan.bundle.path),
        model_hash=plan.bundle.hash,
        scene=plan.scene.path,
        grid=plan.scene.native,
        count=outcome.count,
        extras={place.kind: place.path for place in plan.extras},
        engine=plan.engine,
        chips=outcome.tally.run,
        skipped=outcome.tally.skipped,
        kept=kept,
        seconds=seconds,
        totals=() if outcome.kind in _WITHOUT_TOTALS else class_totals(plan.out),
        notes=(*notes, *outcome.notes, *outside_notes(plan.extras)),
    )
