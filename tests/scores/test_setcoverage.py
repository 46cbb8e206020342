"""The coverage of sets of classes is the share of the ground whose class is in its set."""

from __future__ import annotations

import numpy as np
import pytest

from eo_dl.core.classes import ClassSet
from eo_dl.scores.score import find_score
from eo_dl.scores.setcoverage import COVERAGE, SET_SIZE, SetCoverage

CLASSES = ClassSet.of_names(["wood", "water", "ice"])


def test_coverage_by_class_and_block() -> None:
    first, second = SetCoverage(CLASSES), SetCoverage(CLASSES)
    assert first.empty
    first.add(np.array([[10, 9], [20, 10], [0, 0]]), "a")
    first.add(np.array([[10, 10], [20, 20], [0, 0]]), "b")
    second.add(np.array([[20, 19], [0, 0], [0, 0]]), "c")
    first.add_sizes(np.array([0, 30, 30, 0]))
    second.add_sizes(np.array([10, 10, 0, 0]))
    first.merge(second)
    scores = first.scores()
    assert find_score(scores, COVERAGE, "wood").value == pytest.approx(38 / 40)
    assert find_score(scores, COVERAGE, "water").value == pytest.approx(30 / 40)
    assert not find_score(scores, COVERAGE, "ice").defined
    overall = find_score(scores, COVERAGE)
    assert overall.value == pytest.approx(68 / 80) and overall.count == 80
    assert overall.low is not None and overall.low <= overall.value
    assert find_score(scores, SET_SIZE).value == pytest.approx((30 + 60 + 10) / 80)
