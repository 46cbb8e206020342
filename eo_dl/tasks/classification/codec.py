"""Labels to the classes of a chip, and what a network says to their probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...chips.truth import chip_values, class_covers
from ...core.arrays import Target
from ...core.classes import ClassSet
from ...core.labelset import PixelLabels
from ..task import RawArrays


@dataclass(frozen=True)
class ClassificationCodec:
    """Raw arrays: "logits" (K,) float32. `classes` in channel order; `several`, `min_cover` and `min_known`
    as in the config. What covers a chip makes its class by the rule of `chips.truth.chip_values`.
    """

    classes: ClassSet
    several: bool
    min_cover: float
    min_known: float = 0.0

    def encode(self, labels: PixelLabels, height: int, width: int) -> Target:
        """`Target.values`: 1 for the chip's classes, 0 for the others; all NaN where they are not known."""
        covers, known = class_covers(labels, self.classes, height, width)
        if not known or known < self.min_known:
            return Target(values=np.full(len(self.classes), np.nan, np.float32))
        return Target(values=chip_values(covers, several=self.several, min_cover=self.min_cover))

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
