"""The attributes of whole-chip predictions, in vector files and CSV tables: written by `predict`, read by
`evaluate`.
"""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import AnyArray, Float32Array, Int64Array
from ..core.classes import ClassSet

CHIPS_LAYER = "chips"
"""Layer name of the vector files."""

TABLE_SUFFIX = ".csv"
"""Suffix of tables with one row per image."""

PROBABILITY_PREFIX = "p_"
"""A class's column of probabilities is this and the class name."""

NO_CLASS = "none"
"""`class_name` of a multi-label chip that has none of the classes."""

YES = 0.5
"""Probability from which on a multi-label chip has a class."""


def best_of(probabilities: Float32Array) -> tuple[Int64Array, Float32Array]:
    """(N,) most likely channel (ties: the first) and its probability, of (N, K) probabilities; 0 for NaN."""
    known = np.nan_to_num(probabilities, nan=0.0)
    channels = known.argmax(axis=1) if len(known) else np.empty(0, np.int64)
    return np.asarray(channels, np.int64), known[np.arange(len(known)), channels]


def probability_columns(classes: ClassSet) -> tuple[str, ...]:
    """Column names of the probabilities, one per class.

    The class id is appended if two names differ by case alone, which GeoPackages do not tell apart.
    """
    plain = [f"{PROBABILITY_PREFIX}{info.name}" for info in classes]
    folded = [name.casefold() for name in plain]
    names = []
    for name, info in zip(plain, classes, strict=True):
        unique = folded.count(name.casefold()) == 1
        names.append(name if unique else f"{name}_{info.id}")
    return tuple(names)


def value_columns(probabilities: Float32Array, classes: ClassSet, multi_label: bool) -> dict[str, AnyArray]:
    """The attributes of predicted chips or images.

    Args:
        probabilities: (N, K) probabilities of the classes.
        classes: The classes.
        multi_label: True if a chip may have any number of classes: `class_names` then lists all of them.
    """
    channels, scores = best_of(probabilities)
    names = np.array(classes.names, dtype=object)
    ids = classes.id_of_channel.astype(np.int32)
    has_class = scores >= YES if multi_label else np.ones(len(channels), np.bool_)
    columns: dict[str, AnyArray] = {
        "class_name": np.where(has_class, names[channels], NO_CLASS),
        "class_id": np.where(has_class, ids[channels], -1).astype(np.int32),
        "score": scores.astype(np.float64).round(4),
    }
    if multi_label:
        all_names = ["; ".join(names[row >= YES]) for row in probabilities]
        columns["class_names"] = np.array(all_names, dtype=object).reshape(-1)
    for channel, name in enumerate(probability_columns(classes)):
        columns[name] = probabilities[:, channel].astype(np.float64).round(4)
    return columns
