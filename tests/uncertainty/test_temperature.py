"""The temperature is the one with the least likelihood lost, and calibrates an over-confident network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from eo_dl.scores.reliability import ALL, Reliability
from eo_dl.uncertainty.scoreprecision import ScorePrecision
from eo_dl.uncertainty.temperature import LEAST, fit_temperature, fit_temperatures, tempered


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def toy(rng: np.random.Generator, count: int, overconfident: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that claim too much: the truth is drawn from the softmax of the logits / `overconfident`."""
    honest = rng.normal(0, 1.5, (count, 4))
    draws = rng.random(count)[:, None]
    truth = (draws > softmax(honest).cumsum(axis=1)).sum(axis=1).clip(0, 3)
    return honest * overconfident, truth


@given(st.integers(0, 2**31), st.floats(0.7, 5))
def test_the_temperature_is_that_of_a_general_minimizer(seed: int, overconfident: float) -> None:
    logits, truth = toy(np.random.default_rng(seed), 400, overconfident)

    def loss(log_t: float) -> float:
        probabilities = softmax(logits / np.exp(log_t))
        return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())

    expected = np.exp(minimize_scalar(loss, bounds=(np.log(0.5), np.log(20)), method="bounded").x)
    assert fit_temperature(logits, truth) == pytest.approx(expected, rel=0.01)


def test_the_calibration_error_of_an_overconfident_network_falls_to_a_third() -> None:
    rng = np.random.default_rng(3)
    logits, truth = toy(rng, 6000, 3.0)
    temperature = fit_temperature(logits[:3000], truth[:3000])
    errors = []
    for t in (1.0, temperature):
        probabilities = softmax(logits[3000:] / t)
        reliability = Reliability([ALL])
        reliability.add(ALL, probabilities.max(axis=1), probabilities.argmax(axis=1) == truth[3000:])
        errors.append(reliability.errors()[0].value)
    assert temperature == pytest.approx(3, rel=0.1)
    assert errors[1] < errors[0] / 3


def test_each_class_of_several_has_a_temperature_of_its_own() -> None:
    rng = np.random.default_rng(5)
    honest = rng.normal(0, 2, (4000, 2))
    has = rng.random(honest.shape) < 1 / (1 + np.exp(-honest))
    found = fit_temperatures(honest * np.array([4.0, 1.0]), has)
    assert found == pytest.approx((4, 1), rel=0.1)


def test_few_samples_that_are_all_right_do_not_make_the_model_certain() -> None:
    logits = np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(logits, np.array([0, 1, 2, 0])) == pytest.approx(LEAST)
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.empty((0, 3)), np.empty(0, np.int64))


@given(st.integers(0, 2**31), st.floats(0.5, 20))
def test_no_label_changes(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 5, (6, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(tempered(logits, (temperature,)).argmax(0), logits.argmax(0))


def test_a_temperature_of_one_changes_nothing() -> None:
    logits = np.ones((2, 3), np.float32)
    assert tempered(logits, (1.0,)) is logits
    np.testing.assert_allclose(tempered(logits, (2.0, 4.0)), [[0.5] * 3, [0.25] * 3])
    np.testing.assert_allclose(tempered(logits, (1.0, 2.0, 4.0), axis=1), [[1, 0.5, 0.25]] * 2)


def test_scores_become_precisions_between_knots() -> None:
    curve = ScorePrecision((0.2, 0.6), (0.1, 0.9))
    np.testing.assert_allclose(curve.of(np.array([0.0, 0.2, 0.4, 0.6, 1.0])), [0.1, 0.1, 0.5, 0.9, 0.9])
    for scores, precisions in (
        ((0.6, 0.2), (0.1, 0.9)),
        ((0.2, 0.6), (0.9, 0.1)),
        ((), ()),
        ((0.2,), (1.2,)),
    ):
        with pytest.raises(ValueError, match=r"expected|must"):
            ScorePrecision(scores, precisions)
