"""Predicting many scenes, small ones side by side: while the network sees one, the next is read and the one
before it is written.

    Ahead     settles plans and reads the chips of small scenes      (thread)
    engine    the network                                            (the calling thread)
    Behind    decodes the chips of small scenes and writes maps      (thread)

A scene is small if all its chips fit in one batch. On an engine that computes faster the more chips it sees
at once (a GPU), consecutive small scenes share a batch. Which ones do depends on the list of scenes alone,
also where a stopped run continues: chips of finished maps are zeros then. A large scene is predicted by
itself, as `engine.run_chips` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..core.arraytypes import AnyArray
from ..core.pipeline import Ahead, Behind
from ..core.progress import OnProgress, silent
from ..core.window import Window
from ..errors import Cancelled
from ..io.atomic import refuse_existing
from ..io.gdal import small_cache
from ..io.mapfolder import FinishedMap, FolderJournal
from .backends.backend import Backend, check_raw
from .batches import Buffer, BufferPool, CellBatch, make_batches
from .chipdecoders import Decoder
from .engine import ChipJob, Sink, T, Tally, filler_for
from .plan import Plan
from .prediction import Prediction
from .runplan import EngineRunner, kept_prediction, run_plan
from .strips import PixelStrip

_DEPTH = 1


@dataclass
class _Work:
    """A scene on its way through the stages."""

    number: int
    """Its place in the list of scenes."""
    plan: Plan
    finished: FinishedMap | None
    """What an earlier, stopped run of the same work made."""
    batches: list[CellBatch] = field(default_factory=list)
    """The chips of a small scene that is to be predicted, one batch per row of chips."""

    @property
    def small(self) -> bool:
        """True if all chips fit in one batch."""
        return len(self.plan.job.grid) <= self.plan.job.batch_size


@dataclass(frozen=True)
class _Group:
    """Scenes that go through the stages together: one large scene, or small ones that share a batch."""

    works: tuple[_Work, ...]
    buffer: Buffer | None = None
    """The chips of all of them, scene after scene; None if there is nothing to predict, or a large scene."""


def predict_scenes(
    plans: Iterator[Plan], engine: Backend, journal: FolderJournal, on_progress: OnProgress
) -> list[Prediction]:
    """Predict scenes one after the other, in order.

    Args:
        plans: The scenes' plans, settled while scenes before them are predicted. An error in one of them is
            raised after the scenes before it are written.
        engine: What runs the network.
        journal: What a stopped run has finished, and where finished maps are noted.
        on_progress: Called with (chips done, total, "chips") of one scene after the other.

    Raises:
        Cancelled: The run was stopped; maps of which all chips were computed are still written.
    """
    results: dict[int, Prediction] = {}

    def finish(work: _Work, run: Callable[[], Prediction]) -> None:
        prediction = run()
        if work.finished is None:
            journal.add(prediction.paths, work.plan.key, prediction.count, prediction.chips)
        results[work.number] = prediction

    try:
        with (
            Behind[Callable[[], None]](_call, _DEPTH) as writing,
            Ahead(_groups(plans, engine, journal), _DEPTH, writing.check) as groups,
        ):
            for group in groups:
                for work, run in _runs(group, engine, on_progress):
                    writing.give(partial(finish, work, run))
    except KeyboardInterrupt as stop:
        raise Cancelled(
            f"stopped; {len(results)} finished maps are kept, run the same command to continue"
        ) from stop
    return [results[number] for number in sorted(results)]


def _call(step: Callable[[], None]) -> None:
    step()


def _runs(
    group: _Group, engine: Backend, on_progress: OnProgress
) -> Iterator[tuple[_Work, Callable[[], Prediction]]]:
    """Let the network see a group; gives, for each scene, what remains to be done to have its map."""
    raw = _Answers(group, engine)
    for work in group.works:
        plan = work.plan
        if work.finished is not None:
            yield work, partial(kept_prediction, plan, work.finished.count)
        elif work.small:
            count = len(plan.job.grid)
            on_progress(0, count, "chips")
            answered = AnsweredChips([(batch, raw.of(batch, plan.job)) for batch in work.batches])
            on_progress(count, count, "chips")
            yield work, partial(run_plan, plan, answered, silent)
        else:
            prediction = run_plan(plan, EngineRunner(engine), on_progress)
            yield work, partial(_known, prediction)


def _known(prediction: Prediction) -> Prediction:
    return prediction


class _Answers:
    """What the network says about the chips of a group: all at once, or row by row."""

    def __init__(self, group: _Group, engine: Backend) -> None:
        self._engine = engine
        self._next_slot = 0
        self._together: Mapping[str, AnyArray] | None = None
        if group.buffer is not None and engine.shares_batches:
            job = group.works[0].plan.job
            self._together = self._run(group.buffer, job)

    def of(self, batch: CellBatch, job: ChipJob) -> Mapping[str, AnyArray] | None:
        """The raw output for the next row of chips; None if it has no active chip."""
        slots = slice(self._next_slot, self._next_slot + len(batch.cells))
        self._next_slot = slots.stop
        if batch.buffer is None:
            return None
        if self._together is None:
            return self._run(batch.buffer, job)
        return {name: array[slots] for name, array in self._together.items()}

    def _run(self, buffer: Buffer, job: ChipJob) -> Mapping[str, AnyArray]:
        raw = self._engine.run(buffer.pixels, buffer.valid, job.scaling)
        check_raw(raw, len(buffer.valid), job.name)
        return raw


@dataclass(frozen=True)
class AnsweredChips:
    """The chips of a scene with the network's answers, to be decoded and stored."""

    batches: Sequence[tuple[CellBatch, Mapping[str, AnyArray] | None]]
    """The rows of chips from top to bottom."""

    def run(self, job: ChipJob, decoder: Decoder[T], sink: Sink[T], on_progress: OnProgress) -> Tally:
        """See `engine.ChipRunner`. Rows that a stopped run has stored are left out."""
        tally = Tally()
        for batch, raw in self.batches[sink.first_row : job.end_row]:
            for item in decoder.take(batch, raw):
                sink.take(item)
            tally.run += int(batch.active.sum())
            tally.skipped += int((~batch.active).sum())
        return tally


# Reading


def _groups(plans: Iterator[Plan], engine: Backend, journal: FolderJournal) -> Iterator[_Group]:
    """The scenes in groups, chips of small scenes read."""
    waiting: list[_Work] = []
    for number, plan in enumerate(plans):
        work = _Work(number, plan, journal.finished(plan.out, plan.key))
        if work.finished is None and journal.knows(plan.out):
            refuse_existing(plan.out, plan.request.overwrite)
        if waiting and not _may_join(waiting, work, engine):
            yield _read(waiting, engine)
            waiting = []
        if work.small:
            waiting.append(work)
        else:
            yield _Group((work,))
    if waiting:
        yield _read(waiting, engine)


def _may_join(waiting: Sequence[_Work], work: _Work, engine: Backend) -> bool:
    """True if a scene may share the batch of the scenes that wait."""
    if not engine.shares_batches or not work.small:
        return False
    first, job = waiting[0].plan.job, work.plan.job
    if first.grid.size_px != job.grid.size_px:
        return False
    if engine.takes_stored and not _same_input(first, job):
        return False
    count = sum(len(other.plan.job.grid) for other in waiting) + len(job.grid)
    return count <= first.batch_size


def _same_input(first: ChipJob, second: ChipJob) -> bool:
    """True if an engine that takes stored pixels normalizes those of both jobs in the same way."""
    return (
        first.source.dtype == second.source.dtype
        and np.array_equal(first.scaling.gain, second.scaling.gain)
        and np.array_equal(first.scaling.shift, second.scaling.shift)
    )


def _read(works: Sequence[_Work], engine: Backend) -> _Group:
    """Read the chips of small scenes into one buffer."""
    if all(work.finished is not None for work in works):
        return _Group(tuple(works))
    job = works[0].plan.job
    count = sum(len(work.plan.job.grid) for work in works)
    dtype = job.source.dtype if engine.takes_stored else "float32"
    buffer = engine.buffer(count, len(job.source.bands), job.grid.size_px, dtype)
    first_slot = 0
    for work in works:
        chips = slice(first_slot, first_slot + len(work.plan.job.grid))
        first_slot = chips.stop
        if work.finished is None:
            part = Buffer(buffer.pixels[chips], buffer.valid[chips])
            work.batches.extend(_cell_batches(work.plan.job, engine, part))
    return _Group(tuple(works), buffer)


def _cell_batches(job: ChipJob, engine: Backend, buffer: Buffer) -> Iterator[CellBatch]:
    """The chips of a small scene, read as one strip, row after row of chips in `buffer`."""
    rows, columns = job.grid.shape
    with small_cache():
        reader = job.source.open_reader()
        try:
            pixels, valid = reader.read_rows(0, job.grid.height)
        finally:
            reader.close()
    scene = _WholeScene(PixelStrip(0, pixels, valid))
    for grid_row in range(rows):
        slots = slice(grid_row * columns, (grid_row + 1) * columns)
        own = BufferPool([Buffer(buffer.pixels[slots], buffer.valid[slots])])
        yield from make_batches(
            scene,
            job.grid,
            filler_for(job, engine),
            own,
            batch_size=columns,
            rows=range(grid_row, grid_row + 1),
            aoi=job.aoi,
        )


@dataclass(frozen=True)
class _WholeScene:
    """A scene that is read already."""

    strip: PixelStrip

    def part(self, window: Window) -> list[PixelStrip]:
        """See `strips.PixelSource`."""
        return [self.strip]
