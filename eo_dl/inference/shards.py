"""One prediction on many machines: each predicts a shard, then one puts the map together.

A shard is a run of rows of chips. Its rows are stored beside the map (`rowpieces`), on storage that all
machines share; `assembly` reads them. A scene that lies in one shard as a whole becomes a map at once.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import AnyArray
from ..core.chipgrid import ChipGrid
from ..core.htmlcard import card
from ..core.progress import OnProgress, silent
from ..errors import Cancelled, ConfigError, InputError
from ..io.atomic import refuse_existing
from ..io.mapfolder import FinishedFile, FinishedMap, outputs_in
from ..io.scene import Scene, SceneSources
from ..mosaic.labelmosaic import RowStrip
from ..networks.compute import Compute
from ..postprocessing.cleanup import Cleanup
from ..tasks import CHIPS, OBJECTS, RASTER, VALUES, OutputKind
from .assembly import assemble_plan, pack_strip
from .backends.backend import Backend, EngineFacts
from .backends.choice import BackendName
from .chipcells import CellDecoder, pack_cells
from .chipdecoders import Decoder, ObjectDecoder
from .chipoptions import ChipOptions
from .dissimilarity import ChipDissimilarity
from .engine import Tally, run_chips
from .mapextras import ExtraPath, MapExtras, extra_paths
from .outputs import pack_chip_objects
from .plan import Plan, Request, make_plan
from .predict import (
    check_inputs,
    engine_for,
    has_row_per_image,
    load_models,
    scenes_for,
)
from .prediction import Prediction, folder_prediction
from .rowpieces import RecordedEngine, RowPieces, RowsJob, check_job, read_job
from .runplan import kept_prediction, label_decoder, label_edges, row_map
from .shardcuts import SceneRows, Shard, cut

T = TypeVar("T")


@dataclass(frozen=True)
class ShardResult:
    """What a call of `predict_shard` did."""

    shard: Shard
    """The shard."""
    path: Path
    """The map that the shard is part of, or the folder of maps."""
    rows: int
    """Rows of chips of the shard, in all scenes."""
    chips: int
    """Number of chips that the network saw."""
    skipped: int
    """Number of chips without a valid pixel (in the AOI)."""
    kept_rows: int
    """Rows of chips that an earlier call had predicted."""
    maps: tuple[Path, ...]
    """Maps that are finished because the shard holds all their rows."""
    seconds: float
    """Duration of this call."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks."""
        if not self.rows:
            return (f"shard {self.shard.text} is empty: there are fewer rows of chips than shards",)
        if self.kept_rows:
            return (f"{self.kept_rows} of {self.rows} rows of chips were predicted by an earlier run",)
        return ()

    def values(self) -> dict[str, object]:
        """The result as JSON-ready values."""
        return {
            "shard": self.shard.text,
            "output": str(self.path),
            "rows": self.rows,
            "chips": self.chips,
            "chips_skipped": self.skipped,
            "rows_kept": self.kept_rows,
            "maps": [str(path) for path in self.maps],
            "seconds": round(self.seconds, 2),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return card(f"{self.path.name}, shard {self.shard.text}", list(self.values().items()))


def predict_shard(
    model: Bundle | str | Path | Sequence[Bundle | str | Path],
    scenes: SceneSources,
    *,
    shard: Shard | str,
    out: str | Path,
    aoi: str | Path | None = None,
    extras: MapExtras = MapExtras(),
    chip_options: ChipOptions = ChipOptions(),
    backend: BackendName = "auto",
    keep_gsd: bool = False,
    force: bool = False,
    cleanup: Cleanup = Cleanup(),
    compute: Compute = Compute(),
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> ShardResult:
    """Predict one of N shards of a prediction; `assemble_shards` then writes what `predict` would write.

    Call it once per shard, in any order, on any number of machines that share the storage of `scenes` and
    `out`, with the same arguments. The rows of chips of all scenes are cut into N nearly equal runs. A
    repeated call computes only what is missing; one with another model, scene, option, engine or version is
    refused. Predicted rows are kept in `OUT.rows.part.d` until they are assembled.

    Args:
        model: The model or its file, or several; as for `predict`.
        scenes: Opened scenes, paths, folders or patterns; for every shard the same.
        shard: The shard as "I/N", I from 1 to N.
        out: The map, or a folder for several scenes; as for `predict`.
        aoi: As for `predict`.
        extras: As for `predict`.
        chip_options: As for `predict`.
        backend: As for `predict`; name it where machines differ.
        keep_gsd: As for `predict`.
        force: As for `predict`.
        cleanup: As for `predict`.
        compute: Device, precision, batch size and number of readers. Machines that differ need a fixed
            device, precision and batch size.
        overwrite: Replace existing maps.
        on_progress: Called with (chips done, total, what).

    Returns:
        What was done.

    Raises:
        InputError: As for `predict`; or rows beside `out` belong to another prediction.
        WriteError: Rows could not be written; those written before are kept.
        Cancelled: The run was stopped; predicted rows are kept.

    Example:
        >>> predict_shard("model.eodl", "town.tif", shard="3/10", out="map.tif")  # doctest: +SKIP
        >>> assemble_shards("model.eodl", "town.tif", out="map.tif")  # after all ten  # doctest: +SKIP
    """
    started = time.perf_counter()
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    bundles = load_models(model)
    request = Request(
        aoi=aoi,
        extras=extras,
        chips=chip_options,
        compute=compute,
        cleanup=cleanup,
        keep_gsd=keep_gsd,
        force=force,
        overwrite=overwrite,
    )
    targets = _targets(bundles[0], scenes, out, extras, overwrite)
    engine = engine_for(bundles, backend, request, labels_only=not extras.kinds)
    plans = targets.plans(bundles[0], request, engine)
    done = []
    for piece in cut(_grids(plans), part):
        done.append(_predict_rows(plans[piece.scene], piece.rows, part.count, engine, on_progress))
    return ShardResult(
        shard=part,
        path=Path(out),
        rows=sum(len(rows.rows) for rows in done),
        chips=sum(rows.tally.run for rows in done),
        skipped=sum(rows.tally.skipped for rows in done),
        kept_rows=sum(rows.kept for rows in done),
        maps=tuple(rows.map for rows in done if rows.map is not None),
        seconds=time.perf_counter() - started,
    )


def assemble_shards(
    model: Bundle | str | Path | Sequence[Bundle | str | Path],
    scenes: SceneSources,
    *,
    out: str | Path,
    aoi: str | Path | None = None,
    extras: MapExtras = MapExtras(),
    chip_options: ChipOptions = ChipOptions(),
    keep_gsd: bool = False,
    force: bool = False,
    cleanup: Cleanup = Cleanup(),
    compute: Compute = Compute(),
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Prediction:
    """Write the maps whose shards were predicted with `predict_shard`: the very bytes that `predict` writes.

    Takes the arguments of `predict_shard`. The network does not run: the machine needs neither a GPU nor the
    engine of the shards. Rows are deleted when all maps are written.

    Args:
        model: As for the shards.
        scenes: The same scenes as for the shards.
        out: The map, or the folder of maps.
        aoi: As for the shards.
        extras: As for the shards.
        chip_options: As for the shards.
        keep_gsd: As for the shards.
        force: As for the shards.
        min_score: As for the shards.
        compute: As for the shards; only the batch size counts.
        overwrite: Replace existing maps.
        on_progress: Called with (rows of chips done, total, what).

    Returns:
        The maps with their kind, counts and notes.

    Raises:
        InputError: Shards are missing, or belong to another prediction.
        WriteError: A map could not be written.
        Cancelled: The run was stopped; call it again.
    """
    started = time.perf_counter()
    bundles = load_models(model)
    request = Request(
        aoi=aoi,
        extras=extras,
        chips=chip_options,
        compute=compute,
        cleanup=cleanup,
        keep_gsd=keep_gsd,
        force=force,
        overwrite=overwrite,
    )
    targets = _targets(bundles[0], scenes, out, extras, overwrite)
    plans = targets.plans(bundles[0], request, _recorded_engine(targets, Path(out)))
    for plan in plans:
        job = read_job(plan.out)
        if job is not None:
            check_job(plan.out, _job(plan, job.engine))
    _refuse_missing(Path(out), plans)
    parts = []
    for plan in plans:
        pieces = _pieces(plan)
        finished = pieces.finished()
        if finished is None:
            parts.append(_assemble(plan, pieces, on_progress))
        else:
            parts.append(kept_prediction(plan, finished.count))
    for plan in plans:
        _pieces(plan).remove()
    if not targets.into_folder:
        return parts[0]
    return folder_prediction(Path(out), tuple(parts), time.perf_counter() - started)


@dataclass(frozen=True)
class _Targets:
    """Scenes and what is written for each."""

    scenes: tuple[Scene, ...]
    outs: list[Path]
    extras: list[tuple[ExtraPath, ...]]
    into_folder: bool

    def plans(self, bundle: Bundle, request: Request, engine: EngineFacts) -> list[Plan]:
        """A plan per scene. Raises `OutputExistsError` for a map that no shard has written."""
        plans = []
        for scene, out, extra in zip(self.scenes, self.outs, self.extras, strict=True):
            plan = make_plan(bundle, scene, out, extra, request, backend=engine)
            if _pieces(plan).finished() is None:
                for path in (out, *(one.path for one in extra)):
                    refuse_existing(path, request.overwrite)
            plans.append(plan)
        return plans


def _targets(
    bundle: Bundle, scenes: SceneSources, out: str | Path, extras: MapExtras, overwrite: bool
) -> _Targets:
    path = Path(out)
    opened, into_folder = scenes_for(bundle, scenes, out, overwrite=overwrite)
    if has_row_per_image(bundle, path, several=len(opened) > 1):
        raise ConfigError(
            f"{out}: a table with one row per image is not cut into shards; predict into a folder of maps"
        )
    outs = outputs_in(path, opened, bundle.task.output.default_suffix) if into_folder else [path]
    beside = [extra_paths(bundle, path, extras, into_folder) for path in outs]
    check_inputs(bundle, opened, outs, beside)
    return _Targets(opened, outs, beside, into_folder)


def _recorded_engine(targets: _Targets, out: Path) -> RecordedEngine:
    """The engine of the shards. Raises `InputError` if no shard was predicted."""
    for path in targets.outs:
        job = read_job(path)
        if job is not None:
            return job.engine
    raise InputError(f"{out}: no shard of it was predicted yet; predict them first")


def _refuse_missing(out: Path, plans: Sequence[Plan]) -> None:
    """Raises `InputError` that names the missing shards, or rows where it is unknown how many there are."""
    missing: list[SceneRows] = []
    for scene, plan in enumerate(plans):
        pieces = _pieces(plan)
        if pieces.finished() is None:
            absent = np.flatnonzero(~pieces.stored()).tolist()
            missing += [SceneRows(scene, range(row, row + 1)) for row in absent]
    if not missing:
        return
    rows = sum(plan.job.grid.shape[0] for plan in plans)
    counts = {count for plan in plans for count in _pieces(plan).noted_shards()}
    what = f"{len(missing)} of {rows} rows of chips are missing"
    if len(counts) != 1:
        raise InputError(f"{out}: {what}; predict the shards that are not done")
    shards = _shards_with(missing, _grids(plans), counts.pop())
    raise InputError(f"{out}: {what}, those of `shard` {', '.join(shards)}; predict these first")


def _shards_with(rows: Sequence[SceneRows], grids: Sequence[ChipGrid], count: int) -> list[str]:
    """The shards that hold any of the rows, as "I/N"."""
    wanted = {(part.scene, row) for part in rows for row in part.rows}
    shards = []
    for number in range(1, count + 1):
        shard = Shard(number, count)
        held = {(part.scene, row) for part in cut(grids, shard) for row in part.rows}
        if wanted & held:
            shards.append(shard.text)
    return shards


def _grids(plans: Sequence[Plan]) -> list[ChipGrid]:
    return [plan.job.grid for plan in plans]


def _pieces(plan: Plan) -> RowPieces:
    return RowPieces(plan.out, plan.key, plan.job.grid.shape[0])


def _job(plan: Plan, engine: RecordedEngine) -> RowsJob:
    scene_file = ", ".join(f"{name} {value}" for name, value in sorted(plan.scene.fingerprint().items()))
    return RowsJob(plan.key, plan.tags | {"scene file": scene_file}, engine)


@dataclass(frozen=True)
class _DoneRows:
    """Rows of chips of one scene that are stored now."""

    rows: range
    tally: Tally
    kept: int
    map: Path | None = None


class _PieceSink(Generic[T]):
    """Stores rows of chips under their numbers, from the first missing one on.

    Args:
        pieces: Where the rows go.
        rows: The rows of chips of the shard.
        pack: A row as plain arrays.
        begins: For each row of chips the one at which a run must begin to get it right (default: itself).
    """

    def __init__(
        self,
        pieces: RowPieces,
        rows: range,
        pack: Callable[[T], dict[str, AnyArray]],
        begins: Sequence[int] | None = None,
    ) -> None:
        self._pieces, self._pack = pieces, pack
        missing = [row for row in rows if not pieces.has(row)]
        self._first_kept = missing[0] if missing else rows.stop
        self.stop_row = missing[-1] + 1 if missing else rows.stop
        self.first_row = begins[missing[0]] if missing and begins is not None else self._first_kept
        self._next_row = self.first_row

    def take(self, item: T) -> None:
        """See `engine.Sink`."""
        if self._next_row >= self._first_kept:
            self._pieces.store(self._next_row, self._pack(item))
        self._next_row += 1


def _predict_rows(
    plan: Plan, rows: range, shards: int, engine: Backend, on_progress: OnProgress
) -> _DoneRows:
    """Predict rows of chips of one scene, and write its map if these are all."""
    pieces = _pieces(plan)
    finished = pieces.finished()
    if finished is not None:
        return _DoneRows(rows, Tally(), len(rows), plan.out)
    pieces.claim(_job(plan, RecordedEngine.of(engine)))
    pieces.note_shards(shards)
    try:
        kept = sum(pieces.has(row) for row in rows)
        tally = _STORERS[plan.bundle.task.output](plan, rows, engine, on_progress)
        if len(rows) < pieces.count:
            return _DoneRows(rows, tally, kept)
        _assemble(plan, pieces, silent)
    except KeyboardInterrupt as stop:
        raise Cancelled(
            f"{plan.out}: stopped; predicted rows are kept in {pieces.folder.name}, run the same command to "
            "continue"
        ) from stop
    return _DoneRows(rows, tally, kept, plan.out)


def _assemble(plan: Plan, pieces: RowPieces, on_progress: OnProgress) -> Prediction:
    prediction = assemble_plan(plan, pieces, on_progress)
    files = tuple(FinishedFile.of(path, plan.out.parent) for path in prediction.paths)
    pieces.finish(FinishedMap(plan.key, files, prediction.count, prediction.chips))
    return prediction


def _store_labels(plan: Plan, rows: range, engine: Backend, on_progress: OnProgress) -> Tally:
    with row_map(plan) as to_output:

        def pack(strip: RowStrip) -> dict[str, AnyArray]:
            return pack_strip(to_output.to_output(strip))

        sink = _PieceSink(_pieces(plan), rows, pack, _begins(plan))
        return _store(plan, rows, engine, label_decoder(plan), sink, on_progress)


def _begins(plan: Plan) -> list[int]:
    """For each row of chips the first one that has an influence on its strip of the map."""
    grid, edges = plan.job.grid, label_edges(plan)
    if plan.request.chips.blend == "clip":
        return list(range(grid.shape[0]))
    return [bisect_right(edges, start) - 1 for start in grid.row_starts]


def _store_objects(plan: Plan, rows: range, engine: Backend, on_progress: OnProgress) -> Tally:
    decoder = ObjectDecoder(plan.bundle.codec_for(OBJECTS), plan.job.grid, plan.min_score, plan.suppression)
    sink = _PieceSink(_pieces(plan), rows, pack_chip_objects)
    return _store(plan, rows, engine, decoder, sink, on_progress)


def _store_cells(plan: Plan, rows: range, engine: Backend, on_progress: OnProgress) -> Tally:
    dissimilarity = ChipDissimilarity.of(plan.bundle, plan.request.extras)
    decoder = CellDecoder(plan.bundle.codec_for(CHIPS), plan.job.grid, dissimilarity)
    return _store(plan, rows, engine, decoder, _PieceSink(_pieces(plan), rows, pack_cells), on_progress)


_STORERS: dict[OutputKind, Callable[[Plan, range, Backend, OnProgress], Tally]] = {
    RASTER: _store_labels,
    OBJECTS: _store_objects,
    CHIPS: _store_cells,
    VALUES: _store_labels,
}


def _store(
    plan: Plan,
    rows: range,
    engine: Backend,
    decoder: Decoder[T],
    sink: _PieceSink[T],
    on_progress: OnProgress,
) -> Tally:
    columns = plan.job.grid.shape[1]

    def progress(done: int, total: int, what: str) -> None:
        done_in_shard = max(done - rows.start * columns, 0)
        on_progress(done_in_shard, len(rows) * columns, what)

    tally = run_chips(replace(plan.job, stop_row=sink.stop_row), engine, decoder, sink, progress)
    plan.scene.refuse_if_changed()
    return tally
