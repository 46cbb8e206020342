"""Augmentation: the same ground as another pass, another light or another altitude might have shown it.

Flips, quarter turns and scale are done by albumentations, with every parameter drawn here from the given
generator, so that nothing depends on the state of albumentations, on the worker, or on what was augmented
before. Light and noise are done here, on standard scores: albumentations clips float images to 0..1, which is
right for pictures and wrong for bands in physical units.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.arrays import BoxTarget, MaskTarget, Target, TargetT
from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array
from ..core.boxes import areas
from ..core.classes import IGNORE_ID
from ..core.extras import needs_extra

if TYPE_CHECKING:
    import albumentations

_SMALLEST_PX = 1.0


@dataclass(frozen=True)
class _Move:
    """One of the eight ways to lay a square onto itself, and a change of scale."""

    transposed: bool = False  # applied first
    upside_down: bool = False
    mirrored: bool = False
    factor: float = 1.0


_EIGHT_WAYS = tuple(_Move(*flags) for flags in product((False, True), repeat=3))


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


class Augment:
    """Applies an `AugmentConfig`. Keeps no state that a result depends on; pickles for worker processes."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def apply(
        self, image: Float32Array, valid: BoolArray, target: TargetT, rng: np.random.Generator
    ) -> tuple[Float32Array, BoolArray, TargetT]:
        """A varied copy of a sample. Depends on the arguments alone.

        Args:
            image: (C, H, W) standard scores.
            valid: (H, W) measured pixels. Pixels that a smaller scale leaves empty become invalid, 0 in the
                image and ignored in masks.
            target: Its target, moved along.
            rng: Where chance comes from.
        """
        config = self.config
        way = int(rng.integers(8)) if config.dihedral else 0
        scaled = rng.random() < config.scale_share and config.scale > 0
        factor = float((1 + config.scale) ** rng.uniform(-1, 1)) if scaled else 1.0
        move = _EIGHT_WAYS[way]
        square = image.shape[1] == image.shape[2]
        move = _Move(move.transposed and square, move.upside_down, move.mirrored, factor)
        if way or factor != 1.0:
            image, valid, moved = _moved(image, valid, target, move, config.min_visible)
            target = cast(TargetT, moved)  # of the same kind
        return self._relit(image, valid, rng), valid, target

    def _relit(self, image: Float32Array, valid: BoolArray, rng: np.random.Generator) -> Float32Array:
        """The image under another light, with noise."""
        config = self.config

        def per_band() -> Float64Array:
            """(C,) a random number for each band."""
            return rng.uniform(-config.band_jitter, config.band_jitter, len(image))

        gain = 1 + rng.uniform(-config.contrast, config.contrast) + per_band()
        shift = rng.uniform(-config.brightness, config.brightness) + per_band()
        relit = image * gain[:, None, None].astype(np.float32) + shift[:, None, None].astype(np.float32)
        if config.noise > 0:
            relit += rng.standard_normal(relit.shape, np.float32) * np.float32(config.noise)
        relit[:, ~valid] = 0
        return relit


def _moved(
    image: Float32Array, valid: BoolArray, target: Target, move: _Move, min_visible: float
) -> tuple[Float32Array, BoolArray, Target]:
    """Image, valid mask and target, turned and scaled in the same way."""
    boxes = target.boxes if isinstance(target, BoxTarget) else np.empty((0, 4), np.float32)
    moved = _compose(move)(
        image=np.ascontiguousarray(image.transpose(1, 2, 0)),
        masks=[np.ones(valid.shape, np.uint8), valid.astype(np.uint8), *_planes(target)],
        bboxes=boxes,
        index=np.arange(len(boxes)),
    )
    turned = np.ascontiguousarray(_channels_first(moved["image"]), np.float32)
    inside, still_valid, planes = moved["masks"][0] > 0, moved["masks"][1] > 0, moved["masks"][2:]
    turned[:, ~still_valid] = 0
    if isinstance(target, MaskTarget):
        return turned, still_valid, _moved_mask(target, planes, inside)
    if isinstance(target, BoxTarget):
        kept = np.asarray(moved["index"], np.int64).reshape(-1)
        boxes = np.asarray(moved["bboxes"], np.float32).reshape(-1, 4)
        least_visible = min_visible * move.factor**2
        return turned, still_valid, _moved_boxes(target, planes, boxes, kept, least_visible)
    return turned, still_valid, target


def _planes(target: Target) -> list[AnyArray]:
    """The arrays (H, W) of a target that move with the image."""
    if isinstance(target, MaskTarget):
        return [target.mask, *(target.soft if target.soft is not None else ())]
    if isinstance(target, BoxTarget) and target.instance_masks is not None:
        return list(target.instance_masks.astype(np.uint8))
    return []


def _moved_mask(target: MaskTarget, planes: list[AnyArray], inside: BoolArray) -> MaskTarget:
    """The mask and the probabilities from their moved planes; ignored outside of the old chip."""
    mask = np.where(inside, planes[0], np.uint8(IGNORE_ID)).astype(np.uint8)
    return MaskTarget(mask, None if target.soft is None else np.stack(planes[1:]).astype(np.float32))


def _moved_boxes(
    target: BoxTarget, planes: list[AnyArray], boxes: Float32Array, kept: Int64Array, min_visible: float
) -> BoxTarget:
    """The objects that are still in the chip and at least a pixel wide and high.

    `boxes` (M, 4) are the moved boxes of the objects `kept` (M,), `planes` the moved instance masks of all.
    An object whose area is less than `min_visible` of what it was is ignored.
    """
    large = np.asarray((boxes[:, 2:] - boxes[:, :2] >= _SMALLEST_PX).all(axis=1), np.bool_)
    masks = None
    if target.instance_masks is not None:
        masks = np.array(planes, np.bool_).reshape(target.instance_masks.shape)[kept]
        large &= masks.any(axis=(1, 2))
    before, after = areas(target.boxes[kept].astype(np.float64)), areas(boxes.astype(np.float64))
    class_ids = np.where(after < min_visible * before, IGNORE_ID, target.class_ids[kept])
    return BoxTarget(boxes, class_ids, masks).take(large)


def _compose(move: _Move) -> albumentations.Compose:
    """A pipeline that leaves nothing to chance."""
    import_quietly()
    with needs_extra("augmentation"):
        import albumentations as A  # lazy: 2.6 s, and only training needs it
        import cv2

    steps: list[Any] = []
    if move.transposed:
        steps.append(A.Transpose(p=1))
    if move.upside_down:
        steps.append(A.VerticalFlip(p=1))
    if move.mirrored:
        steps.append(A.HorizontalFlip(p=1))
    if move.factor != 1.0:
        scale = A.Affine(
            scale=(move.factor, move.factor),
            keep_ratio=True,
            interpolation=cv2.INTER_LINEAR if move.factor > 1 else cv2.INTER_AREA,
            mask_interpolation=cv2.INTER_NEAREST,
            fill=0,
            fill_mask=0,
            p=1,
        )
        steps.append(scale)
    boxes = A.BboxParams(format="pascal_voc", label_fields=["index"], clip=True)
    return A.Compose(steps, bbox_params=boxes, seed=0)


def import_quietly() -> None:
    """Keep albumentations from asking its server for a newer version when it is imported."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


def _channels_first(image: AnyArray) -> AnyArray:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
