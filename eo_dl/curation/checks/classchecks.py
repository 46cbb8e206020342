"""Classes: missing, spelt in several ways, without objects, or much rarer than others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import shapely

from ...core.classes import BACKGROUND
from ...labels.classnames import counted, lookalikes
from ...labels.records import OutlineRecords, Records
from .finding import Finding
from .shapechecks import image_of

_RARE = 10  # times as many objects of the most frequent class
_FEW = 30
_SHOWN = 8


def check_class_values(records: Records, project_classes: Sequence[str] = ()) -> Iterator[Finding]:
    """Features without a class, and classes that are probably one and the same.

    Args:
        records: The features as the file holds them.
        project_classes: The classes of a labelling project; empty: any class is right.
    """
    for index in np.flatnonzero([value is None for value in records.values]).tolist():
        yield Finding(
            "no class",
            "warning",
            "has no class, so it is neither an object nor background; assign one",
            feature_ids=(str(records.feature_ids[index]),),
            geometry=_drawable(records.geometries[index]) if isinstance(records, OutlineRecords) else None,
            image=image_of(records, index),
        )
    counts = counted(records.values)
    for text in lookalikes(counts):
        name = text.split("'")[1]
        yield Finding("class spelling", "warning", text, feature_ids=_ids_of(records, name), class_name=name)
    if not project_classes:
        return
    for name, count in counts.items():
        if name not in project_classes:
            known = ", ".join(project_classes[:_SHOWN])
            yield Finding(
                "unknown class",
                "warning",
                f"class '{name}' ({count} objects) is not a class of the project ({known}); correct it",
                feature_ids=_ids_of(records, name),
                class_name=name,
            )


def check_balance(counts: Mapping[str, float], unit: str) -> Iterator[Finding]:
    """Classes without anything, and classes that are rare compared with the most frequent one.

    Args:
        counts: For each class how much of it is labelled. Background is left out: there is always most of it.
        unit: What is counted: "objects" or "px".
    """
    amounts = {name: count for name, count in counts.items() if name != BACKGROUND}
    most_frequent = max(amounts, key=lambda name: amounts[name], default="")
    most = amounts.get(most_frequent, 0)
    for name, amount in amounts.items():
        one_unit = unit.removesuffix("s") if amount == 1 else unit
        if amount == 0:
            text = f"class '{name}' has no {unit}: draw some, or omit the class"
            yield Finding("empty class", "warning", text, class_name=name)
        elif amount * _RARE < most:
            text = (
                f"class '{name}' has {amount:g} {one_unit}, '{most_frequent}' {most / amount:.0f} times as "
                "many: label more of it, or tile with balanced sampling"
            )
            yield Finding("imbalance", "warning", text, class_name=name)
        elif unit == "objects" and amount < _FEW:
            text = f"class '{name}' has {amount:g} {one_unit}; a first model needs about {_FEW}"
            yield Finding("imbalance", "note", text, class_name=name)


def _drawable(geometry: shapely.Geometry | None) -> shapely.Geometry | None:
    """A geometry that can be drawn on a map; None for others."""
    if geometry is None or geometry.is_empty or not shapely.is_valid(geometry):
        return None
    return geometry


def _ids_of(records: Records, value: str) -> tuple[str, ...]:
    """The features of a class."""
    pairs = zip(records.feature_ids, records.values, strict=True)
    return tuple(str(feature_id) for feature_id, name in pairs if name == value)
