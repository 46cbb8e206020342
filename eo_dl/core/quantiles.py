"""Quantiles of the values of a band, and how far those of a scene are shifted against those of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arraytypes import AnyArray, Float64Array
from .bands import Band, BandSet

SHARES = (2.0, 50.0, 98.0)
"""The percentiles of a `Quantiles`."""

_LEAST_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Three percentiles of the values of a band, in physical units."""

    p02: float
    """2nd percentile."""
    p50: float
    """Median."""
    p98: float
    """98th percentile."""

    @property
    def spread(self) -> float:
        """Distance between the outer percentiles."""
        return self.p98 - self.p02

    @property
    def magnitude(self) -> float:
        """Largest absolute value of the outer percentiles."""
        return max(abs(self.p02), abs(self.p98))

    @property
    def text(self) -> str:
        """The three numbers."""
        return f"{self.p02:.4g}/{self.p50:.4g}/{self.p98:.4g}"


def shift(found: Quantiles, trained: Quantiles) -> float:
    """By how many spreads of `trained` the values of `found` are shifted; negative: they are lower.

    Each of the three percentiles is compared with its like, and the middle one of the three differences
    counts: clouds, shadows or gaps, which move one end, do not decide. The unit is the spread, but at least a
    quarter of the largest absolute value, so that a training on even ground is not taken for a narrow one.
    """
    differences = sorted((found.p02 - trained.p02, found.p50 - trained.p50, found.p98 - trained.p98))
    unit = max(trained.spread, _LEAST_SPREAD * trained.magnitude)
    if unit > 0:
        return differences[1] / unit
    return math.copysign(math.inf, differences[1]) if differences[1] else 0.0


def band_quantiles(stored: AnyArray, bands: BandSet) -> tuple[Quantiles | None, ...]:
    """Quantiles per band of stored values.

    Args:
        stored: (C, N) stored values of valid pixels; NaN (a pixel that lacks the band) does not count.
        bands: The bands, with scale and offset.

    Returns:
        One per band in physical units; None for a band without any value.
    """
    return tuple(_of_band(values, band) for values, band in zip(stored, bands, strict=True))


def pooled_quantiles(samples: Sequence[tuple[AnyArray, BandSet]]) -> tuple[Quantiles | None, ...]:
    """Quantiles per band of samples whose scale and offset may differ; see `band_quantiles`."""
    pooled = []
    for number in range(len(samples[0][1])):
        parts = []
        for stored, bands in samples:
            parts.append(_physical(_measured(stored[number]), bands[number]))
        pooled.append(_quantiles(np.concatenate(parts)))
    return tuple(pooled)


def _of_band(stored: AnyArray, band: Band) -> Quantiles | None:
    values = _measured(stored)
    if len(values) and values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        return Quantiles(*_counted_percentiles(values, band).tolist())
    return _quantiles(_physical(values, band))


def _measured(stored: AnyArray) -> AnyArray:
    finite = np.isfinite(stored)
    return stored if finite.all() else stored[finite]


def _physical(values: AnyArray, band: Band) -> Float64Array:
    return np.asarray(values, np.float64) * band.scale + band.offset


def _quantiles(physical: Float64Array) -> Quantiles | None:
    return Quantiles(*np.percentile(physical, SHARES).tolist()) if len(physical) else None


def _counted_percentiles(stored: AnyArray, band: Band) -> Float64Array:
    """The percentiles of small integers (N,), by counting: sorting takes ten times as long.

    Between two neighbours it interpolates linearly, as `numpy.percentile` does.
    """
    lowest = int(stored.min())
    counts = np.bincount(stored.astype(np.int64) - lowest)
    levels = np.flatnonzero(counts)
    physical = (levels + lowest) * band.scale + band.offset
    order = np.argsort(physical)  # a negative scale turns the order around
    last_of_level = np.cumsum(counts[levels][order])
    positions = np.array(SHARES) / 100 * (len(stored) - 1)
    below = np.floor(positions).astype(np.int64)
    above = np.minimum(below + 1, len(stored) - 1)
    first, second = (
        physical[order][np.searchsorted(last_of_level, rank, side="right")] for rank in (below, above)
    )
    return np.asarray(first + (second - first) * (positions - below), np.float64)
