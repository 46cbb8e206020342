"""Which class of the truth is which class of the prediction: by name, never by number alone unless there are
no names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import UInt8Array
from ..core.classes import BACKGROUND, IGNORE_ID, ClassInfo, ClassSet, default_color
from ..errors import LabelError


@dataclass(frozen=True)
class ClassMatch:
    """`classes` that are scored; `truth_ids` (256,) from the truth's ids to theirs, 255 = left out. `notes`:
    what was decided.
    """

    classes: ClassSet
    truth_ids: UInt8Array
    notes: tuple[str, ...] = ()

    @property
    def unlabelled_left_out(self) -> bool:
        """True where ground without a label is not scored."""
        return bool(self.truth_ids[0] == IGNORE_ID)


def match_classes(
    predicted: ClassSet | None,
    truth: ClassSet,
    source: str,
    class_map: Mapping[str, str] | None = None,
    ids_agree: bool = False,
) -> ClassMatch:
    """Bring the truth's classes to the prediction's.

    `class_map` (name in the truth -> name in the prediction, or "ignore") goes before names. A single class
    on both sides is the same class. `predicted` None: a raster without names, whose ids are taken as the
    truth's where the truth has ids of its own (`ids_agree`) or one class. Raises `LabelError` listing both
    sides otherwise.
    """
    if predicted is None:
        return _by_id(truth, source, ids_agree)
    wanted = _mapped(truth, predicted, source, class_map or {})
    notes: list[str] = []
    missing = [name for name, place in wanted.items() if place is None]
    ours, theirs = predicted.foreground, truth.foreground
    if missing and len(ours) == len(theirs) == 1 and not class_map:
        wanted = {theirs[0].name: ours[0].id}
        notes.append(
            f"the only class of the truth, '{theirs[0].name}', is taken as the only class of the prediction, '{ours[0].name}'"
        )
        missing = []
    if missing:
        raise LabelError(
            f"{source}: the truth has {_listed([c.name for c in theirs])}, the prediction {_listed([c.name for c in ours])}; "
            f"match them with `class_map`, e.g. {missing[0]}={ours[0].name if ours else 'NAME'} (or {missing[0]}=ignore)"
        )
    table = np.full(256, IGNORE_ID, np.uint8)
    for info in theirs:
        place = wanted[info.name]
        table[info.id] = IGNORE_ID if place is None else place
    if predicted.has_background:
        table[0] = 0
    return ClassMatch(predicted, table, tuple(notes))


def _mapped(
    truth: ClassSet, predicted: ClassSet, source: str, class_map: Mapping[str, str]
) -> dict[str, int | None]:
    """For each class of the truth the id in the prediction, 255 for ignored ones, None where there is none."""
    by_name = {_plain(info.name): info.id for info in predicted}
    known = {_plain(info.name) for info in truth}
    for name, target in class_map.items():
        if _plain(name) not in known or (_plain(target) not in by_name and _plain(target) != "ignore"):
            side, names = (
                ("truth", truth.names) if _plain(name) not in known else ("prediction", predicted.names)
            )
            raise LabelError(
                f"{source}: `class_map` names '{name if side == 'truth' else target}', which is no class of the {side}; it has {_listed(list(names))}"
            )
    chosen = {_plain(name): _plain(target) for name, target in class_map.items()}
    found: dict[str, int | None] = {}
    for info in truth.foreground:
        target = chosen.get(_plain(info.name), _plain(info.name))
        found[info.name] = IGNORE_ID if target == "ignore" and target not in by_name else by_name.get(target)
    return found


def _by_id(truth: ClassSet, source: str, ids_agree: bool) -> ClassMatch:
    single = len(truth.foreground) == 1
    if not ids_agree and not single:
        raise LabelError(
            f"{source}: the prediction names no classes (no .aux.xml beside it), the truth has {_listed([c.name for c in truth.foreground])}; "
            "write the names with predict, or give a truth raster with the same ids"
        )
    table = np.full(256, IGNORE_ID, np.uint8)
    table[0] = 0
    if single and not ids_agree:
        only = truth.foreground[0]
        table[only.id] = 1
        classes = ClassSet((ClassInfo(1, only.name, only.color),)).with_background()
        return ClassMatch(
            classes,
            table,
            (f"the prediction names no classes: its id 1 is taken as '{only.name}', 0 as background",),
        )
    for info in truth.foreground:
        table[info.id] = info.id
    classes = (
        truth
        if truth.has_background
        else ClassSet((ClassInfo(0, BACKGROUND, default_color(0)), *truth.classes))
    )
    return ClassMatch(
        classes, table, ("the prediction names no classes: its ids are taken as those of the truth raster",)
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _listed(names: list[str]) -> str:
    return (
        "the class"
        + ("es " if len(names) != 1 else " ")
        + ", ".join(f"'{name}'" for name in names[:12])
        + (" ..." if len(names) > 12 else "")
    )
