"""Threads that read chips: order, errors, handles."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.chips.measure import Candidate, _class_shares, _jobs, _spans, enough_valid, in_order
from eo_dl.core.classes import IGNORE_ID, ClassSet
from eo_dl.core.window import Window
from eo_dl.io.scene import open_scene

Writer = Callable[..., Path]


@given(st.lists(st.integers(), max_size=50), st.integers(1, 5))
def test_results_come_in_the_order_of_the_jobs(jobs: list[int], workers: int) -> None:
    assert list(in_order(lambda job: job * 2, jobs, workers)) == [job * 2 for job in jobs]


def test_an_error_stops_the_rest_and_closing_waits_for_what_runs() -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        if job == 3:
            raise ValueError("broken")
        return job

    with pytest.raises(ValueError, match="broken"):
        list(in_order(work, range(1000), 2))
    assert len(begun) < 20

    running, release = threading.Event(), threading.Event()
    finished: list[int] = []

    def slow(job: int) -> int:
        if job:
            running.set()
            release.wait(10)
        finished.append(job)
        return job

    results = in_order(slow, range(3), 2)
    assert next(results) == 0
    running.wait(10)
    release.set()
    results.close()
    assert set(finished) >= {0, 1}, "what runs is waited for, so that its handle may be closed then"


@given(
    st.sets(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 30)), max_size=60),
    st.integers(4, 9),
)
def test_spans_hold_every_candidate_once_and_only_neighbours(
    places: set[tuple[int, int, int]], size: int
) -> None:
    from types import SimpleNamespace

    scenes = [
        SimpleNamespace(bands=("a",), dtype="uint8", file=SimpleNamespace(striped=striped))
        for striped in (False, True)
    ]
    candidates = [Candidate(scene, Window(col, row, size, size)) for scene, row, col in sorted(places)]
    spans = list(_spans(candidates, scenes))  # type: ignore[arg-type]
    assert [candidate for span in spans for candidate in span.candidates] == candidates
    for span in spans:
        assert len({(c.scene_index, c.window.row) for c in span.candidates}) == 1
        assert all(a.window.col < b.window.col <= a.window.col1 for a, b in pairwise(span.candidates))


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 30)), max_size=60),
    st.integers(4, 9),
    st.integers(1, 12),
)
def test_a_job_holds_spans_of_one_row_of_blocks_and_the_places_say_the_order(
    places: list[tuple[int, int, int]], size: int, block: int
) -> None:
    from types import SimpleNamespace

    grid, native = SimpleNamespace(height=30), SimpleNamespace(height=60)  # read at half resolution
    scenes = [
        SimpleNamespace(
            bands=("a",),
            dtype="uint8",
            grid=grid,
            native=native,
            file=SimpleNamespace(striped=False, block_px=(block, 8)),
        )
    ] * 2
    candidates = [Candidate(scene, Window(col, row, size, size)) for scene, row, col in places]
    jobs = _jobs(list(_spans(candidates, scenes)), scenes)  # type: ignore[arg-type]
    spans = sorted((span for job in jobs for span in job), key=lambda span: span.first)
    assert [candidate for span in spans for candidate in span.candidates] == candidates
    for index, span in enumerate(spans):
        assert span.first == sum(len(earlier.candidates) for earlier in spans[:index])
    for job in jobs:
        firsts = [span.candidates[0] for span in job]
        assert len({(c.scene_index, c.window.row * 2 // block, c.window.col) for c in firsts}) == 1


def test_what_sticks_out_of_a_scene_does_not_count_as_missing(write_scene: Writer) -> None:
    scene = open_scene(write_scene("a.tif", 16, 16))
    assert enough_valid(0.25, Window(0, 0, 32, 32), scene, 1.0)
    assert not enough_valid(0.2, Window(0, 0, 32, 32), scene, 1.0)
    assert not enough_valid(0.0, Window(0, 0, 16, 16), scene, 0.0)


@pytest.mark.parametrize("class_count", [1, 8, 9, 200])
def test_class_shares_are_those_of_a_histogram(class_count: int) -> None:
    classes = ClassSet.of_names([f"class {number}" for number in range(class_count)])
    mask = np.random.default_rng(0).choice([0, IGNORE_ID, *classes.ids], (40, 50)).astype(np.uint8)
    ids, counts = np.unique(mask, return_counts=True)
    wanted = dict(zip(ids.tolist(), (counts / mask.size).tolist(), strict=True))
    del wanted[IGNORE_ID]
    assert _class_shares(mask, classes) == wanted
