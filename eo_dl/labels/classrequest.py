"""`ClassRequest`: the classes that a caller asks for, as names, values to merge and values to ignore."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.imagenames import composed
from ..errors import LabelError

REST = "*"
"""Stands for all values that are not named."""

_MAX_FILE_BYTES = 1_000_000
_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}")
_WHOLE_WITH_FRACTION = re.compile(r"-?\d{1,18}\.0+")
_COLOR = re.compile(r"#[0-9a-f]{6}")
_COMMENT = re.compile(r"#(\s|$)")  # a colour has no space after the sign


def value_text(value: object) -> str | None:
    """A class value as text; None if it is empty.

    Texts keep their zeros ("010"), numbers that are whole have no fraction. Spaces around are trimmed,
    colours are in lower case, letters in one form of Unicode.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = composed(str(value).strip())
    if is_color(text.lower()):
        return text.lower()
    return text or None


def cell_text(text: str | None) -> str | None:
    """A class value in a CSV file, whose numbers have no type: "3.0", a number to the program that wrote it,
    is 3.
    """
    value = value_text(text)
    if value is not None and _WHOLE_WITH_FRACTION.fullmatch(value):
        return value.split(".")[0]
    return value


def is_number(text: str) -> bool:
    """Whether a class value is a whole number as numbers are written; "01" is a code."""
    return _INTEGER.fullmatch(text) is not None


def is_color(text: str) -> bool:
    """Whether a class value is a colour, "#rrggbb" in lower case."""
    return _COLOR.fullmatch(text) is not None


@dataclass(frozen=True)
class ClassRequest:
    """The classes that a caller asks for.

    Written as items "NAME", "NAME=VALUE|VALUE" or "-VALUE" (ignored); the value "*" stands for all others.
    """

    names: tuple[str, ...]
    """Class names, in the order of their ids."""

    values: Mapping[str, str | None]
    """The class name of each value; None: the value is ignored."""

    bare: bool
    """True for a plain list of names, without any value."""

    def name_of(self, value: str) -> str | None:
        """The class name of a value; None: it is ignored. Raises `KeyError` where no item covers it."""
        return self.values[value] if value in self.values else self.values[REST]

    @property
    def colored(self) -> bool:
        """True if any value is a colour."""
        return any(is_color(value) for value in self.values)


def parse_classes(classes: Sequence[str] | str | Path) -> ClassRequest:
    """The request that a list of items makes.

    Args:
        classes: Items as a list, as text with commas between them, or as a text file (.txt) with one per
            line.

    Raises:
        LabelError: The file cannot be read, an item is malformed, or a value is named twice.
    """
    names: dict[str, None] = {}  # in order, each once
    values: dict[str, str | None] = {}
    bare = True
    for text in _item_texts(classes):
        item = _parsed(text)
        bare = bare and item.bare
        for value in item.values:
            if value in values:
                raise LabelError(f"`classes`: the value {value!r} is named twice; give it to one class")
            values[value] = item.name
        if item.name is not None:
            names[item.name] = None
    if not names:
        raise LabelError(
            "`classes`: expected at least one class, found none; omit it, or name some: building,tree"
        )
    return ClassRequest(tuple(names), values, bare)


@dataclass(frozen=True)
class _Item:
    """One item: its class name (None: ignored), its values, and whether it is a plain name."""

    name: str | None
    values: tuple[str, ...]
    bare: bool


def _parsed(text: str) -> _Item:
    name, equals, listed = (part.strip() for part in composed(text).partition("="))
    if equals:
        return _Item(name, _values(text, name, listed), bare=False)
    if name.startswith("-") and len(name) > 1:
        return _Item(None, _values(text, name, name.removeprefix("-")), bare=False)
    return _Item(name, _values(text, name, name, separator=None), bare=True)


def _values(item: str, name: str, listed: str, separator: str | None = "|") -> tuple[str, ...]:
    """The values of an item; one, where there is no separator."""
    values = []
    for part in [listed] if separator is None else listed.split(separator):
        value = value_text(part)
        if value is None or not name:
            raise LabelError(
                f"`classes`: expected NAME, NAME=VALUE|VALUE or -VALUE (ignored), found {item!r}; correct it"
            )
        values.append(value)
    return tuple(values)


def _item_texts(classes: Sequence[str] | str | Path) -> list[str]:
    """The items as texts, without empty ones and comments of a file."""
    if isinstance(classes, Path) or (isinstance(classes, str) and classes.endswith(".txt")):
        items = [line for line in _lines(Path(classes)) if not _COMMENT.match(line)]
    elif isinstance(classes, str):
        items = classes.split(",")
    else:
        items = [str(item) for item in classes]
    return [item.strip() for item in items if item.strip()]


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise LabelError(f"{path}: expected a list of classes, one item per line, found more than 1 MB")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise LabelError(
            f"{path}: the list of classes cannot be read ({cause}); expected a text file with one item per "
            "line"
        ) from cause
