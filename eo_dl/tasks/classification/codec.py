"""Labels to the classes of a chip, and what a network says to their probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...chips.truth import class_covers
from ...core.arrays import Target
from ...core.classes import ClassSet
from ...core.labelset import PixelLabels
from ..task import RawArrays

_EQUAL = 1e-6


@dataclass(frozen=True)
class ClassificationCodec:
    """Raw arrays: "logits" (K,) float32. `classes` in channel order; `several`, `min_cover` and `min_known` as in the config.

    One class a chip: the one that covers most of the chip's known ground, where that is at least `min_cover`; two that cover the same leave it open.
    """

    classes: ClassSet
    several: bool
    min_cover: float
    min_known: float = 0.0

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """`Target.values`: 1 for the chip's classes, 0 for the others; all NaN where they are not known."""
        covers, known = class_covers(labels, self.classes, height, width)
        values = np.full(len(self.classes), np.nan, np.float32)
        if known > 0 and known >= self.min_known:
            values = self._several(covers) if self.several else self._one(covers)
        return Target(values=values)

    def decode(self, raw: RawArrays) -> npt.NDArray[np.float32]:
        """(K,) probabilities; of one class a chip they sum to 1."""
        logits = np.asarray(raw["logits"], np.float64)
        if self.several:
            return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float32)
        powers = np.exp(logits - logits.max())
        return np.asarray(powers / powers.sum(), np.float32)

    def answer(self, raw: RawArrays) -> npt.NDArray[np.float32]:
        """As `decode`: the scorer decides what is a yes."""
        return self.decode(raw)

    def truth(self, target: Target) -> npt.NDArray[np.float32]:
        """(K,) the target's values."""
        assert target.values is not None
        return target.values

    def _one(self, covers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        best = covers.max()
        found = covers >= best - _EQUAL
        if best + _EQUAL < self.min_cover or found.sum() > 1:
            return np.full(len(covers), np.nan, np.float32)
        return np.asarray(found, np.float32)

    def _several(self, covers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        return np.asarray(covers >= self.min_cover - _EQUAL, np.float32)
