"""Statistics of the train pixels, per band and in physical units, from one reading of each chip.

Each chip gives a `BandTally` when it is read, before its split is known; those of the train chips are added
up afterwards. Count, mean, standard deviation and extremes are exact (float64, merged by the rule of Chan,
Golub and LeVeque 1979). Percentiles come from evenly spaced pixels of every chip, up to `SAMPLE_BYTES` in
all, which is every pixel of a small chip set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array
from ..core.bands import Band, BandSet
from ..core.normalization import BandStatistics
from ..errors import ChipSetError
from ..io.scene import Scene

SAMPLE_BYTES = 16 * 2**20
"""Memory for the pixels from which percentiles are taken."""

_FEWEST = 16
_USUAL_GAPS = (-9999.0, -99999.0, -32768.0, -32767.0, -999.0)
_ENORMOUS = 1e19  # no measurement is, and fill values of floats are
_SLAB = 16384  # values of a band at a time


@dataclass(frozen=True)
class BandTally:
    """What the valid pixels of one chip add to the statistics, in physical units."""

    count: int
    """Valid pixels."""

    mean: Float64Array
    """(C,) mean per band."""

    squares: Float64Array
    """(C,) sum of squared distances from the mean."""

    minimum: Float64Array
    """(C,) lowest value."""

    maximum: Float64Array
    """(C,) highest value."""

    sample: Float32Array
    """(C, S) evenly spaced pixels, for percentiles."""

    @classmethod
    def nothing(cls, band_count: int) -> BandTally:
        """The tally of a chip without a valid pixel."""
        zeros, infinite = np.zeros(band_count), np.full(band_count, np.inf)
        return cls(
            count=0,
            mean=zeros,
            squares=zeros,
            minimum=infinite,
            maximum=-infinite,
            sample=np.empty((band_count, 0), np.float32),
        )


def sample_size(chips: int, bands: int, chip_px: int) -> int:
    """Pixels that each chip gives for the percentiles."""
    affordable = SAMPLE_BYTES // (max(chips, 1) * bands * 4)
    return min(chip_px * chip_px, max(_FEWEST, affordable))


def tally_bands(pixels: AnyArray, valid: BoolArray, bands: BandSet, sample_px: int) -> BandTally:
    """The tally of a chip.

    Args:
        pixels: (C, H, W) stored values.
        valid: (H, W) measured pixels.
        bands: The bands, with scale and offset.
        sample_px: Pixels for the percentiles, at most.
    """
    stored = pixels.reshape(len(pixels), -1) if valid.all() else pixels[:, valid]
    count = stored.shape[1]
    if not count:
        return BandTally.nothing(len(bands))
    scale = np.array([band.scale for band in bands])
    offset = np.array([band.offset for band in bands])

    step = -(-count // sample_px)
    if step > 1 and step % 2 == 0:
        step += 1  # an odd step does not fall on the same columns of every row
    sample = (stored[:, ::step] * scale[:, None] + offset[:, None]).astype(np.float32)

    mean = stored.mean(axis=1, dtype=np.float64)
    squares = np.zeros(len(bands))
    # The whole chip as float64 would be fresh memory every time, which costs more than the sums.
    slab = np.empty((len(bands), min(count, _SLAB)))
    for start in range(0, count, _SLAB):
        part = stored[:, start : start + _SLAB]
        difference = np.subtract(part, mean[:, None], out=slab[:, : part.shape[1]])
        squares += np.einsum("ij,ij->i", difference, difference)

    ends = np.stack([stored.min(axis=1), stored.max(axis=1)]) * scale + offset
    return BandTally(
        count=count,
        mean=mean * scale + offset,
        squares=squares * scale**2,
        minimum=ends.min(axis=0),  # a negative scale swaps them
        maximum=ends.max(axis=0),
        sample=sample,
    )


def statistics(tallies: Sequence[BandTally]) -> tuple[BandStatistics, ...]:
    """Statistics per band over all valid pixels of these chips, merged in their order, so that every run
    gives the same last bit.

    Raises:
        ChipSetError: No pixel is valid.
    """
    used = [tally for tally in tallies if tally.count]
    if not used:
        raise ChipSetError(
            "no chip of the train split has a measured pixel; check nodata and masks of the scenes with "
            "`eo-dl inspect`, or lower `min_valid`"
        )
    count = 0
    mean, squares = np.zeros_like(used[0].mean), np.zeros_like(used[0].mean)
    for tally in used:
        total = count + tally.count
        step = tally.mean - mean
        mean = mean + step * (tally.count / total)
        squares = squares + tally.squares + step**2 * (count * tally.count / total)
        count = total
    std = np.sqrt(squares / count)
    minimum = np.min([tally.minimum for tally in used], axis=0)
    maximum = np.max([tally.maximum for tally in used], axis=0)
    p02, p98 = np.percentile(np.concatenate([tally.sample for tally in used], axis=1), (2, 98), axis=1)
    columns = (mean, std, minimum, maximum, p02, p98)
    return tuple(
        BandStatistics(count, *(float(column[band]) for column in columns)) for band in range(len(mean))
    )


def gap_notes(scenes: Sequence[Scene], bands: BandSet, tallies: Sequence[BandTally]) -> list[str]:
    """Notes on bands whose lowest or highest value looks like one for gaps that no file tags as nodata, such
    as -9999, -32768, or the ends of float32.

    Args:
        scenes: The scenes.
        bands: The bands of the chips.
        tallies: What each chip adds to the statistics.
    """
    used = [tally for tally in tallies if tally.count]
    tagged = all(band.nodata is not None for scene in scenes for band in scene.bands)
    if not used or tagged:
        return []
    lowest = np.min([tally.minimum for tally in used], axis=0)
    highest = np.max([tally.maximum for tally in used], axis=0)
    found = [gap_note(band, lowest[number], highest[number]) for number, band in enumerate(bands)]
    return [note for note in found if note is not None]


def gap_note(band: Band, lowest: float | None, highest: float | None) -> str | None:
    """A note on a band whose lowest or highest value looks like one for gaps without being tagged as nodata.

    Args:
        band: The band.
        lowest: Its lowest value in physical units; None: no pixel was measured.
        highest: Its highest value.
    """
    if lowest is None or highest is None:
        return None
    stored = ((float(value) - band.offset) / band.scale for value in (lowest, highest))
    gap = next((value for value in stored if _is_usual_gap(value)), None)
    if gap is None:
        return None
    return (
        f"{band.name} holds {gap:g} without a nodata tag, as many programs fill gaps: it counts as measured; "
        f"otherwise set `nodata={gap:g}`"
    )


def _is_usual_gap(value: float) -> bool:
    return value in _USUAL_GAPS or abs(value) >= _ENORMOUS
