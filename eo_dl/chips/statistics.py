"""Statistics of the train pixels, per band and in physical units, from one reading of each chip.

Each chip gives a `BandTally` when it is read, before its split is known; those of the train chips are added
up afterwards. Count, mean, standard deviation and extremes are exact (float64, merged by the rule of Chan,
Golub and LeVeque 1979). Percentiles come from evenly spaced pixels of every chip, up to `SAMPLE_BYTES` in
all, which is every pixel of a small chip set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array
from ..core.bands import Band, BandSet, band_list
from ..core.normalization import BandStatistics, missing_values
from ..errors import ChipSetError
from ..io.scene import Scene

SAMPLE_BYTES = 16 * 2**20
"""Memory for the pixels from which percentiles are taken."""

_FEWEST = 16
_USUAL_GAPS = (-9999.0, -99999.0, -32768.0, -32767.0, -999.0)
_ENORMOUS = 1e19  # no measurement is, and fill values of floats are
_SLAB = 8192  # values of a band at a time; from 10,000 on OpenBLAS would start threads of its own
_LEAST_COLLAR = 0.03  # of the ground; a few black pixels are shadow


@dataclass(frozen=True)
class BandTally:
    """What the valid pixels of one chip add to the statistics, in physical units."""

    count: Int64Array
    """(C,) valid pixels in which the band was measured."""

    mean: Float64Array
    """(C,) mean per band."""

    squares: Float64Array
    """(C,) sum of squared distances from the mean."""

    minimum: Float64Array
    """(C,) lowest value."""

    maximum: Float64Array
    """(C,) highest value."""

    sample: Float32Array
    """(C, S) evenly spaced pixels, for percentiles; NaN where a band was not measured."""

    @property
    def empty(self) -> bool:
        """True if no band has a measured pixel."""
        return not self.count.any()

    @classmethod
    def nothing(cls, band_count: int) -> BandTally:
        """The tally of a chip without a valid pixel."""
        infinite = np.full(band_count, np.inf)
        return cls(
            count=np.zeros(band_count, np.int64),
            mean=np.zeros(band_count),
            squares=np.zeros(band_count),
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
        pixels: (C, H, W) stored values, NaN where a band of a valid pixel was not measured.
        valid: (H, W) valid pixels.
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

    if missing_values(stored) is not None:
        return _tally_with_gaps(stored, sample, bands)
    mean, squares = _moments(stored)
    ends = np.stack([stored.min(axis=1), stored.max(axis=1)]) * scale + offset
    return BandTally(
        count=np.full(len(bands), count, np.int64),
        mean=mean * scale + offset,
        squares=squares * scale**2,
        minimum=ends.min(axis=0),  # a negative scale swaps them
        maximum=ends.max(axis=0),
        sample=sample,
    )


def tally_values(planes: Float32Array, sample_px: int) -> BandTally:
    """The tally of the numbers of a chip's labels.

    Args:
        planes: (K, H, W) numbers, NaN where they are not known.
        sample_px: Pixels for the percentiles, at most.
    """
    values = BandSet(tuple(Band(f"value_{number}", number) for number in range(1, len(planes) + 1)))
    return tally_bands(planes, np.asarray(np.isfinite(planes).any(axis=0), np.bool_), values, sample_px)


def _moments(stored: AnyArray) -> tuple[Float64Array, Float64Array]:
    """Mean and sum of squared distances from it, per band of (C, N) values.

    Slabs of values stay in the processor's cache as float64 (the whole chip would be fresh memory every time,
    which costs more than the sums) and are merged by the rule of Chan, Golub and LeVeque (1979).
    """
    bands, count = stored.shape
    slab, ones = np.empty((bands, min(count, _SLAB))), np.ones(min(count, _SLAB))
    mean, squares = np.zeros(bands), np.zeros(bands)
    for start in range(0, count, _SLAB):
        part = stored[:, start : start + _SLAB]
        added = part.shape[1]
        values = slab[:, :added]
        np.copyto(values, part)
        part_mean = np.vecdot(values, ones[:added]) / added
        values -= part_mean[:, None]
        shift, share = part_mean - mean, added / (start + added)
        squares += np.vecdot(values, values) + shift**2 * (start * share)
        mean += shift * share
    return mean, squares


def _tally_with_gaps(stored: AnyArray, sample: Float32Array, bands: BandSet) -> BandTally:
    """The tally of stored values (C, N), NaN where a band was not measured: each band from its own pixels."""
    tally = BandTally.nothing(len(bands))
    for number, (values, band) in enumerate(zip(stored, bands, strict=True)):
        measured = values[np.isfinite(values)].astype(np.float64) * band.scale + band.offset
        if not len(measured):
            continue
        tally.count[number] = len(measured)
        tally.mean[number] = measured.mean()
        tally.squares[number] = np.square(measured - tally.mean[number]).sum()
        tally.minimum[number], tally.maximum[number] = measured.min(), measured.max()
    return replace(tally, sample=sample)


def statistics(tallies: Sequence[BandTally]) -> tuple[BandStatistics, ...]:
    """Statistics per band over its measured pixels of these chips, merged in their order, so that every run
    gives the same last bit. A band without any has mean 0 and deviation 0.

    Raises:
        ChipSetError: No pixel is valid.
    """
    used = [tally for tally in tallies if not tally.empty]
    if not used:
        raise ChipSetError(
            "no chip of the train split has a measured pixel; check nodata and masks of the scenes with "
            "`eo-dl inspect`, or lower `min_valid`"
        )
    count = np.zeros_like(used[0].count)
    mean, squares = np.zeros_like(used[0].mean), np.zeros_like(used[0].mean)
    for tally in used:
        total = count + tally.count
        known = np.maximum(total, 1)
        step = tally.mean - mean
        mean = mean + step * (tally.count / known)
        squares = squares + tally.squares + step**2 * (count * tally.count / known)
        count = total
    std = np.sqrt(squares / np.maximum(count, 1))
    minimum = np.min([tally.minimum for tally in used], axis=0)
    maximum = np.max([tally.maximum for tally in used], axis=0)
    p02, p98 = _percentiles(np.concatenate([tally.sample for tally in used], axis=1))
    columns = [
        np.where(count > 0, column, 0.0) for column in (mean, std, minimum, maximum, p02, p98)
    ]  # JSON has no infinity
    return tuple(
        BandStatistics(int(count[band]), *(float(column[band]) for column in columns))
        for band in range(len(mean))
    )


def _percentiles(sample: Float32Array) -> Float64Array:
    """(2, C) 2nd and 98th percentile of (C, S) values, NaN where a band was not measured."""
    if missing_values(sample) is None:
        return np.asarray(np.percentile(sample, (2, 98), axis=1), np.float64)
    found = np.zeros((2, len(sample)))
    for number, values in enumerate(sample):
        measured = values[np.isfinite(values)]
        if len(measured):
            found[:, number] = np.percentile(measured, (2, 98))
    return found


def dead_notes(bands: BandSet, found: Sequence[BandStatistics]) -> list[str]:
    """A note on bands that hold nothing: constant, or never measured, in all train chips."""
    constant = [band for band, one in zip(bands, found, strict=True) if one.minimum == one.maximum]
    if not constant:
        return []
    return [
        f"{band_list(constant)} {'holds' if len(constant) == 1 else 'hold'} one value or none in all train "
        "chips, from which nothing can be learnt; `drop_dead_bands` leaves such bands out, or choose `bands`"
    ]


def collar_notes(scenes: Sequence[Scene], bands: BandSet, tallies: Sequence[BandTally]) -> list[str]:
    """A note on scenes of whole numbers in which much ground has the lowest or highest value of its type in
    all bands, as the collar around a turned or cut image has.

    Args:
        scenes: The scenes.
        bands: The bands of the chips.
        tallies: What each chip adds to the statistics.
    """
    samples = [tally.sample for tally in tallies if not tally.empty]
    tagged = any(band.nodata is not None for scene in scenes for band in scene.bands)
    whole = {scene.dtype for scene in scenes} <= {"uint8", "uint16"}
    if not samples or tagged or not whole:
        return []
    values = np.concatenate(samples, axis=1)
    scale, offset = np.array([band.scale for band in bands]), np.array([band.offset for band in bands])
    notes = []
    for stored in (0, 255 if scenes[0].dtype == "uint8" else 65535):
        physical = (stored * scale + offset).astype(np.float32)
        share = float((values == physical[:, None]).all(axis=0).mean())
        if share >= _LEAST_COLLAR:
            notes.append(
                f"about {share:.0%} of the ground is {stored} in all bands without a nodata tag, as the "
                f"collar of an image is: it counts as measured; otherwise set `nodata={stored}`"
            )
    return notes


def gap_notes(scenes: Sequence[Scene], bands: BandSet, tallies: Sequence[BandTally]) -> list[str]:
    """Notes on bands whose lowest or highest value looks like one for gaps that no file tags as nodata, such
    as -9999, -32768, or the ends of float32.

    Args:
        scenes: The scenes.
        bands: The bands of the chips.
        tallies: What each chip adds to the statistics.
    """
    used = [tally for tally in tallies if not tally.empty]
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
