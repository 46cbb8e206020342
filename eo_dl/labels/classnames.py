"""From the class values of annotations to a `ClassSet`: ids that stay, names as they are, and a person's own
order or merging.

Values are texts (`value_text`). Whole numbers 0 to 254 keep their value as id (0 is the background), 255
means ignore; other values get the ids 1, 2, ... in sorted order. `ClassRequest` is what a person asks for
instead.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core.classes import BACKGROUND, IGNORE_ID, ClassInfo, ClassSet, default_color
from ..errors import LabelError

_MAX_FILE_BYTES = 1_000_000
_REST = "*"
_INTEGER = re.compile(r"[+-]?\d{1,18}(\.0+)?")
_COLOR = re.compile(r"#[0-9a-f]{6}")


def value_text(value: object) -> str | None:
    """A class value as text: trimmed, whole numbers without fraction, colours in lower case; None where there
    is none.
    """
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value).strip()
    if _INTEGER.fullmatch(text):
        return str(int(text.split(".")[0]))
    return text.lower() if re.fullmatch(r"#[0-9A-Fa-f]{6}", text) else text or None


@dataclass(frozen=True)
class ClassRequest:
    """Classes as a person gave them: `names` in order, which value belongs to which (None: ignored), `bare`
    where no value was given.

    Written as items "NAME", "NAME=VALUE|VALUE", "-VALUE" (ignore); the value "*" stands for all others.
    """

    names: tuple[str, ...]
    values: Mapping[str, str | None]
    bare: bool

    def name_of(self, value: str) -> str | None:
        """The class of a value, None for ignore; KeyError where nothing was said."""
        return self.values[value] if value in self.values else self.values[_REST]

    @property
    def colored(self) -> bool:
        """True where values are colours."""
        return any(_COLOR.fullmatch(value) for value in self.values)


def parse_classes(classes: Sequence[str] | str | Path | None) -> ClassRequest | None:
    """A `ClassRequest` of a list, of a text with commas, or of a text file with one item a line. Raises
    `LabelError`.
    """
    if classes is None:
        return None
    if isinstance(classes, Path) or (isinstance(classes, str) and classes.endswith(".txt")):
        items = [line for line in _lines(Path(classes)) if not re.match(r"#(\s|$)", line)]
    else:
        items = classes.split(",") if isinstance(classes, str) else [str(item) for item in classes]
    names: list[str] = []
    values: dict[str, str | None] = {}
    bare = True
    for item in (item.strip() for item in items if item.strip()):
        name, equals, listed = item.partition("=")
        name = name.strip()
        ignored = not equals and name.startswith("-") and len(name) > 1
        bare &= not (equals or ignored)
        for value in listed.split("|") if equals else (name.lstrip("-").split("|") if ignored else [name]):
            text = value_text(value)
            if text is None or not name:
                raise LabelError(
                    f"classes: {item!r} is not understood; write NAME, NAME=VALUE|VALUE or -VALUE (to ignore it)"
                )
            if text in values:
                raise LabelError(f"classes: the value {text!r} is given twice; give it to one class")
            values[text] = None if ignored else name
        if not ignored and name not in names:
            names.append(name)
    if not names:
        raise LabelError(
            "classes: at least one class was expected, found none; omit `classes`, or name some, e.g. building,tree"
        )
    return ClassRequest(tuple(names), values, bare)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise LabelError(
                f"{path}: is larger than 1 MB; a list of classes with one item a line was expected"
            )
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise LabelError(
            f"{path}: the list of classes cannot be read ({cause}); give a text file with one item a line"
        ) from cause


@dataclass(frozen=True)
class Naming:
    """`classes`, the class id of each value (255 = ignore), and `notes` to be said."""

    classes: ClassSet
    ids: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def class_ids(self, values: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """(N,) ids of values; 255 for None."""
        return np.array(
            [IGNORE_ID if value is None else self.ids[value] for value in values], np.int64
        ).reshape(-1)


@dataclass(frozen=True)
class Known:
    """What a source says of its classes beside the values met: their `names` in order, and `ids` of some of
    them.
    """

    names: tuple[str, ...] = ()
    ids: Mapping[str, int] = field(default_factory=dict)


def name_classes(
    counts: Mapping[str, int], spec: ClassRequest | None, source: str, known: Known | None = None
) -> Naming:
    """Classes for values with their counts. Raises `LabelError` for values that `spec` leaves out, or more
    classes than there are ids.
    """
    known = known or Known()
    present = list(dict.fromkeys([*known.names, *counts]))
    if spec is None:
        return _own_classes(present, counts, source, known)
    if spec.bare and _numeric(present) and not any(name in counts for name in spec.names):
        return _names_for_numbers(present, counts, spec, source)
    return _given_classes(present, counts, spec, source)


def _own_classes(present: Sequence[str], counts: Mapping[str, int], source: str, known: Known) -> Naming:
    notes: list[str] = [] if _numeric(present) else list(lookalikes(counts))
    if _numeric(present):
        ids, names = _number_ids(present, notes)
    else:
        ids, names = _text_ids(present, known), {value: value for value in present}
    _check_count(len(set(ids.values()) - {IGNORE_ID}), source)
    if IGNORE_ID in ids.values():
        notes.append(f"the value 255 ({_times(counts.get('255', 0))}) means ignore")
    infos = {
        i: ClassInfo(i, BACKGROUND if i == 0 else names[value], _color(value, i))
        for value, i in ids.items()
        if i != IGNORE_ID
    }
    return Naming(_class_set(infos, source), ids, tuple(notes))


def _number_ids(present: Sequence[str], notes: list[str]) -> tuple[dict[str, int], dict[str, str]]:
    numbers = {value: int(value) for value in present}
    if all(0 <= number <= IGNORE_ID for number in numbers.values()):
        return numbers, dict(zip(present, present, strict=True))
    ordered = sorted(present, key=int)
    notes.append(
        f"values {ordered[0]} to {ordered[-1]} do not fit ids 0 to 254: numbered 1 to {len(ordered)} in their order"
    )
    return {value: place for place, value in enumerate(ordered, start=1)}, dict(
        zip(present, present, strict=True)
    )


def _text_ids(present: Sequence[str], known: Known) -> dict[str, int]:
    """Known ids where all have one of their own, else 1, 2, ...: as the source lists its classes, those that
    it does not list last; background is 0.
    """
    ids = [known.ids.get(value, -1) for value in present]
    if (
        len(set(ids)) == len(ids)
        and all(0 <= i < IGNORE_ID for i in ids)
        and all(i > 0 or v.casefold() == BACKGROUND for v, i in zip(present, ids, strict=True))
    ):
        return dict(zip(present, ids, strict=True))
    return _ordered_ids([*known.names, *sorted(set(present) - set(known.names))])


def _ordered_ids(names: Sequence[str]) -> dict[str, int]:
    front = [name for name in names if name.casefold() == BACKGROUND]
    return {
        **dict.fromkeys(front, 0),
        **{name: place for place, name in enumerate([n for n in names if n not in front], start=1)},
    }


def _names_for_numbers(
    present: Sequence[str], counts: Mapping[str, int], spec: ClassRequest, source: str
) -> Naming:
    """A plain list of names for numbered values: the first is 1, the second 2, ... (0 for one called
    background).
    """
    ids = _ordered_ids(spec.names)
    _check_count(len(ids), source)
    allowed = {*ids.values(), 0, IGNORE_ID}
    _refuse_unnamed({value: counts.get(value, 0) for value in present if int(value) not in allowed}, source)
    infos = {i: ClassInfo(i, name, default_color(i)) for name, i in ids.items()}
    if "0" in present:
        infos.setdefault(0, ClassInfo(0, BACKGROUND, default_color(0)))
    told = ", ".join(f"{i} = {name}" for name, i in list(ids.items())[:10])
    return Naming(
        _class_set(infos, source),
        {value: int(value) for value in present},
        (f"numbered values are named in the order given: {told}",),
    )


def _given_classes(
    present: Sequence[str], counts: Mapping[str, int], spec: ClassRequest, source: str
) -> Naming:
    ids = _ordered_ids(spec.names)
    _check_count(len(ids), source)
    found: dict[str, int] = {}
    left: dict[str, int] = {}
    ignored = 0
    for value in present:
        try:
            name = spec.name_of(value)
        except KeyError:
            if value in counts:
                left[value] = counts[value]
            continue
        found[value] = IGNORE_ID if name is None else ids[name]
        ignored += counts.get(value, 0) if name is None else 0
    _refuse_unnamed(left, source)
    notes = [f"{_times(ignored)} ignored, as `classes` says"] if ignored else []
    without = [name for name in spec.names if ids[name] not in found.values()]
    if without:
        notes.append(f"nothing is labelled {', '.join(map(repr, without[:5]))}")
    colors = {i: value for value, i in found.items() if _COLOR.fullmatch(value)}
    infos = {i: ClassInfo(i, name, colors.get(i, default_color(i))) for name, i in ids.items()}
    return Naming(_class_set(infos, source), found, tuple(notes))


def _refuse_unnamed(left: Mapping[str, int], source: str) -> None:
    if left:
        shown = ", ".join(
            f"{value!r} ({_times(count)})"
            for value, count in sorted(left.items(), key=lambda item: -item[1])[:6]
        )
        some = next(iter(left))
        raise LabelError(
            f"{source}: holds values that `classes` leaves out: {shown}; add NAME={some}, -{some} to ignore it, or NAME=* for all others"
        )


def _class_set(infos: Mapping[int, ClassInfo], source: str) -> ClassSet:
    if not infos:
        raise LabelError(
            f"{source}: every label is ignored, so no class is left; check `classes` and `class_field`"
        )
    return ClassSet(tuple(infos[i] for i in sorted(infos)))


def _check_count(count: int, source: str) -> None:
    if count >= IGNORE_ID:
        raise LabelError(
            f"{source}: holds {count} classes, at most 254 fit; choose another `class_field`, or merge with `classes`"
        )


def _numeric(values: Sequence[str]) -> bool:
    return bool(values) and all(_INTEGER.fullmatch(value) for value in values)


def _color(value: str, class_id: int) -> str:
    return value if _COLOR.fullmatch(value) and class_id else default_color(class_id)


def _times(count: int) -> str:
    return f"{count} time{'s' * (count != 1)}"


def lookalikes(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A remark for each class that is written nearly as a more frequent one: case, spaces, stray signs, or a
    rare spelling.
    """
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    notes = []
    for place, rare in enumerate(ordered[:200]):
        twin = next((common for common in ordered[:place] if _alike(common, rare, counts)), None)
        if twin is not None:
            notes.append(
                f"class '{rare}' ({counts[rare]}) looks like '{twin}' ({counts[twin]}); merge them with `classes='{twin}={twin}|{rare}'"
            )
    return tuple(notes)


def same_letters(value: str) -> str:
    """A class name without case, spaces and signs; two that agree in it are one class."""
    return re.sub(r"[\W_]+", "", value.casefold())


def _alike(common: str, rare: str, counts: Mapping[str, int]) -> bool:
    a, b = same_letters(common), same_letters(rare)
    if not a or not b:
        return False
    if a == b:
        return True
    spelling = min(len(a), len(b)) >= 5 and not re.search(r"\d", a + b) and counts[rare] * 5 <= counts[common]
    return spelling and difflib.SequenceMatcher(None, a, b).ratio() >= 0.85


def counted(values: Sequence[str | None]) -> dict[str, int]:
    """How often each value occurs, in order of first occurrence; None left out."""
    return dict(Counter(value for value in values if value is not None))
