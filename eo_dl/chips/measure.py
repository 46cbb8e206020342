"""Reading every candidate chip once: how much of it is valid, what is labelled in it, and what its pixels add
to the statistics.

Threads, not processes: GDAL decodes and burns without the interpreter's lock, and threads share one block
cache. Each thread has its own handle of a scene. Neighbouring chips are read in one go (a span), and spans
that lie in the same blocks of the file are the work of one thread, so that a block is decoded once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np

from ..core.arrays import Chip
from ..core.arraytypes import BoolArray, Float32Array, UInt8Array
from ..core.boxes import centre_in
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixellabels import PixelLabels
from ..core.progress import OnProgress
from ..core.window import Window
from ..io.gdal import one_environment, small_cache
from ..io.openscenes import OpenScenes
from ..io.scene import Scene
from ..io.validity import BandGaps
from ..labels.classcover import class_mask
from ..labels.valueplanes import value_planes
from .statistics import BandTally, tally_bands, tally_values
from .truth import SceneTruth

_SPAN_BYTES = 8 * 2**20
_SPAN_BYTES_STRIPED = 64 * 2**20
_LEAST_CACHE_BYTES = 64 * 2**20
_MOST_COMPARED = 8  # classes
_UNLIMITED = 2**62  # leaves the cache as large as it is
_MOST_THREADS = 16
_MOST_SPANS = 8  # per job; more would leave other threads idle if the blocks of a file are huge

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Candidate:
    """A window of a scene that may become a chip."""

    scene_index: int
    """Index of the scene."""

    window: Window
    """Its pixels on the working grid of the scene."""


@dataclass(frozen=True)
class Measured:
    """A candidate with what was found in it; see `ChipRecord` for the shares and counts."""

    candidate: Candidate
    """Where it lies."""

    valid_share: float
    """Share of its pixels that was measured."""

    class_shares: dict[int, float]
    """For each class id its share of all pixels."""

    object_counts: dict[int, int]
    """For each class id its objects."""

    tally: BandTally
    """What its pixels add to the statistics."""

    file: str | None
    """File of the written chip, relative to the chip set."""

    values: BandTally | None = None
    """What its labels add to the statistics of the values; None where labels are classes."""

    gaps: BandGaps | None = None
    """What pixels lack in the chips that were read together with this one; None: told by another of them."""


@dataclass(frozen=True)
class _Span:
    """Neighbouring candidates that are read in one go."""

    first: int  # index of the first among all candidates
    candidates: list[Candidate]

    @property
    def frame(self) -> Window:
        """The window that covers all of them."""
        start, end = self.candidates[0].window, self.candidates[-1].window
        return Window.from_box(start.col, start.row, end.col1, end.row1)


def enough_valid(valid_share: float, window: Window, scene: Scene, least: float) -> bool:
    """True if at least a share `least` of the chip's pixels inside the scene is measured, so that a scene
    smaller than a chip has a chance.
    """
    inside = window.intersection(scene.grid.window)
    if inside is None or valid_share == 0:
        return False
    return valid_share * window.area_px >= least * inside.area_px - 1e-6


class ChipSink(Protocol):
    """Writes the pixels of chips. Called by several threads."""

    def __call__(self, candidate: Candidate, chip: Chip, labels: UInt8Array | Float32Array) -> str | None:
        """Write a chip and its labels, a class mask (H, W) or numbers (K, H, W); returns the name of the
        file, None if it is not wanted.
        """
        ...


def measure(
    candidates: Sequence[Candidate],
    truths: Mapping[int, SceneTruth],
    *,
    sample_px: int,
    sink: ChipSink | None,
    workers: int | None,
    on_progress: OnProgress,
) -> list[Measured]:
    """Measure every candidate.

    Args:
        candidates: The candidates, by scene, row and column.
        truths: The scenes with their labels, by index; those of the candidates.
        sample_px: Pixels per chip from which percentiles are taken.
        sink: Writes the chips; None: they are not written.
        workers: Number of threads (default: one per core, at most 16).
        on_progress: Called with the number of chips done and their total.

    Returns:
        The candidates in their order, whatever the number of threads.
    """
    scenes = {index: truth.scene for index, truth in truths.items()}
    spans = list(_spans(candidates, scenes))
    measured: dict[int, list[Measured]] = {}  # by the index of a span's first candidate
    jobs = _jobs(spans, scenes)
    done = 0
    with small_cache(_cache_bytes(jobs, scenes, workers)), OpenScenes() as readers:

        def measure_spans(job: list[_Span]) -> list[tuple[int, list[Measured]]]:
            """The work of one thread."""
            with one_environment():
                return [(span.first, _measure_span(span, readers, truths, sample_px, sink)) for span in job]

        # Closed before the readers are: no thread may still be reading when its handle is closed.
        with closing(in_order(measure_spans, jobs, workers)) as parts:
            for part in parts:
                measured.update(part)
                done += sum(len(chips) for _, chips in part)
                on_progress(done, len(candidates), "chips")
    return [chip for first in sorted(measured) for chip in measured[first]]


def in_order(
    work: Callable[[Job], Done], jobs: Iterable[Job], workers: int | None
) -> Generator[Done, None, None]:
    """Do all jobs in several threads; results come in the order of the jobs.

    Few jobs are ahead of the one handed out. An error, or closing the generator, drops the jobs that have not
    begun and waits for those that have.
    """
    threads = _thread_count(workers)
    waiting: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for job in jobs:
                if len(waiting) >= 3 * threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, job))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _thread_count(workers: int | None) -> int:
    return max(1, min(_MOST_THREADS, os.cpu_count() or 1) if workers is None else workers)


def _cache_bytes(jobs: Sequence[Sequence[_Span]], scenes: Mapping[int, Scene], workers: int | None) -> int:
    """A size of GDAL's cache that holds the blocks of all threads twice: more would keep blocks of jobs that
    are done.
    """
    most = _LEAST_CACHE_BYTES
    for job in jobs:
        scene, first = scenes[job[0].candidates[0].scene_index], job[0].frame
        if scene.resampled:
            return _UNLIMITED  # its windows have another size in the file
        columns = max(span.frame.width for span in job)
        rows = job[-1].frame.row1 - first.row
        job_bytes = columns * rows * len(scene.bands) * np.dtype(scene.dtype).itemsize
        most = max(most, 2 * _thread_count(workers) * job_bytes)
    return most


def _jobs(spans: Sequence[_Span], scenes: Mapping[int, Scene]) -> list[list[_Span]]:
    """Spans grouped by thread: a few of those in one column whose first rows lie in the same row of the
    file's blocks.
    """
    jobs: list[list[_Span]] = []
    growing: dict[tuple[int, int, int], list[_Span]] = {}
    for span in spans:
        index, window = span.candidates[0].scene_index, span.candidates[0].window
        scene = scenes[index]
        row_in_file = int(window.row * scene.native.height / scene.grid.height)
        key = (index, row_in_file // scene.file.block_px[0], window.col)
        job = growing.get(key)
        if job is None or len(job) == _MOST_SPANS:
            job = growing[key] = []
            jobs.append(job)
        job.append(span)
    return jobs


def _spans(candidates: Sequence[Candidate], scenes: Mapping[int, Scene]) -> Iterator[_Span]:
    """Neighbours in one row of one scene, as many as fit a modest buffer; larger for striped files, whose
    rows are decoded whole.
    """
    first = 0
    for (index, _), row in groupby(candidates, key=lambda c: (c.scene_index, c.window.row)):
        most_bytes = _SPAN_BYTES_STRIPED if scenes[index].file.striped else _SPAN_BYTES
        pixel_bytes = len(scenes[index].bands) * np.dtype(scenes[index].dtype).itemsize
        span: list[Candidate] = []
        for candidate in row:
            if span and not _joins(candidate.window, span, most_bytes // pixel_bytes):
                yield _Span(first, span)
                first += len(span)
                span = []
            span.append(candidate)
        yield _Span(first, span)
        first += len(span)


def _joins(window: Window, span: Sequence[Candidate], most_px: int) -> bool:
    """True if a window continues a span without a gap, and both fit the buffer."""
    start, end = span[0].window, span[-1].window
    fits = window.col1 - start.col <= most_px // window.height
    return fits and end.col < window.col <= end.col1


def _measure_span(
    span: _Span,
    readers: OpenScenes,
    truths: Mapping[int, SceneTruth],
    sample_px: int,
    sink: ChipSink | None,
) -> list[Measured]:
    """The chips of a span: pixels read, labels cut and burnt for all of them at once."""
    truth, frame = truths[span.candidates[0].scene_index], span.frame
    whole, gaps = readers.reader(truth.scene).read_gaps(frame)
    labels = truth.chip(frame)
    mask = class_mask(labels, frame.height, frame.width, whole.valid)
    numbers = None
    if truth.labels.classes.are_values:
        numbers = value_planes(labels, frame.height, frame.width, whole.valid)
    measured: list[Measured] = []
    for candidate in span.candidates:
        in_frame = candidate.window.relative_to(frame)
        rows, cols = in_frame.slices
        # Copied once here; counting and writing would each copy a view.
        pixels = np.ascontiguousarray(whole.pixels[:, rows, cols])
        chip_mask = np.ascontiguousarray(mask[rows, cols])
        chip_numbers = None if numbers is None else np.ascontiguousarray(numbers[:, rows, cols])
        grid = truth.scene.grid.crop(candidate.window)
        chip = Chip(pixels, whole.valid[rows, cols], grid, whole.bands, candidate.window)
        written = chip_mask if chip_numbers is None else chip_numbers
        measured.append(
            Measured(
                candidate=candidate,
                valid_share=np.count_nonzero(chip.valid) / chip.valid.size,
                class_shares=_class_shares(chip_mask, truth.labels.classes),
                object_counts=owned_counts(labels, in_frame),
                tally=tally_bands(chip.pixels, chip.valid, chip.bands, sample_px),
                values=None if chip_numbers is None else tally_values(chip_numbers, sample_px),
                file=None if sink is None else sink(candidate, chip, written),
                gaps=None if measured else gaps,
            )
        )
    return measured


def _class_shares(mask: UInt8Array, classes: ClassSet) -> dict[int, float]:
    """For each class id its share of the pixels of a class mask (H, W)."""
    if len(classes) > _MOST_COMPARED:
        counts = np.bincount(mask.reshape(-1), minlength=IGNORE_ID + 1).tolist()
    else:
        # For few classes, comparing is faster than a histogram, which numpy makes of int64 only.
        counts = [0] * (IGNORE_ID + 1)
        for class_id in {0, *classes.ids}:
            counts[class_id] = int(np.count_nonzero(mask == class_id))
    return {class_id: counts[class_id] / mask.size for class_id in range(IGNORE_ID) if counts[class_id]}


def owned(labels: PixelLabels, window: Window) -> BoolArray:
    """(N,) True for the labels that a window of their frame owns: their box centre lies in it, and they are
    not ignored.
    """
    return centre_in(labels.bounds, window.box) & ~labels.ignore


def owned_counts(labels: PixelLabels, window: Window) -> dict[int, int]:
    """For each class id the objects that a window of the labels' frame owns."""
    counts = np.bincount(labels.class_ids[owned(labels, window)])
    return {class_id: count for class_id, count in enumerate(counts.tolist()) if count}
