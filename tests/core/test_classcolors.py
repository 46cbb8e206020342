"""The colours of classes: distinct, meant by their names, and the same wherever a class set appears."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.classcolors import BACKGROUND_COLOR, class_colors, color_of_name, parse_colors
from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError

WORDS = st.sampled_from(["water", "lake", "forest", "trees", "Road", "house", "foo", "bar", "x1", "Gebäude"])


@given(st.lists(WORDS, max_size=12, unique=True), st.booleans())
def test_no_two_classes_look_alike(names: list[str], background: bool) -> None:
    ids = dict(enumerate(names, start=1)) | ({0: "background"} if background else {})
    colors = class_colors(ids)
    assert colors.keys() == ids.keys()
    assert len(set(colors.values())) == len(colors)
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in colors.values())


@given(st.integers(1, 254))
def test_as_many_classes_as_there_are_ids_have_colours(count: int) -> None:
    assert len(class_colors({number: f"c{number}" for number in range(1, count + 1)})) == count


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("water", "lake"),
        ("Deciduous forest", "trees"),
        ("built-up area", "buildings"),
        ("ResidentialHouse", "roof"),
        ("HYDRO", "river"),
        ("forest road", "street"),
        ("glaciers", "snow"),
    ],
)
def test_names_of_the_same_things_suggest_one_colour(name: str, like: str) -> None:
    assert color_of_name(name) == color_of_name(like) is not None


@pytest.mark.parametrize("name", ["not water", "non-forest", "other", "class 7", "", "Niveau_2"])
def test_names_that_say_nothing_or_deny_suggest_none(name: str) -> None:
    assert color_of_name(name) is None


def test_a_stated_colour_goes_before_the_name_and_is_not_given_twice() -> None:
    blue = color_of_name("water")
    assert blue is not None
    colors = class_colors({0: "background", 1: "water", 2: "road"}, {2: blue})
    assert (colors[0], colors[2]) == (BACKGROUND_COLOR, blue)
    assert colors[1] != blue


def test_water_is_blue_and_forest_green() -> None:
    water, forest, building = (info.color for info in ClassSet.of_names(["water", "forest", "building"]))
    red, green, blue = (int(water[at : at + 2], 16) for at in (1, 3, 5))
    assert blue > green > red
    red, green, blue = (int(forest[at : at + 2], 16) for at in (1, 3, 5))
    assert green > red and green > blue
    red, green, blue = (int(building[at : at + 2], 16) for at in (1, 3, 5))
    assert red > green and red > blue


def test_colours_are_read_from_a_list() -> None:
    assert parse_colors("water=#2B7BBA, tall trees = #1f7a3a,") == {
        "water": "#2b7bba",
        "tall trees": "#1f7a3a",
    }
    for wrong in ("water", "water=blue", "=#112233", "water=#12345"):
        with pytest.raises(ConfigError, match="expected NAME=#rrggbb"):
            parse_colors(wrong)
