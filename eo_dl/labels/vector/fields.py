"""Which attribute of a vector layer holds the class: the one named, or the only one that qualifies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import geopandas
import numpy as np
import pandas as pd

from ...core.arraytypes import BoolArray
from ...core.classes import IGNORE_ID
from ...core.wording import listed
from ...errors import LabelError
from ..classrequest import value_text
from .nestedfields import FieldValues, finest_field

NO_FIELD = "none"
"""As `class_field`: all features are of one class."""

FILE_FIELD = "file"
"""As `class_field`: the class is the name of the file."""

SINGLE_CLASS = "object"

_MOST_KINDS = 50
_FEW_FEATURES = 20
_VALUES_SHOWN = 3
_CLASS_NAMES = re.compile(r"(class(es)?|labels?|category|cls)(_?(name|id))?|land_?cover", re.IGNORECASE)
# Attributes that number, measure or describe features; none of them is a class unless it is named.
_IDS = (
    "fid|ogc_fid|id|gid|uid|uuid|oid|objectid|index|ident|key|"
    "(osm|feature|object|parcel|tree|building|road|way|image|chip|scene)_?id"
)
_MEASURES = (
    "(shape|geom|orig|way|sq)?_?(area|length|len|leng|perimeter|meters|metres)(_?(m|m2|ha|km2|px))?|"
    "m2|ha|hectares?|height|width|depth|lanes?|levels?|z_order"
)
_STATES = (
    "score|confidence|probability|reviewed|status|split|fold|keep|crop_?id|partialdec|truncated|truncation"
)
_REMARKS = (
    "(date|time|timestamp|created|changed|updated|modified|user|author|editor|source|comment|comments|note|"
    "notes|description|remark|remarks)(_?(at|by|on))?"
)
_OTHER_NAMES = re.compile(f"({_IDS}|{_MEASURES}|{_STATES}|{_REMARKS})", re.IGNORECASE)
_OTHER_ENDINGS = ("_m2", "_px", "_deg")


Result = TypeVar("Result")


@dataclass(frozen=True)
class ClassColumn:
    """The classes of the features of a layer."""

    name: str | None
    """The field they come from; None: there is none, and all features are of one class."""

    values: tuple[str | None, ...]
    """(N,) the class of each feature; None: not stated."""

    ids: dict[str, int]
    """Ids of class names, as another field states them."""

    note: str | None = None
    """Why this field, if it was not named."""


def class_column(
    frame: geopandas.GeoDataFrame, class_field: str | None, source: str, used: str | None = None
) -> ClassColumn:
    """The class of each feature.

    Args:
        frame: The layer.
        class_field: The field; `NO_FIELD` and `FILE_FIELD` stand for no field, unless one is called so; None:
            the only one that qualifies, or the finest of fields that describe one classification.
        source: The file, for messages.
        used: A field that a filter uses already, so that it is not the class.

    Raises:
        LabelError: There is no such field, several fields qualify, or a feature has several classes.
    """
    names = [str(name) for name in frame.columns if name != frame.geometry.name]
    if class_field in (NO_FIELD, FILE_FIELD) and class_field not in names:
        return ClassColumn(None, (SINGLE_CLASS,) * len(frame), {})
    if class_field is not None:
        if class_field not in names:
            raise LabelError(
                f"{source}: has no field {class_field!r}; set `class_field` to one of "
                f"{listed(names, most=20) or 'no fields'}"
            )
        return _column(frame, class_field, names, source)
    candidates = [name for name in names if name != used and _may_be_class(frame[name], name)]
    candidates = _without_numbers_of_names(frame, candidates)
    if len(candidates) > 1:
        return _finest_column(frame, candidates, names, source)
    if not candidates:
        note = (
            f"no field could be the class: all features are of the class '{SINGLE_CLASS}'; otherwise set "
            "`class_field`"
        )
        return ClassColumn(None, (SINGLE_CLASS,) * len(frame), {}, note)
    note = (
        f"class field {candidates[0]!r} detected, the only one that qualifies; change it with `class_field`"
    )
    return replace(_column(frame, candidates[0], names, source), note=note)


def _finest_column(
    frame: geopandas.GeoDataFrame, candidates: Sequence[str], names: Sequence[str], source: str
) -> ClassColumn:
    """The field that all other candidates only number, rename or group."""
    fields = [_field_values(frame, name) for name in candidates]
    finest = finest_field(fields)
    if finest is None:
        shown = [f"{field.name} ({_some_values(field)})" for field in fields]
        raise LabelError(
            f"{source}: several fields could be the class: {listed(shown, most=12)}; choose one with "
            f"`class_field` (`class_field={NO_FIELD}`: all features are of one class)"
        )
    others = listed([name for name in candidates if name != finest], most=12)
    note = (
        f"class field {finest!r} chosen: {others} only number, rename or group its classes; change it with "
        "`class_field`"
    )
    return replace(_column(frame, finest, names, source), note=note)


def _field_values(frame: geopandas.GeoDataFrame, name: str) -> FieldValues:
    texts = _texts_of(frame[name])
    are_numbers = all(re.fullmatch(r"-?\d+", text) for text in texts if text is not None)
    return FieldValues(name, texts, not are_numbers, _CLASS_NAMES.fullmatch(name) is not None)


def _some_values(field: FieldValues) -> str:
    values = dict.fromkeys(value for value in field.values if value is not None)
    return listed(list(values), most=_VALUES_SHOWN)


def _may_be_class(column: pd.Series, name: str) -> bool:
    """Whether a field may hold classes: texts of few kinds, or whole numbers that repeat."""
    if _OTHER_NAMES.fullmatch(name.strip()) or name.casefold().endswith(_OTHER_ENDINGS):
        return False
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    try:
        texts = [text for text in _texts_of(column) if text is not None]
    except ValueError:  # lists of several values
        return False
    if not texts:
        return False
    if pd.api.types.is_float_dtype(column) and not all(re.fullmatch(r"[+-]?\d+", text) for text in texts):
        return False
    kinds = len(set(texts))
    if kinds == 1 or _CLASS_NAMES.fullmatch(name):
        return kinds <= IGNORE_ID
    few_texts = len(texts) <= _FEW_FEATURES and not pd.api.types.is_numeric_dtype(column)
    return kinds <= _MOST_KINDS and (kinds < len(texts) or few_texts)


def _without_numbers_of_names(frame: geopandas.GeoDataFrame, candidates: list[str]) -> list[str]:
    """The candidates; of two that state the same, a name and its number, the name alone."""
    numeric = [name for name in candidates if pd.api.types.is_numeric_dtype(frame[name])]
    texts = [name for name in candidates if name not in numeric]
    if len(numeric) == len(texts) == 1 and _numbers_of_names(frame, texts[0], numeric[0]):
        return texts
    return candidates


def _numbers_of_names(frame: geopandas.GeoDataFrame, name_field: str, number_field: str) -> dict[str, int]:
    """The number of each name, where two fields agree one to one; empty where they do not."""
    try:
        rows = zip(_texts_of(frame[name_field]), _texts_of(frame[number_field]), strict=True)
        pairs = {(name, number) for name, number in rows if name is not None}
    except ValueError:
        return {}
    names, numbers = {name for name, _ in pairs}, {number for _, number in pairs}
    if not len(names) == len(numbers) == len(pairs):
        return {}
    return {
        name: int(number) for name, number in pairs if number is not None and re.fullmatch(r"\d{1,3}", number)
    }


def _column(frame: geopandas.GeoDataFrame, name: str, names: Sequence[str], source: str) -> ClassColumn:
    try:
        values = _texts_of(frame[name])
    except ValueError:
        for feature, value in zip(frame.index, frame[name], strict=True):
            try:
                _text_of(value)
            except ValueError as cause:
                raise LabelError(
                    f"{source}: feature {feature} has several values in {name!r} ({cause}), expected one; "
                    "choose features with `where`"
                ) from cause
        raise
    id_field = re.sub(r"name$", "id", name)
    ids: dict[str, int] = {}
    if id_field != name and id_field in names:
        ids = _numbers_of_names(frame, name, id_field)
    return ClassColumn(name, tuple(values), ids)


def _texts_of(column: pd.Series) -> list[str | None]:
    """`_text_of` each value of a column, computed once per distinct value.

    Raises `ValueError` for a list of several values.
    """
    return [_text_of(value) for value in column] if _is_mixed(column) else _by_distinct(column, _text_of)


def _is_mixed(column: pd.Series) -> bool:
    """True for objects of several types, of which equal ones may have different texts (1 and True)."""
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in ("string", "empty")


def _by_distinct(column: pd.Series, of_value: Callable[[object], Result]) -> list[Result]:
    """A function of each value of a column, called once per distinct value."""
    codes, distinct = pd.factorize(column, use_na_sentinel=True)
    # Missing values have the code -1, the last of these.
    results = [*(of_value(value) for value in distinct), of_value(None)]
    return [results[code] for code in codes.tolist()]


def _text_of(value: object) -> str | None:
    """A value as text; a list of one is its element. Raises `ValueError` for longer lists."""
    elements = _elements(value)
    if len(elements) > 1:
        raise ValueError(listed(elements, most=4))
    return elements[0] if elements else None


def _elements(value: object) -> list[str | None]:
    """The texts of a list, which may be JSON, as in GeoPackages; else the text of the value."""
    if isinstance(value, str) and value.startswith('["'):
        try:
            value = json.loads(value)
        except ValueError:
            return [value_text(value)]
    if isinstance(value, list | tuple | np.ndarray):
        return [value_text(element) for element in value]
    if isinstance(value, dict) and "name" in value:
        return [value_text(value["name"])]  # as QuPath has it: {"name": "tree", "color": [...]}
    if value is pd.NA or value is pd.NaT:
        return [None]
    return [value_text(value)]


def matching_rows(frame: geopandas.GeoDataFrame, where: str, source: str) -> tuple[BoolArray, str]:
    """The features that a filter selects.

    Args:
        frame: The layer.
        where: "FIELD=VALUE" or "FIELD=VALUE|VALUE"; a list matches by any element.
        source: The file, for messages.

    Returns:
        (N,) True for the selected features, and the name of the field.

    Raises:
        LabelError: The filter is malformed, names an unknown field, or selects nothing.
    """
    name, equals, values = where.partition("=")
    name = name.strip()
    wanted = {text for text in map(value_text, values.split("|")) if text is not None}
    if not equals or not wanted:
        raise LabelError(
            f"{source}: expected `where` as FIELD=VALUE or FIELD=VALUE|VALUE, found {where!r}; correct it"
        )
    fields = [str(column) for column in frame.columns if column != frame.geometry.name]
    if name not in fields:
        raise LabelError(
            f"{source}: has no field {name!r}; correct `where` ({listed(fields, most=20) or 'no fields'})"
        )
    column = frame[name]
    if _is_mixed(column):
        elements = [frozenset(_elements(value)) for value in column]
    else:
        elements = _by_distinct(column, lambda value: frozenset(_elements(value)))
    selected = np.array([bool(texts & wanted) for texts in elements], np.bool_)
    if not selected.any():
        present = sorted({str(text) for text in set().union(*set(elements)) if text is not None})
        raise LabelError(
            f"{source}: no feature has {where}; {name!r} holds {listed(present, most=10) or 'nothing'}; "
            "correct `where`"
        )
    return selected, name
