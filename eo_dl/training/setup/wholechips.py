"""Chips that are classified as a whole: what covers them, which of them have a class, and how many per
class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet
from ...chips.dataset import ChipDataset
from ...core.arraytypes import Float32Array, Float64Array
from ...core.classes import ClassSet
from ...core.normalization import Normalization
from ...errors import ChipSetError
from ...labels.classcover import class_covers
from ...tasks import ChipCodec

Records = Mapping[str, tuple[ChipRecord, ...]]


@dataclass(frozen=True)
class ClassifiedChips:
    """The chips that have a class."""

    records: dict[str, tuple[ChipRecord, ...]]
    """Chips by split."""
    shares: dict[int, float]
    """How many train chips have each class, by class id; a class without train chips is not in it."""
    notes: tuple[str, ...]
    """What was left out, one sentence each."""


def chip_covers(chips: ChipSet, records: Sequence[ChipRecord], classes: ClassSet) -> Float64Array:
    """(N, K): the share of each chip's labelled ground that each class covers; pixels are not looked at."""
    covers = np.zeros((len(records), len(classes)))
    for index, record in enumerate(records):
        window = record.window
        labels = chips.truth_of(record.scene_index).chip(window)
        covers[index] = class_covers(labels, classes, window.height, window.width)[0]
    return covers


def classified_chips(
    chips: ChipSet, records: Records, codec: ChipCodec, normalization: Normalization
) -> ClassifiedChips:
    """Leave out the chips without a class.

    Raises:
        ChipSetError: No train chip has a class.
    """
    with_class: dict[str, tuple[ChipRecord, ...]] = {}
    notes: list[str] = []
    totals = np.zeros(len(codec.classes))
    rule = f"no class that covers {codec.rule.min_cover:.0%} of their labelled ground"
    for split, candidates in records.items():
        values = _class_values(chips, candidates, codec, normalization)
        known = np.asarray(np.isfinite(values).any(axis=1), np.bool_)
        with_class[split] = tuple(
            record for record, has_class in zip(candidates, known, strict=True) if has_class
        )
        if not known.all():
            left_out = int((~known).sum())
            notes.append(f"{left_out} of {len(candidates)} {split} chips have {rule} and are not used")
        if split == "train":
            totals = np.nansum(values[known], axis=0)
    if not with_class["train"]:
        raise ChipSetError(
            f"{chips.path}: all train chips have {rule}; lower `task_options.min_cover`, or tile smaller "
            "chips"
        )
    missing = [info.name for info, total in zip(codec.classes, totals, strict=True) if total == 0]
    if missing:
        notes.append(f"classes without a train chip: {', '.join(missing)}")
    shares = {info.id: float(total) for info, total in zip(codec.classes, totals, strict=True) if total}
    return ClassifiedChips(with_class, shares, tuple(notes))


def _class_values(
    chips: ChipSet, records: Sequence[ChipRecord], codec: ChipCodec, normalization: Normalization
) -> Float32Array:
    """(N, K): the target of each chip, NaN where it is not known."""
    dataset = ChipDataset(chips, records, codec, normalization)
    values = np.zeros((len(records), len(codec.classes)), np.float32)
    for index, record in enumerate(records):
        target = codec.encode(dataset.labels_of(record), record.window.height, record.window.width)
        values[index] = codec.truth(target)
    return values
