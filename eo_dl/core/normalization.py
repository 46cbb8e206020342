"""From stored pixel values to the input of a network: physical units, then standard scores.

Used by training and prediction alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arraytypes import AnyArray, BoolArray, Float32Array
from .bands import BandSet


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of the valid training pixels of one band, in physical units."""

    count: int
    """Number of pixels."""
    mean: float
    """Mean."""
    std: float
    """Standard deviation."""
    minimum: float
    """Lowest value."""
    maximum: float
    """Highest value."""
    p02: float
    """2nd percentile."""
    p98: float
    """98th percentile."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """Mean and standard deviation per band, in physical units."""

    mean: tuple[float, ...]
    """Mean per band."""
    std: tuple[float, ...]
    """Standard deviation per band; 1 for a constant band."""

    @classmethod
    def of(cls, statistics: tuple[BandStatistics, ...]) -> Normalization:
        """From statistics over the train split."""
        return cls(tuple(s.mean for s in statistics), tuple(s.std if s.std > 0 else 1.0 for s in statistics))

    def apply(self, pixels: AnyArray, valid: BoolArray, bands: BandSet) -> Float32Array:
        """(C, H, W) float32 standard scores of stored pixels; 0 (the mean) where `valid` (H, W) is False, and
        where a band is NaN because it was not measured there.
        """
        out = self.standard_scores(pixels, valid, bands)
        fill_missing(out)
        return out

    def standard_scores(self, pixels: AnyArray, valid: BoolArray, bands: BandSet) -> Float32Array:
        """As `apply`, but what was not measured in single bands stays NaN."""
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


def missing_values(image: AnyArray) -> BoolArray | None:
    """True where an image is NaN; None: nowhere, which is found out in one fast pass."""
    if image.dtype.kind != "f" or not image.size or not np.isnan(image.min()):  # NaN passes through `min`
        return None
    missing: BoolArray = np.isnan(image)
    return missing


def fill_missing(scores: Float32Array) -> None:
    """Make standard scores that are NaN 0, the mean of training, in place."""
    missing = missing_values(scores)
    if missing is not None:
        np.copyto(scores, np.float32(0), where=missing)


def to_physical(pixels: AnyArray, bands: BandSet) -> Float32Array:
    """(C, H, W) stored values as physical float32 (`stored * scale + offset`)."""
    scale = np.array([b.scale for b in bands], np.float32)[:, None, None]
    offset = np.array([b.offset for b in bands], np.float32)[:, None, None]
    return pixels.astype(np.float32) * scale + offset
