"""Which class of the truth is which class of the prediction: by name; by id only if there are no names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import UInt8Array
from ..core.classes import IGNORE_ID, ClassInfo, ClassSet
from ..errors import LabelError

_IGNORE = "ignore"
_MOST_LISTED = 12


@dataclass(frozen=True)
class ClassMatch:
    """How the classes of the truth map to those of the prediction."""

    classes: ClassSet
    """The classes that are scored."""
    truth_ids: UInt8Array
    """(256,) scored class id of each id of the truth; 255 = not scored."""
    notes: tuple[str, ...] = ()
    """What was decided."""


def match_classes(
    predicted: ClassSet | None,
    truth: ClassSet,
    source: str,
    class_map: Mapping[str, str] | None = None,
    ids_agree: bool = False,
) -> ClassMatch:
    """Map the classes of the truth to those of the prediction.

    A single class on both sides is the same class.

    Args:
        predicted: Classes of the prediction; None for a raster without class names. Its ids are then those of
            the truth, if the truth is a raster too (`ids_agree`) or has one class.
        truth: Classes of the truth.
        source: The truth, for messages.
        class_map: Name in the truth -> name in the prediction or "ignore", where names differ.
        ids_agree: True if the ids of the truth may be compared with those of the prediction.

    Raises:
        LabelError: A class of the truth has no counterpart; the message lists both sides.
    """
    if predicted is None:
        return _by_id(truth, source, ids_agree)
    target_ids = _target_ids(truth, predicted, source, class_map or {})
    notes: list[str] = []
    true_infos, predicted_infos = truth.foreground, predicted.foreground
    unmatched = [name for name, target_id in target_ids.items() if target_id is None]
    if unmatched and len(true_infos) == len(predicted_infos) == 1 and not class_map:
        target_ids = {true_infos[0].name: predicted_infos[0].id}
        unmatched = []
        notes.append(
            f"the only class of the truth, '{true_infos[0].name}', is taken as the only class of the "
            f"prediction, '{predicted_infos[0].name}'"
        )
    if unmatched:
        example = predicted_infos[0].name if predicted_infos else "NAME"
        raise LabelError(
            f"{source}: the truth has {_listed([info.name for info in true_infos])}, the prediction "
            f"{_listed([info.name for info in predicted_infos])}; match them with `class_map`, e.g. "
            f"{unmatched[0]}={example} (or {unmatched[0]}={_IGNORE})"
        )
    table = np.full(256, IGNORE_ID, np.uint8)
    for info in true_infos:
        target_id = target_ids[info.name]
        if target_id is not None:
            table[info.id] = target_id
    if predicted.has_background:
        table[0] = 0
    return ClassMatch(predicted, table, tuple(notes))


def _target_ids(
    truth: ClassSet, predicted: ClassSet, source: str, class_map: Mapping[str, str]
) -> dict[str, int | None]:
    """Per class name of the truth the id in the prediction, 255 for ignored classes, None without a match."""
    id_of_name = {_folded(info.name): info.id for info in predicted}
    true_names = {_folded(info.name) for info in truth}
    mapping: dict[str, str] = {}
    for name, target in class_map.items():
        if _folded(name) not in true_names:
            raise _unknown_class(source, name, "truth", truth)
        if _folded(target) not in id_of_name and _folded(target) != _IGNORE:
            raise _unknown_class(source, target, "prediction", predicted)
        mapping[_folded(name)] = _folded(target)
    target_ids: dict[str, int | None] = {}
    for info in truth.foreground:
        target = mapping.get(_folded(info.name), _folded(info.name))
        target_ids[info.name] = id_of_name.get(target, IGNORE_ID if target == _IGNORE else None)
    return target_ids


def _unknown_class(source: str, name: str, side: str, classes: ClassSet) -> LabelError:
    return LabelError(
        f"{source}: `class_map` names '{name}', which is no class of the {side}; it has "
        f"{_listed(list(classes.names))}"
    )


def _by_id(truth: ClassSet, source: str, ids_agree: bool) -> ClassMatch:
    """The match for a prediction without class names."""
    table = np.full(256, IGNORE_ID, np.uint8)
    table[0] = 0
    if ids_agree:
        for info in truth.foreground:
            table[info.id] = info.id
        note = "the prediction names no classes: its ids are taken as those of the truth raster"
        return ClassMatch(truth.with_background(), table, (note,))
    if len(truth.foreground) == 1:
        only = truth.foreground[0]
        table[only.id] = 1
        classes = ClassSet((ClassInfo(1, only.name, only.color),)).with_background()
        note = f"the prediction names no classes: its id 1 is taken as '{only.name}', 0 as background"
        return ClassMatch(classes, table, (note,))
    raise LabelError(
        f"{source}: the prediction names no classes (no .aux.xml beside it), the truth has "
        f"{_listed([info.name for info in truth.foreground])}; write the names with predict, or use a "
        "truth raster with the same ids"
    )


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _listed(names: list[str]) -> str:
    noun = "the class" if len(names) == 1 else "the classes"
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_LISTED])
    more = " ..." if len(names) > _MOST_LISTED else ""
    return f"{noun} {shown}{more}"
