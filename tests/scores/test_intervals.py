"""Intervals from resampled blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eo_dl.core.classes import ClassSet
from eo_dl.scores.intervals import block_bootstrap, lead, percentile_interval, resampled_counts
from eo_dl.scores.pixelscores import PixelScorer
from eo_dl.scores.score import Score, find_score


def _mean(values: object) -> float:
    return float(np.mean(np.asarray(values)))


def test_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(150):
        low, high = block_bootstrap(rng.normal(3, 1, 40).tolist(), _mean, seed=trial, repeats=200)
        inside += low <= 3 <= high
    assert 0.88 <= inside / 150 <= 0.99


def test_blocks_that_err_together_give_a_wider_interval_than_single_pixels_would() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 1, 30)
    pixels = shared[:, None] + rng.normal(0, 0.1, (30, 50))
    by_block = block_bootstrap(list(pixels), _mean)
    by_pixel = block_bootstrap(pixels.ravel().tolist(), _mean)
    assert by_block[1] - by_block[0] > 3 * (by_pixel[1] - by_pixel[0])


def test_one_seed_one_interval() -> None:
    values = list(range(10))
    assert block_bootstrap(values, _mean, seed=4) == block_bootstrap(values, _mean, seed=4)
    assert block_bootstrap(values, _mean, seed=4) != block_bootstrap(values, _mean, seed=5)


def test_two_blocks_give_no_interval() -> None:
    assert all(math.isnan(bound) for bound in block_bootstrap([1.0, 2.0], _mean))


def test_undefined_draws_are_left_out_unless_they_are_most() -> None:
    assert percentile_interval(np.array([1.0, 1.0, np.nan])) == (1.0, 1.0)
    assert percentile_interval(np.array([1.0, np.nan, np.nan])) is None


def test_each_draw_has_as_many_blocks_as_there_are() -> None:
    counts = resampled_counts(7, repeats=50)
    assert counts.shape == (50, 7) and (counts.sum(axis=1) == 7).all()
    assert counts.mean() == pytest.approx(1)


def scorer_of(errors: list[float], offset: float, classes: ClassSet) -> PixelScorer:
    """A class map with `errors` wrong share in each block, `offset` more in all of them."""
    scorer = PixelScorer(classes)
    for block, share in enumerate(errors):
        truth = np.tile(np.array([0, 1], np.uint8), 500)
        predicted = truth.copy()
        wrong = round(1000 * (share + offset))
        predicted[:wrong] = 1 - predicted[:wrong]
        scorer.update(predicted[None], truth[None], f"block {block}")
    return scorer


def score_of(scorer: PixelScorer) -> Score:
    return find_score(scorer.scores(), "mean_iou")


def test_a_lead_is_surer_than_the_scores_that_it_compares() -> None:
    classes = ClassSet.of_names(["roof"], background=True)
    errors = [0.02, 0.1, 0.3, 0.05, 0.25, 0.15, 0.4, 0.08]  # hard and easy blocks, the same ones for both
    good, bad = scorer_of(errors, 0.0, classes), scorer_of(errors, 0.05, classes)
    ahead = lead(score_of(good), score_of(bad), good.draws(), bad.draws())
    assert ahead.value == score_of(good).value - score_of(bad).value
    assert ahead.low is not None
    assert ahead.high is not None
    assert 0 < ahead.low < ahead.value < ahead.high
    own = score_of(good)
    assert own.low is not None
    # the intervals of the two scores overlap, and yet one is better for sure
    assert own.low < score_of(bad).value
    assert ahead.high - ahead.low < 0.5 * ((own.high or 0) - own.low)


def test_nobody_is_ahead_of_himself_and_few_blocks_say_nothing() -> None:
    classes = ClassSet.of_names(["roof"], background=True)
    one = scorer_of([0.1, 0.2, 0.3], 0.0, classes)
    same = lead(score_of(one), score_of(one), one.draws(), one.draws())
    assert (same.value, same.low, same.high) == (0, 0, 0)
    few = scorer_of([0.1, 0.2], 0.0, classes)
    assert few.draws() == {}
    assert lead(score_of(few), score_of(few), few.draws(), few.draws()).low is None
