from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.core.arrays import Objects
from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.instances.codec import InstancesCodec
from eo_dl.tasks.instances.config import InstancesConfig
from eo_dl.tasks.instances.network import _masks_in_boxes
from eo_dl.tasks.instances.outlines import object_masks, outlines_in_boxes, pixel_outlines
from tests.making import pixel_labels

TASK = load_task("instances")
CLASSES = ClassSet((ClassInfo(7, "house", "#00ff00"), ClassInfo(3, "barn", "#ff0000")))
CODEC = InstancesCodec(CLASSES)
MASKS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]),
)


def _boxes(count: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(count)
    low = rng.uniform(0, 50, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.5, 40, (count, 2))], axis=1)


@settings(max_examples=60, deadline=None)
@given(MASKS, st.sampled_from([0.0, 0.1, 1.0]))
def test_outlines_are_valid_lie_in_their_boxes_and_hold_what_is_surer_than_half(
    masks: npt.NDArray[np.float32], simplify_px: float
) -> None:
    boxes = _boxes(len(masks))
    found = outlines_in_boxes(masks, boxes, simplify_px)
    assert shapely.is_valid(found).all()
    assert np.isin(shapely.get_type_id(found), (3, 6)).all()
    assert (shapely.area(found) > 0).all()
    assert shapely.covers(shapely.buffer(shapely.box(*boxes.T), 1e-6), found).all()
    height, width = masks.shape[1:]
    for mask, (col0, row0, col1, row1), outline in zip(masks, boxes, found, strict=True):
        if simplify_px or mask.max() == 0:
            continue
        level = min(0.5, float(mask.max()) / 2)
        cols, rows = np.meshgrid(
            col0 + (np.arange(width) + 0.5) / width * (col1 - col0),
            row0 + (np.arange(height) + 0.5) / height * (row1 - row0),
        )
        inside = shapely.intersects_xy(outline, cols, rows)
        clear = mask != level
        assert (inside == (mask > level))[clear].all()


def test_a_full_mask_is_its_box_and_a_ring_keeps_its_hole_and_two_spots_are_two_parts() -> None:
    masks = np.zeros((3, 28, 28), np.float32)
    masks[0] = 1
    masks[1] = 1
    masks[1, 8:20, 8:20] = 0
    masks[2, 2:10, 2:10] = masks[2, 16:26, 16:26] = 1
    full, ring, spots = outlines_in_boxes(masks, np.tile([10.3, 20.6, 38.3, 48.6], (3, 1)), 0.0)
    assert full.area == pytest.approx(28 * 28, rel=0.001)
    assert len(shapely.get_rings(ring)) == 2
    assert ring.area == pytest.approx(28 * 28 - 144, abs=2)
    assert len(shapely.get_parts(spots)) == 2


def test_a_place_between_pixels_is_kept() -> None:
    mask = np.ones((1, 28, 28), np.float32)
    outline = outlines_in_boxes(mask, np.array([[10.37, 4.61, 17.12, 9.05]]), 0.1)[0]
    assert outline.bounds == pytest.approx((10.37, 4.61, 17.12, 9.05), abs=0.1)


def test_objects_that_touch_or_overlap_have_masks_of_their_own() -> None:
    target = CODEC.encode(
        pixel_labels(
            CLASSES,
            (shapely.box(2, 2, 8, 8), 7, False),
            (shapely.box(8, 2, 14, 8), 7, False),
            (shapely.box(6, 6, 10, 12), 3, False),
        ),
        16,
        20,
    )
    assert target.instance_masks is not None and target.class_ids is not None
    assert target.instance_masks.sum(axis=(1, 2)).tolist() == [36, 36, 24]
    assert target.class_ids.tolist() == [7, 7, 3]
    truth = CODEC.truth(target)
    np.testing.assert_allclose(shapely.area(truth.polygons), [36, 36, 24])
    assert not shapely.overlaps(truth.polygons[0], truth.polygons[1])


def test_holes_and_parts_go_to_masks_and_back() -> None:
    yard = shapely.box(0, 0, 12, 12).difference(shapely.box(4, 4, 8, 8))
    parts = shapely.MultiPolygon([shapely.box(14, 0, 17, 3), shapely.box(14, 6, 17, 9)])
    found = CODEC.truth(
        CODEC.encode(pixel_labels(CLASSES, (yard, 7, False), (parts, 3, False)), 16, 20)
    ).polygons
    assert shapely.equals(found[0], yard) and shapely.equals(found[1], parts)


def test_boxes_are_those_of_what_shows_and_the_share_is_of_the_objects_own_area() -> None:
    # an L of which the foot shows to the right of column 10
    angle = shapely.Polygon([(0, 10), (30, 10), (30, 14), (4, 14), (4, 40), (0, 40)])
    target = CODEC.encode(
        pixel_labels(CLASSES, (shapely.transform(angle, lambda xy: xy - (10, 0)), 7, False)), 64, 64
    )
    assert target.boxes is not None and target.class_ids is not None
    np.testing.assert_allclose(target.boxes, [[0, 10, 20, 14]])
    assert target.class_ids.tolist() == [7]  # 80 of 224 px: more than 0.3
    hidden = CODEC.encode(
        pixel_labels(CLASSES, (shapely.box(-30, 0, 5, 10), 7, False), (shapely.box(20, 20, 30, 30), 7, True)),
        64,
        64,
    )
    assert hidden.class_ids is not None
    assert hidden.class_ids.tolist() == [255, 255]


def test_an_object_between_pixel_centres_has_a_pixel_and_no_objects_have_no_masks() -> None:
    target = CODEC.encode(pixel_labels(CLASSES, (shapely.box(3.6, 3.6, 4.4, 4.4), 7, False)), 8, 8)
    assert target.instance_masks is not None
    assert target.instance_masks.sum() == 1
    empty = CODEC.encode(pixel_labels(CLASSES), 8, 8)
    assert empty.instance_masks is not None
    assert empty.instance_masks.shape == (0, 8, 8)
    assert len(CODEC.truth(empty)) == 0


def test_patches_of_raster_labels_are_objects() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 3:9], mask[10:12, 10:12] = 7, 3
    truth = CODEC.truth(CODEC.encode(pixel_labels(CLASSES, mask=mask), 20, 30))
    assert sorted(shapely.area(truth.polygons).tolist()) == [4, 18]


def test_decoded_objects_are_sorted_without_empty_places() -> None:
    raw = {
        "boxes": np.array([[0, 0, 4, 4], [0, 0, 0, 0], [8, 8, 18, 20]], np.float32),
        "scores": np.array([0.3, 0, 0.9], np.float32),
        "channels": np.array([1, 0, 0]),
        "masks": np.ones((3, 28, 28), np.float32),
    }
    found = CODEC.decode(raw)
    assert found.class_ids.tolist() == [7, 3]
    np.testing.assert_allclose(shapely.bounds(found.polygons), found.boxes, atol=1e-4)


def test_true_masks_are_sampled_where_they_lie() -> None:
    """What the network learns of an object of 10 px, decoded, is that object: torchvision's own way is half a
    pixel off.
    """
    mask = torch.zeros(2, 40, 40, dtype=torch.bool)
    mask[1, 12:22, 7:17] = True
    boxes = torch.tensor([[7.0, 12, 17, 22], [5, 10, 19, 24]])
    cells = _masks_in_boxes(mask, boxes, torch.tensor([1, 1])).numpy()
    for outline in outlines_in_boxes(cells, boxes.double().numpy(), 0.0):
        true = shapely.box(7, 12, 17, 22)
        assert outline.intersection(true).area / outline.union(true).area > 0.95


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_turned_and_scaled_masks_stay_with_their_boxes_and_objects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [
        (shapely.Point(*rng.uniform(8, 40, 2)).buffer(rng.uniform(3, 9)), int(rng.choice([3, 7])), False)
        for _ in range(4)
    ]
    target = CODEC.encode(pixel_labels(CLASSES, *shapes), 48, 48)
    image = np.zeros((2, 48, 48), np.float32)
    augment = Augment(
        AugmentConfig(scale=0.6, scale_share=1, brightness=0, contrast=0, band_jitter=0, noise=0)
    )
    _, _, moved = augment.apply(image, np.ones((48, 48), bool), target, rng)
    assert moved.instance_masks is not None and moved.boxes is not None and moved.class_ids is not None
    assert len(moved.instance_masks) == len(moved.boxes) == len(moved.class_ids)
    outlines = pixel_outlines(moved.instance_masks)
    assert np.abs(shapely.bounds(outlines) - moved.boxes).max(initial=0) < 2


def test_burning_and_outlining_are_inverse_for_pixels() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((5, 12, 17)) < 0.4
    outlines = pixel_outlines(masks)
    assert np.array_equal(object_masks(outlines, shapely.bounds(outlines), 12, 17), masks)


def test_memory_of_masks_does_not_grow_with_the_chip() -> None:
    inputs = NetworkInputs(1, CLASSES, 64, object_sizes_px=np.full((4, 2), 12.0))
    config = TASK.settle(
        InstancesConfig(
            backbone="test_resnet",
            pyramid_channels=16,
            head_channels=16,
            mask_channels=8,
            mask_layers=1,
            detections=7,
        ),
        inputs,
    )
    network = TASK.make_network(config, inputs).eval()
    with torch.inference_mode():
        assert {tuple(network(torch.zeros(2, 1, side, side))["masks"].shape) for side in (64, 160)} == {
            (2, 7, 28, 28)
        }


def test_scores_compare_outlines() -> None:
    scorer = TASK.make_scorer(TASK.make_codec(CLASSES, InstancesConfig()), 0.0)
    box, ids, one = np.array([[0.0, 0, 10, 10]]), np.array([7]), np.ones(1, np.float32)
    lower, upper = shapely.Polygon([(0, 0), (10, 0), (0, 10)]), shapely.Polygon([(10, 10), (10, 0), (0, 10)])
    scorer.update(
        Objects(box, ids, one, np.array([lower], object)), Objects(box, ids, one, np.array([upper], object))
    )
    assert next(s.value for s in scorer.scores() if s.name == "ap50") == 0
