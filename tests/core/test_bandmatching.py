"""Bands of a scene are those of a model by name, sensor or wavelength, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.bandmatching import with_names_of
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.spectral import SENSORS, WAVELENGTHS_UM


def bands(*names: str, wavelengths: tuple[float, ...] = (), sensor: str = "") -> BandSet:
    made = []
    for number, name in enumerate(names, start=1):
        made.append(
            Band(
                name,
                number,
                named=not name.startswith("band_"),
                wavelength_um=wavelengths[number - 1] if wavelengths else None,
                sensor_band=f"{sensor}:{name}" if sensor else "",
            )
        )
    return BandSet(tuple(made))


RGBN = bands("red", "green", "blue", "nir")


def test_names_of_sentinel2_stand_for_common_names() -> None:
    match = with_names_of(RGBN, bands("b02", "b03", "b04", "b08"))
    assert match.bands.names == ("blue", "green", "red", "nir")
    assert match.notes == (
        "bands are matched: blue = b02 (of Sentinel-2), green = b03 (of Sentinel-2), "
        "red = b04 (of Sentinel-2), nir = b08 (of Sentinel-2)",
    )


def test_a_model_of_sentinel2_names_reads_common_names() -> None:
    model = bands("b04", "b08", "b12")
    assert with_names_of(model, bands("swir22", "red", "nir")).bands.names == ("b12", "b04", "b08")


def test_numbers_mean_what_the_sensor_means_or_nothing() -> None:
    """B4 is red on Landsat 8, infrared on Landsat 7, and unknown without a sensor."""
    eight = with_names_of(RGBN, bands("b4", "b3", "b2", "b5", sensor="landsat_oli"))
    assert eight.bands.names == ("red", "green", "blue", "nir")
    seven = with_names_of(RGBN, bands("b4", "b3", "b2", "b1", sensor="landsat_etm"))
    assert seven.bands.names == ("nir", "red", "green", "blue")
    assert with_names_of(RGBN, bands("b4", "b3", "b2", "b5")).notes == ()


def test_wavelengths_match_bands_without_names() -> None:
    match = with_names_of(
        RGBN, bands("band_1", "band_2", "band_3", "band_4", wavelengths=(0.49, 0.56, 0.665, 0.842))
    )
    assert match.bands.names == ("blue", "green", "red", "nir")
    assert match.bands.named
    assert "nir = band_4 (0.842 um)" in match.notes[0]


def test_a_known_centre_is_nearer_than_a_range() -> None:
    """A model that knows its wavelengths takes the next band, not any of the same colour."""
    model = bands("nir", wavelengths=(0.833,))
    narrow = bands("band_1", "band_2", wavelengths=(0.8647, 0.842))
    assert with_names_of(model, narrow).bands.names == ("band_1", "nir")
    assert with_names_of(model, bands("band_1", wavelengths=(0.8647,))).notes == ()


def test_what_could_be_two_bands_is_none() -> None:
    assert with_names_of(bands("nir"), bands("band_1", "band_2", wavelengths=(0.833, 0.865))).notes == ()


def test_equal_names_come_first_and_bands_are_used_once() -> None:
    scene = bands("red", "band_2", wavelengths=(0.665, 0.66))
    assert with_names_of(bands("red"), scene).notes == ()
    assert with_names_of(bands("red", "green"), scene).bands.names == ("red", "band_2")


def test_a_model_without_names_goes_by_position() -> None:
    assert with_names_of(bands("band_1", "band_2"), RGBN).bands == RGBN


@pytest.mark.parametrize("sensor", sorted(SENSORS))
def test_every_band_of_a_sensor_has_a_common_name_and_a_wavelength(sensor: str) -> None:
    assert SENSORS[sensor].keys() == WAVELENGTHS_UM[sensor].keys()
    names = [name for name, common in SENSORS[sensor].items() if not common.startswith(("lwir", "pan"))]
    scene = bands(*names, sensor=sensor)
    common = [SENSORS[sensor][name] for name in names]
    assert list(with_names_of(bands(*common), scene).bands.names) == common


@given(st.permutations(["b02", "b03", "b04", "b08", "b8a"]))
def test_order_does_not_matter(order: list[str]) -> None:
    match = with_names_of(RGBN, bands(*order))
    wanted = {"b02": "blue", "b03": "green", "b04": "red", "b08": "nir", "b8a": "b8a"}
    assert list(match.bands.names) == [wanted[name] for name in order]
