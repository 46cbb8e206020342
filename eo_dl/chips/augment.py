"""Augmentation: the same ground as another pass, another light or another altitude might have shown it.

Every parameter is drawn from the given generator, so that nothing depends on the worker, or on what was
augmented before. `moves` turns and scales; light and noise are changed here, on standard scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BaseModel, ConfigDict, Field

from ..core.arrays import BoxTarget, MaskTarget, Target, TargetT, ValueTarget
from ..core.arraytypes import BoolArray, Float32Array, Float64Array
from ..core.boxes import areas
from ..core.classes import IGNORE_ID
from ..core.seeds import generator
from .moves import EIGHT_WAYS, Move, opencv

_SMALLEST_PX = 1.0
_NORMAL_NUMBERS = 2**20


class AugmentConfig(BaseModel):
    """How train chips are varied at random; 0 and false turn a variation off. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    dihedral: bool = True
    """Flips and quarter turns."""
    scale: float = Field(0.25, ge=0, le=3)
    """Maximum change of scale; 0.25 stands for factors from 0.8 to 1.25."""
    scale_share: float = Field(0.5, ge=0, le=1)
    """Share of the chips that are scaled."""
    brightness: float = Field(0.2, ge=0, le=5)
    """Maximum offset of all bands together, in standard deviations of a band."""
    contrast: float = Field(0.2, ge=0, lt=1)
    """Maximum change of the gain of all bands together."""
    band_jitter: float = Field(0.05, ge=0, lt=1)
    """Maximum change of the gain and offset of each band on its own."""
    noise: float = Field(0.03, ge=0, le=5)
    """Standard deviation of the noise of each pixel, in standard deviations of its band."""
    min_visible: float = Field(0.2, ge=0, le=1)
    """Objects of which scaling leaves a smaller share in the chip are ignored."""

    @classmethod
    def nothing(cls) -> AugmentConfig:
        """Every variation off."""
        return cls(dihedral=False, scale=0, brightness=0, contrast=0, band_jitter=0, noise=0)


class Augmentation(Protocol):
    """Varies samples: `Augment`, `composeaugment.ComposeAugment`, or a class of your own."""

    def apply(
        self, image: Float32Array, valid: BoolArray, target: TargetT, rng: np.random.Generator
    ) -> tuple[Float32Array, BoolArray, TargetT]:
        """A varied copy of a sample; see `Augment.apply`."""
        ...


class Augment:
    """Applies an `AugmentConfig`. Keeps no state that a result depends on; pickles for worker processes."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def apply(
        self, image: Float32Array, valid: BoolArray, target: TargetT, rng: np.random.Generator
    ) -> tuple[Float32Array, BoolArray, TargetT]:
        """A varied copy of a sample. Depends on the arguments alone.

        Args:
            image: (C, H, W) standard scores, 0 where not valid; NaN where a band was not measured, which
                stays NaN.
            valid: (H, W) measured pixels. Pixels that a smaller scale leaves empty become invalid, 0 in the
                image and ignored in masks.
            target: Its target, moved along.
            rng: Where chance comes from.
        """
        move = self._drawn_move(rng, square=image.shape[1] == image.shape[2])
        out = np.empty(image.shape, np.float32)
        if not move.stays:
            image, valid = move.image(image, valid)
            out = image  # which is a copy by now
            target = cast(TargetT, moved_target(target, move, valid.shape, self.config.min_visible))
        self._relight(image, valid, out, rng)
        return out, valid, target

    def _drawn_move(self, rng: np.random.Generator, square: bool) -> Move:
        """A random turn and scale; oblong chips are not transposed."""
        config = self.config
        way = EIGHT_WAYS[int(rng.integers(8)) if config.dihedral else 0]
        scaled = rng.random() < config.scale_share and config.scale > 0
        factor = float((1 + config.scale) ** rng.uniform(-1, 1)) if scaled else 1.0
        return Move(way.transposed and square, way.upside_down, way.mirrored, factor)

    def _relight(
        self, image: Float32Array, valid: BoolArray, out: Float32Array, rng: np.random.Generator
    ) -> None:
        """Put the image under another light, with noise, into `out`."""
        config = self.config

        def per_band() -> Float64Array:
            """(C,) a random number for each band."""
            return rng.uniform(-config.band_jitter, config.band_jitter, len(image))

        gain = 1 + rng.uniform(-config.contrast, config.contrast) + per_band()
        shift = rng.uniform(-config.brightness, config.brightness) + per_band()
        cv2 = opencv()
        noise = normal_noise(image.shape, config.noise, rng)
        for band, band_noise in enumerate(noise):
            # Gain, shift and noise in one pass.
            cv2.addWeighted(image[band], gain[band], band_noise, 1.0, shift[band], dst=out[band])
        if not valid.all():
            np.copyto(out, 0, where=~valid)


def moved_target(target: Target, move: Move, shape: tuple[int, int], min_visible: float) -> Target:
    """A target after a move of its chip.

    Objects that are no longer in the chip, or less than a pixel wide or high, are dropped. Pixels of masks
    that come from outside of the chip are ignored.

    Args:
        target: The target of a chip.
        move: How its image moved.
        shape: (H, W) of the chip.
        min_visible: An object of which a smaller share is left in the chip, by the area of its box, is
            ignored.
    """
    if isinstance(target, MaskTarget):
        mask = move.labels(target.mask[None], fill=IGNORE_ID)[0]
        return MaskTarget(mask, None if target.soft is None else move.labels(target.soft))
    if isinstance(target, ValueTarget):
        return ValueTarget(move.labels(target.values, fill=np.nan))
    if isinstance(target, BoxTarget):
        return _moved_boxes(target, move, shape, min_visible)
    return target


def _moved_boxes(target: BoxTarget, move: Move, shape: tuple[int, int], min_visible: float) -> BoxTarget:
    boxes = move.boxes(target.boxes, *shape)
    kept = np.asarray((boxes[:, 2:] - boxes[:, :2] >= _SMALLEST_PX).all(axis=1), np.bool_)
    masks = None
    if target.instance_masks is not None:
        masks = move.labels(target.instance_masks)
        kept &= masks.any(axis=(1, 2))
    whole = areas(target.boxes.astype(np.float64)) * move.area_factor(*shape)
    hardly_visible = areas(boxes.astype(np.float64)) < min_visible * whole
    class_ids = np.where(hardly_visible, IGNORE_ID, target.class_ids)
    return BoxTarget(boxes, class_ids, masks).take(kept)


def normal_noise(
    shape: tuple[int, ...], deviation: float, rng: np.random.Generator
) -> Iterator[Float32Array]:
    """Normally distributed numbers with mean 0, band by band.

    Rows of a fixed table of a million numbers, each from a place of its own that `rng` draws. Drawing every
    number took longer than reading a chip; that numbers come again, elsewhere and in other company, is
    nothing that a network could learn.

    Args:
        shape: (C, H, W) of an image.
        deviation: Their standard deviation.
        rng: Where chance comes from.

    Yields:
        C times (H, W).
    """
    if deviation == 0:
        yield from np.zeros(shape, np.float32)
        return
    rows = sliding_window_view(_normal_numbers(deviation), shape[-1])
    for starts in rng.integers(len(rows), size=shape[:-1]):
        yield rows[starts]


@lru_cache(maxsize=2)
def _normal_numbers(deviation: float) -> Float32Array:
    return generator(0, "noise").standard_normal(_NORMAL_NUMBERS, np.float32) * np.float32(deviation)
