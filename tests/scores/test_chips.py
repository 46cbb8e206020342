"""`ChipScorer` against scikit-learn, with one class a chip and with several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from eo_dl.core.classes import ClassSet
from eo_dl.scores.chipscores import ChipScorer
from eo_dl.scores.score import find_score

CLASSES = ClassSet.of_names(["roof", "pond", "reed"])


def _filled(predicted: np.ndarray, truth: np.ndarray, *, multi_label: bool, places: int = 6) -> ChipScorer:
    scorer = ChipScorer(CLASSES, multi_label=multi_label)
    for place, (p, t) in enumerate(zip(predicted, truth, strict=True)):
        scorer.update(p, t, str(place % places))
    return scorer


def test_one_class_a_chip_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    predicted = rng.dirichlet(np.ones(3), 90) + 0.5 * np.eye(3)[truth]
    scorer = _filled(predicted.astype(np.float32), np.eye(3)[truth], multi_label=False)
    guessed = predicted.argmax(axis=1)
    scores = scorer.scores()
    assert find_score(scores, "mean_f1").value == pytest.approx(
        metrics.f1_score(truth, guessed, average="macro")
    )
    assert find_score(scores, "overall_accuracy").value == pytest.approx(
        metrics.accuracy_score(truth, guessed)
    )
    assert find_score(scores, "recall", "pond").value == pytest.approx(
        metrics.recall_score(truth, guessed, labels=[1], average=None)[0]
    )
    np.testing.assert_array_equal(scorer.confusion, metrics.confusion_matrix(truth, guessed))
    low, high = find_score(scores, "mean_f1").low, find_score(scores, "mean_f1").high
    assert low is not None and high is not None and low < find_score(scores, "mean_f1").value < high
    assert {score.name for score in scores} == {"mean_f1", "overall_accuracy", "f1", "precision", "recall"}
    assert len(scorer.draws()["mean_f1"]) == 1000


def test_several_classes_a_chip_equal_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((120, 3)) < (0.5, 0.2, 0.8)
    # rounded: many equal scores
    predicted = np.clip(np.round(0.6 * truth + 0.7 * rng.random(truth.shape) - 0.15, 1), 0, 1)
    scores = _filled(predicted, truth.astype(np.float64), multi_label=True).scores()
    yes = predicted >= 0.5
    assert find_score(scores, "mean_f1").value == pytest.approx(metrics.f1_score(truth, yes, average="macro"))
    assert find_score(scores, "overall_accuracy").value == pytest.approx(metrics.accuracy_score(truth, yes))
    assert find_score(scores, "mean_ap").value == pytest.approx(
        metrics.average_precision_score(truth, predicted, average="macro")
    )
    for channel, info in enumerate(CLASSES):
        assert find_score(scores, "precision", info.name).value == pytest.approx(
            metrics.precision_score(truth[:, channel], yes[:, channel])
        )
        assert find_score(scores, "ap", info.name).value == pytest.approx(
            metrics.average_precision_score(truth[:, channel], predicted[:, channel])
        )
    low, high = find_score(scores, "mean_f1").low, find_score(scores, "mean_f1").high
    assert low is not None and high is not None and low < high


@pytest.mark.parametrize("multi_label", [False, True])
def test_what_is_not_known_counts_neither_way(multi_label: bool) -> None:
    scorer = ChipScorer(CLASSES, multi_label=multi_label)
    assert scorer.draws() == {}
    assert all(math.isnan(score.value) and score.count == 0 for score in scorer.scores())
    scorer.update(np.array([0.9, 0.1, 0.0]), np.full(3, np.nan), "a")
    assert all(score.count == 0 for score in scorer.scores())
    scorer.update(np.array([0.9, 0.1, 0.0]), np.array([1.0, 0.0, 0.0]), "a")
    scores = scorer.scores()
    assert find_score(scores, "mean_f1").value == 1
    assert math.isnan(find_score(scores, "f1", "pond").value)
    assert scorer.counts()["roof"] == {"truth": 1, "predicted": 1}


def test_a_class_may_be_known_where_another_is_not() -> None:
    scorer = ChipScorer(CLASSES, multi_label=True)
    scorer.update(np.array([0.9, 0.9, 0.1]), np.array([1.0, np.nan, 0.0]), "a")
    assert find_score(scorer.scores(), "overall_accuracy").value == 1
    assert scorer.counts()["pond"] == {"truth": 0, "predicted": 0}
