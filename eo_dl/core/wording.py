"""Counts and lists as they stand in messages."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names with commas between them, and how many there are more: "a, b and 3 more"."""
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"


def count_of(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 geometry", "3 geometries": the plural is the noun with an s unless it is given."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def count_lies(count: int, total: int, noun: str) -> str:
    """ "1 of 3 labels lies", "2 of 3 labels lie"."""
    return f"{count} of {total} {noun}s {'lies' if count == 1 else 'lie'}"
