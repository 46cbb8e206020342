"""Statistics of the train pixels, band by band, in physical units, from one reading of each chip.

Each chip gives a `ChipTally` when it is read, before anybody knows its split; those of the train chips are
added up afterwards. Count, mean, standard deviation and extremes are exact (float64, added by the rule of
Chan, Golub and LeVeque 1979). Percentiles come from evenly spaced pixels of every chip, up to `SAMPLE_BYTES`
in all, which is every pixel of a small chip set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.bands import BandSet
from ..core.normalization import BandStatistics
from ..errors import ChipSetError

SAMPLE_BYTES = 16 * 2**20
_FEWEST = 16
_SLAB = 16384  # values of a band at a time

BandValues = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChipTally:
    """What the valid pixels of one chip add to the statistics, in physical units: (C,) each, `sample` (C, S)
    float32.
    """

    count: int
    mean: BandValues
    squares: BandValues
    minimum: BandValues
    maximum: BandValues
    sample: npt.NDArray[np.float32]


def sample_size(chips: int, bands: int, chip_px: int) -> int:
    """Pixels that each chip gives for the percentiles."""
    return min(chip_px * chip_px, max(_FEWEST, SAMPLE_BYTES // (max(chips, 1) * bands * 4)))


def tally(
    pixels: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], bands: BandSet, sample_px: int
) -> ChipTally:
    """The tally of stored pixels (C, H, W); `squares` are summed squared distances from the mean."""
    stored = pixels.reshape(len(pixels), -1) if valid.all() else pixels[:, valid]
    count = stored.shape[1]
    scale, offset = np.array([b.scale for b in bands]), np.array([b.offset for b in bands])
    if not count:
        nothing = np.zeros(len(bands))
        return ChipTally(
            0,
            nothing,
            nothing,
            np.full(len(bands), np.inf),
            np.full(len(bands), -np.inf),
            np.empty((len(bands), 0), np.float32),
        )
    low, high = stored.min(axis=1) * scale + offset, stored.max(axis=1) * scale + offset
    step = -(-count // sample_px)
    step += (step > 1) & (step % 2 == 0)  # an odd step does not fall on the same columns of every row
    sample = (stored[:, ::step] * scale[:, None] + offset[:, None]).astype(np.float32)
    mean = stored.mean(axis=1, dtype=np.float64)
    squares, slab = np.zeros(len(bands)), np.empty((len(bands), min(count, _SLAB)))
    # the whole chip as float64 would be fresh memory every time, which costs more than the sums
    for start in range(0, count, _SLAB):
        part = stored[:, start : start + _SLAB]
        away = np.subtract(part, mean[:, None], out=slab[:, : part.shape[1]])
        squares += np.einsum("ij,ij->i", away, away)
    return ChipTally(
        count, mean * scale + offset, squares * scale**2, np.minimum(low, high), np.maximum(low, high), sample
    )


def statistics(tallies: Sequence[ChipTally]) -> tuple[BandStatistics, ...]:
    """Statistics per band over all valid pixels of these chips, in the given order (so equal to the last bit
    in every run).

    Raises `ChipSetError` where no pixel is valid.
    """
    used = [t for t in tallies if t.count]
    if not used:
        raise ChipSetError(
            "no chip of the train split has a measured pixel; check nodata and masks of the scenes (eo-dl inspect), or --min-valid"
        )
    count, mean, squares = 0, np.zeros_like(used[0].mean), np.zeros_like(used[0].mean)
    for t in used:
        total = count + t.count
        step = t.mean - mean
        mean = mean + step * (t.count / total)
        squares = squares + t.squares + step**2 * (count * t.count / total)
        count = total
    low, high = np.min([t.minimum for t in used], axis=0), np.max([t.maximum for t in used], axis=0)
    p02, p98 = np.percentile(np.concatenate([t.sample for t in used], axis=1), (2, 98), axis=1)
    std = np.sqrt(squares / count)
    return tuple(
        BandStatistics(count, *(float(column[k]) for column in (mean, std, low, high, p02, p98)))
        for k in range(len(mean))
    )
