"""Intervals from resampled blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eo_dl.scores.intervals import block_bootstrap, percentile_interval, resampled_counts


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
