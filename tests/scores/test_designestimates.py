"""Estimates from samples: the published examples come out to the digit, and intervals cover what they say."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from eo_dl.scores.designestimates import SampledUnits, agreement, estimate_accuracy

Ints = npt.NDArray[np.int64]


def _units_of(counts: list[list[int]]) -> tuple[Ints, Ints]:
    """Mapped and true class of each unit of an error matrix."""
    pairs = [(row, col) for row, cells in enumerate(counts) for col, n in enumerate(cells) for _ in range(n)]
    mapped, reference = np.array(pairs, np.int64).T
    return mapped, reference


def test_olofssons_example_comes_out_to_the_digit() -> None:
    """Olofsson et al. (2014), Good practices ..., section 5: tables 8 and 9. Pixels of 30 m, areas in ha."""
    mapped, reference = _units_of(
        [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]],
    )
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    units = SampledUnits(mapped, np.full(len(mapped), 0.09), pixels * 0.09, pixels)
    found = estimate_accuracy(units, mapped, reference, 4)
    areas = [share.times(pixels.sum() * 0.09) for share in found.area_shares]
    assert [round(area.value) for area in areas] == [21_158, 11_686, 285_770, 581_386]
    assert [round(area.half_width) for area in areas] == [6_158, 3_756, 15_510, 16_282]
    assert [round(one.value, 2) for one in found.users] == [0.88, 0.73, 0.93, 0.96]
    assert [round(one.half_width, 2) for one in found.users] == [0.07, 0.10, 0.04, 0.02]
    assert [round(one.value, 2) for one in found.producers] == [0.75, 0.85, 0.93, 0.96]
    assert round(found.producers[0].half_width, 2) == 0.21
    assert (round(found.overall.value, 2), round(found.overall.half_width, 2)) == (0.95, 0.02)
    assert np.round(found.shares[0], 4).tolist() == [0.0176, 0, 0.0013, 0.0011]
    assert np.round(found.shares[3], 4).tolist() == [0.0040, 0.0020, 0.0179, 0.6212]


def test_stehmans_example_comes_out_to_the_digit() -> None:
    """Stehman (2014), Estimating area and map accuracy ..., table 2: four strata of 10 units."""

    def numbers(text: str) -> Ints:
        return np.array(["ABCD".index(letter) for letter in text], np.int64)

    strata = numbers("A" * 10 + "B" * 10 + "C" * 10 + "D" * 10)
    mapped = numbers("AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD")
    reference = numbers("AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB")
    sizes = np.array([40_000, 30_000, 20_000, 10_000])
    units = SampledUnits(strata, np.ones(40), sizes.astype(float), sizes)
    found = estimate_accuracy(units, mapped, reference, 4)
    assert round(found.area_shares[0].value, 3) == 0.35
    assert round(found.area_shares[2].value, 3) == 0.20
    assert round(found.overall.value, 3) == 0.63
    assert round(found.users[1].value, 3) == 0.574
    assert round(found.producers[1].value, 3) == 0.794
    assert round(found.shares[1, 2], 3) == 0.08
    assert round(found.area_shares[0].standard_error, 3) == 0.082
    assert round(found.area_shares[2].standard_error, 3) == 0.064
    assert round(found.overall.standard_error, 3) == 0.085
    assert round(found.users[1].standard_error, 3) == 0.125
    assert found.producers[1].standard_error == pytest.approx(0.1165, abs=0.0005)


@pytest.mark.parametrize("strata_are_classes", [True, False])
def test_intervals_cover_what_they_say(strata_are_classes: bool) -> None:
    rng = np.random.default_rng(3)
    size = 60_000
    stratum = np.sort(rng.choice(3, size, p=[0.55, 0.3, 0.15]))
    mapped = stratum if strata_are_classes else (stratum + (rng.random(size) < 0.3)) % 3
    reference = np.where(rng.random(size) < 0.8, mapped, rng.integers(0, 3, size))
    sizes = np.bincount(stratum)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    truth = [
        (mapped == reference).mean(),
        *((reference == k).mean() for k in range(3)),
        *((reference == k)[mapped == k].mean() for k in range(3)),
        *((mapped == k)[reference == k].mean() for k in range(3)),
    ]
    inside = np.zeros(len(truth))
    draws = 400
    for _ in range(draws):
        places = np.concatenate(
            [starts[h] + rng.choice(int(sizes[h]), 130, replace=False, shuffle=False) for h in range(3)]
        )
        units = SampledUnits(stratum[places], np.ones(len(places)), sizes.astype(float), sizes)
        found = estimate_accuracy(units, mapped[places], reference[places], 3)
        estimates = [found.overall, *found.area_shares, *found.users, *found.producers]
        inside += [
            abs(one.value - true) <= one.half_width for one, true in zip(estimates, truth, strict=True)
        ]
    assert 0.93 <= (inside / draws).mean() <= 0.97
    assert (inside / draws).min() > 0.9


def test_a_completely_sampled_map_has_no_standard_error() -> None:
    stratum = np.array([0, 0, 0, 1, 1])
    reference = np.array([0, 1, 0, 1, 1])
    units = SampledUnits(stratum, np.ones(5), np.array([3.0, 2.0]), np.array([3, 2]))
    found = estimate_accuracy(units, stratum, reference, 2)
    assert found.overall.value == pytest.approx(0.8)
    assert found.overall.standard_error == 0
    assert found.area_shares[1].value == pytest.approx(0.6)


def test_one_answer_of_a_stratum_has_no_spread() -> None:
    units = SampledUnits(np.array([0, 0, 1]), np.ones(3), np.array([30.0, 20.0]), np.array([300, 200]))
    found = units.estimate(np.array([1.0, 0.0, 1.0]))
    assert found.value == pytest.approx(0.5 * 0.6 + 0.4)
    assert math.isnan(found.standard_error)
    assert found.values()["low"] is None


def test_units_count_with_their_area() -> None:
    """Large pixels of one class, small ones of the other: the share is that of the ground."""
    area = np.array([4.0, 4.0, 1.0, 1.0, 1.0, 1.0])
    is_class = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    units = SampledUnits(np.zeros(6, np.int64), area, np.array([1200.0]), np.array([600]))
    assert units.mean(is_class) == pytest.approx(8 / 12)


def test_kappa_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is no part of the core install")
    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 200)
    second = np.where(rng.random(200) < 0.7, first, rng.integers(0, 4, 200))
    found = agreement(first, second, 4)
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(first, second))
    assert found.raw == pytest.approx((first == second).mean())
    assert math.isnan(agreement(np.zeros(3, np.int64), np.zeros(3, np.int64), 2).kappa)
    assert agreement(np.zeros(0, np.int64), np.zeros(0, np.int64), 2).units == 0
