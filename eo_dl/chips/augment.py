"""Augmentation: the same scene as another pass, another light or another height might have shown it.

Flips, quarter turns and scale are albumentations'; it is told every parameter, drawn here from the given
generator, so that nothing depends on its state, on the worker, or on what was augmented before. Light and
noise are done here, on standard scores: albumentations cuts float images to 0..1, which is right for pictures
and wrong for bands in physical units.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ..core.arrays import Target
from ..core.boxes import areas
from ..core.classes import IGNORE_ID
from ..core.extras import needs_extra

if TYPE_CHECKING:
    import albumentations

Image = npt.NDArray[np.float32]
Valid = npt.NDArray[np.bool_]

# The eight ways to lay a square on itself, as transpose (first), then flips up-down and left-right.
_DIHEDRAL = tuple(
    (transpose, vertical, horizontal)
    for transpose in (False, True)
    for vertical in (False, True)
    for horizontal in (False, True)
)
_SMALLEST_PX = 1.0


class AugmentConfig(BaseModel):
    """How train chips are varied. Unknown keys are refused.

    `dihedral`: flips and quarter turns. `scale`: up to so much larger or smaller (0.25: factors 0.8 to 1.25),
    in `scale_share` of the chips. Light, in standard deviations of a band: `brightness` and `contrast` for
    all bands alike, `band_jitter` (gain and offset) for each on its own, `noise` a pixel. `min_visible`: an
    object of which scaling leaves a smaller share in the chip counts neither way. 0 and false turn a thing
    off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dihedral: bool = True
    scale: float = Field(0.25, ge=0, le=3)
    scale_share: float = Field(0.5, ge=0, le=1)
    brightness: float = Field(0.2, ge=0, le=5)
    contrast: float = Field(0.2, ge=0, lt=1)
    band_jitter: float = Field(0.05, ge=0, lt=1)
    noise: float = Field(0.03, ge=0, le=5)
    min_visible: float = Field(0.2, ge=0, le=1)

    @classmethod
    def nothing(cls) -> AugmentConfig:
        """Everything off."""
        return cls(dihedral=False, scale=0, brightness=0, contrast=0, band_jitter=0, noise=0)


class Augment:
    """Applies an `AugmentConfig`. Holds no state that a result depends on; pickles for worker processes."""

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def apply(
        self, image: Image, valid: Valid, target: Target, rng: np.random.Generator
    ) -> tuple[Image, Valid, Target]:
        """A varied copy of standard scores (C, H, W), their valid mask (H, W) and their target.

        What a smaller scale leaves empty is not valid, holds 0 and is ignored in masks. Depends on the
        arguments alone.
        """
        config = self.config
        turn = int(rng.integers(8)) if config.dihedral else 0
        scaled = rng.random() < config.scale_share and config.scale > 0
        factor = float((1 + config.scale) ** rng.uniform(-1, 1)) if scaled else 1.0
        if turn or factor != 1.0:
            square = image.shape[1] == image.shape[2]
            image, valid, target = _moved(
                image,
                valid,
                target,
                _DIHEDRAL[turn] if square else (False, *_DIHEDRAL[turn][1:]),
                factor,
                config.min_visible,
            )
        return self._relit(image, valid, rng), valid, target

    def _relit(self, image: Image, valid: Valid, rng: np.random.Generator) -> Image:
        config, bands = self.config, len(image)
        gain = (
            1
            + rng.uniform(-config.contrast, config.contrast)
            + rng.uniform(-config.band_jitter, config.band_jitter, bands)
        )
        shift = rng.uniform(-config.brightness, config.brightness) + rng.uniform(
            -config.band_jitter, config.band_jitter, bands
        )
        out = image * gain[:, None, None].astype(np.float32) + shift[:, None, None].astype(np.float32)
        if config.noise > 0:
            out += rng.standard_normal(out.shape, np.float32) * np.float32(config.noise)
        out[:, ~valid] = 0
        return out


def _moved(
    image: Image,
    valid: Valid,
    target: Target,
    turn: tuple[bool, bool, bool],
    factor: float,
    min_visible: float,
) -> tuple[Image, Valid, Target]:
    """Image, valid mask and target turned and scaled alike."""
    count = 0 if target.boxes is None else len(target.boxes)
    planes = [np.ones(valid.shape, np.uint8), valid.astype(np.uint8)]
    if target.mask is not None:
        planes.append(target.mask)
    instances = (
        target.instance_masks
        if count and target.instance_masks is not None
        else np.empty((0, *valid.shape), np.bool_)
    )
    soft = list(target.soft) if target.soft is not None else []
    moved = _compose(turn, factor)(
        image=np.ascontiguousarray(image.transpose(1, 2, 0)),
        masks=[*planes, *instances.astype(np.uint8), *soft],
        bboxes=np.empty((0, 4), np.float32) if target.boxes is None else target.boxes,
        place=np.arange(count),
    )
    turned = np.ascontiguousarray(_channels_first(moved["image"]), np.float32)
    inside, still_valid = moved["masks"][0] > 0, moved["masks"][1] > 0
    turned[:, ~still_valid] = 0
    mask = (
        None
        if target.mask is None
        else np.where(inside, moved["masks"][2], np.uint8(IGNORE_ID)).astype(np.uint8)
    )
    rest = moved["masks"][len(planes) :]
    soft_moved = None if target.soft is None else np.stack(rest[len(instances) :]).astype(np.float32)
    objects = _objects(
        target,
        moved,
        np.array(rest[: len(instances)], np.bool_).reshape(-1, *valid.shape),
        factor,
        min_visible,
    )
    return turned, still_valid, replace(target, mask=mask, soft=soft_moved, **objects)


def _objects(
    target: Target, moved: dict[str, Any], instances: Valid, factor: float, min_visible: float
) -> dict[str, Any]:
    """Boxes, classes and instance masks of the objects that are still there and at least a pixel wide and
    high.
    """
    if target.boxes is None:
        return {}
    boxes = np.asarray(moved["bboxes"], np.float32).reshape(-1, 4)
    place = np.asarray(moved["place"], np.int64).reshape(-1)
    large = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST_PX).all(axis=1)
    if len(instances):
        large &= instances[place].any(axis=(1, 2))
    boxes, place = boxes[large], place[large]
    class_ids = None if target.class_ids is None else target.class_ids[place].copy()
    if class_ids is not None:
        class_ids[
            areas(boxes.astype(np.float64))
            < min_visible * factor**2 * areas(target.boxes[place].astype(np.float64))
        ] = IGNORE_ID
    has_instances = target.instance_masks is not None
    masks = (instances[place] if len(instances) else target.instance_masks) if has_instances else None
    return {"boxes": boxes, "class_ids": class_ids, "instance_masks": masks}


def _compose(turn: tuple[bool, bool, bool], factor: float) -> albumentations.Compose:
    """A pipeline in which nothing is left to chance."""
    import_quietly()
    with needs_extra("augmentation"):
        import albumentations as A  # lazy: 2.6 s, and only training needs it
        import cv2

    transpose, vertical, horizontal = turn
    steps: list[Any] = []
    if transpose:
        steps.append(A.Transpose(p=1))
    if vertical:
        steps.append(A.VerticalFlip(p=1))
    if horizontal:
        steps.append(A.HorizontalFlip(p=1))
    if factor != 1.0:
        interpolation = cv2.INTER_LINEAR if factor > 1 else cv2.INTER_AREA
        steps.append(
            A.Affine(
                scale=(factor, factor),
                keep_ratio=True,
                interpolation=interpolation,
                mask_interpolation=cv2.INTER_NEAREST,
                fill=0,
                fill_mask=0,
                p=1,
            )
        )
    boxes = A.BboxParams(format="pascal_voc", label_fields=["place"], clip=True)
    return A.Compose(steps, bbox_params=boxes, seed=0)


def import_quietly() -> None:
    """albumentations asks its home for a newer version when imported, unless told not to."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


def _channels_first(image: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
