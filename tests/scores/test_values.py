from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.classes import ClassSet
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.scores.score import find_score
from eo_dl.scores.valuescores import ValueScorer

ONE = ClassSet.of_values({"height": ValueInfo("m")})
TWO = ClassSet.of_values({"height": ValueInfo("m"), "cover": ValueInfo("%")})


def _pair(seed: int, count: int = 1, pixels: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(10, 4, (count, pixels)).astype(np.float32)
    predicted = (truth + rng.normal(0.5, 2, truth.shape)).astype(np.float32)
    truth[:, ::7] = np.nan
    predicted[:, ::11] = np.nan
    return predicted, truth


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_scores_are_those_of_the_definitions_however_pixels_come(seed: int, parts: int) -> None:
    predicted, truth = _pair(seed)
    scorer = ValueScorer(ONE)
    for number, (some, true) in enumerate(
        zip(np.array_split(predicted, parts, 1), np.array_split(truth, parts, 1), strict=True)
    ):
        scorer.update(some, true, str(number))
    known = np.isfinite(truth[0]) & np.isfinite(predicted[0])
    error = predicted[0][known].astype(float) - truth[0][known]
    true = truth[0][known].astype(float)
    expected = {
        "rmse": np.sqrt((error**2).mean()),
        "mae": np.abs(error).mean(),
        "bias": error.mean(),
        "r2": 1 - (error**2).sum() / ((true - true.mean()) ** 2).sum(),
    }
    for name, value in expected.items():
        assert find_score(scorer.scores(), name).value == pytest.approx(value, rel=1e-6)
        assert find_score(scorer.scores(), name, "height").value == pytest.approx(value, rel=1e-6)
    assert scorer.unpredicted == int((np.isfinite(truth) & ~np.isfinite(predicted)).sum())
    assert int(scorer.counts[0]) == int(known.sum())


def test_ranges_partition_the_pixels_and_a_number_on_an_edge_belongs_above() -> None:
    truth = np.array([[1, 5, 5, 9, 12]], np.float32)
    scorer = ValueScorer(ONE, edges=[(5.0, 10.0)])
    scorer.update(truth + np.array([[0, 1, 3, 1, -2]], np.float32), truth)
    counts = {score.class_name: score.count for score in scorer.scores() if score.name == "mae"}
    assert counts == {
        None: 5,
        "height": 5,
        "height below 5 m": 1,
        "height 5 to 10 m": 3,
        "height from 10 m": 1,
    }
    assert find_score(scorer.scores(), "bias", "height 5 to 10 m").value == pytest.approx(5 / 3)
    assert find_score(scorer.scores(), "bias", "height from 10 m").value == pytest.approx(-2)


def test_errors_of_values_in_several_units_are_not_averaged() -> None:
    scorer = ValueScorer(TWO)
    predicted, truth = _pair(3, 2)
    scorer.update(predicted, truth)
    overall = {score.name for score in scorer.scores() if score.class_name is None}
    assert overall == {"r2"}
    of_values = [find_score(scorer.scores(), "r2", name).value for name in TWO.names]
    assert find_score(scorer.scores(), "r2").value == pytest.approx(np.mean(of_values))


def test_coverage_is_the_share_inside_the_intervals() -> None:
    truth = np.array([[1, 2, 3, 4]], np.float32)
    low, high = truth - 1, truth + np.array([[1, -0.5, 2, 0]], np.float32)
    scorer = ValueScorer(ONE)
    scorer.update(np.concatenate([truth, low, high]), truth)
    assert find_score(scorer.scores(), "coverage").value == 0.75
    assert find_score(scorer.scores(), "interval_width", "height").value == pytest.approx(1.625)


def test_merged_scorers_are_one_and_blocks_give_intervals() -> None:
    whole, parts = ValueScorer(ONE), [ValueScorer(ONE), ValueScorer(ONE)]
    for block in range(6):
        predicted, truth = _pair(block)
        whole.update(predicted, truth, str(block))
        parts[block % 2].update(predicted, truth, str(block))
    parts[0].merge(parts[1])
    assert parts[0].scores() == whole.scores()
    score = find_score(whole.scores(), "rmse")
    assert score.low is not None and score.high is not None
    assert score.low < score.value < score.high


def test_without_any_spread_r2_is_not_defined_and_far_numbers_keep_their_last_digits() -> None:
    flat = np.full((1, 50), 3000.1, np.float32)
    scorer = ValueScorer(ONE)
    scorer.update(flat + 1, flat)
    assert not find_score(scorer.scores(), "r2").defined
    assert find_score(scorer.scores(), "rmse").value == pytest.approx(1, abs=1e-3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="or 6 with intervals"):
        ValueScorer(TWO).update(np.zeros((3, 4), np.float32), np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="same shape"):
        ValueScorer(ONE).update(np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32))
