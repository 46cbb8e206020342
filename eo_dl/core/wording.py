"""Counts and lists as they stand in messages."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first names with commas between them, and how many there are more: "a, b and 3 more"."""
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown} and {len(texts) - most} more"


def count_of(count: int, noun: str, plural: str | None = None) -> str:
    """ "1 geometry", "3 geometries": the plural is the noun with an s unless it is given."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def plain_number(value: float) -> str:
    """A number in digits alone, exactly: "1000000" and "0.00001", not "1e+06" and "1e-05"."""
    return f"{Decimal(repr(float(value))):f}".removesuffix(".0")


def count_lies(count: int, total: int, noun: str) -> str:
    """ "1 of 3 labels lies", "2 of 3 labels lie"."""
    return f"{count} of {total} {noun}s {'lies' if count == 1 else 'lie'}"
