"""Pixel scores against hand-made numbers, a naive reference and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.scores.pixelscores import PixelScorer
from eo_dl.scores.score import find_score

TWO = ClassSet.of_names(["roof"], background=True)
ODD_IDS = ClassSet(
    (
        ClassInfo(0, "background", "#000000"),
        ClassInfo(7, "water", "#0000ff"),
        ClassInfo(40, "wood", "#00ff00"),
    )
)


def _value(scorer: PixelScorer, name: str, class_name: str | None = None) -> float:
    return find_score(scorer.scores(), name, class_name).value


def test_hand_computed() -> None:
    scorer = PixelScorer(TWO)
    #                    true hits 2, missed 1, false 1, both background 4, two ignored
    scorer.update(
        np.array([[1, 1, 0, 1, 0], [0, 0, 0, 1, 0]], np.uint8),
        np.array([[1, 1, 1, 0, 0], [0, 0, 0, 255, 255]], np.uint8),
    )
    assert scorer.confusion.tolist() == [[4, 1], [1, 2]]
    assert _value(scorer, "iou", "roof") == pytest.approx(2 / 4, abs=1e-12)
    assert _value(scorer, "mean_iou") == pytest.approx(2 / 4, abs=1e-12)
    assert _value(scorer, "iou", "background") == pytest.approx(4 / 6, abs=1e-12)
    assert _value(scorer, "f1", "roof") == pytest.approx(4 / 6, abs=1e-12)
    assert _value(scorer, "precision", "roof") == pytest.approx(2 / 3, abs=1e-12)
    assert _value(scorer, "recall", "roof") == pytest.approx(2 / 3, abs=1e-12)
    assert _value(scorer, "overall_accuracy") == pytest.approx(6 / 8, abs=1e-12)
    assert find_score(scorer.scores(), "iou", "roof").count == 3


@given(st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_equals_scikit_learn(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.choice(np.array([0, 7, 40], np.uint8), count) for _ in range(2))
    scorer = PixelScorer(ODD_IDS)
    scorer.update(predicted.reshape(1, -1), truth.reshape(1, -1))
    assert scorer.confusion.tolist() == metrics.confusion_matrix(truth, predicted, labels=[0, 7, 40]).tolist()
    assert _value(scorer, "overall_accuracy") == pytest.approx(
        metrics.accuracy_score(truth, predicted), abs=1e-12
    )
    ious = []
    for info in ODD_IDS:
        if not (truth == info.id).any():
            assert math.isnan(_value(scorer, "iou", info.name)) and math.isnan(
                _value(scorer, "recall", info.name)
            )
            continue
        t, p = truth == info.id, predicted == info.id
        assert _value(scorer, "iou", info.name) == pytest.approx(metrics.jaccard_score(t, p), abs=1e-12)
        assert _value(scorer, "f1", info.name) == pytest.approx(metrics.f1_score(t, p), abs=1e-12)
        assert _value(scorer, "recall", info.name) == pytest.approx(metrics.recall_score(t, p), abs=1e-12)
        if p.any():
            assert _value(scorer, "precision", info.name) == pytest.approx(
                metrics.precision_score(t, p), abs=1e-12
            )
        if info.id:
            ious.append(float(metrics.jaccard_score(t, p)))
    if ious:
        assert _value(scorer, "mean_iou") == pytest.approx(np.mean(ious), abs=1e-12)
    else:
        assert math.isnan(_value(scorer, "mean_iou"))


def test_pixels_without_a_prediction_count_neither_way_and_are_said() -> None:
    scorer = PixelScorer(TWO)
    scorer.update(np.array([[1, 255, 255]], np.uint8), np.array([[1, 1, 255]], np.uint8))
    assert scorer.confusion.sum() == 1
    assert scorer.unpredicted == 1


def test_ids_of_no_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[9\]"):
        PixelScorer(TWO).update(np.array([[9]], np.uint8), np.array([[1]], np.uint8))


def test_order_and_cutting_of_the_pixels_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = (rng.integers(0, 2, (40, 40)).astype(np.uint8) for _ in range(2))
    whole, cut = PixelScorer(TWO), PixelScorer(TWO)
    whole.update(predicted, truth)
    for row in reversed(range(40)):
        cut.update(predicted[row], truth[row], place=str(row % 5))
    assert whole.confusion.tolist() == cut.confusion.tolist()
    assert find_score(whole.scores(), "mean_iou").low is None
    found = find_score(cut.scores(), "mean_iou")
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    assert cut.scores() == cut.scores()


def test_many_pixels_do_not_overflow() -> None:
    scorer = PixelScorer(TWO)
    for _ in range(3):
        scorer.add(np.array([[2**40, 0], [0, 2**40]], np.int64))
    assert scorer.confusion[0, 0] == 3 * 2**40


def test_a_class_that_lies_in_two_blocks_has_no_interval() -> None:
    scorer = PixelScorer(TWO)
    for place in range(6):
        truth = np.zeros((4, 4), np.uint8)
        truth[0, : 2 * (place < 2)] = 1
        scorer.update(np.zeros((4, 4), np.uint8), truth, str(place))
    scores = scorer.scores()
    assert find_score(scores, "iou", "roof").low is None
    assert find_score(scores, "iou", "background").low is not None
