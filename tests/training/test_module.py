from __future__ import annotations

import errno
import math
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from eo_dl.chips.augment import AugmentConfig
from eo_dl.core.progress import OnProgress
from eo_dl.errors import Cancelled, TrainingError
from eo_dl.training.loop.ema import AveragedWeights
from eo_dl.training.loop.stopping import stop_on_signals
from eo_dl.training.record.checkpoint import CheckpointFolder

New = Callable[..., Any]


class Killed(Exception):
    """Stands for kill -9: nothing is written any more."""


def kill_after(step: int) -> OnProgress:
    def on_progress(done: int, total: int, what: str) -> None:
        if done >= step:
            raise Killed

    return on_progress


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_killed_at_any_step_continues_to_the_same_bits(new_world: New) -> None:
    unbroken = new_world("unbroken", checkpoint_steps=3)
    state = unbroken.train()
    assert state.step == 12  # 9 chips by 2, the last of one merged: 4 steps an epoch
    for step in range(12):
        world = new_world(f"killed-{step}", checkpoint_steps=3)
        with pytest.raises(Killed):
            world.train(on_progress=kill_after(step))
        resumed = world.train(resume=True)
        assert same(world.weights(), unbroken.weights()), step
        assert resumed.best_score == state.best_score
        drop = ("seconds",)
        assert [{k: v for k, v in row.items() if k not in drop} for row in world.rows] == [
            {k: v for k, v in row.items() if k not in drop} for row in unbroken.rows
        ]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "momentum", "schedule": "step", "decay_epochs": 1},
        {"optimizer": "adagrad", "schedule": "plateau", "decay_epochs": 1, "lr": 1e-6},
        {"optimizer": "rmsprop", "schedule": "onecycle", "accumulate": 3},
        {"optimizer": "adam", "ema": 0.9, "accumulate": 2},
        {"optimizer": "sgd", "ema": 0.99},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_every_kind_of_run_continues_to_the_same_bits(new_world: New, settings: dict[str, Any]) -> None:
    unbroken = new_world("unbroken", checkpoint_steps=1, **settings)
    unbroken.train()
    for step in (3, 6, 10):
        world = new_world(f"killed-{step}", checkpoint_steps=1, **settings)
        with pytest.raises(Killed):
            world.train(on_progress=kill_after(step))
        state = world.train(resume=True)
        assert same(world.weights(), unbroken.weights()), step
        best = CheckpointFolder(world.folder / "checkpoints").load_best(state.best_epoch or 0)
        assert same(best, CheckpointFolder(unbroken.folder / "checkpoints").load_best(state.best_epoch or 0))


def test_gradients_of_a_group_make_one_step(new_world: New) -> None:
    """Batches of one size with a loss that is a mean: 2 + 2 + 2 chips are 6, also in a last group of 2."""
    settings = {
        "epochs": 1,
        "optimizer": "sgd",
        "warmup": 0,
        "schedule": "constant",
        "augment": AugmentConfig.nothing().model_dump(),
    }
    apart = new_world("apart", count=8, accumulate=3, **settings)
    whole = new_world("whole", count=8, batch_size=6, **settings)
    apart.train(plain=True)
    whole.train(plain=True)
    theirs = whole.weights()
    assert all(torch.allclose(value, theirs[name], atol=1e-6) for name, value in apart.weights().items())


def test_the_moving_average_is_its_definition_and_takes_batch_statistics_along() -> None:
    network = torch.nn.BatchNorm2d(2)
    averaged = AveragedWeights(network, 0.5)
    mean, means = network.running_mean, [0.0]
    assert mean is not None
    for number in range(1, 6):
        mean.fill_(number)
        averaged.update()
        kept = min(0.5, (1 + number) / (10 + number))
        means.append(kept * means[-1] + (1 - kept) * number)
    assert averaged.weights()["running_mean"].tolist() == pytest.approx([means[-1]] * 2)
    with averaged.applied():
        assert mean.tolist() == pytest.approx([means[-1]] * 2)
    assert mean.tolist() == [5, 5]


def test_the_moving_average_is_what_is_validated_and_kept(new_world: New) -> None:
    world = new_world(ema=0.9, epochs=2, lr=0.05)
    state = world.train()
    best = CheckpointFolder(world.folder / "checkpoints").load_best(state.best_epoch or 0)
    latest = CheckpointFolder(world.folder / "checkpoints").latest()
    assert latest is not None
    if state.best_epoch == 2:
        assert same(best, latest["averaged"]["values"])
    assert not same(latest["averaged"]["values"], world.weights())


def test_a_run_killed_twice_continues_to_the_same_bits(new_world: New) -> None:
    unbroken = new_world("unbroken", checkpoint_steps=1)
    unbroken.train()
    world = new_world("killed", checkpoint_steps=1)
    for step in (2, 5):
        with pytest.raises(Killed):
            world.train(resume=step > 2, on_progress=kill_after(step))
    world.train(resume=True)
    assert same(world.weights(), unbroken.weights())


def test_the_number_of_workers_changes_nothing(new_world: New) -> None:
    alone, helped = new_world("alone", epochs=2), new_world("helped", epochs=2, workers=2)
    alone.train()
    helped.train()
    assert same(alone.weights(), helped.weights())


def test_the_callers_random_numbers_are_left_alone(new_world: New) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    world = new_world(epochs=1)
    with torch.random.fork_rng():  # the world itself seeds its network
        world.train()
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected)


def test_a_loss_that_is_not_finite_stops_before_it_reaches_a_weight(new_world: New) -> None:
    world = new_world("run", count=8, poison="chip-5", checkpoint_steps=1)
    with pytest.raises(TrainingError, match="chip-5;") as caught:
        world.train()
    assert "\n" not in str(caught.value)
    assert all(
        torch.isfinite(value).all() for name, value in world.weights().items() if "running" not in name
    )
    steps = new_world("run").folder.joinpath("checkpoints").glob("*.pt")
    assert all(torch.isfinite(v).all() for file in steps for v in torch.load(file)["network"].values())


def test_a_poisoned_validation_chip_does_not_stop_the_run(new_world: New) -> None:
    assert math.isfinite(new_world(count=6, epochs=1).train().best_score or 0)


def test_a_last_batch_of_one_survives_batch_normalization(new_world: New) -> None:
    for count in (1, 3):
        assert new_world(f"run-{count}", count=count, batch_size=2, epochs=1).train().epoch == 1


def test_cancelling_keeps_a_checkpoint_and_says_how_to_go_on(new_world: New) -> None:
    world = new_world()

    def on_progress(done: int, total: int, what: str) -> None:
        assert (total, what) == (12, "steps")
        if done == 6:
            raise Cancelled("stopped by hand")

    with pytest.raises(
        Cancelled, match=r"stopped by hand after step 6 of 12; continue from step 6 .*`resume`"
    ):
        world.train(on_progress=on_progress)
    unbroken = new_world("unbroken")
    unbroken.train()
    world.train(resume=True)
    assert same(world.weights(), unbroken.weights())


def test_a_signal_stops_between_two_steps(new_world: New) -> None:
    world = new_world()

    def on_progress(done: int, total: int, what: str) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGTERM)

    with stop_on_signals() as world.stop, pytest.raises(Cancelled, match="terminated after step 5") as caught:
        world.train(on_progress=on_progress)
    assert caught.value.exit_code == 143
    assert new_world().train(resume=True).epoch == 3


def test_handlers_are_put_back_and_the_second_ctrl_c_is_the_usual_one() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "interrupted"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_whoever_waits_for_a_step_is_told_what_is_finished(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eo_dl.training.loop.stopping._PATIENCE_S", 0.0)
    caplog.set_level("INFO", "eo_dl")
    with stop_on_signals():
        signal.raise_signal(signal.SIGINT)
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()
    assert "stopping once this step or validation is done" in caplog.text


def test_outside_the_main_thread_no_handler_is_touched() -> None:
    seen: list[bool] = []

    def run() -> None:
        with stop_on_signals() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


def test_torch_is_left_as_it_was_found(new_world: New) -> None:
    new_world(epochs=1).train()
    assert not torch.are_deterministic_algorithms_enabled()


def test_early_stopping_ends_the_run(new_world: New) -> None:
    state = new_world(epochs=40, patience=2, lr=1e-9).train()
    assert state.epoch < 40
    assert "no better validation score" in (state.stopped or "")


class _Times:
    """A clock that runs by `seconds` per step: a run with a limit of time is the same on any machine.

    It is told of a step after the run has looked at the clock, so it is late by one step.
    """

    def __init__(self, world: Any, seconds: float) -> None:
        self.world, self.per_step, self.since = world, seconds, 0.0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("eo_dl.training.record.runstate.time.monotonic", lambda: self.now)

    def on_progress(self, done: int, total: int, what: str) -> None:
        self.now = done * self.per_step
        self.totals = [*getattr(self, "totals", []), total]


def test_a_run_with_a_limit_of_time_ends_inside_an_epoch_at_a_low_rate(
    new_world: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(epochs=None, minutes=1.0, lr=0.1, warmup=0.1)  # 4 steps per epoch
    times = _Times(world, seconds=6.5)
    times.patch(monkeypatch)
    state = world.train(on_progress=times.on_progress)
    assert state.step == 11  # 10 steps take 65 of 60 seconds
    assert state.epoch == 3  # the third ended after three of its steps
    assert state.stopped == "the time is used (1 min), after 11 steps"
    rates = [row["lr"] for row in state.history]
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] < 0.01
    assert world.rows[-1]["val_mean_iou"] >= 0  # the weights of the last step are scored
    assert times.totals[-1] == 11


def test_what_ends_first_decides_epochs_or_time(new_world: New, monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world(epochs=2, minutes=60.0)
    state = world.train()
    assert state.stopped == "all 2 epochs done"
    world = new_world("short", epochs=500, minutes=1.0)
    times = _Times(world, seconds=20.0)
    times.patch(monkeypatch)
    assert world.train(on_progress=times.on_progress).step == 4


def test_a_stopped_run_has_the_rest_of_its_time(new_world: New, monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world(epochs=None, minutes=1.0, checkpoint_steps=1)
    times = _Times(world, seconds=6.5)
    times.patch(monkeypatch)

    def kill_at_six(done: int, total: int, what: str) -> None:
        times.on_progress(done, total, what)
        if done >= 6:
            raise Killed

    with pytest.raises(Killed):
        world.train(on_progress=kill_at_six)
    assert world.train(resume=True, on_progress=times.on_progress).step in (11, 12)


def test_nothing_is_said(new_world: New, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new_world(epochs=1).train()
    assert capfd.readouterr() == ("", "")


def test_a_log_that_cannot_be_written_does_not_end_the_training(
    new_world: New, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def fails(*values: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", fails)
    assert new_world(epochs=2).train().epoch == 2
    said = [record.message for record in caplog.records if "TensorBoard" in record.message]
    assert said == [
        "TensorBoard's log is given up (No space left on device); the training goes on, and history.csv has "
        "the numbers"
    ]
