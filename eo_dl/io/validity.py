"""Where a scene was measured, decided band by band; the one place that decides it.

A band of a pixel is not measured if

- its value is NaN or infinite,
- its value is the band's nodata value, or
- alpha is 0 there, or a mask band masks it.

One exception: 0 in a band of light (red, nir, ...), the highest value of one with 8 bits, and 0 in 8 bits
without a name are also what darkness and saturation look like. There it is nodata only where all such bands
of the pixel hold theirs, which is also GDAL's rule for `dataset_mask`: black water and white roofs of
photographs are measured. Where many pixels hold it in some of these bands, that is said.

A rule (`SceneOptions.valid`) then says which pixels are valid ground: those measured in all bands, or in at
least N of them. A valid pixel whose rule lets bands be missing holds NaN in these; `Normalization` and
`inference.batches.Filler` make it 0, the mean of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Int64Array
from ..core.bands import Band, BandSet
from ..core.wording import listed
from ..errors import ConfigError

ALL, ANY = "all", "any"

_LIGHT = {"red", "green", "blue", "yellow", "coastal", "pan", "gray"}
_FAMILIES_OF_LIGHT = ("nir", "rededge", "swir")  # nir1, rededge075, swir16
_MANY_LOST = 0.05
_FEWEST_SHOWN = 0.0005  # smaller shares would read "0.0 %"


def valid_rule(valid: int | str) -> int | str:
    """A rule as it is kept: "all", "any" or a number of bands.

    Raises:
        ConfigError: It is none of them.
    """
    text = str(valid).strip().lower()
    if text in (ALL, ANY):
        return text
    if not isinstance(valid, bool) and text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ConfigError(
        f"`valid`: expected 'all', 'any' or the least number of measured bands (1 or more), found {valid!r}"
    )


def least_bands(valid: int | str, bands: BandSet, source: str) -> int:
    """The number of bands that must be measured in a valid pixel.

    Args:
        valid: The rule.
        bands: The bands in use.
        source: The file, for messages.

    Raises:
        ConfigError: The rule wants more bands than there are.
    """
    if valid == ALL:
        return len(bands)
    if valid == ANY:
        return 1
    if int(valid) > len(bands):
        raise ConfigError(
            f"{source}: `valid` wants {valid} measured bands, but {len(bands)} are in use; give a smaller "
            "number, 'all' or 'any'"
        )
    return int(valid)


def may_lack(band: Band) -> bool:
    """True if values of the band can say that it was not measured."""
    return band.nodata is not None or np.dtype(band.dtype).kind not in "iu"


def measured(pixels: AnyArray, bands: Sequence[Band]) -> BoolArray:
    """(H, W) True where all bands of stored pixels (C, H, W) are measured by their value."""
    valid: BoolArray = np.ones(pixels.shape[1:], np.bool_)
    lit: BoolArray | None = None  # True where a band of light holds something else than its nodata value
    for plane, band in zip(pixels, bands, strict=True):
        if plane.dtype.kind == "f":
            valid &= np.isfinite(plane)
        other = _differs(plane, band)
        if other is None:
            continue
        if not looks_like_light(band):
            valid &= other
        else:
            lit = other if lit is None else np.logical_or(lit, other, out=lit)
    return valid if lit is None else np.logical_and(valid, lit, out=valid)


def measured_bands(pixels: AnyArray, bands: Sequence[Band]) -> BoolArray:
    """(C, H, W) True where a band of stored pixels (C, H, W) is measured by its value."""
    found: BoolArray = np.ones(pixels.shape, np.bool_)
    light = []
    for number, (plane, band) in enumerate(zip(pixels, bands, strict=True)):
        if plane.dtype.kind == "f":
            np.isfinite(plane, out=found[number])
        other = _differs(plane, band)
        if other is None:
            continue
        found[number] &= other
        if looks_like_light(band):
            light.append(number)
    if light:
        lit = found[light].any(axis=0)
        finite = np.isfinite(pixels[light]) if pixels.dtype.kind == "f" else True
        found[light] = lit & finite
    return found


def dim_pixels(pixels: AnyArray, bands: Sequence[Band]) -> int:
    """Pixels that hold their nodata value in some bands of light but not in all, and so count as measured."""
    light = [number for number, band in enumerate(bands) if looks_like_light(band)]
    if len(light) < 2:
        return 0
    lit = [pixels[number] != bands[number].nodata for number in light]
    some, every = lit[0], lit[0].copy()
    for other in lit[1:]:
        some = some | other
        every &= other
    return int(np.count_nonzero(some)) - int(np.count_nonzero(every))


def _differs(plane: AnyArray, band: Band) -> BoolArray | None:
    """(H, W) True where a band does not hold its nodata value; None if it has no such value but NaN."""
    if band.nodata is None or np.isnan(band.nodata):
        return None
    differs: BoolArray = plane != np.asarray(band.nodata).astype(band.dtype).astype(plane.dtype)
    return differs


def looks_like_light(band: Band) -> bool:
    """True where the band's nodata value is also what darkness or saturation looks like."""
    kind = np.dtype(band.dtype)
    if kind.kind not in "iu":
        return False
    if not band.named:
        return kind.itemsize == 1 and band.nodata == 0
    if band.name not in _LIGHT and not band.name.startswith(_FAMILIES_OF_LIGHT):
        return False
    saturated = kind.itemsize == 1 and band.nodata == np.iinfo(kind).max
    return band.nodata == 0 or saturated


@dataclass(frozen=True)
class BandGaps:
    """How many pixels lack bands, counted in pixels that were measured in at least one band."""

    ground: int
    """Pixels that were measured in at least one band."""

    lost: int
    """Of those, the ones that the rule does not take for valid."""

    lost_by_band: Int64Array
    """(C,) of the lost pixels, those in which this band was not measured."""

    filled_by_band: Int64Array
    """(C,) of the valid pixels, those in which this band was not measured."""

    dim: int = 0
    """Pixels that count as measured though some bands of light hold their nodata value, see `dim_pixels`."""

    @classmethod
    def none(cls, bands: int, ground: int = 0) -> BandGaps:
        """Pixels that are measured in all bands."""
        return cls(ground, 0, np.zeros(bands, np.int64), np.zeros(bands, np.int64))

    @classmethod
    def counted(cls, found: BoolArray, valid: BoolArray) -> BandGaps:
        """Count measured bands.

        Args:
            found: (C, H, W) True where a band was measured.
            valid: (H, W) the pixels that the rule takes for valid.
        """
        ground = found.any(axis=0)
        lost = ground & ~valid
        return cls(
            ground=int(np.count_nonzero(ground)),
            lost=int(np.count_nonzero(lost)),
            lost_by_band=np.array([np.count_nonzero(lost & ~band) for band in found], np.int64),
            filled_by_band=np.array([np.count_nonzero(valid & ~band) for band in found], np.int64),
        )

    def __add__(self, other: BandGaps) -> BandGaps:
        return BandGaps(
            self.ground + other.ground,
            self.lost + other.lost,
            self.lost_by_band + other.lost_by_band,
            self.filled_by_band + other.filled_by_band,
            self.dim + other.dim,
        )

    @property
    def lost_share(self) -> float:
        """Share of the measured ground that the rule does not take for valid."""
        return self.lost / max(self.ground, 1)

    @property
    def costly(self) -> bool:
        """True if the rule costs so much ground that it is worth a warning."""
        return self.lost_share >= _MANY_LOST


def gap_lines(gaps: BandGaps, bands: BandSet, valid: int | str, name: str) -> list[str]:
    """What the rule costs in a scene and what is filled, in a line each; none where no band is missing.

    Args:
        gaps: What was counted in the scene.
        bands: Its bands.
        valid: The rule.
        name: How messages call the scene.
    """
    lines = []
    if gaps.lost_share >= _FEWEST_SHOWN:
        wanted = "all bands" if valid == ALL else f"{valid} bands"
        lines.append(
            f"{name}: {_percent(gaps.lost_share)} of its measured ground does not count, because a pixel "
            f"needs {wanted} here; not measured there: {_shares(gaps.lost_by_band, gaps.lost, bands)}; "
            "`valid=any` uses such pixels, with the band's mean in place of what is missing, and fewer "
            "`bands` need no filling"
        )
    if gaps.dim >= _MANY_LOST * max(gaps.ground, 1):
        lines.append(
            f"{name}: {_percent(gaps.dim / max(gaps.ground, 1))} of its pixels hold the nodata value in some "
            "bands, but not in all: taken for dark or saturated ground, as in photographs; if it marks gaps "
            "(clouds of single dates), give the bands names that are no colours, e.g. `bands='d1=1,d2=2'`"
        )
    kept = max(gaps.ground - gaps.lost, 1)
    if int(gaps.filled_by_band.max(initial=0)) >= _FEWEST_SHOWN * kept:
        total = float(gaps.filled_by_band.sum()) / (kept * len(bands))
        lines.append(
            f"{name}: {_percent(total)} of the values on valid ground are missing and filled with the mean "
            f"of the band (0 after normalization): {_shares(gaps.filled_by_band, kept, bands)}"
        )
    return lines


def _shares(counts: Int64Array, of: int, bands: BandSet) -> str:
    """The bands with the largest counts, each with its share."""
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda number: (-int(counts[number]), number))
    return listed([f"{bands[number].name} ({_percent(counts[number] / max(of, 1))})" for number in order])


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
