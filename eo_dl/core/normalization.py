"""From stored pixel values to what a network sees: physical units, then standard scores.

The one place where this is done, used by training and prediction alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arraytypes import AnyArray, BoolArray, Float32Array
from .bands import BandSet


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """What the valid train pixels of one band hold, in physical units (`p02`, `p98`: percentiles)."""

    count: int
    mean: float
    std: float
    minimum: float
    maximum: float
    p02: float
    p98: float


@dataclass(frozen=True, slots=True)
class Normalization:
    """Per band mean and standard deviation in physical units; a band that never varies has std 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, statistics: tuple[BandStatistics, ...]) -> Normalization:
        """From statistics over the train split."""
        return cls(tuple(s.mean for s in statistics), tuple(s.std if s.std > 0 else 1.0 for s in statistics))

    def apply(self, pixels: AnyArray, valid: BoolArray, bands: BandSet) -> Float32Array:
        """(C, H, W) float32 standard scores of stored pixels; 0 (the mean) where not `valid` (H, W)."""
        gain, shift = self.coefficients(bands)
        out = pixels.astype(np.float32)
        out *= gain[:, None, None]
        out += shift[:, None, None]
        if not valid.all():
            np.copyto(out, np.float32(0), where=~valid)
        return out

    def coefficients(self, bands: BandSet) -> tuple[Float32Array, Float32Array]:
        """Per band (gain, shift) so that `stored * gain + shift` is the standard score.

        ((stored * scale + offset) - mean) / std, folded in float64.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        scale, offset = np.array([b.scale for b in bands]), np.array([b.offset for b in bands])
        return (scale / std).astype(np.float32), ((offset - mean) / std).astype(np.float32)


def to_physical(pixels: AnyArray, bands: BandSet) -> Float32Array:
    """(C, H, W) stored values as physical float32 (`stored * scale + offset`)."""
    scale = np.array([b.scale for b in bands], np.float32)[:, None, None]
    offset = np.array([b.offset for b in bands], np.float32)[:, None, None]
    return pixels.astype(np.float32) * scale + offset
