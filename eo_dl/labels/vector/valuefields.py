"""Features with numbers in their fields (heights, yields) as labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...core.arraytypes import Float64Array, ObjectArray
from ...core.classes import ClassSet
from ...core.labelset import LabelSet
from ...core.maplabels import MapLabels
from ...core.valueinfo import ValueInfo
from ...core.wording import listed
from ...errors import LabelError

_FIRST = 1  # the class id of all features: that of the first value


def with_values(labels: LabelSet, request: Mapping[str, ValueInfo]) -> MapLabels:
    """Features whose labels are the numbers in some of their fields; ground without a feature is unknown.

    Features without any number in its valid range are ignored, which is counted.

    Args:
        labels: Features in map coordinates, read with their attributes.
        request: The fields, each with what it measures.

    Raises:
        LabelError: The labels are in pixels of images, a field is missing or holds no numbers, or no feature
            has a number.
    """
    if not isinstance(labels, MapLabels):
        raise LabelError(
            f"{labels.source}: `values` applies to rasters and to features in map coordinates; leave it out"
        )
    attributes = labels.features.attributes
    missing = [name for name in request if name not in attributes]
    if missing:
        raise LabelError(
            f"{labels.source}: has no field {', '.join(missing)}; its fields are "
            f"{listed(list(attributes)) if attributes else '(none)'}; name one of them in `values`"
        )
    columns, notes = [], []
    for name, info in request.items():
        numbers = _numbers(attributes[name], name, labels.source)
        outside = _outside(numbers, info)
        numbers[outside] = np.nan
        columns.append(numbers)
        notes.append(_note(numbers, int(outside.sum()), name, info))
    values = np.column_stack(columns)
    without = np.asarray(np.isnan(values).all(axis=1), np.bool_)
    if without.all():
        raise LabelError(
            f"{labels.source}: no feature has a number in the valid range of {', '.join(request)}; check the "
            "fields and the ranges in `values`"
        )
    if without.any():
        notes.append(f"{int(without.sum())} of {len(without)} features have no number and are ignored")
    features = replace(
        labels.features,
        class_ids=np.full(len(values), _FIRST, np.int64),
        ignore=labels.features.ignore | without,
        values=values,
        attributes={},
    )
    return replace(
        labels,
        classes=ClassSet.of_values(request),
        features=features,
        only_features=True,
        class_field=None,
        notes=(*labels.notes, *notes),
    )


def _numbers(column: ObjectArray, name: str, source: str) -> Float64Array:
    """(N,) the numbers of a field, NaN for missing ones."""
    numbers = np.full(len(column), np.nan)
    for row, value in enumerate(column):
        if value is None or isinstance(value, bool):
            continue
        try:
            numbers[row] = float(value)
        except (TypeError, ValueError) as cause:
            raise LabelError(
                f"{source}: its field {name!r} holds {value!r:.60}, expected numbers; name a field of "
                "numbers in `values`"
            ) from cause
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _outside(numbers: Float64Array, info: ValueInfo) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(N,) True for numbers outside the valid range."""
    outside = np.zeros(len(numbers), np.bool_)
    if info.low is not None:
        outside |= numbers < info.low
    if info.high is not None:
        outside |= numbers > info.high
    return outside


def _note(numbers: Float64Array, outside: int, name: str, info: ValueInfo) -> str:
    known = numbers[np.isfinite(numbers)]
    text = f"value {name}: {len(known)} features"
    if len(known):
        text += f" from {known.min():.4g} to {info.with_unit(float(known.max()))}"
    if outside:
        text += f"; {outside} outside the valid range ({info.range_text})"
    return text
