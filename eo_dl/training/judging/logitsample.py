"""A bounded sample of what a network says about held-out ground, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import ChipTarget, MaskTarget
from ...core.arraytypes import AnyArray, Float32Array, Int64Array, ObjectArray
from ...core.classes import IGNORE_ID
from ...core.seeds import generator
from ...tasks.codecs import RawArrays
from .scoring import RawChip

MOST_SAMPLES = 200_000
_MOST_VALUES = 4_000_000
"""Samples times classes: 16 MB."""


@dataclass(frozen=True)
class LogitSample:
    """N pixels that count, or N chips whose class is known."""

    logits: Float32Array
    """(N, K)."""
    truth: Int64Array
    """(N,) true channels; (N, K) 1 or 0 where a chip may have several classes."""
    places: ObjectArray
    """(N,) names of their blocks of ground."""

    def __len__(self) -> int:
        return len(self.logits)


class LogitSampler:
    """Takes the same share of the pixels that count from every chip; whole chips are all taken.

    Args:
        classes: Number of classes.
        total_px: Pixels of all chips, at most; they decide the share.
        multi_label: True if a chip may have several classes.
        seed: Of the choice.
    """

    def __init__(self, classes: int, total_px: int, *, multi_label: bool = False, seed: int = 0) -> None:
        self._share = min(1.0, min(MOST_SAMPLES, _MOST_VALUES // classes) / max(total_px, 1))
        self._multi_label, self._seed, self._classes = multi_label, seed, classes
        self._logits: list[AnyArray] = []
        self._truth: list[AnyArray] = []
        self._places: list[ObjectArray] = []

    def add(self, chip: RawChip, place: str) -> None:
        """Take from a chip in a block of ground."""
        if isinstance(chip.target, MaskTarget):
            logits, truth = self._pixels(chip.raw, chip.target, chip.chip_id)
        elif isinstance(chip.target, ChipTarget):
            logits, truth = self._chip(chip.raw, chip.target)
        else:
            return
        self._logits.append(logits)
        self._truth.append(truth)
        self._places.append(np.full(len(logits), place, dtype=object))

    def sample(self) -> LogitSample:
        """What was taken so far."""
        if not self._logits:
            empty = np.empty((0, self._classes), np.float32)
            return LogitSample(empty, np.empty(0, np.int64), np.empty(0, dtype=object))
        return LogitSample(
            np.concatenate(self._logits).astype(np.float32),
            np.concatenate(self._truth).astype(np.int64),
            np.concatenate(self._places),
        )

    def _pixels(self, raw: RawArrays, target: MaskTarget, chip_id: str) -> tuple[AnyArray, AnyArray]:
        counted = np.flatnonzero(target.mask.ravel() != IGNORE_ID)
        rng = generator(self._seed, "logits", chip_id)
        wanted = self._share * len(counted)
        # Rounded up or down by chance: chips with few pixels would else give too many, or none.
        count = int(wanted) + int(rng.random() < wanted - int(wanted))
        chosen = rng.choice(counted, size=count, replace=False) if count else counted[:0]
        logits = np.asarray(raw["logits"]).reshape(self._classes, -1)[:, chosen].T
        return logits, target.mask.ravel()[chosen]

    def _chip(self, raw: RawArrays, target: ChipTarget) -> tuple[AnyArray, AnyArray]:
        values = target.values
        if np.isnan(values).any():
            return np.empty((0, self._classes), np.float32), np.empty((0, *self._truth_shape), np.int64)
        truth = values[None] if self._multi_label else np.array([values.argmax()])
        return np.asarray(raw["logits"])[None], truth

    @property
    def _truth_shape(self) -> tuple[int, ...]:
        return (self._classes,) if self._multi_label else ()
