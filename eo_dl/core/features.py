"""`Features`: what is known of labels, one row per label.

The columns of a label set live here once, so that choosing some of the labels cannot forget a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from .arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array, ObjectArray
from .classes import ClassSet

_Column = BoolArray | Float64Array | GeometryArray | Int64Array | ObjectArray


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """What is known of N labels. Raises `ValueError` where a column has another length."""

    class_ids: Int64Array
    """(N,) class of each label; 255 (ignore) for a class that does not count."""

    feature_ids: ObjectArray
    """(N,) how the source calls each label, for messages."""

    ignore: BoolArray
    """(N,) True for labels that count neither for nor against."""

    images: ObjectArray | None = None
    """(N,) the image that each label belongs to; None: labels belong to the ground on which they lie."""

    files: ObjectArray | None = None
    """(N,) label file of each label; None where all come from one file."""

    scores: Float64Array | None = None
    """(N,) confidence of whoever made the label, NaN where not stated; None: no label has one."""

    values: Float64Array | None = None
    """(N, K) numbers of each label, NaN where it has none; None: labels are classes."""

    attributes: Mapping[str, ObjectArray] = field(default_factory=dict)
    """Further columns (N,) by name, which are kept and never interpreted."""

    def __post_init__(self) -> None:
        for name, column in self._columns():
            if len(column) != len(self):
                raise ValueError(f"expected {name} for each of {len(self)} labels, found {len(column)}")

    def __len__(self) -> int:
        return len(self.class_ids)

    def take(self, index: BoolArray | Int64Array) -> Self:
        """The labels of a boolean or integer index, in its order."""
        taken = {item.name: _taken(getattr(self, item.name), index) for item in fields(self)}
        return replace(self, **taken)

    def class_counts(self, classes: ClassSet) -> dict[str, int]:
        """Number of labels per class name, in the order of the classes."""
        return {info.name: int((self.class_ids == info.id).sum()) for info in classes}

    def _columns(self) -> list[tuple[str, _Column]]:
        columns = [
            (item.name, getattr(self, item.name)) for item in fields(self) if item.name != "attributes"
        ]
        return [
            *((name, column) for name, column in columns if column is not None),
            *self.attributes.items(),
        ]


@dataclass(frozen=True, kw_only=True)
class Features(LabelRows):
    """Labels with an outline each."""

    geometries: GeometryArray
    """(N,) polygons or multipolygons: two-dimensional, valid, not empty; in the frame of the label set."""

    @classmethod
    def of_rows(cls, rows: LabelRows, geometries: GeometryArray) -> Features:
        """Labels with their outlines (N,)."""
        columns = {item.name: getattr(rows, item.name) for item in fields(LabelRows)}
        return cls(geometries=geometries, **columns)

    @classmethod
    def none(cls) -> Features:
        """No labels."""
        return cls(
            geometries=np.empty(0, dtype=object),
            class_ids=np.empty(0, np.int64),
            feature_ids=np.empty(0, dtype=object),
            ignore=np.empty(0, np.bool_),
        )


def _taken(column: Any, index: BoolArray | Int64Array) -> Any:
    """Rows of a column, of a mapping of columns, or of a column that is missing (None)."""
    if column is None:
        return None
    if isinstance(column, Mapping):
        return {name: values[index] for name, values in column.items()}
    return column[index]
