"""Calibration error against a naive reference, and what its interval says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.classes import ClassSet
from eo_dl.scores.reliability import ALL, BINS, Reliability
from eo_dl.scores.reliabilityplot import reliability_diagram


def naive_error(claimed: np.ndarray, right: np.ndarray) -> float:
    error = 0.0
    for number in range(BINS):
        last = number == BINS - 1
        in_bin = (claimed >= number / BINS) & ((claimed < (number + 1) / BINS) | last)
        if in_bin.any():
            error += in_bin.mean() * abs(claimed[in_bin].mean() - right[in_bin].mean())
    return error


@given(st.integers(0, 2**31), st.integers(1, 300))
def test_the_error_is_that_of_the_definition(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    claimed, right = rng.random(count), rng.random(count) < 0.6
    whole, first, second = Reliability([ALL]), Reliability([ALL]), Reliability([ALL])
    whole.add(ALL, claimed, right)
    first.add(ALL, claimed[: count // 2], right[: count // 2], "a")
    second.add(ALL, claimed[count // 2 :], right[count // 2 :], "b")
    first.merge(second)
    expected = naive_error(claimed, right)
    assert whole.errors()[0].value == pytest.approx(expected, abs=1e-9)
    assert first.errors()[0].value == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**31))
def test_counted_levels_are_claims(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels, right = rng.integers(0, 255, 500), rng.random(500) < 0.5
    one, other = Reliability([ALL]), Reliability([ALL])
    one.add(ALL, levels / 254, right)
    other.add_levels(ALL, np.bincount(levels * 2 + right, minlength=510).reshape(255, 2))
    assert one.errors()[0].value == pytest.approx(other.errors()[0].value, abs=1e-9)


def test_the_interval_holds_the_error_and_needs_three_blocks() -> None:
    rng = np.random.default_rng(0)
    reliability = Reliability([ALL, "roof"], seed=1)
    for block in range(12):
        claimed = rng.random(200)
        reliability.add(ALL, claimed, rng.random(200) < claimed, str(block))
        if block == 1:
            assert reliability.errors()[0].low is None
    overall, roof = reliability.errors()
    assert overall.low is not None and overall.high is not None
    assert overall.low <= overall.value <= overall.high and overall.count == 2400
    assert not roof.defined and roof.low is None


def test_the_diagram_is_a_picture_whatever_a_class_is_called() -> None:
    classes = ClassSet.of_names(["_wood $x", "roof"])
    reliability = Reliability([ALL, *classes.names])
    for name in reliability.curves:
        reliability.add(name, np.array([0.2, 0.9, 1.0]), np.array([False, True, True]))
    picture = reliability_diagram({"before": reliability, "after": reliability}, classes, "probability")
    assert picture.startswith(b"\x89PNG")
