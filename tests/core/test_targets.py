"""Targets are checked when made, and rules choose from them."""

from __future__ import annotations

import numpy as np
import pytest

from eo_dl.core.arrays import BoxTarget, ChipTarget, MaskTarget
from eo_dl.core.chiprules import ChipClassRule, OneObjectRule

BOXES = np.array([[0, 0, 4, 4], [2, 2, 12, 12], [5, 5, 7, 7]], np.float32)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    mask = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"soft \(K, 4, 5\), found \(2, 5, 4\)"):
        MaskTarget(mask, np.zeros((2, 5, 4), np.float32))
    with pytest.raises(ValueError, match="uint8"):
        MaskTarget(mask.astype(np.int64))
    with pytest.raises(ValueError, match=r"class_ids \(N,\), found \(3, 4\) and \(2,\)"):
        BoxTarget(BOXES, np.ones(2, np.int64))
    with pytest.raises(ValueError, match=r"instance_masks \(3, H, W\)"):
        BoxTarget(BOXES, np.ones(3, np.int64), np.zeros((2, 8, 8), np.bool_))
    with pytest.raises(ValueError, match=r"values \(K,\)"):
        ChipTarget(np.zeros((2, 2), np.float32))


def test_a_target_of_boxes_has_no_masks() -> None:
    with pytest.raises(ValueError, match="boxes only"):
        BoxTarget(BOXES, np.ones(3, np.int64)).masks()


def test_the_objects_of_a_target_are_its_boxes_and_the_ignored_are_flagged() -> None:
    objects = BoxTarget(BOXES, np.array([1, 255, 2])).objects()
    assert objects.class_ids.tolist() == [1, 255, 2] and objects.counted.tolist() == [True, False, True]
    assert (objects.scores == 1).all() and np.array_equal(objects.boxes, BOXES)


def test_the_largest_object_that_counts_stands_for_the_chip() -> None:
    target = BoxTarget(BOXES, np.array([1, 255, 2]))
    assert OneObjectRule().choose(target).class_ids.tolist() == [1]
    assert OneObjectRule(crowded="ignore").choose(target).class_ids.tolist() == [255]
    only_ignored = target.take(np.array([1]))
    assert OneObjectRule().choose(only_ignored).class_ids.tolist() == [255]
    assert len(OneObjectRule().choose(target.take(np.empty(0, np.int64)))) == 0


def test_the_class_of_a_chip_is_the_one_that_covers_most_and_enough() -> None:
    rule = ChipClassRule.of(multi_label=False)
    assert rule.values(np.array([0.3, 0.6])).tolist() == [0, 1]
    assert np.isnan(rule.values(np.array([0.3, 0.4]))).all()
    assert np.isnan(rule.values(np.array([0.5, 0.5]))).all()
    assert ChipClassRule.of(multi_label=True).values(np.array([0.09, 0.1, 0.9])).tolist() == [0, 1, 1]
