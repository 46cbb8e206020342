"""Sets hold the true class in the wanted share of new blocks, and say when they cannot promise it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.uncertainty.certainty import certainty_bands
from eo_dl.uncertainty.predictionsets import (
    LEVELS,
    ClassQuantiles,
    blocks_needed,
    covered_shares,
    in_sets,
)


def blocks_of_ground(
    rng: np.random.Generator, blocks: int, pixels: int = 40
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Probabilities (N, 3), true classes and blocks; the model is good on some blocks and bad on others."""
    probabilities, truth, places = [], [], []
    for block in range(blocks):
        skill = rng.normal(1.2, 1.0)
        true = rng.integers(0, 3, pixels)
        logits = rng.normal(0, 1, (pixels, 3))
        logits[np.arange(pixels), true] += skill
        powers = np.exp(logits)
        probabilities.append(powers / powers.sum(axis=1, keepdims=True))
        truth.append(true)
        places += [str(block)] * pixels
    return np.concatenate(probabilities), np.concatenate(truth), places


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_the_coverage_on_new_blocks_is_the_wanted_one(coverage: float) -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(20):
        probabilities, truth, places = blocks_of_ground(rng, 60)
        thresholds = [
            ClassQuantiles.of(probabilities[truth == k, k], np.array(places)[truth == k]).threshold(coverage)
            for k in range(3)
        ]
        new, new_truth, new_places = blocks_of_ground(rng, 60)
        counted = covered_shares(in_sets(new.T, thresholds), new_truth, new_places, 3)
        sums = np.sum(list(counted.values()), axis=0)
        shares.append(sums[:, 1] / sums[:, 0])
    by_class = np.mean(shares, axis=0)
    assert by_class == pytest.approx(coverage, abs=0.02)
    assert (by_class > coverage - 0.01).all()


def test_pixels_instead_of_blocks_would_promise_too_much() -> None:
    # With few blocks the coverage of sets that count pixels falls short, that of ours does not.
    rng = np.random.default_rng(2)
    counting_pixels, counting_blocks = [], []
    for _ in range(150):
        probabilities, truth, places = blocks_of_ground(rng, 9, pixels=20)
        own = probabilities[truth == 0, 0]
        new, new_truth, _ = blocks_of_ground(rng, 10, pixels=20)
        new_own = new[new_truth == 0, 0]
        threshold = ClassQuantiles.of(own, np.array(places)[truth == 0]).threshold(0.9)
        counting_blocks.append((new_own >= threshold).mean())
        counting_pixels.append((new_own >= np.quantile(own, 0.1)).mean())
    assert np.mean(counting_blocks) > 0.9 > np.mean(counting_pixels)


def test_too_few_blocks_leave_no_class_out() -> None:
    assert [blocks_needed(c) for c in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
    rng = np.random.default_rng(0)
    for blocks in (8, 9):
        places = [str(number // 10) for number in range(blocks * 10)]
        found = ClassQuantiles.of(rng.uniform(0.5, 1, len(places)), places)
        assert (found.threshold(0.9) == 0) == (blocks < 9)
    assert ClassQuantiles.of(np.empty(0), []).threshold(0.5) == 0


@given(st.integers(0, 2**31), st.integers(1, 30))
def test_quantiles_are_those_of_equally_weighted_blocks(seed: int, blocks: int) -> None:
    rng = np.random.default_rng(seed)
    places = [str(place) for place in rng.integers(0, blocks, 60)]
    probabilities = rng.random(60)
    found = ClassQuantiles.of(probabilities, places)
    weight = np.array([1 / (found.blocks * places.count(place)) for place in places])
    assert found.blocks == len(set(places)) and len(found.least) == len(LEVELS)
    for level, least in zip(LEVELS, found.least, strict=True):
        assert weight[probabilities >= least].sum() >= level - 1e-6
        above = probabilities > least + 2e-6
        assert weight[above].sum() < level + 1e-6
    assert list(found.least) == sorted(found.least, reverse=True)


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_certainty_is_that_of_sorted_probabilities(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.4), 50).T.astype(np.float32)
    largest, margin, entropy = certainty_bands(probabilities)
    ordered = np.sort(np.vstack([probabilities, np.zeros((1, 50))]), axis=0)[::-1]
    np.testing.assert_allclose(largest, ordered[0])
    np.testing.assert_allclose(margin, ordered[0] - ordered[1], atol=1e-6)
    p = np.maximum(probabilities.astype(np.float64), 1e-12)
    expected = -(p * np.log(p)).sum(axis=0) / (np.log(classes) or 1)
    np.testing.assert_allclose(entropy, np.clip(expected, 0, 1), atol=1e-5)
