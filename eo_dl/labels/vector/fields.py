"""Which attribute of a vector layer holds the class: as given, or the only one that can."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import pandas as pd

from ...core.classes import IGNORE_ID
from ...errors import LabelError
from ..classrequest import value_text

NO_FIELD = "none"
FILE_FIELD = "file"
SINGLE_CLASS = "object"

_MANY = 50
_FEW = 20
_CLASS_LIKE = re.compile(r"(class|label|category|cls)(_?(name|id))?|land_?cover", re.IGNORECASE)
# Attributes that number, measure or describe features; none of these is a class unless a person says so.
_NEVER = re.compile(
    r"(fid|ogc_fid|id|gid|uid|uuid|oid|objectid|(osm|feature|object|parcel|tree|building|road|way|image|chip|scene)_?id|index|ident|key"
    r"|(shape|geom|orig|way|sq)?_?(area|length|len|leng|perimeter|meters|metres)(_?(m|m2|ha|km2|px))?|m2|ha|hectares?|height|width|depth|lanes?|levels?|z_order"
    r"|score|confidence|probability|reviewed|status|split|fold|keep|crop_?id|partialdec|truncated|truncation"
    r"|(date|time|timestamp|created|changed|updated|modified|user|author|editor|source|comment|comments|note|notes|description|remark|remarks)(_?(at|by|on))?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ClassColumn:
    """The chosen field (None: there is none), the class value of each feature, and ids that a companion field
    gives to names.
    """

    name: str | None
    values: tuple[str | None, ...]
    ids: dict[str, int]
    note: str | None = None


def class_column(
    frame: geopandas.GeoDataFrame, class_field: str | None, source: str, used: str | None = None
) -> ClassColumn:
    """The class of each feature. `used` is a field that a filter has already looked at.

    Raises `LabelError` for a field that is not there, and, naming them, where several fields could be it.
    """
    names = [str(name) for name in frame.columns if name != frame.geometry.name]
    if class_field in (NO_FIELD, FILE_FIELD) and class_field not in names:
        return ClassColumn(None, (SINGLE_CLASS,) * len(frame), {})
    if class_field is not None:
        if class_field not in names:
            raise LabelError(
                f"{source}: the class field {class_field!r} is not there; it has {', '.join(names[:20]) or 'no fields'}; choose one with `class_field`"
            )
        return _column(frame, class_field, names, source)
    candidates = [name for name in names if name != used and _may_be_class(frame[name], name)]
    twin = _twin(frame, candidates)
    if twin is not None:
        candidates = [twin]
    if len(candidates) > 1:
        raise LabelError(
            f"{source}: several fields could be the class: {', '.join(candidates[:12])}{' ...' * (len(candidates) > 12)}; "
            f"choose one with `class_field` (`class_field={NO_FIELD}`: all features are of one class)"
        )
    if not candidates:
        return ClassColumn(
            None,
            (SINGLE_CLASS,) * len(frame),
            {},
            f"no field could be the class: all features are of the class '{SINGLE_CLASS}'",
        )
    found = _column(frame, candidates[0], names, source)
    return ClassColumn(
        found.name,
        found.values,
        found.ids,
        f"class field {candidates[0]!r} guessed: the only one that could be it",
    )


def _may_be_class(column: pd.Series, name: str) -> bool:
    """True for texts of few kinds and for whole numbers that repeat; never for ids, measures and remarks."""
    if _NEVER.fullmatch(name.strip()) or name.casefold().endswith(("_m2", "_px", "_deg")):
        return False
    try:
        texts = [text for text in (_text_of(value) for value in column) if text is not None]
    except ValueError:
        return False
    if not texts or pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_float_dtype(column) and not all(re.fullmatch(r"[+-]?\d+", text) for text in texts):
        return False
    distinct = len(set(texts))
    if distinct == 1 or _CLASS_LIKE.fullmatch(name):
        return distinct <= IGNORE_ID
    return distinct <= _MANY and (
        distinct < len(texts) or (len(texts) <= _FEW and not pd.api.types.is_numeric_dtype(column))
    )


def _twin(frame: geopandas.GeoDataFrame, candidates: Sequence[str]) -> str | None:
    """Of two fields that say the same, a name and its number, the name."""
    if len(candidates) != 2:
        return None
    texts, numbers = (
        [name for name in candidates if not pd.api.types.is_numeric_dtype(frame[name])],
        [name for name in candidates if pd.api.types.is_numeric_dtype(frame[name])],
    )
    return (
        texts[0]
        if len(texts) == len(numbers) == 1 and _number_of_names(frame, texts[0], numbers[0])
        else None
    )


def _number_of_names(frame: geopandas.GeoDataFrame, name: str, number: str) -> dict[str, int]:
    """Number of each name where the two fields agree one to one, else nothing."""
    try:
        pairs = {(_text_of(a), _text_of(b)) for a, b in zip(frame[name], frame[number], strict=True)}
    except ValueError:
        return {}
    known = {(a, b) for a, b in pairs if a is not None}
    if len({a for a, _ in known}) != len(known) or len({b for _, b in known}) != len(known):
        return {}
    return {str(a): int(b) for a, b in known if b is not None and re.fullmatch(r"\d{1,3}", b)}


def _column(frame: geopandas.GeoDataFrame, name: str, names: Sequence[str], source: str) -> ClassColumn:
    values = []
    for feature, value in zip(frame.index, frame[name], strict=True):
        try:
            values.append(_text_of(value))
        except ValueError as cause:
            raise LabelError(
                f"{source}: feature {feature} has several values in {name!r} ({cause}); one was expected; choose features with `where`"
            ) from cause
    partner = re.sub(r"name$", "id", name)
    ids = _number_of_names(frame, name, partner) if partner != name and partner in names else {}
    return ClassColumn(name, tuple(values), ids)


def _text_of(value: object) -> str | None:
    """A value as text; a list of one counts as its element. Raises ValueError for longer lists."""
    parts = _elements(value)
    if len(parts) > 1:
        raise ValueError(", ".join(map(str, parts[:4])))
    return parts[0] if parts else None


def _elements(value: object) -> list[str | None]:
    """The texts in a value: those of a list (as such, or as the JSON text that GeoPackages have for it), else
    one.
    """
    if isinstance(value, str) and value.startswith('["'):
        try:
            value = json.loads(value)
        except ValueError:
            return [value_text(value)]
    if isinstance(value, list | tuple | np.ndarray):
        return [value_text(part) for part in value]
    return [None] if value is pd.NA or value is pd.NaT else [value_text(value)]


def matching(frame: geopandas.GeoDataFrame, where: str, source: str) -> tuple[geopandas.GeoDataFrame, str]:
    """The features that a filter "FIELD=VALUE|VALUE" lets through (a list matches by any element), and the
    field's name.
    """
    name, equals, listed = where.partition("=")
    name = name.strip()
    wanted = {text for text in map(value_text, listed.split("|")) if text is not None}
    if not equals or not wanted:
        raise LabelError(
            f"{source}: the filter {where!r} is not understood; write `where` as FIELD=VALUE or FIELD=VALUE|VALUE"
        )
    if name not in frame.columns or name == frame.geometry.name:
        fields = ", ".join(str(c) for c in frame.columns[:20] if c != frame.geometry.name)
        raise LabelError(
            f"{source}: the filter's field {name!r} is not there; it has {fields or 'no fields'}; correct `where`"
        )
    elements = [set(_elements(value)) for value in frame[name]]
    hit = np.array([bool(found & wanted) for found in elements], np.bool_)
    if not hit.any():
        seen = sorted({str(value) for found in elements for value in found if value is not None})
        raise LabelError(
            f"{source}: no feature has {where}; {name!r} holds {', '.join(seen[:10]) or 'nothing'}; correct `where`"
        )
    return frame[hit], name
