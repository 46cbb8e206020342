"""When a scene is named, and refused, because it holds other values than those of the training."""

from __future__ import annotations

import pytest

from eo_dl.core.bands import Band
from eo_dl.core.quantiles import Quantiles
from eo_dl.inference.likeness import BandPair, reason_to_refuse, unlike

HEIGHTS = Quantiles(0, 7.6, 21)
LINEAR, DECIBELS = Quantiles(0.01, 0.09, 0.61), Quantiles(-20.8, -10.3, -2.2)
REFLECTANCE = (Quantiles(250, 600, 2200), Quantiles(300, 900, 2600), Quantiles(900, 2600, 4500))
STRETCHED = (Quantiles(10, 90, 240), Quantiles(12, 95, 243), Quantiles(8, 120, 250))


def pairs(
    found: tuple[Quantiles, ...],
    trained: tuple[Quantiles, ...],
    dtypes: tuple[str, str] = ("float32", "float32"),
) -> list[BandPair]:
    here, there = (Band("a", 1, dtype=dtype) for dtype in dtypes)
    return [BandPair(here, there, one, other) for one, other in zip(found, trained, strict=True)]


def scaled(quantiles: tuple[Quantiles, ...], factor: float) -> tuple[Quantiles, ...]:
    return tuple(Quantiles(one.p02 * factor, one.p50 * factor, one.p98 * factor) for one in quantiles)


@pytest.mark.parametrize("elevation", [50, 200, 1500])
def test_heights_above_the_sea_are_not_heights_above_ground(elevation: float) -> None:
    surface = Quantiles(elevation + 9, elevation + 14, elevation + 30)
    assert "spreads" in str(reason_to_refuse(pairs((surface,), (HEIGHTS,))))


def test_heights_near_the_sea_are_named() -> None:
    at_the_coast = pairs((Quantiles(9.2, 14.1, 30.3),), (HEIGHTS,))
    assert len(unlike(at_the_coast)) == 1 and reason_to_refuse(at_the_coast) is None


@pytest.mark.parametrize(("found", "trained"), [(DECIBELS, LINEAR), (LINEAR, DECIBELS)])
def test_decibels_are_not_linear_values(found: Quantiles, trained: Quantiles) -> None:
    assert reason_to_refuse(pairs((found,), (trained,))) is not None


@pytest.mark.parametrize(
    ("found", "trained", "dtypes"),
    [
        (STRETCHED, REFLECTANCE, ("uint8", "uint16")),
        (REFLECTANCE, STRETCHED, ("uint16", "uint8")),
        (STRETCHED, scaled(REFLECTANCE, 1e-4), ("uint8", "float32")),
        (scaled(REFLECTANCE, 1e-4), STRETCHED, ("float32", "uint8")),
        (scaled(REFLECTANCE, 1e-4), REFLECTANCE, ("float32", "uint16")),
        (REFLECTANCE, scaled(REFLECTANCE, 1e-4), ("uint16", "float32")),
        (scaled(REFLECTANCE, 1e-2), REFLECTANCE, ("float32", "uint16")),
    ],
)
def test_other_units_are_refused(
    found: tuple[Quantiles, ...], trained: tuple[Quantiles, ...], dtypes: tuple[str, str]
) -> None:
    assert reason_to_refuse(pairs(found, trained, dtypes)) is not None


@pytest.mark.parametrize(
    ("found", "trained", "dtypes"),
    [
        # Water beside land, and the reverse: other ground, in the same units.
        ((Quantiles(160, 170, 230), Quantiles(40, 50, 80)), REFLECTANCE[1:], ("int16", "int16")),
        ((Quantiles(20, 180, 900), Quantiles(20, 60, 3000)), REFLECTANCE[1:], ("int16", "int16")),
        # Clouds and snow beside clear ground.
        ((Quantiles(3200, 5400, 8000), Quantiles(3300, 5200, 7500)), REFLECTANCE[1:], ("int16", "int16")),
        # Flat fields beside a town: heights above ground that are 70 times lower.
        ((Quantiles(0, 0.05, 0.3),), (HEIGHTS,), ("float32", "float32")),
        # Values of 8 bits stored as 16, and an 8-bit band with a scale.
        (STRETCHED[1:], (Quantiles(20, 110, 230), Quantiles(30, 100, 250)), ("uint16", "uint8")),
        # Winter beside summer, in degrees Celsius.
        ((Quantiles(-20, -9, -1),), (Quantiles(2, 12, 24),), ("float32", "float32")),
    ],
)
def test_other_ground_of_one_kind_is_not_refused(
    found: tuple[Quantiles, ...], trained: tuple[Quantiles, ...], dtypes: tuple[str, str]
) -> None:
    assert reason_to_refuse(pairs(found, trained, dtypes)) is None


def test_an_8_bit_stretch_is_found_beside_dark_ground() -> None:
    """The median of a training over water fits into 8 bits, its highest values do not."""
    water = (Quantiles(60, 150, 1500), Quantiles(20, 60, 2400))
    assert reason_to_refuse(pairs(STRETCHED[1:], water, ("uint8", "int16"))) is not None
    assert reason_to_refuse(pairs(water, water, ("int16", "int16"))) is None


def test_a_band_of_zeros_hides_no_unit() -> None:
    found = (*scaled(REFLECTANCE, 1e-4), Quantiles(0, 0, 0))
    assert reason_to_refuse(pairs(found, (*REFLECTANCE, Quantiles(5, 9, 30)))) is not None


def test_a_band_that_held_one_value_refuses_nothing() -> None:
    dead = pairs((Quantiles(3, 4, 5),), (Quantiles(0, 0, 0),))
    assert len(unlike(dead)) == 1 and reason_to_refuse(dead) is None
    with_another = dead + pairs((HEIGHTS,), (HEIGHTS,))
    assert reason_to_refuse(with_another) is None


def test_an_8_bit_band_with_a_scale_holds_what_it_says() -> None:
    here, there = Band("a", 1, dtype="uint8", scale=0.004), Band("a", 1, dtype="float32")
    trained = Quantiles(0.02, 0.3, 0.6)
    assert reason_to_refuse([BandPair(here, there, Quantiles(0.03, 0.28, 0.7), trained)]) is None


def test_one_band_alone_may_be_far_but_not_very_far() -> None:
    trained = (Quantiles(0, 100, 250), HEIGHTS)
    near = pairs((Quantiles(0, 110, 250), Quantiles(109, 114, 130)), trained)
    assert [round(one.shift) for one in unlike(near)] == [5] and reason_to_refuse(near) is None
    far = pairs((Quantiles(0, 110, 250), Quantiles(609, 614, 630)), trained)
    assert reason_to_refuse(far) is not None
