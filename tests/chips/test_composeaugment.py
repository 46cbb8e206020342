"""A user's own pipeline of albumentations moves image, mask and objects alike, from its generator alone."""

from __future__ import annotations

import pickle

import albumentations as A
import numpy as np
import pytest

from eo_dl.chips.composeaugment import ComposeAugment
from eo_dl.core.arrays import BoxTarget, ChipTarget, MaskTarget
from eo_dl.errors import ConfigError

SIDE = 24
VALID = np.ones((SIDE, SIDE), bool)
OWN = ComposeAugment(A.Compose([A.RandomRotate90(p=0.8), A.Affine(scale=(0.7, 1.4), keep_ratio=True, p=0.7)]))


def _sample() -> tuple[np.ndarray, MaskTarget, BoxTarget]:
    here = np.zeros((SIDE, SIDE), bool)
    here[3:9, 10:20] = True
    image = np.where(here, np.float32(4), np.float32(-2))[None].repeat(5, axis=0)
    target = BoxTarget(np.array([[10, 3, 20, 9]], np.float32), np.array([1]), here[None])
    return image, MaskTarget(here.astype(np.uint8), np.stack([~here, here]).astype(np.float32)), target


def test_pixels_masks_and_boxes_move_together_and_depend_on_the_generator_alone() -> None:
    image, mask, objects = _sample()
    seen = set()
    for draw in range(12):
        varied, still, moved = OWN.apply(image, VALID, mask, np.random.default_rng(draw))
        _, _, boxes = OWN.apply(image, VALID, objects, np.random.default_rng(draw))
        assert boxes.instance_masks is not None and moved.soft is not None
        assert np.array_equal(boxes.instance_masks[0], moved.mask == 1)
        assert np.array_equal(moved.mask == 255, ~still) and (varied[:, ~still] == 0).all()
        rows, cols = np.nonzero(moved.mask == 1)
        found = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        assert np.abs(boxes.boxes[0] - found).max() <= 1.01
        assert (varied[:, moved.mask == 1] > 0).all() and np.array_equal(moved.soft[1] == 1, moved.mask == 1)
        again = pickle.loads(pickle.dumps(OWN)).apply(image, VALID, mask, np.random.default_rng(draw))
        assert np.array_equal(again[0], varied)
        seen.add(varied.tobytes())
    assert len(seen) > 4


def test_targets_without_pixels_stay_and_no_objects_are_fine() -> None:
    image, _, objects = _sample()
    whole = ChipTarget(np.ones(2, np.float32))
    assert OWN.apply(image, VALID, whole, np.random.default_rng(0))[2] is whole
    none = objects.take(np.zeros(1, bool))
    assert len(OWN.apply(image, VALID, none, np.random.default_rng(0))[2]) == 0


def test_a_pipeline_that_changes_the_size_is_refused_in_one_line() -> None:
    image, mask, _ = _sample()
    crop = ComposeAugment(A.Compose([A.RandomCrop(8, 8)]))
    with pytest.raises(ConfigError, match=r"keeps the size of a chip, \(24, 24\), is needed; found \(8, 8\)"):
        crop.apply(image, VALID, mask, np.random.default_rng(0))
