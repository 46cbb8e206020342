"""Confident learning against a naive reference, and against labels of which some were swapped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.curation.checks.confident import class_thresholds, confident_classes, suspects


def test_thresholds_are_the_mean_probability_of_the_own_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    assert class_thresholds(probabilities, np.array([0, 0, 1])).tolist() == pytest.approx([0.8, 0.8])
    assert class_thresholds(probabilities, np.array([0, 0, 0]))[1] == np.inf


def naive(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    """Sample -> class, by the words of the paper, one sample after the other."""
    count, classes = probabilities.shape
    thresholds = []
    for k in range(classes):
        own = [probabilities[i][k] for i in range(count) if labels[i] == k]
        thresholds.append(sum(own) / len(own) if own else None)
    found = {}
    for i in range(count):
        best = None
        for k in range(classes):
            limit = thresholds[k]
            if limit is None or probabilities[i][k] < limit - 1e-12:
                continue
            if best is None or probabilities[i][k] > probabilities[i][best]:
                best = k
        if best is not None and best != labels[i] and probabilities[i][best] > probabilities[i][labels[i]]:
            found[i] = best
    return found


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 40))
def test_it_is_what_the_paper_says(seed: int, classes: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), count)
    labels = rng.integers(0, classes, count)
    places, seen = suspects(probabilities, labels, class_thresholds(probabilities, labels) - 1e-12)
    assert dict(zip(places.tolist(), seen.tolist(), strict=True)) == naive(probabilities, labels)
    margins = probabilities[places, seen] - probabilities[places, labels[places]]
    assert (np.diff(margins) <= 0).all(), "the surest first"


@pytest.mark.parametrize("share", [0.05, 0.2])
@pytest.mark.parametrize(("skill", "times"), [(1.0, 2), (3.0, 4)])
def test_swapped_labels_are_found_far_over_chance(share: float, skill: float, times: int) -> None:
    """A poor model (right in two of three) and a good one on 2000 samples of four classes."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, 2000)
    logits = rng.normal(size=(2000, 4))
    logits[np.arange(2000), true] += 1.5 * skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    planted = rng.choice(2000, int(share * 2000), replace=False)
    labels = true.copy()
    labels[planted] = (labels[planted] + rng.integers(1, 4, len(planted))) % 4
    found, seen = suspects(probabilities, labels)
    hits = np.isin(found, planted)
    assert hits.mean() > times * share, "precision; a draw by lot has the share that was planted"
    assert hits.sum() / len(planted) > 0.5 > 1.5 * len(found) / 2000, (
        "recall; a draw by lot of as many finds their share"
    )
    assert (seen[hits] == true[found[hits]]).mean() > 0.8


def test_no_class_is_confident_where_none_reaches_its_threshold() -> None:
    assert confident_classes(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0.8, np.inf])).tolist() == [-1, 0]
