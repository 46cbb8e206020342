"""Texts of class fields are those of their values one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.labels.vector import fields
from eo_dl.labels.vector.fields import _text_of, _texts_of

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
