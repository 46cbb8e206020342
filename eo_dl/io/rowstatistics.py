"""What the bands of a raster of numbers hold, from its raw rows: for GDAL's metadata and for its style."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.arraytypes import Float64Array
from .spill import RasterLayout

_CHUNK_BYTES = 32 * 2**20
_DEVIATIONS = 2.0


@dataclass(frozen=True)
class PlaneStatistics:
    """The known numbers of one band."""

    count: int
    """Number of pixels with a number."""
    minimum: float
    """Lowest number; 0 without any."""
    maximum: float
    """Highest number; 0 without any."""
    mean: float
    """Mean; 0 without any."""
    std: float
    """Standard deviation; 0 without any."""

    @property
    def middle(self) -> tuple[float, float]:
        """The numbers to be shown in colours: two deviations around the mean, as far as there are any."""
        low = max(self.minimum, self.mean - _DEVIATIONS * self.std)
        high = min(self.maximum, self.mean + _DEVIATIONS * self.std)
        return (low, high) if high > low else (low, low + 1.0)

    def gdal_items(self) -> dict[str, str]:
        """The statistics as GDAL keeps them in the metadata of a band."""
        return {
            "STATISTICS_MINIMUM": repr(self.minimum),
            "STATISTICS_MAXIMUM": repr(self.maximum),
            "STATISTICS_MEAN": repr(self.mean),
            "STATISTICS_STDDEV": repr(self.std),
        }


def band_statistics(rows: Path, layout: RasterLayout) -> tuple[PlaneStatistics, ...]:
    """The statistics of each band, in one pass and in memory that does not grow with the raster.

    Args:
        rows: The file of raw rows: row after row, within a row band after band.
        layout: Its layout.
    """
    stored = np.memmap(rows, layout.dtype, "r", shape=(layout.height, layout.count, layout.width))
    step = max(1, _CHUNK_BYTES // layout.row_bytes)
    tallies = [_Tally() for _ in range(layout.count)]
    for row0 in range(0, layout.height, step):
        chunk = np.asarray(stored[row0 : row0 + step])
        for band, tally in enumerate(tallies):
            numbers = chunk[:, band]
            tally.add(numbers[np.isfinite(numbers)].astype(np.float64))
    return tuple(tally.finished() for tally in tallies)


class _Tally:
    """Count, mean and spread of numbers that come in parts (Chan, Golub and LeVeque 1979)."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.minimum, self.maximum = math.inf, -math.inf

    def add(self, numbers: Float64Array) -> None:
        """Take a part (N,)."""
        if not len(numbers):
            return
        total, mean = self.count + len(numbers), float(numbers.mean())
        step = mean - self.mean
        self.squares += float(np.square(numbers - mean).sum()) + step**2 * self.count * len(numbers) / total
        self.mean += step * len(numbers) / total
        self.count = total
        self.minimum = min(self.minimum, float(numbers.min()))
        self.maximum = max(self.maximum, float(numbers.max()))

    def finished(self) -> PlaneStatistics:
        """The statistics of all parts."""
        if not self.count:
            return PlaneStatistics(0, 0.0, 0.0, 0.0, 0.0)
        return PlaneStatistics(
            self.count, self.minimum, self.maximum, self.mean, math.sqrt(self.squares / self.count)
        )
