"""Quantiles of bands, and how far those of a scene are shifted against those of a training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.bands import Band, BandSet
from eo_dl.core.normalization import to_physical
from eo_dl.core.quantiles import SHARES, Quantiles, band_quantiles, pooled_quantiles, shift

FINITE = st.floats(-1e6, 1e6)


def quantiles(low: float, middle: float, high: float) -> Quantiles:
    return Quantiles(*sorted((low, middle, high)))


@given(
    st.integers(0, 10_000),
    st.sampled_from(["uint8", "int16", "uint16", "float32"]),
    st.sampled_from([1.0, 1e-4, -0.5]),
)
def test_percentiles_by_counting_are_those_of_numpy(seed: int, dtype: str, scale: float) -> None:
    rng = np.random.default_rng(seed)
    low = -300 if dtype == "int16" else 0
    stored = rng.integers(low, 250, (2, int(rng.integers(1, 400)))).astype(dtype)
    bands = BandSet((Band("a", 1, scale=scale), Band("b", 2, scale=scale, offset=3.0)))
    physical = to_physical(stored[:, :, None], bands)[:, :, 0].astype(np.float64)
    expected = np.percentile(physical, SHARES, axis=1).T
    found = [(one.p02, one.p50, one.p98) for one in band_quantiles(stored, bands) if one is not None]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    halves = [(stored[:, ::2], bands), (stored[:, 1::2], bands)]
    pooled = [(one.p02, one.p50, one.p98) for one in pooled_quantiles(halves) if one is not None]
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-5)


def test_values_that_are_missing_do_not_count() -> None:
    stored = np.array([[1.0, 2.0, np.nan, 3.0], [np.nan] * 4], np.float32)
    first, second = band_quantiles(stored, BandSet((Band("a", 1), Band("b", 2))))
    assert first is not None and first.p50 == 2.0 and second is None


@given(FINITE, FINITE, FINITE, st.floats(-1e3, 1e3))
def test_a_shift_is_counted_in_spreads(low: float, middle: float, high: float, spreads: float) -> None:
    trained = quantiles(low, middle, high)
    unit = max(trained.spread, trained.magnitude / 4)
    moved = Quantiles(*(value + spreads * unit for value in (trained.p02, trained.p50, trained.p98)))
    if unit > 1e-3:
        assert shift(moved, trained) == pytest.approx(spreads, rel=1e-6, abs=1e-6)


def test_one_end_does_not_decide() -> None:
    trained = Quantiles(0, 5, 10)
    assert shift(Quantiles(-9999, 5, 10), trained) == 0  # gaps without a nodata tag
    assert shift(Quantiles(0, 5, 1000), trained) == 0  # clouds
    assert shift(Quantiles(-9999, 205, 210), trained) == 20


def test_a_constant_training_has_no_unit() -> None:
    assert shift(Quantiles(0, 1, 2), Quantiles(0, 0, 0)) == math.inf
    assert shift(Quantiles(0, 0, 2), Quantiles(0, 0, 0)) == 0
