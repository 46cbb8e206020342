"""Classes: not said, written in several ways, without objects, or much rarer than others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import shapely

from ...core.classes import BACKGROUND
from ...labels.classnames import counted, lookalikes
from ...labels.records import Records
from .finding import Finding
from .shapechecks import image_of

_RARE = 10
_FEW = 30
_SHOWN = 8


def check_class_values(records: Records, announced: Sequence[str] = ()) -> Iterator[Finding]:
    """Features without a class, and classes that are probably one. `announced`: the classes of a labelling
    project.
    """
    for place in np.flatnonzero([value is None for value in records.values]):
        geometry = records.geometries[place]
        shown = None if geometry is None or geometry.is_empty or not shapely.is_valid(geometry) else geometry
        text = "has no class and counts neither as object nor as background; give it one"
        yield Finding(
            "no class",
            "warning",
            text,
            (str(records.feature_ids[place]),),
            "",
            shown,
            image_of(records, int(place)),
        )
    counts = counted(records.values)
    for text in lookalikes(counts):
        yield Finding(
            "class spelling", "warning", text, _ids_of(records, text.split("'")[1]), text.split("'")[1]
        )
    for name in (name for name in counts if announced and name not in announced):
        text = f"class '{name}' ({counts[name]} objects) is none of the project's ({', '.join(announced[:_SHOWN])}); correct it"
        yield Finding("unknown class", "warning", text, _ids_of(records, name), name)


def _ids_of(records: Records, value: str) -> tuple[str, ...]:
    return tuple(
        str(i) for i, found in zip(records.feature_ids, records.values, strict=True) if found == value
    )


def check_balance(counts: Mapping[str, float], what: str) -> Iterator[Finding]:
    """Classes with nothing, and those that are rare beside the most frequent one; `what` is counted
    ("objects", "px"). Background is always the most, and nothing is wrong with it.
    """
    counts = {name: count for name, count in counts.items() if name != BACKGROUND}
    most_name = max(counts, key=lambda name: counts[name], default="")
    most = counts.get(most_name, 0)
    for name, count in counts.items():
        if count == 0:
            yield Finding(
                "empty class",
                "warning",
                f"class '{name}' has no {what}: draw some, or leave the class out",
                (),
                name,
            )
        elif count * _RARE < most:
            text = f"class '{name}' has {count:g} {what if count != 1 else what.removesuffix('s')}, '{most_name}' {most / count:.0f} times as many: label more of it, or tile with balanced sampling"
            yield Finding("imbalance", "warning", text, (), name)
        elif what == "objects" and count < _FEW:
            yield Finding(
                "imbalance",
                "note",
                f"class '{name}' has {count:g} object{'s' * (count != 1)}; a first model wants {_FEW} or more",
                (),
                name,
            )
