from __future__ import annotations

import json
import math

from eo_dl.training.record.runstate import RunState
from eo_dl.training.setup.budget import Budget


def closed(state: RunState, score: float) -> bool:
    state.count_step({"loss": 1.0})
    return state.close_epoch({"mean_iou": score}, "mean_iou", 0.1)


def test_the_best_epoch_is_the_one_of_the_highest_score() -> None:
    state = RunState()
    assert [closed(state, score) for score in (0.2, 0.5, 0.4, 0.5, 0.6)] == [True, True, False, False, True]
    assert (state.best_score, state.best_epoch, state.stale_epochs) == (0.6, 5, 0)


def test_a_score_that_is_not_defined_never_replaces_one_that_is() -> None:
    state = RunState()
    assert [closed(state, score) for score in (math.nan, math.nan, 0.1, math.nan)] == [
        True,
        True,
        True,
        False,
    ]
    assert (state.best_score, state.best_epoch) == (0.1, 3)


def test_a_run_stops_after_its_patience_its_epochs_or_its_time() -> None:
    state = RunState()
    closed(state, 0.5)
    closed(state, 0.4)
    assert state.stop_reason(Budget(5, None), 2) is None
    closed(state, 0.3)
    assert "no better validation score for 2" in (state.stop_reason(Budget(5, None), 2) or "")
    assert state.stop_reason(Budget(5, None), None) is None
    closed(state, 0.3)
    closed(state, 0.3)
    assert state.stop_reason(Budget(5, None), None) == "all 5 epochs done"
    state.step, state.seconds = 170, 481.0
    reason = "the time is used (8 min), after 170 steps in epoch 5 of 20"
    assert state.stop_reason(Budget(20, 480.0), None) == reason
    assert state.stop_reason(Budget(20, 482.0), None) is None
    assert state.ended_early(Budget(20, 480.0))
    assert not state.ended_early(Budget(20, 482.0)), "the time is not used"
    assert not state.ended_early(Budget(10, 480.0)), "half of what was planned"
    assert not state.ended_early(Budget(None, 480.0)), "nothing was planned but the time"


def test_a_run_without_any_score_is_not_stopped_for_lack_of_one() -> None:
    state = RunState()
    for _ in range(20):
        closed(state, math.nan)
    assert state.stop_reason(Budget(50, None), 3) is None
    assert state.best_epoch == 20


def test_it_survives_json_to_the_last_bit() -> None:
    state = RunState()
    state.count_step({"loss": 0.1 + 0.2, "dice": 1 / 3})
    closed(state, 2 / 3)
    assert RunState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_the_state_of_an_older_version_is_read() -> None:
    state = RunState(epoch=3, step=30)
    assert RunState.from_dict({"planned_epochs": 20, **state.to_dict()}) == state


def test_history_holds_the_mean_loss_of_the_epoch() -> None:
    state = RunState()
    state.count_step({"loss": 1.0})
    state.count_step({"loss": 3.0})
    state.close_epoch({}, "mean_iou", 0.5)
    assert state.history[0]["train_loss"] == 2.0
    assert (state.epoch, state.batch, state.step, state.losses) == (1, 0, 2, {})
