"""`ClassSet`: the classes of a label set or a model: id, name and colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import LabelError
from .arraytypes import IntArray, UInt8Array

IGNORE_ID = 255
"""Pixels of this id count neither for nor against; also the nodata value of class maps."""

BACKGROUND = "background"

# Okabe & Ito (2008), readable for colour-blind people, then further tones; background is drawn faint.
_PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#8c564b",
    "#7f3c8d",
    "#11a579",
    "#3969ac",
    "#f2b701",
    "#e73f74",
    "#80ba5a",
    "#e68310",
    "#008695",
    "#cf1c90",
    "#f97b72",
)
_BACKGROUND_COLOR = "#e8e6e0"


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: `id` 0..254 as written in maps and files, `color` as "#rrggbb"."""

    id: int
    name: str
    color: str


@dataclass(frozen=True)
class ClassSet:
    """Classes in channel order: channel k of a network stands for `classes[k]`.

    Where id 0 is there it is the background, by convention called so. Raises `LabelError` for none,
    more than 255, or ids or names that occur twice.
    """

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise LabelError("labels need at least one class, found none")
        for what, values in (
            ("id", [str(c.id) for c in self.classes]),
            ("name", [c.name for c in self.classes]),
        ):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                raise LabelError(f"two classes share the {what} {', '.join(twice)}; give each its own")
        wrong = [c.id for c in self.classes if not 0 <= c.id < IGNORE_ID]
        if wrong:
            raise LabelError(
                f"class ids must be 0 to 254 (255 means ignore), found {wrong[:5]}; renumber them"
            )

    @classmethod
    def of_names(cls, names: tuple[str, ...] | list[str], background: bool = False) -> ClassSet:
        """Classes 1..N of these names with colours of their own, and the background as 0 if asked for."""
        found = [ClassInfo(i, name, default_color(i)) for i, name in enumerate(names, start=1)]
        return cls(((ClassInfo(0, BACKGROUND, default_color(0)),) if background else ()) + tuple(found))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in channel order."""
        return tuple(c.name for c in self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids in channel order."""
        return tuple(c.id for c in self.classes)

    @property
    def foreground(self) -> tuple[ClassInfo, ...]:
        """All classes but the background (id 0)."""
        return tuple(c for c in self.classes if c.id != 0)

    @property
    def has_background(self) -> bool:
        """True where id 0 is a class of its own."""
        return 0 in self.ids

    def with_background(self) -> ClassSet:
        """The same with the background as first channel."""
        return (
            self
            if self.has_background
            else ClassSet((ClassInfo(0, BACKGROUND, default_color(0)), *self.classes))
        )

    def without_background(self) -> ClassSet:
        """The same without id 0."""
        return ClassSet(self.foreground)

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def by_id(self, class_id: int) -> ClassInfo:
        """The class of an id; KeyError where there is none."""
        for info in self.classes:
            if info.id == class_id:
                return info
        raise KeyError(class_id)

    def channel_of(self, class_ids: IntArray) -> UInt8Array:
        """Class ids as channel numbers (same shape, uint8); ids of no class become 255 (ignore)."""
        table = np.full(256, IGNORE_ID, np.uint8)
        table[list(self.ids)] = np.arange(len(self), dtype=np.uint8)
        return np.asarray(table[class_ids], np.uint8)

    @property
    def id_of_channel(self) -> UInt8Array:
        """(K,) table from channel number to class id."""
        return np.array(self.ids, np.uint8)


def default_color(class_id: int) -> str:
    """A colour for a class id; stable, so two files of one project agree."""
    return _BACKGROUND_COLOR if class_id == 0 else _PALETTE[(class_id - 1) % len(_PALETTE)]
