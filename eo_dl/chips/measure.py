"""Reading every candidate chip once: how much of it is valid, what is labelled in it, what its pixels add to
the statistics.

Threads, not processes: GDAL decodes and burns without the interpreter's lock, and threads share one block
cache. Each thread has its own handle on a scene. Neighbouring chips are read in one go (a span), and spans
that lie in the same blocks of the file are one thread's work, so that a block is decoded once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..core.arrays import Chip
from ..core.classes import IGNORE_ID
from ..core.labelset import PixelLabels
from ..core.progress import OnProgress
from ..core.window import Window
from ..io.gdal import one_environment
from ..io.openscenes import OpenScenes
from ..io.scene import Scene
from ..labels.classcover import class_mask
from .statistics import ChipTally, tally
from .truth import SceneTruth

_SPAN_BYTES = 8 * 2**20
_SPAN_BYTES_STRIPED = 64 * 2**20
_MOST_THREADS = 16
_MOST_SPANS = 8  # of one thread's work; more would leave other threads idle where a file's blocks are huge

Job = TypeVar("Job")
Done = TypeVar("Done")
_Span = tuple[int, "list[Candidate]"]  # the place of the first among all candidates, and the neighbours


@dataclass(frozen=True)
class Candidate:
    """A window of a scene that may become a chip."""

    scene_index: int
    window: Window


@dataclass(frozen=True)
class Measured:
    """A candidate with what was found in it; `ChipRecord` has the meaning of the fields. `file`: name of the
    written chip.
    """

    candidate: Candidate
    valid_share: float
    class_shares: dict[int, float]
    object_counts: dict[int, int]
    tally: ChipTally
    file: str | None


def enough_valid(valid_share: float, window: Window, scene: Scene, least: float) -> bool:
    """True where at least a share `least` of the chip's pixels inside the scene is measured (so a scene
    smaller than a chip has a chance).
    """
    inside = window.intersection(scene.grid.window)
    return (
        inside is not None
        and valid_share > 0
        and valid_share * window.area_px >= least * inside.area_px - 1e-6
    )


class ChipSink(Protocol):
    """Writes a chip's pixels; returns the file's name, or None where it is not wanted. Called from several
    threads.
    """

    def __call__(self, candidate: Candidate, chip: Chip, mask: npt.NDArray[np.uint8]) -> str | None: ...


def measure(
    candidates: Sequence[Candidate],
    truths: Sequence[SceneTruth],
    *,
    sample_px: int,
    sink: ChipSink | None,
    workers: int | None,
    on_progress: OnProgress,
) -> list[Measured]:
    """Every candidate measured, in the order given, whatever the number of threads."""
    scenes = [truth.scene for truth in truths]
    found: dict[int, list[Measured]] = {}  # by the place of a span's first candidate
    done = 0
    with OpenScenes() as readers:

        def work(job: list[_Span]) -> list[tuple[int, list[Measured]]]:
            with one_environment():
                return [(first, _measure_span(span, readers, truths, sample_px, sink)) for first, span in job]

        # Closed before the readers are: no thread may still be reading when its handle goes.
        with closing(in_order(work, _jobs(candidates, scenes), workers)) as parts:
            for part in parts:
                found.update(part)
                done += sum(len(measured) for _, measured in part)
                on_progress(done, len(candidates), "chips")
    return [measured for first in sorted(found) for measured in found[first]]


def in_order(
    work: Callable[[Job], Done], jobs: Sequence[Job], workers: int | None
) -> Generator[Done, None, None]:
    """`work` of every job by several threads, results in order; few are ahead of the one handed out.

    An error, or closing the generator, drops what has not begun and waits for what has.
    """
    threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1) if workers is None else workers)
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


def _jobs(candidates: Sequence[Candidate], scenes: Sequence[Scene]) -> list[list[_Span]]:
    """Spans by thread: those of one column whose first rows lie in the same row of the file's blocks go
    together, up to a few.
    """
    jobs: list[list[_Span]] = []
    growing: dict[tuple[int, int, int], list[_Span]] = {}
    first = 0
    for span in _spans(candidates, scenes):
        scene, window = scenes[span[0].scene_index], span[0].window
        block_row = int(window.row * scene.native.height / scene.grid.height) // scene.block_px[0]
        place = (span[0].scene_index, block_row, window.col)
        if len(growing.get(place, ())) in (0, _MOST_SPANS):
            growing[place] = []
            jobs.append(growing[place])
        growing[place].append((first, span))
        first += len(span)
    return jobs


def _spans(candidates: Sequence[Candidate], scenes: Sequence[Scene]) -> Iterator[list[Candidate]]:
    """Neighbours of one row of one scene, as many as fit a modest buffer (larger for striped files, whose
    rows are decoded whole).
    """
    for (index, _), row in groupby(candidates, key=lambda c: (c.scene_index, c.window.row)):
        scene = scenes[index]
        pixel_bytes = len(scene.bands) * np.dtype(scene.dtype).itemsize
        span: list[Candidate] = []
        for candidate in row:
            if span:
                joined = candidate.window.col1 - span[0].window.col
                room = (_SPAN_BYTES_STRIPED if scene.striped else _SPAN_BYTES) // (
                    pixel_bytes * candidate.window.height
                )
                if joined > room or not span[-1].window.col < candidate.window.col <= span[-1].window.col1:
                    yield span
                    span = []
            span.append(candidate)
        yield span


def _measure_span(
    span: list[Candidate],
    readers: OpenScenes,
    truths: Sequence[SceneTruth],
    sample_px: int,
    sink: ChipSink | None,
) -> list[Measured]:
    """The chips of a span: pixels read, labels cut and burnt for all of them at once."""
    first, last, truth = span[0].window, span[-1].window, truths[span[0].scene_index]
    frame = Window.from_box(first.col, first.row, last.col1, last.row1)
    whole = readers.reader(truth.scene).read(frame)
    labels = truth.chip(frame)
    mask = class_mask(labels, frame.height, frame.width, whole.valid)
    found = []
    for candidate in span:
        place = candidate.window.relative_to(frame)
        rows, cols = place.slices
        # Copied once here; counting and writing would each copy a view.
        chip = Chip(
            np.ascontiguousarray(whole.pixels[:, rows, cols]),
            whole.valid[rows, cols],
            truth.scene.grid.crop(candidate.window),
            whole.bands,
            candidate.window,
        )
        found.append(
            _measured(
                candidate,
                chip,
                np.ascontiguousarray(mask[rows, cols]),
                owned_counts(labels, place),
                sample_px,
                sink,
            )
        )
    return found


def _measured(
    candidate: Candidate,
    chip: Chip,
    mask: npt.NDArray[np.uint8],
    object_counts: dict[int, int],
    sample_px: int,
    sink: ChipSink | None,
) -> Measured:
    pixels = np.bincount(mask.reshape(-1), minlength=IGNORE_ID + 1)[:IGNORE_ID]
    return Measured(
        candidate,
        float(chip.valid.mean()),
        {int(class_id): float(pixels[class_id] / mask.size) for class_id in np.flatnonzero(pixels)},
        object_counts,
        tally(chip.pixels, chip.valid, chip.bands, sample_px),
        None if sink is None else sink(candidate, chip, mask),
    )


def owned(labels: PixelLabels, window: Window) -> npt.NDArray[np.bool_]:
    """Which labels have their box centre in a window of their frame and count; ignored ones do not."""
    boxes = labels.bounds
    cols, rows = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (cols >= window.col) & (cols < window.col1) & (rows >= window.row) & (rows < window.row1)
    return np.asarray(inside & ~labels.ignore, np.bool_)


def owned_counts(labels: PixelLabels, window: Window) -> dict[int, int]:
    """Objects of each class whose box centre lies in a window of the labels' frame."""
    ids, counts = np.unique(labels.class_ids[owned(labels, window)], return_counts=True)
    return {int(class_id): int(count) for class_id, count in zip(ids, counts, strict=True)}
