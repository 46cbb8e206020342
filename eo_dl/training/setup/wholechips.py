"""Chips that are learnt as a whole: what covers them, which of them have a class, and how many there are of
each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...chips.chiprecord import ChipRecord
from ...chips.chipset import ChipSet
from ...chips.dataset import ChipDataset
from ...core.classes import ClassSet
from ...core.normalization import Normalization
from ...errors import ChipSetError
from ...labels.classcover import class_covers
from ...tasks import ChipCodec

Records = Mapping[str, tuple[ChipRecord, ...]]


@dataclass(frozen=True)
class Classed:
    """The chips of each split that have a class, `shares` of the train chips by class id, and what was left
    out, counted.
    """

    records: dict[str, tuple[ChipRecord, ...]]
    shares: dict[int, float]
    notes: tuple[str, ...]


def chip_covers(chips: ChipSet, records: Sequence[ChipRecord], classes: ClassSet) -> npt.NDArray[np.float64]:
    """(N, K) the share of each chip's known ground that each class covers, as far as labels alone say what is
    known.
    """
    covers = [
        class_covers(
            chips.truth_of(record.scene_index).chip(record.window),
            classes,
            record.window.height,
            record.window.width,
        )[0]
        for record in records
    ]
    return np.array(covers, np.float64).reshape(-1, len(classes))


def with_classes(chips: ChipSet, records: Records, codec: ChipCodec, normalization: Normalization) -> Classed:
    """Leaves out the chips whose class is not known. Raises `ChipSetError` where no train chip is left."""
    min_cover = codec.rule.min_cover
    found: dict[str, tuple[ChipRecord, ...]] = {}
    notes: list[str] = []
    totals = np.zeros(len(codec.classes))
    for split, given in records.items():
        values = _values(chips, given, codec, normalization)
        known = np.asarray(np.isfinite(values).any(axis=1), np.bool_)
        found[split] = tuple(record for record, there in zip(given, known, strict=True) if there)
        if not known.all():
            notes.append(
                f"{int((~known).sum())} of {len(given)} {split} chips have no class that covers {min_cover:.0%} of their known ground: left out"
            )
        if split == "train":
            totals = np.nansum(values[known], axis=0)
    if not found["train"]:
        raise ChipSetError(
            f"{chips.path}: no train chip has a class that covers {min_cover:.0%} of its known ground; lower `task_options.min_cover`, or tile smaller chips"
        )
    lacking = [info.name for info, total in zip(codec.classes, totals, strict=True) if not total]
    if lacking:
        notes.append(f"no train chip is of the class{'es' * (len(lacking) > 1)} {', '.join(lacking)}")
    return Classed(
        found,
        {info.id: float(total) for info, total in zip(codec.classes, totals, strict=True) if total},
        tuple(notes),
    )


def _values(
    chips: ChipSet, records: Sequence[ChipRecord], codec: ChipCodec, normalization: Normalization
) -> npt.NDArray[np.float32]:
    dataset = ChipDataset(chips, records, codec, normalization)
    targets = [
        codec.encode(dataset.labels_of(record), record.window.height, record.window.width)
        for record in records
    ]
    return np.array([codec.truth(target) for target in targets], np.float32).reshape(-1, len(codec.classes))
