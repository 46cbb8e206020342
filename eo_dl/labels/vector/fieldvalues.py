"""The fields of a vector layer with their most frequent values, to choose the class field by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd

from ...io.vectorlayers import read_layer

MOST_VALUES = 8
"""Values of a field that are named; the others are counted."""

_MOST_CHARACTERS = 40


@dataclass(frozen=True)
class FieldSummary:
    """One field of a layer."""

    name: str
    """Its name."""

    kind: str
    """What it holds: text, whole numbers, numbers, true or false, dates."""

    counts: tuple[tuple[str, int], ...]
    """The most frequent values, at most `MOST_VALUES`, with the features that have them."""

    different: int
    """Number of different values."""

    empty: int
    """Features without a value."""

    @property
    def text(self) -> str:
        """In words: "oak (12), fir (3) and 4 more values; 2 without"."""
        parts = ", ".join(f"{value} ({count})" for value, count in self.counts)
        more = self.different - len(self.counts)
        if more:
            parts += f" and {more} more value{'s' if more > 1 else ''}"
        if self.empty:
            parts += f"{'; ' if parts else ''}{self.empty} without"
        return parts


def field_values(path: str | Path, layer: str | None = None) -> tuple[int, list[FieldSummary]]:
    """The number of features of a vector layer, and its fields with their most frequent values.

    Args:
        path: The file.
        layer: The layer, if it has several.

    Raises:
        InputError: The file or the layer cannot be read.
    """
    frame = read_layer(path, layer=layer)
    names = [name for name in frame.columns if name != frame.geometry.name]
    return len(frame), [_field(frame, name) for name in names]


def _field(frame: geopandas.GeoDataFrame, name: str) -> FieldSummary:
    column = frame[name]
    texts = [_text(value) for value in column if not _is_missing(value)]
    counts = Counter(texts)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_VALUES]
    return FieldSummary(str(name), _kind(column), tuple(most), len(counts), len(column) - len(texts))


def _is_missing(value: object) -> bool:
    if isinstance(value, list | tuple | dict | np.ndarray):
        return False
    return bool(pd.isna(value))  # type: ignore[call-overload]  # takes any scalar


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(column):
        return "true or false"
    if pd.api.types.is_integer_dtype(column):
        return "whole numbers"
    if pd.api.types.is_numeric_dtype(column):
        return "numbers"
    return "dates" if pd.api.types.is_datetime64_any_dtype(column) else "text"
