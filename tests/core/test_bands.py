"""Bands are matched by name and never by a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.bands import Band, BandSet, canonical_name
from eo_dl.errors import BandError


def named(*names: str) -> BandSet:
    return BandSet(tuple(Band(name, i + 1) for i, name in enumerate(names)))


def unnamed(count: int) -> BandSet:
    return BandSet(tuple(Band(f"band_{i + 1}", i + 1, named=False) for i in range(count)))


@given(st.permutations(["red", "green", "blue", "nir", "swir1"]))
def test_a_shuffled_scene_is_matched_by_name(order: list[str]) -> None:
    model = named("blue", "green", "red")
    places = model.match(named(*order), "s.tif")
    assert [order[p] for p in places] == ["blue", "green", "red"]


def test_a_scene_without_names_is_refused_with_the_flag() -> None:
    with pytest.raises(BandError, match=r"red=1,green=2,blue=3"):
        named("red", "green", "blue").match(unnamed(3), "s.tif")


def test_a_model_without_names_goes_by_position_and_count() -> None:
    assert unnamed(4).match(unnamed(4), "s.tif") == (0, 1, 2, 3)
    with pytest.raises(BandError, match="needs 4 bands"):
        unnamed(4).match(unnamed(3), "s.tif")


def test_people_may_choose_by_name_number_and_new_name() -> None:
    bands = named("red", "green", "blue", "nir")
    assert bands.select(["nir", "1"], "s.tif").names == ("nir", "red")
    chosen = unnamed(4).select(["red=3", "nir=4"], "s.tif")
    assert [(b.name, b.number, b.named) for b in chosen] == [("red", 3, True), ("nir", 4, True)]
    with pytest.raises(BandError, match="has no band 'swir'"):
        bands.select(["swir"], "s.tif")
    with pytest.raises(BandError, match="two bands"):
        bands.select(["red", "1"], "s.tif")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Red", "red"),
        ("NIR band", "nir"),
        ("Near-Infrared", "nir"),
        ("Band 4", "band_4"),
        ("B8A", "b8a"),
        ("band red", "red"),
    ],
)
def test_names_have_one_spelling(text: str, expected: str) -> None:
    assert canonical_name(text) == expected
