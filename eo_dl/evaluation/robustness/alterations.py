"""What is done to a piece of a scene to see how a model stands it. Everything is in stored values.

Strengths of brightness are in units of the model's training: the standard deviation of each band.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Chip
from ...core.arraytypes import AnyArray, BoolArray, Float64Array
from ...core.normalization import Normalization
from ...core.seeds import generator

Kind = str

SHIFT, GSD, PATCH = "shift of the chip grid", "GSD", "occluding patch"
GAIN, OFFSET, HAZE, NOISE, JPEG = "gain", "offset", "haze", "noise", "JPEG"
BAND_GAIN, LOST = "gain of one band", "band lost"
KINDS: tuple[Kind, ...] = (SHIFT, GSD, GAIN, BAND_GAIN, OFFSET, HAZE, NOISE, JPEG, LOST, PATCH)

SHIFTS_PX = (1, 2, 4, 8, 16, 32)
GSD_FACTORS = (0.7, 0.85, 1.2, 1.4)
PATCH_SIDES_PX = (8, 16, 32, 64, 128)
PATCH_FILLS = ("dark", "bright", "noise")
PATCH_SPACING = 4
"""Patches of side S lie on a lattice of 4 S, so that they cover a sixteenth of the ground."""

_GAINS, _BAND_GAINS = (0.7, 0.85, 1.15, 1.3), (0.8, 1.2)
_OFFSETS, _NOISES = (-1.0, -0.5, 0.5, 1.0), (0.1, 0.25, 0.5, 1.0)
_HAZES, _QUALITIES = (0.15, 0.3, 0.5), (90, 60, 30, 10)


@dataclass(frozen=True)
class Alteration:
    """One thing that is done to the pixels of a scene."""

    kind: Kind
    """What it is, one of `KINDS`."""
    strength: float
    """How strong it is, in the unit of its kind."""
    text: str
    """The strength in words, e.g. "x 0.7" or "band red"."""
    alter: Callable[[Float64Array], Float64Array] | None = None
    """(C, H, W) values in physical units to altered ones; None where the chip is cut in another way."""
    channel: int | None = None
    """The band that is altered; None: all."""

    def apply(self, chip: Chip) -> Chip:
        """The altered chip, in stored values of its type; invalid pixels stay as they are."""
        if self.alter is None:
            return chip
        scale = np.array([band.scale for band in chip.bands])[:, None, None]
        offset = np.array([band.offset for band in chip.bands])[:, None, None]
        physical = chip.pixels.astype(np.float64) * scale + offset
        stored = (self.alter(physical) - offset) / scale
        return replace(chip, pixels=_as_stored(stored, chip))


def _as_stored(values: Float64Array, chip: Chip) -> AnyArray:
    """Values rounded to what the type of the chip can hold; a valid pixel never becomes nodata."""
    dtype = chip.pixels.dtype
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype.name)
        values = np.clip(np.rint(values), limits.min, limits.max)
    altered = values.astype(dtype)
    for channel, band in enumerate(chip.bands):
        if band.nodata is None or not np.isfinite(band.nodata):
            continue
        taken = chip.valid & (altered[channel] == band.nodata)
        altered[channel][taken] = band.nodata + (1 if band.nodata <= 0 else -1)
    keep: BoolArray = np.broadcast_to(~chip.valid, altered.shape)
    altered[keep] = chip.pixels[keep]
    return altered


def pixel_alterations(names: Sequence[str], normalization: Normalization, seed: int) -> list[Alteration]:
    """All alterations of pixel values, weakest first within a kind.

    Args:
        names: Names of the bands.
        normalization: That of the model, whose standard deviations are the unit of brightness.
        seed: Seed of the noise.
    """
    mean = np.asarray(normalization.mean, np.float64)[:, None, None]
    std = np.asarray(normalization.std, np.float64)[:, None, None]
    found: list[Alteration] = []
    for factor in _GAINS:
        found.append(Alteration(GAIN, factor, f"x {factor:g}", _gain(factor)))
    for channel, name in enumerate(names):
        for factor in _BAND_GAINS:
            text = f"{name} x {factor:g}"
            found.append(Alteration(BAND_GAIN, factor, text, _gain(factor, channel), channel))
    for step in _OFFSETS:
        found.append(Alteration(OFFSET, step, f"{step:+g} std", _plus(step * std)))
    for share in _HAZES:
        found.append(Alteration(HAZE, share, f"{share:.0%}", _hazy(share, mean + 2 * std)))
    for share in _NOISES:
        found.append(Alteration(NOISE, share, f"{share:g} std", _noisy(share * std, seed)))
    for quality in _QUALITIES:
        found.append(Alteration(JPEG, 100.0 - quality, f"quality {quality}", _jpeg(quality, mean, std)))
    if len(names) > 1:
        for channel, name in enumerate(names):
            text = f"without {name}"
            found.append(Alteration(LOST, float(channel), text, _lost(channel, mean), channel))
    return found


def patched(
    side_px: int, fill: str, places: BoolArray, normalization: Normalization, seed: int
) -> Alteration:
    """Squares over the pixels of `places` (H, W), in one of `PATCH_FILLS`."""
    mean = np.asarray(normalization.mean, np.float64)[:, None, None]
    std = np.asarray(normalization.std, np.float64)[:, None, None]

    def alter(pixels: Float64Array) -> Float64Array:
        content = np.broadcast_to(mean + (2 * std if fill == "bright" else -2 * std), pixels.shape)
        if fill == "noise":
            content = mean + 2 * std * generator(seed, "patch", side_px).standard_normal(pixels.shape)
        return np.where(places, content, pixels)

    return Alteration(PATCH, float(side_px), f"{side_px} px, {fill}", alter)


def lattice_of_patches(height: int, width: int, side_px: int) -> list[tuple[int, int, int, int]]:
    """Boxes (col0, row0, col1, row1) of the patches on a piece of this size; none if it is too small."""
    step = side_px * PATCH_SPACING
    first = (step - side_px) // 2
    rows = range(first, height - side_px + 1, step)
    cols = range(first, width - side_px + 1, step)
    return [(col, row, col + side_px, row + side_px) for row in rows for col in cols]


def _gain(factor: float, channel: int | None = None) -> Callable[[Float64Array], Float64Array]:
    def alter(pixels: Float64Array) -> Float64Array:
        altered = pixels.copy()
        if channel is None:
            return altered * factor
        altered[channel] *= factor
        return altered

    return alter


def _plus(amount: Float64Array) -> Callable[[Float64Array], Float64Array]:
    return lambda pixels: pixels + amount


def _hazy(share: float, light: Float64Array) -> Callable[[Float64Array], Float64Array]:
    """A share of every pixel is the light of the haze."""
    return lambda pixels: pixels * (1 - share) + light * share


def _noisy(sigma: Float64Array, seed: int) -> Callable[[Float64Array], Float64Array]:
    return lambda pixels: pixels + sigma * generator(seed, "noise").standard_normal(pixels.shape)


def _lost(channel: int, mean: Float64Array) -> Callable[[Float64Array], Float64Array]:
    """A band becomes its mean of the training, which is 0 for the network."""

    def alter(pixels: Float64Array) -> Float64Array:
        altered = pixels.copy()
        altered[channel] = mean[channel]
        return altered

    return alter


def _jpeg(quality: int, mean: Float64Array, std: Float64Array) -> Callable[[Float64Array], Float64Array]:
    """Each band through a JPEG of 8 bits, which spans 4 standard deviations to both sides of the mean."""

    def alter(pixels: Float64Array) -> Float64Array:
        from PIL import Image  # lazy: other alterations do not need it

        low, width = mean - 4 * std, np.maximum(8 * std, 1e-12)
        levels = np.clip(np.rint((pixels - low) / width * 255), 0, 255).astype(np.uint8)
        altered = np.empty_like(pixels)
        for channel, level in enumerate(levels):
            buffer = io.BytesIO()
            Image.fromarray(level).save(buffer, "JPEG", quality=quality)
            altered[channel] = np.asarray(Image.open(io.BytesIO(buffer.getvalue())), np.float64)
        return altered / 255 * width + low

    return alter
