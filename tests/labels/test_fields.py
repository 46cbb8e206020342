"""Texts of class fields are those of their values one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.labels.vector import fields
from eo_dl.labels.vector.fields import _text_of, _texts_of
from eo_dl.labels.vector.nestedfields import FieldValues, finest_field

TEXTS = st.sampled_from(["a", " a", "A", "1", "1.0", "#FFAA00", "", '["b"]', '["', None])
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 1.5, 7.0, float("nan")])
MIXED = st.one_of(TEXTS, NUMBERS, st.booleans(), st.integers(0, 2), st.just(pd.NA), st.just(["c"]))


@given(st.lists(TEXTS), st.lists(NUMBERS), st.lists(MIXED))
def test_texts_are_those_of_each_value(
    texts: list[str | None], numbers: list[float], mixed: list[object]
) -> None:
    for column in (
        pd.Series(texts, dtype=object),
        pd.Series(texts, dtype="str"),
        pd.Series(numbers, dtype=np.float64),
        pd.Series([int(number) for number in numbers if number == number], dtype=np.int64),
        pd.Series(mixed, dtype=object),
    ):
        assert _texts_of(column) == [_text_of(value) for value in column]


def test_a_value_is_looked_at_once_however_often_it_occurs(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def counting(value: object) -> str | None:
        looks.append(value)
        return _text_of(value)

    monkeypatch.setattr(fields, "_text_of", counting)
    assert _texts_of(pd.Series(["a", "b"] * 1000)) == ["a", "b"] * 1000
    assert len(looks) <= 3


def _column(values: str) -> list[str | None]:
    return [None if value == "-" else value for value in values.split()]


def _field(name: str, values: str, *, is_text: bool = True, named_as_class: bool = False) -> FieldValues:
    return FieldValues(name, _column(values), is_text, named_as_class)


LEVEL_1 = _field("level_1", "man man man man man man nature nature nature")
LEVEL_2 = _field("level_2", "roof roof roof road road road wood wood wood")
CODES = _field("codes", "1 1 1 2 2 2 255 255 255", is_text=False)


def test_the_finest_of_nested_fields_is_chosen_and_names_go_before_numbers() -> None:
    assert finest_field([LEVEL_1, CODES, LEVEL_2]) == "level_2"
    assert finest_field([CODES, LEVEL_1]) == "codes"


def test_of_fields_that_say_the_same_the_one_called_class_is_chosen() -> None:
    named = _field("class", "a a a b b b c c c", named_as_class=True)
    assert finest_field([LEVEL_2, named]) == "class"


@pytest.mark.parametrize(
    "other",
    [
        _field("owner", "x y z x y z x y z"),  # says something else
        _field("name", "a b c d e f g h i"),  # names single features
        _field("gaps", "man - man man man man nature nature wood"),  # not a grouping
    ],
)
def test_fields_that_say_different_things_stay_a_question(other: FieldValues) -> None:
    assert finest_field([LEVEL_2, other]) is None
