"""Statistics against numpy on all pixels at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.chips.statistics import sample_size, statistics, tally_bands
from eo_dl.core.bands import Band, BandSet
from eo_dl.errors import ChipSetError


def _bands(count: int, scale: float = 1.0, offset: float = 0.0) -> BandSet:
    return BandSet(tuple(Band(f"b{i}", i + 1, scale=scale, offset=offset) for i in range(count)))


@given(
    st.integers(0, 999),
    st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    st.sampled_from([(1.0, 0.0), (0.0001, -0.1), (-2.0, 5.0)]),
)
def test_statistics_are_those_of_all_valid_pixels(
    seed: int, dtype: str, scaling: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    bands, chips = _bands(3, *scaling), []
    for _ in range(4):
        pixels = (
            (rng.normal(120, 30, (3, 12, 17)) + np.array([0, 20, 60])[:, None, None])
            .clip(0, 250)
            .astype(dtype)
        )
        chips.append((pixels, rng.random((12, 17)) < rng.random()))
    found = statistics([tally_bands(pixels, valid, bands, 10_000) for pixels, valid in chips])
    together = (
        np.concatenate([pixels[:, valid] for pixels, valid in chips], axis=1).astype(np.float64) * scaling[0]
        + scaling[1]
    )
    for band, s in zip(together, found, strict=True):
        assert s.count == band.size
        assert s.mean == pytest.approx(band.mean(), rel=1e-10, abs=1e-9)
        assert s.std == pytest.approx(band.std(), rel=1e-10, abs=1e-9)
        assert s.minimum == pytest.approx(band.min())
        assert s.maximum == pytest.approx(band.max())
        assert (s.p02, s.p98) == pytest.approx(tuple(np.percentile(band, (2, 98))), rel=1e-5, abs=1e-5)


def test_a_large_mean_does_not_eat_the_spread() -> None:
    values = np.random.default_rng(0).normal(1e7, 0.5, (1, 64, 64))
    found = statistics(
        [
            tally_bands(values[:, :32], np.ones((32, 64), bool), _bands(1), 99),
            tally_bands(values[:, 32:], np.ones((32, 64), bool), _bands(1), 99),
        ]
    )
    assert found[0].std == pytest.approx(values.std(), rel=1e-9)


def test_percentiles_from_a_sample_are_near() -> None:
    rng = np.random.default_rng(0)
    chips = [rng.gamma(2, 100, (1, 128, 128)) for _ in range(20)]
    found = statistics([tally_bands(pixels, np.ones((128, 128), bool), _bands(1), 500) for pixels in chips])[
        0
    ]
    everything = np.concatenate([pixels.ravel() for pixels in chips])
    assert (found.p02, found.p98) == pytest.approx(tuple(np.percentile(everything, (2, 98))), rel=0.05)


def test_samples_stay_within_their_memory() -> None:
    for chips, bands in ((1, 1), (100, 4), (100_000, 13)):
        assert sample_size(chips, bands, 256) * chips * bands * 4 <= max(16 * 2**20, 16 * chips * bands * 4)
    assert sample_size(10, 4, 64) == 64 * 64


def test_nothing_valid_is_said() -> None:
    with pytest.raises(ChipSetError, match="no chip of the train split has a measured pixel"):
        statistics([tally_bands(np.zeros((1, 4, 4)), np.zeros((4, 4), bool), _bands(1), 9)])
