"""Batches that a thread reads ahead: the same training, and nothing left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from eo_dl.chips.dataset import Sample
from eo_dl.core.progress import OnProgress
from eo_dl.errors import Cancelled, SceneError
from eo_dl.training.loop.stopping import stop_on_signals
from eo_dl.training.record.checkpoint import CheckpointFolder
from eo_dl.training.setup import loading
from eo_dl.training.setup.loading import fixed_batches, train_batches
from eo_dl.training.setup.sampler import EpochPlan
from tests.training.conftest import MemoryChips

New = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def stop_at(step: int) -> OnProgress:
    def on_progress(done: int, total: int, what: str) -> None:
        if done == step:
            raise Cancelled("by hand")

    return on_progress


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_reading_ahead_changes_no_bit_and_what_is_read_is_not_done(
    new_world: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of an epoch (4 steps), and continued with and without the thread."""
    ahead = new_world("ahead", checkpoint_steps=1)
    ahead.train()
    with monkeypatch.context() as patched:
        patched.setattr(loading, "_AHEAD", 0)
        waiting = new_world("waiting", checkpoint_steps=1)
        waiting.train()
    assert same(ahead.weights(), waiting.weights())
    for step in (1, 6):
        for batches_ahead in (0, 1):
            stopped = new_world(f"stopped-{step}-{batches_ahead}")
            with pytest.raises(Cancelled, match=f"by hand after step {step} of 12"):
                stopped.train(on_progress=stop_at(step))
            kept = CheckpointFolder(stopped.folder / "checkpoints").latest()
            assert kept is not None
            assert (kept["state"]["step"], kept["state"]["batch"]) == (step, step % 4)
            with monkeypatch.context() as patched:
                patched.setattr(loading, "_AHEAD", batches_ahead)
                stopped.train(resume=True)
            assert same(stopped.weights(), waiting.weights()), (step, batches_ahead)


class Unreadable(MemoryChips):
    """One chip lies in a file that is gone."""

    def __getitem__(self, index: int) -> Sample:
        if index == 3:
            raise SceneError("scene.tif: cannot be opened; check the path")
        return super().__getitem__(index)


def test_an_error_of_the_reading_thread_is_the_error_of_the_run(new_world: New) -> None:
    world = new_world()
    world.new_chips = Unreadable
    with pytest.raises(SceneError) as caught:
        world.train()
    assert str(caught.value) == "scene.tif: cannot be opened; check the path"


def test_a_second_ctrl_c_ends_the_run_and_its_thread(new_world: New) -> None:
    world = new_world()

    def on_progress(done: int, total: int, what: str) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with stop_on_signals() as world.stop, pytest.raises(KeyboardInterrupt):
        world.train(on_progress=on_progress)


def test_a_run_that_dies_takes_its_thread_along(new_world: New) -> None:
    def on_progress(done: int, total: int, what: str) -> None:
        if done == 2:
            raise RuntimeError("the bar is broken")

    with pytest.raises(RuntimeError, match="the bar is broken"):
        new_world().train(on_progress=on_progress)


def _train_batches(chips: MemoryChips, done: int = 0) -> loading.ChipBatches:
    return train_batches(chips, EpochPlan(len(chips), 2, seed=5), lambda: (1, done), workers=0)


def test_an_iteration_left_early_ends_its_thread_when_closed_or_begun_anew() -> None:
    batches = _train_batches(MemoryChips(9))
    first = next(iter(batches)).chip_ids
    assert threading.active_count() > 1
    assert next(iter(batches)).chip_ids == first
    batches.close()
    batches.close()


def test_the_rest_of_an_epoch_is_the_epoch_without_its_first_batches() -> None:
    whole = [batch.chip_ids for batch in _train_batches(MemoryChips(9))]
    rest = [batch.chip_ids for batch in _train_batches(MemoryChips(9), done=2)]
    assert whole[2:] == rest and len(whole) == 4


def test_fixed_batches_are_counted_and_read_again_in_order() -> None:
    batches = fixed_batches(MemoryChips(7), 3, workers=0)
    for _ in range(2):
        found = list(batches)
        assert len(found) == len(batches) == 3
        assert [name for batch in found for name in batch.chip_ids] == [f"chip-{index}" for index in range(7)]


def test_few_chips_are_read_before_they_are_needed() -> None:
    """Memory stays flat: one batch waits, and one is being read."""
    read: list[int] = []

    class Noted(MemoryChips):
        def __getitem__(self, index: int) -> Sample:
            read.append(index)
            return super().__getitem__(index)

    batches = iter(_train_batches(Noted(40)))
    for number in range(1, 10):
        next(batches)
        assert len(read) <= 2 * (number + 2)
