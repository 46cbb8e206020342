"""`ComposeAugment`: a pipeline of albumentations as the augmentation of a data set of chips."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, cast

import numpy as np

from ..core.arrays import BoxTarget, MaskTarget, Target, TargetT, ValueTarget
from ..core.arraytypes import AnyArray, BoolArray, Float32Array
from ..core.classes import IGNORE_ID
from ..core.extras import needs_extra
from ..errors import ConfigError

if TYPE_CHECKING:
    import albumentations


class ComposeAugment:
    """Varies samples by an `albumentations.Compose` instead of an `AugmentConfig`.

    The pipeline receives the image (H, W, C) as standard scores, the labels as masks or boxes. It is seeded
    for each sample, so a sample depends on the chip, the seed and the epoch alone, as with `Augment`.
    Transforms for photographs that expect values from 0 to 1 clip standard scores; keep to geometry, and to
    transforms without such limits. Pixels that come from outside of the chip are not valid and ignored in
    masks; objects are kept while a pixel of them is left.

    Args:
        compose: The pipeline. Its own `bbox_params` and seed are not used.

    Example:
        >>> import albumentations as A  # doctest: +SKIP
        >>> own = ComposeAugment(A.Compose([A.RandomRotate90(), A.GaussianBlur()]))  # doctest: +SKIP
        >>> ChipDataset(chips, chips.split("train"), codec, normalization, augment=own)  # doctest: +SKIP
    """

    def __init__(self, compose: albumentations.Compose) -> None:
        import_quietly()
        with needs_extra("augmentation"):
            import albumentations as A  # lazy: 2.6 s, and only this class needs it

        boxes = A.BboxParams(format="pascal_voc", label_fields=["index"], clip=True)
        self._compose = A.Compose(list(compose.transforms), bbox_params=boxes)

    def apply(
        self, image: Float32Array, valid: BoolArray, target: TargetT, rng: np.random.Generator
    ) -> tuple[Float32Array, BoolArray, TargetT]:
        """A varied copy of a sample; see `Augment.apply`.

        Raises:
            ConfigError: The pipeline changes the size of the chip.
        """
        pipeline = copy.deepcopy(self._compose)  # its state is its own: threads may share this object
        pipeline.set_random_seed(int(rng.integers(2**31)))
        boxes = target.boxes if isinstance(target, BoxTarget) else np.empty((0, 4), np.float32)
        moved = pipeline(
            image=np.ascontiguousarray(image.transpose(1, 2, 0)),
            masks=[np.ones(valid.shape, np.uint8), valid.astype(np.uint8), *_planes(target)],
            bboxes=boxes,
            index=np.arange(len(boxes)),
        )
        varied = np.ascontiguousarray(_channels_first(moved["image"]), np.float32)
        if varied.shape != image.shape:
            raise ConfigError(
                f"`augment`: a pipeline that keeps the size of a chip, {image.shape[1:]}, is needed; found "
                f"{varied.shape[1:]} after it"
            )
        inside, still_valid, planes = moved["masks"][0] > 0, moved["masks"][1] > 0, moved["masks"][2:]
        varied[:, ~still_valid] = 0
        if isinstance(target, MaskTarget):
            return varied, still_valid, cast(TargetT, _moved_mask(target, planes, inside))
        if isinstance(target, ValueTarget):
            values = np.where(inside, np.stack(planes), np.float32(np.nan)).astype(np.float32)
            return varied, still_valid, cast(TargetT, ValueTarget(values))
        if isinstance(target, BoxTarget):
            kept = np.asarray(moved["index"], np.int64).reshape(-1)
            boxes = np.asarray(moved["bboxes"], np.float32).reshape(-1, 4)
            objects = _moved_objects(target.take(kept), boxes, [planes[number] for number in kept if planes])
            return varied, still_valid, cast(TargetT, objects)
        return varied, still_valid, target


def import_quietly() -> None:
    """Keep albumentations from asking its server for a newer version when it is imported."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


def _planes(target: Target) -> list[AnyArray]:
    """The arrays (H, W) of a target that move with the image."""
    if isinstance(target, MaskTarget):
        return [target.mask, *(target.soft if target.soft is not None else ())]
    if isinstance(target, ValueTarget):
        return list(target.values)
    if isinstance(target, BoxTarget) and target.instance_masks is not None:
        return list(target.instance_masks.astype(np.uint8))
    return []


def _moved_mask(target: MaskTarget, planes: list[AnyArray], inside: BoolArray) -> MaskTarget:
    """The mask and the probabilities from their moved planes; ignored outside of the old chip."""
    mask = np.where(inside, planes[0], np.uint8(IGNORE_ID)).astype(np.uint8)
    return MaskTarget(mask, None if target.soft is None else np.stack(planes[1:]).astype(np.float32))


def _moved_objects(target: BoxTarget, boxes: Float32Array, planes: list[AnyArray]) -> BoxTarget:
    """Objects with their moved boxes (N, 4) and masks, of those at least a pixel wide and high."""
    large = np.asarray((boxes[:, 2:] - boxes[:, :2] >= 1).all(axis=1), np.bool_)
    masks = None
    if target.instance_masks is not None:
        masks = np.array(planes, np.bool_).reshape(target.instance_masks.shape)
        large &= masks.any(axis=(1, 2))
    return BoxTarget(boxes, target.class_ids, masks).take(large)


def _channels_first(image: AnyArray) -> AnyArray:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
