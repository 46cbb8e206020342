"""Labels to the classes of a chip, and the output of a network to their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import ChipTarget
from ...core.arraytypes import Float32Array
from ...core.chiprules import ChipClassRule
from ...core.classes import ClassSet
from ...core.pixellabels import PixelLabels
from ...labels.classcover import class_covers
from ...uncertainty.temperature import UNCHANGED, tempered
from ..codecs import RawArrays


@dataclass(frozen=True)
class ClassificationCodec:
    """Codec of whole chips. Raw arrays: "logits" (K,) float32."""

    classes: ClassSet
    """Classes in channel order."""
    rule: ChipClassRule
    """Which classes a chip has, given what covers it."""
    min_known: float = 0.0
    """The classes of a chip of which a smaller share is known count as unknown."""
    temperature: tuple[float, ...] = UNCHANGED
    """What logits are divided by to give probabilities: one number, or one per class where a chip may have
    several."""

    def calibrated(self, temperature: Sequence[float]) -> ClassificationCodec:
        """The codec with other temperatures."""
        return replace(self, temperature=tuple(temperature))

    def encode(self, labels: PixelLabels, height: int, width: int) -> ChipTarget:
        """1 for the chip's classes, 0 for the others; all NaN where they are unknown."""
        covers, known = class_covers(labels, self.classes, height, width)
        if not known or known < self.min_known:
            return ChipTarget(np.full(len(self.classes), np.nan, np.float32))
        return ChipTarget(self.rule.values(covers))

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K,) probabilities, which sum to 1 where a chip has one class."""
        logits = tempered(np.asarray(raw["logits"], np.float64), self.temperature)
        if self.rule.multi_label:
            # The sigmoid, without overflow.
            return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float32)
        powers = np.exp(logits - logits.max())
        return np.asarray(powers / powers.sum(), np.float32)

    def answer(self, raw: RawArrays) -> Float32Array:
        """(K,) probabilities, as `decode` gives them; the scorer decides which classes count as predicted."""
        return self.decode(raw)

    def truth(self, target: ChipTarget) -> Float32Array:
        """(K,) the target's values."""
        return target.values
