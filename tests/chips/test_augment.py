"""Augmentation moves image, mask and objects alike, for any number of bands, from its generator alone."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.core.arrays import BoxTarget, ChipTarget, MaskTarget

QUIET = {"brightness": 0.0, "contrast": 0.0, "band_jitter": 0.0, "noise": 0.0}
TURNS = Augment(AugmentConfig(scale=0, **QUIET))
SIDE = 48
NOTHING = ChipTarget(np.ones(1, np.float32))


def _scene(bands: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, MaskTarget, BoxTarget]:
    """Three objects, painted into every band, the mask and instance masks alike."""
    rng = np.random.default_rng(seed)
    image = np.zeros((bands, SIDE, SIDE), np.float32)
    mask, instances, boxes = np.zeros((SIDE, SIDE), np.uint8), [], []
    for number, (col, row, width, height) in enumerate(
        [(3, 5, 9, 4), (20, 30, 6, 12), (33, 8, 10, 10)], start=1
    ):
        here = np.zeros((SIDE, SIDE), bool)
        here[row : row + height, col : col + width] = True
        image[:, here] = number
        mask[here] = number
        instances.append(here)
        boxes.append((col, row, col + width, row + height))
    objects = BoxTarget(
        boxes=np.array(boxes, np.float32),
        class_ids=np.array([1, 2, 3]),
        instance_masks=np.array(instances),
    )
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, :2] = rng.random((SIDE, 2)) < 0.5
    return image, valid, MaskTarget(mask), objects


def _naive(array: np.ndarray) -> list[np.ndarray]:
    """The eight ways to lay a square on itself."""
    turned = [np.rot90(array, k, axes=(-2, -1)) for k in range(4)]
    return [*turned, *(t[..., ::-1] for t in turned)]


@pytest.mark.parametrize("bands", range(1, 14))
def test_turns_are_those_of_a_square_and_move_everything_alike(bands: int) -> None:
    image, valid, target, objects = _scene(bands)
    image += np.arange(bands, dtype=np.float32)[:, None, None] * 10
    seen = set()
    for draw in range(24):
        turned, still, moved = TURNS.apply(image, valid, target, np.random.default_rng(draw))
        expected = [np.where(v, i, 0) for i, v in zip(_naive(image), _naive(valid), strict=True)]
        found = [k for k in range(8) if np.array_equal(turned, expected[k])]
        assert found, "a turn of the whole image"
        seen.add(found[0])
        assert any(
            np.array_equal(still, _naive(valid)[k]) and np.array_equal(moved.mask, _naive(target.mask)[k])
            for k in found
        )
        assert turned.shape == (bands, SIDE, SIDE) and turned.dtype == np.float32
        _assert_objects_fit_mask(
            TURNS.apply(image, valid, objects, np.random.default_rng(draw))[2], moved.mask
        )
    assert seen == set(range(8))


def _assert_objects_fit_mask(target: BoxTarget, mask: np.ndarray, tolerance: float = 1e-4) -> None:
    assert target.instance_masks is not None
    for box, class_id, instance in zip(target.boxes, target.class_ids, target.instance_masks, strict=True):
        rows, cols = np.nonzero(instance)
        assert (
            np.abs(np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]) - box).max()
            <= tolerance
        )
        if class_id != 255:
            assert (mask[instance] == class_id).all()


@pytest.mark.parametrize("bands", [1, 3, 4, 5, 13])
def test_scaling_keeps_boxes_on_their_pixels(bands: int) -> None:
    image, valid, target, objects = _scene(bands)
    scaling = Augment(AugmentConfig(scale=0.8, scale_share=1, **QUIET))
    smaller = 0
    for draw in range(20):
        scaled, still, moved = scaling.apply(image, valid, target, np.random.default_rng(draw))
        boxes = scaling.apply(image, valid, objects, np.random.default_rng(draw))[2]
        _assert_objects_fit_mask(boxes, moved.mask, 1.01)
        assert (scaled[:, ~still] == 0).all()
        assert (boxes.boxes >= 0).all() and (boxes.boxes <= SIDE).all()
        assert ((boxes.boxes[:, 2:] - boxes.boxes[:, :2]) >= 1).all()
        if (moved.mask == 255).any():
            smaller += 1
            assert not still[moved.mask == 255].any(), (
                "what a smaller scale leaves empty is ignored and not valid"
            )
    assert 3 < smaller < 17


def test_an_object_that_scaling_cuts_away_is_ignored_not_background() -> None:
    image, valid, _, _ = _scene(1)
    target = BoxTarget(
        boxes=np.array([[0, 0, 40, 3], [20, 20, 28, 28]], np.float32), class_ids=np.array([1, 1])
    )
    scaling = Augment(AugmentConfig(dihedral=False, scale=0.9, scale_share=1, min_visible=0.6, **QUIET))
    outcomes = {
        tuple(scaling.apply(image, valid, target, np.random.default_rng(draw))[2].class_ids.tolist())
        for draw in range(60)
    }
    assert (255, 1) in outcomes and (1, 1) in outcomes and (1,) in outcomes
    assert all(ids[-1] == 1 for ids in outcomes)


def test_the_result_depends_on_the_generator_alone() -> None:
    image, valid, target, objects = _scene(4)
    augment = Augment(AugmentConfig())

    def run(draw: int) -> bytes:
        out, still, moved = augment.apply(image, valid, target, np.random.default_rng(draw))
        boxes = augment.apply(image, valid, objects, np.random.default_rng(draw))[2]
        return b"".join(
            np.ascontiguousarray(a).tobytes()
            for a in (out, still, moved.mask, boxes.boxes, boxes.class_ids, boxes.instance_masks)
        )

    first = [run(draw) for draw in range(8)]
    random.seed(99)
    np.random.seed(99)
    assert [run(draw) for draw in reversed(range(8))] == first[::-1]
    assert len(set(first)) == 8


def test_the_input_is_left_alone() -> None:
    image, valid, target, objects = _scene(3)
    assert objects.instance_masks is not None
    arrays: tuple[np.ndarray, ...] = (
        image,
        valid,
        target.mask,
        objects.boxes,
        objects.class_ids,
        objects.instance_masks,
    )
    before = [a.copy() for a in arrays]
    augment = Augment(AugmentConfig(scale_share=1))
    for draw in range(6):
        augment.apply(image, valid, target, np.random.default_rng(draw))
        augment.apply(image, valid, objects, np.random.default_rng(draw))
    assert all(np.array_equal(a, b) for a, b in zip(before, arrays, strict=True))


def test_light_changes_values_beyond_one_and_below_zero() -> None:
    """Standard scores are not pictures from 0 to 1."""
    image = np.random.default_rng(0).normal(0, 3, (5, 32, 32)).astype(np.float32)
    light = Augment(
        AugmentConfig(dihedral=False, scale=0, brightness=0.5, contrast=0.5, noise=0, band_jitter=0)
    )
    out, _, _ = light.apply(image, np.ones((32, 32), bool), NOTHING, np.random.default_rng(1))
    gain, shift = np.polyfit(image.ravel(), out.ravel(), 1)
    assert 0.5 <= gain <= 1.5 and -0.5 <= shift <= 0.5 and gain != 1
    assert np.abs(out - (gain * image + shift)).max() < 1e-4


def test_no_objects_and_soft_targets() -> None:
    image, valid, mask, _ = _scene(2)
    soft = np.stack([np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)] * 2)
    empty = BoxTarget(
        boxes=np.empty((0, 4), np.float32),
        class_ids=np.empty(0, np.int64),
        instance_masks=np.empty((0, SIDE, SIDE), bool),
    )
    out, _, moved = TURNS.apply(image, valid, empty, np.random.default_rng(3))
    assert (
        moved.boxes.shape == (0, 4)
        and moved.class_ids.shape == (0,)
        and moved.instance_masks.shape == (0, SIDE, SIDE)
    )
    soft_target = MaskTarget(mask.mask, soft)
    out, _, turned = TURNS.apply(image, valid, soft_target, np.random.default_rng(3))
    assert turned.soft is not None
    assert any(np.array_equal(turned.soft, way) for way in _naive(soft))
    assert out.shape == image.shape


def test_oblong_chips_keep_their_shape() -> None:
    image = np.arange(2 * 8 * 12, dtype=np.float32).reshape(2, 8, 12)
    for draw, band in product(range(12), range(2)):
        out, _, _ = TURNS.apply(image, np.ones((8, 12), bool), NOTHING, np.random.default_rng(draw))
        assert sorted(out[band].ravel()) == sorted(image[band].ravel()) and out.shape == image.shape


def test_noise_is_normal_without_traces_of_its_table() -> None:
    """Mean 0, the deviation asked for, no pixel tells of its neighbours, and no sample of another."""
    noisy = Augment(
        AugmentConfig(dihedral=False, scale=0, brightness=0, contrast=0, band_jitter=0, noise=0.5)
    )
    flat, valid = np.zeros((3, 256, 200), np.float32), np.ones((256, 200), bool)
    one, two = (noisy.apply(flat, valid, NOTHING, np.random.default_rng(draw))[0] for draw in (1, 2))
    assert abs(one.mean()) < 0.01 and abs(one.std() - 0.5) < 0.01 and one.dtype == np.float32
    assert abs((np.abs(one) > 1).mean() - 0.0455) < 0.005, "two standard deviations"
    alike = {
        "columns": (one[:, :, 1:], one[:, :, :-1]),
        "rows": (one[:, 1:], one[:, :-1]),
        "bands": (one[1], one[0]),
        "samples": (one, two),
    }
    for name, (first, second) in alike.items():
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.015, name
