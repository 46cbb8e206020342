"""How label sets show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .classes import ClassSet
from .htmlcard import card, grid_table


def label_card(
    source: str, rows: Sequence[tuple[str, object]], classes: ClassSet, counts: Mapping[str, int] | None
) -> str:
    """A card with the facts of a label set and its table of classes, in HTML.

    Args:
        source: The file or folder of the labels; its name is the title.
        rows: Names and values of the facts.
        classes: The classes, one row each.
        counts: Number of labels per class name; None for labels that have no objects.
    """
    header = ("id", "class", "color") if counts is None else ("id", "class", "color", "labels")
    table = []
    for info in classes:
        count = () if counts is None else (counts[info.name],)
        table.append((info.id, info.name, info.color, *count))
    return card(Path(source).name, rows) + grid_table(header, table)
