"""`ClassSet`: the classes of a label set or a model, with id, name and colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..errors import LabelError
from .arraytypes import IntArray, UInt8Array
from .classcolors import BACKGROUND_COLOR, class_colors
from .valueinfo import ValueInfo

IGNORE_ID = 255
"""Class id of ignored pixels, which are not scored; also the nodata value of class maps."""

BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class, or one value where labels are numbers."""

    id: int
    """0 to 254, as written in maps and files."""
    name: str
    """Name, unique in its class set."""
    color: str
    """Colour, "#rrggbb"."""
    value: ValueInfo | None = None
    """What the numbers measure, where the channel is a value (a height, a share); None: it is a class."""


@dataclass(frozen=True)
class ClassSet:
    """Classes in channel order: channel k of a network stands for `classes[k]`.

    Id 0 is the background, by convention called "background". Raises `LabelError` for no classes, ids outside
    0 to 254, and ids or names that occur twice.
    """

    classes: tuple[ClassInfo, ...]
    """The classes, in channel order."""

    def __post_init__(self) -> None:
        if not self.classes:
            raise LabelError("labels need at least one class, found none")
        _check_unique("id", [str(info.id) for info in self.classes])
        _check_unique("name", [info.name for info in self.classes])
        wrong = [info.id for info in self.classes if not 0 <= info.id < IGNORE_ID]
        if wrong:
            raise LabelError(
                f"class ids must be 0 to 254 (255 means ignore), found {wrong[:5]}; renumber them"
            )

    @classmethod
    def of_names(cls, names: tuple[str, ...] | list[str], background: bool = False) -> ClassSet:
        """Classes with ids 1 to N and default colours, on request with the background as id 0."""
        numbered = dict(enumerate(names, start=1))
        return cls.of_ids({0: BACKGROUND, **numbered} if background else numbered)

    @classmethod
    def of_ids(cls, names: Mapping[int, str], colors: Mapping[int, str] | None = None) -> ClassSet:
        """Classes by id, in the order of `names`.

        Args:
            names: Names by id.
            colors: Colours by id that are known; the others are those of `class_colors`.
        """
        chosen = class_colors(names, colors)
        return cls(tuple(ClassInfo(class_id, name, chosen[class_id]) for class_id, name in names.items()))

    def with_colors(self, colors: Mapping[str, str]) -> ClassSet:
        """The same classes, some in other colours: "#rrggbb" by class name; other names are not looked at."""
        infos = [replace(info, color=colors.get(info.name, info.color)) for info in self.classes]
        return ClassSet(tuple(infos))

    @classmethod
    def of_values(cls, values: Mapping[str, ValueInfo]) -> ClassSet:
        """Values in channel order, by name, with ids 1 to N."""
        named = cls.of_names(list(values))
        infos = [replace(info, value=values[info.name]) for info in named]
        return cls(tuple(infos))

    @property
    def are_values(self) -> bool:
        """True where the channels are values (numbers with a unit) and not classes."""
        return all(info.value is not None for info in self.classes)

    @property
    def value_infos(self) -> tuple[ValueInfo, ...]:
        """What each channel measures; a plain number without limits where nothing is stated."""
        return tuple(info.value or ValueInfo() for info in self.classes)

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
        """All classes except the background (id 0)."""
        return tuple(c for c in self.classes if c.id != 0)

    @property
    def has_background(self) -> bool:
        """True if the background (id 0) is one of the classes."""
        return 0 in self.ids

    def with_background(self) -> ClassSet:
        """The same classes with the background as first channel."""
        if self.has_background:
            return self
        return ClassSet((_background_info(), *self.classes))

    def without_background(self) -> ClassSet:
        """The same classes without the background."""
        return ClassSet(self.foreground)

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassInfo]:
        return iter(self.classes)

    def by_id(self, class_id: int) -> ClassInfo:
        """The class of an id. Raises `KeyError` if there is none."""
        for info in self.classes:
            if info.id == class_id:
                return info
        raise KeyError(class_id)

    def channel_of(self, class_ids: IntArray) -> UInt8Array:
        """Channel numbers of class ids, in the same shape; 255 (ignore) for ids that are no class."""
        table = np.full(256, IGNORE_ID, np.uint8)
        table[list(self.ids)] = np.arange(len(self), dtype=np.uint8)
        return np.asarray(table.take(class_ids), np.uint8)

    @property
    def id_of_channel(self) -> UInt8Array:
        """(K,) class id of each channel."""
        return np.array(self.ids, np.uint8)


def rgb_of(color: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of "#rrggbb"."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _background_info() -> ClassInfo:
    return ClassInfo(0, BACKGROUND, BACKGROUND_COLOR)


def _check_unique(what: str, values: list[str]) -> None:
    duplicates = sorted({value for value in values if values.count(value) > 1})
    if duplicates:
        raise LabelError(f"two classes share the {what} {', '.join(duplicates)}; make them unique")
