"""Labels to numbers, and the numbers of the network to maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import ValueTarget
from ...core.arraytypes import Float32Array
from ...core.classes import ClassSet
from ...core.pixellabels import PixelLabels
from ...labels.valueplanes import value_planes
from ..codecs import VALUES_NAME, RawArrays


@dataclass(frozen=True)
class RegressionCodec:
    """Codec of maps of values. Raw arrays: "values" (K, H, W) float32 in the units of the values, and where
    the network gives intervals (3 K, H, W): the values, then their lower ends, then their upper ends.
    """

    classes: ClassSet
    """The values in channel order."""
    has_intervals: bool
    """True where the network gives intervals."""
    spreads: tuple[float, ...]
    """(K,) the standard deviation of each value over the train chips; 1 where it is not known."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """The planes of a prediction, in order."""
        names = self.classes.names
        if not self.has_intervals:
            return names
        return (*names, *(f"{name} low" for name in names), *(f"{name} high" for name in names))

    def encode(self, labels: PixelLabels, height: int, width: int) -> ValueTarget:
        """(K, H, W) numbers, NaN where they are not known."""
        return ValueTarget(value_planes(labels, height, width, labels.valid))

    def decode(self, raw: RawArrays) -> Float32Array:
        """(K, H, W) numbers, or (3 K, H, W) with the ends of their intervals."""
        return np.ascontiguousarray(raw[VALUES_NAME], np.float32)

    def answer(self, raw: RawArrays) -> Float32Array:
        """As `decode`: nothing is chosen from numbers."""
        return self.decode(raw)

    def truth(self, target: ValueTarget) -> Float32Array:
        """(K, H, W) the numbers of the target, NaN where they are not known."""
        return target.values
