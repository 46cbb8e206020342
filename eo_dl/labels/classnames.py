"""From the class values of labels to a `ClassSet`: which value gets which id and name.

Values are texts (`value_text`). Whole numbers 1 to 254 keep their value as id, 255 means ignore; other values
get the ids 1, 2, ... in sorted order. A `ClassRequest` overrides that. Objects of the class 0 are a question:
it is the background to some programs, and the first class to others.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.arraytypes import Int64Array
from ..core.classes import BACKGROUND, IGNORE_ID, ClassSet
from ..core.wording import count_of, listed
from ..errors import LabelError
from .classrequest import ClassRequest, is_color, is_number

_MOST_COMPARED = 200  # values that are compared for their spelling
_LEAST_LETTERS = 5
_RARER = 5  # times as frequent as its misspelling a name must be
_SIMILARITY = 0.85
# As LabelMe's converters call them, also in the files of other formats.
_IGNORED_NAME = "__ignore__"
# Numbers that programs write where nothing is known, and that are no usual class.
_USUAL_GAPS = frozenset({"-1", "-999", "-9999", "-99999", "-32768", "-32767", "65535", "4294967295"})
_BACKGROUND_NAMES = (BACKGROUND, "_background_")


@dataclass(frozen=True)
class Naming:
    """Classes of values."""

    classes: ClassSet
    """The classes, with their ids."""

    ids: Mapping[str, int]
    """The class id of each value; 255: ignored."""

    notes: tuple[str, ...] = ()
    """What was guessed or ignored."""

    def class_ids(self, values: Sequence[str | None]) -> Int64Array:
        """(N,) the class id of each value; 255 for None."""
        ids = [IGNORE_ID if value is None else self.ids[value] for value in values]
        return np.array(ids, np.int64).reshape(-1)


@dataclass(frozen=True)
class Known:
    """What a source states about its classes, apart from the values of its labels."""

    names: tuple[str, ...] = ()
    """Class names in their order, also of classes without labels."""

    ids: Mapping[str, int] = field(default_factory=dict)
    """The ids of some of them."""


def name_classes(
    counts: Mapping[str, int], request: ClassRequest | None, source: str, known: Known | None = None
) -> Naming:
    """Give values their classes.

    Args:
        counts: Number of labels per value.
        request: The classes asked for; None: one class per value.
        source: The label files, for messages.
        known: What the source states about its classes.

    Raises:
        LabelError: A value has no class in the request, or there are more classes than ids.
    """
    known = known or Known()
    values = list(dict.fromkeys([*known.names, *counts]))
    if request is None:
        return _one_class_per_value(values, counts, source, known)
    if request.bare and _are_numbers(values) and not any(name in counts for name in request.names):
        return _names_for_numbers(values, counts, request, source)
    return _requested_classes(values, counts, request, source)


def _one_class_per_value(
    values: Sequence[str], counts: Mapping[str, int], source: str, known: Known
) -> Naming:
    notes: list[str] = []
    if _are_numbers(values):
        _refuse_zero(values, counts, source)
        _refuse_gaps(values, counts, source)
        ids = _ids_of_numbers(values, notes)
    else:
        ids = _ids_of_texts(values, known)
        notes += lookalikes(counts)
    _check_class_count(len(set(ids.values()) - {IGNORE_ID}), source)
    names = {class_id: value for value, class_id in ids.items() if class_id != IGNORE_ID}
    if 0 in names:
        names[0] = BACKGROUND
    colors = {class_id: value for value, class_id in ids.items() if is_color(value) and class_id}
    ignored = [value for value, class_id in ids.items() if class_id == IGNORE_ID]
    if ignored:
        times = count_of(counts.get(ignored[0], 0), "time")
        notes.append(f"the value {ignored[0]} ({times}) means ignore; otherwise name it with `classes`")
    return Naming(_class_set(names, source, colors), ids, tuple(notes))


def _refuse_zero(values: Sequence[str], counts: Mapping[str, int], source: str) -> None:
    """Raise `LabelError` for objects of the class 0: whether it is the background is not known."""
    times = counts.get("0", 0)
    if not times:
        return
    others = [f"class_{value}={value}" for value in sorted(values, key=int) if value != "0"]
    as_class, as_background = (",".join([zero, *others[:3]]) for zero in ("class_0=0", "background=0"))
    raise LabelError(
        f"{source}: {times} of {sum(counts.values())} labels have the class 0, which is the first class to "
        f"some programs and the background to others; choose with `classes`: '{as_class}', or "
        f"'{as_background}'"
    )


def _refuse_gaps(values: Sequence[str], counts: Mapping[str, int], source: str) -> None:
    """Raise `LabelError` for classes called by a number with which programs mark what is not known."""
    gap = next((value for value in values if value in _USUAL_GAPS and counts.get(value)), None)
    if gap is None or len(values) == 1:
        return
    others = [f"class_{value}={value}" for value in sorted(values, key=int) if value not in (gap, "0")]
    as_gap, as_class = (",".join([*others[:3], item]) for item in (f"-{gap}", f"class_of_{gap}={gap}"))
    raise LabelError(
        f"{source}: {gap} ({count_of(counts[gap], 'time')}) marks what is not known to many programs, and "
        f"may be a class; choose with `classes`: '{as_gap}' ignores it, '{as_class}' makes it a class"
    )


def _ids_of_numbers(values: Sequence[str], notes: list[str]) -> dict[str, int]:
    """The numbers themselves if they are valid ids, else 1, 2, ... in their order."""
    numbers = {value: int(value) for value in values}
    if all(0 <= number <= IGNORE_ID for number in numbers.values()):
        return numbers
    ordered = sorted(values, key=int)
    notes.append(
        f"values {ordered[0]} to {ordered[-1]} do not fit ids 0 to 254: numbered 1 to {len(ordered)} in "
        "their order"
    )
    return {value: number for number, value in enumerate(ordered, start=1)}


def _ids_of_texts(values: Sequence[str], known: Known) -> dict[str, int]:
    """Ids that the source states if they are complete and valid, else 1, 2, ...

    Classes that the source lists come first, in its order, then the others, sorted; background is 0.
    """
    if _IGNORED_NAME in values:
        others = [value for value in values if value != _IGNORED_NAME]
        kept = Known(tuple(name for name in known.names if name != _IGNORED_NAME), known.ids)
        return {**_ids_of_texts(others, kept), _IGNORED_NAME: IGNORE_ID}
    ids = {value: known.ids[value] for value in values if value in known.ids}
    complete = len(ids) == len(values) == len(set(ids.values()))
    valid = all(0 <= class_id < IGNORE_ID for class_id in ids.values())
    only_background_is_0 = all(class_id > 0 or _is_background(value) for value, class_id in ids.items())
    if complete and valid and only_background_is_0:
        return ids
    return _ids_in_order([*known.names, *sorted(set(values) - set(known.names))])


def _ids_in_order(names: Sequence[str]) -> dict[str, int]:
    """1, 2, ... in the order of the names; 0 for one called background."""
    ids = {name: 0 for name in names if _is_background(name)}
    others = [name for name in names if name not in ids]
    return ids | {name: number for number, name in enumerate(others, start=1)}


def _is_background(name: str) -> bool:
    return name.casefold() in _BACKGROUND_NAMES


def _names_for_numbers(
    values: Sequence[str], counts: Mapping[str, int], request: ClassRequest, source: str
) -> Naming:
    """A plain list of names for numbered values: the first is 1, the second 2, ..."""
    ids = _ids_in_order(request.names)
    _check_class_count(len(ids), source)
    if 0 not in ids.values():
        _refuse_zero(values, counts, source)
    named = {*ids.values(), 0, IGNORE_ID}
    _refuse_unnamed({value: counts.get(value, 0) for value in values if int(value) not in named}, source)
    names = {class_id: name for name, class_id in ids.items()}
    if "0" in values:
        names.setdefault(0, BACKGROUND)
    order = listed((f"{class_id} = {name}" for name, class_id in ids.items()), most=10)
    return Naming(
        _class_set(names, source),
        {value: int(value) for value in values},
        (f"numbered values are named in the order given: {order}",),
    )


def _requested_classes(
    values: Sequence[str], counts: Mapping[str, int], request: ClassRequest, source: str
) -> Naming:
    ids = _ids_in_order(request.names)
    _check_class_count(len(ids), source)
    id_of_value: dict[str, int] = {}
    unnamed: dict[str, int] = {}
    ignored = 0
    for value in values:
        try:
            name = request.name_of(value)
        except KeyError:
            if value == _IGNORED_NAME:
                id_of_value[value] = IGNORE_ID
            elif value in counts:
                unnamed[value] = counts[value]
            continue
        if name is None:
            id_of_value[value] = IGNORE_ID
            ignored += counts.get(value, 0)
        else:
            id_of_value[value] = ids[name]
    _refuse_unnamed(unnamed, source)
    notes = []
    if ignored:
        notes.append(f"{count_of(ignored, 'time')} ignored, as `classes` requests")
    without = [name for name in request.names if ids[name] not in id_of_value.values()]
    if without:
        notes.append(f"nothing is labelled {listed(map(repr, without))}")
    colors = {class_id: value for value, class_id in id_of_value.items() if is_color(value)}
    names = {class_id: name for name, class_id in ids.items()}
    return Naming(_class_set(names, source, colors), id_of_value, tuple(notes))


def _refuse_unnamed(unnamed: Mapping[str, int], source: str) -> None:
    if not unnamed:
        return
    frequent = sorted(unnamed, key=lambda value: -unnamed[value])
    values = listed((f"{value!r} ({count_of(unnamed[value], 'time')})" for value in frequent), most=6)
    example = next(iter(unnamed))
    raise LabelError(
        f"{source}: holds values that `classes` leaves out: {values}; add NAME={example}, -{example} to "
        "ignore it, or NAME=* for all others"
    )


def _class_set(names: Mapping[int, str], source: str, colors: Mapping[int, str] | None = None) -> ClassSet:
    if not names:
        raise LabelError(
            f"{source}: every label is ignored, so no class is left; check `classes` and `class_field`"
        )
    return ClassSet.of_ids(dict(sorted(names.items())), colors)


def _check_class_count(count: int, source: str) -> None:
    if count >= IGNORE_ID:
        raise LabelError(
            f"{source}: has {count} classes, at most 254 are possible; choose another `class_field`, or "
            "merge values with `classes`"
        )


def _are_numbers(values: Sequence[str]) -> bool:
    return bool(values) and all(is_number(value) for value in values)


def lookalikes(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A note for each class whose name is nearly that of a more frequent one.

    Names differ by case, spaces and signs alone, or one is a rare misspelling of the other.

    Args:
        counts: Number of labels per class name.
    """
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    notes = []
    for number, rare in enumerate(ordered[:_MOST_COMPARED]):
        for common in ordered[:number]:
            if _are_alike(common, rare, counts):
                notes.append(
                    f"class '{rare}' ({counts[rare]}) looks like '{common}' ({counts[common]}); merge them "
                    f"with `classes='{common}={common}|{rare}'`"
                )
                break
    return tuple(notes)


def same_letters(name: str) -> str:
    """A class name without case, spaces and signs; names that agree in it are one class."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _are_alike(common: str, rare: str, counts: Mapping[str, int]) -> bool:
    first, second = same_letters(common), same_letters(rare)
    if not first or not second:
        return False
    if first == second:
        return True
    # Numbers are not misspelt: class 1 and class 2 differ on purpose.
    short = min(len(first), len(second)) < _LEAST_LETTERS
    if short or re.search(r"\d", first + second) or counts[rare] * _RARER > counts[common]:
        return False
    return difflib.SequenceMatcher(None, first, second).ratio() >= _SIMILARITY


def counted(values: Sequence[str | None]) -> dict[str, int]:
    """How often each value occurs, in order of first occurrence; None is left out."""
    return dict(Counter(value for value in values if value is not None))
