"""Samples are divided among strata as the publications do, and always in whole numbers that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.errors import ConfigError
from eo_dl.scores.allocation import allocate, binomial_deviation, expected_shares_of_class, needed_units

# Deforestation, forest gain, stable forest, stable non-forest: Olofsson et al. (2014), section 5.
WEIGHTS = np.array([0.020, 0.015, 0.320, 0.645])
ACCURACIES = np.array([0.7, 0.6, 0.9, 0.95])


def test_the_published_sample_size() -> None:
    assert needed_units(WEIGHTS, binomial_deviation(ACCURACIES), 0.01) == 641


def test_small_strata_are_raised_and_the_others_share_the_rest() -> None:
    sizes = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    # "Alloc2" of the publication is 75, 75, 165, 325, which rounds the shares of the large strata
    assert allocate(640, WEIGHTS, sizes, 75).tolist() == [75, 75, 162, 328]
    assert allocate(640, WEIGHTS, sizes, 2).tolist() == [13, 9, 205, 413]


def test_errors_of_a_stratum_are_spread_over_the_other_classes() -> None:
    shares = expected_shares_of_class(np.array([0.7, 0.9, 0.8]), own=0)
    assert shares == pytest.approx([0.7, 0.05, 0.1])


@given(st.data())
def test_every_unit_is_given_to_a_stratum_that_has_it(data: st.DataObject) -> None:
    sizes = np.array(data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=8)))
    shares = np.array(data.draw(st.lists(st.floats(0, 5), min_size=len(sizes), max_size=len(sizes))))
    at_least = data.draw(st.integers(2, 20))
    least = np.minimum(sizes, at_least)
    count = data.draw(st.integers(int(least.sum()), int(sizes.sum())))
    units = allocate(count, shares, sizes, at_least)
    assert units.sum() == count
    assert (units <= sizes).all()
    assert (units >= least).all()


def test_a_larger_share_never_gets_fewer_units() -> None:
    units = allocate(101, np.array([1.0, 2.0, 3.0, 7.0]), np.full(4, 1000), 2)
    assert (np.diff(units) >= 0).all()
    assert units.sum() == 101


def test_too_few_units_for_the_strata_are_refused() -> None:
    with pytest.raises(ConfigError, match="10 units are too few for 4 strata with at least 5 each; take 20"):
        allocate(10, WEIGHTS, np.full(4, 100), 5)
    with pytest.raises(ConfigError, match="must be above 0"):
        needed_units(WEIGHTS, WEIGHTS, 0)
