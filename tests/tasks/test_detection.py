from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.core.arrays import BoxTarget, Objects
from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.errors import ConfigError, LabelError
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.detection.anchors import fitting_ratios, fitting_sizes, fitting_stride, pyramid_strides
from eo_dl.tasks.detection.codec import DetectionCodec
from eo_dl.tasks.detection.config import DetectionConfig
from eo_dl.tasks.detection.heads import cover
from tests.making import pixel_labels

TASK = load_task("detection")
CLASSES = ClassSet((ClassInfo(7, "tree", "#00ff00"), ClassInfo(3, "palm", "#ff0000")))
CODEC = DetectionCodec(CLASSES)


def _encoded(
    *features: tuple[shapely.Geometry, int, bool],
    annotated: shapely.Geometry | None = None,
    mask: np.ndarray | None = None,
) -> Objects:
    return CODEC.truth(CODEC.encode(pixel_labels(CLASSES, *features, annotated=annotated, mask=mask), 20, 30))


def test_boxes_are_bounds_cut_at_the_chip() -> None:
    found = _encoded((shapely.Point(10, 10).buffer(3), 7, False), (shapely.box(26, -2, 34, 10), 3, False))
    np.testing.assert_allclose(found.boxes, [[7, 7, 13, 13], [26, 0, 30, 10]], atol=1e-5)
    assert found.class_ids.tolist() == [7, 3]
    assert found.ignore is not None
    assert not found.ignore.any()


def test_objects_hardly_seen_count_neither_way() -> None:
    found = _encoded(
        (shapely.box(28, 0, 38, 10), 7, False),
        (shapely.box(5, 5, 9, 9), 7, True),
        (shapely.box(1, 1, 4, 4), 5, False),
    )
    # a fifth visible; ignored by the labels; of no class of the model
    assert found.class_ids.tolist() == [255, 255, 255]
    assert found.ignore is not None
    assert found.ignore.all()


def test_objects_mostly_on_unannotated_ground_count_neither_way() -> None:
    annotated = shapely.box(0, 0, 10, 20)
    found = _encoded(
        (shapely.box(2, 2, 6, 6), 7, False),
        (shapely.box(7, 2, 12, 6), 7, False),
        (shapely.box(8, 2, 16, 6), 3, False),
        annotated=annotated,
    )
    assert found.class_ids.tolist() == [7, 7, 255]


def test_no_labels_give_no_boxes() -> None:
    target = CODEC.encode(pixel_labels(CLASSES), 20, 30)
    assert target.boxes is not None
    assert target.boxes.shape == (0, 4)
    assert len(CODEC.truth(target)) == 0


def test_patches_of_raster_labels_are_objects() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 3:9], mask[10:12, 10:12], mask[0, 29] = 7, 3, 255
    found = _encoded(mask=mask)
    assert {
        (*box, class_id) for box, class_id in zip(found.boxes.tolist(), found.class_ids.tolist(), strict=True)
    } == {(3, 2, 9, 5, 7), (10, 10, 12, 12, 3), (29, 0, 30, 1, 255)}


@given(st.floats(-5, 35), st.floats(-5, 25), st.floats(0.01, 40), st.floats(0.01, 40))
def test_every_target_box_lies_in_the_chip_and_has_a_pixel_a_side(
    col: float, row: float, width: float, height: float
) -> None:
    target = CODEC.encode(
        pixel_labels(CLASSES, (shapely.box(col, row, col + width, row + height), 7, False)), 20, 30
    )
    assert target.boxes is not None
    for col0, row0, col1, row1 in target.boxes.tolist():
        assert 0 <= col0 < col1 <= 30
        assert 0 <= row0 < row1 <= 20
        assert col1 - col0 >= 0.999
        assert row1 - row0 >= 0.999


def test_padding_is_not_decoded_and_the_best_comes_first() -> None:
    raw = {
        "boxes": np.array([[0, 0, 2, 2], [1, 1, 5, 5], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.2, 0.9, 0], np.float32),
        "channels": np.array([1, 0, 0]),
    }
    found = CODEC.decode(raw)
    assert found.boxes.tolist() == [[1, 1, 5, 5], [0, 0, 2, 2]]
    assert found.class_ids.tolist() == [7, 3]
    assert found.scores.tolist() == pytest.approx([0.9, 0.2])


def test_anchors_have_the_sizes_of_the_objects() -> None:
    small = np.full((20, 2), 6.0)
    assert fitting_stride(small) == 2
    assert fitting_stride(np.full((20, 2), 20.0)) == 4
    sizes = fitting_sizes(small, pyramid_strides(2))
    assert any(level == (6.0, 6.0) for level in sizes)
    assert len({len(level) for level in sizes}) == 1


@given(st.lists(st.tuples(st.floats(12, 180), st.floats(12, 180)), min_size=1, max_size=30))
def test_every_object_is_within_twice_of_some_anchor_size(pairs: list[tuple[float, float]]) -> None:
    sizes = np.array(pairs)
    flat = np.array([size for level in fitting_sizes(sizes, (4, 8, 16, 32)) for size in level])
    nearest = np.abs(np.log2(np.sqrt(sizes.prod(1))[:, None] / flat)).min(1)
    assert (nearest <= 1.01).all()


@given(st.lists(st.tuples(st.floats(0.1, 9000), st.floats(0.1, 9000)), max_size=9))
def test_any_sizes_give_anchors_that_the_config_takes(pairs: list[tuple[float, float]]) -> None:
    inputs = NetworkInputs(2, CLASSES, 64, object_sizes_px=np.array(pairs).reshape(-1, 2))
    settled = TASK.settle(DetectionConfig(), inputs)
    assert isinstance(settled, DetectionConfig)
    assert settled.anchor_sizes_px is not None
    assert min(min(level) for level in settled.anchor_sizes_px) >= 2


def test_long_objects_get_long_anchors_both_ways_and_round_ones_do_not() -> None:
    assert fitting_ratios(np.full((5, 2), 8.0)) == (1.0,)
    assert fitting_ratios(np.array([[8.0, 24.0]] * 5)) == (0.333, 1.0, 3.0)
    assert fitting_ratios(np.array([[24.0, 8.0]] * 5)) == (0.333, 1.0, 3.0)


def _network(**config: object) -> Any:
    torch.manual_seed(0)
    inputs = NetworkInputs(2, CLASSES, 64, object_sizes_px=np.full((3, 2), 12.0))
    tiny = DetectionConfig(
        **{
            "backbone": "test_resnet",
            "pyramid_channels": 16,
            "head_channels": 32,
            "proposals": 50,
            "detections": 5,
            **config,
        }
    )
    return TASK.make_network(TASK.settle(tiny, inputs), inputs)


def _target(boxes: list[list[float]], ids: list[int]) -> BoxTarget:
    return BoxTarget(boxes=np.array(boxes, np.float32).reshape(-1, 4), class_ids=np.array(ids, np.int64))


@pytest.mark.parametrize("name", TASK.networks)
def test_a_chip_under_ignored_objects_does_not_count(name: str) -> None:
    network, images = _network(network=name, pyramid_channels=32).train(), torch.randn(2, 2, 64, 64)
    covered = _target([[0, 0, 40, 64], [30, 0, 64, 64]], [255, 255])
    assert network.loss(images, [covered, covered])["loss"].item() == 0
    torch.manual_seed(1)
    alone = network.loss(images, [covered, _target([[3, 3, 15, 15]], [7])])["loss"].item()
    assert np.isfinite(alone)


def test_an_ignored_object_pulls_neither_up_nor_down() -> None:
    network = _network()
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 12, 12], [40, 40, 50, 50]])
    targets = [
        {
            "boxes": torch.zeros(0, 4),
            "labels": torch.zeros(0, dtype=torch.int64),
            "ignore": torch.tensor([[0.0, 0, 11, 11]]),
        }
    ]
    labels, _ = network.proposals.assign_targets_to_anchors([anchors], targets)
    assert labels[0].tolist() == [-1, -1, 0]


@pytest.mark.parametrize("name", ["retinanet", "fcos"])
def test_in_one_step_an_ignored_object_pulls_neither_up_nor_down(name: str) -> None:
    """Logits of background over it get no gradient, those of an object that it covers do."""
    head = _network(network=name, pyramid_channels=32).heads.head
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 12, 12], [2, 2, 8, 8], [40, 40, 50, 50]])
    target = {
        "boxes": torch.tensor([[2.0, 2, 8, 8]]),
        "labels": torch.tensor([1]),
        "ignore": torch.tensor([[0.0, 0, 11, 11]]),
    }
    logits = torch.zeros(1, 4, 2, requires_grad=True)
    outputs = {
        "cls_logits": logits,
        "bbox_regression": torch.ones(1, 4, 4),
        "bbox_ctrness": torch.zeros(1, 4, 1),
    }
    head.compute_loss([target], outputs, [boxes], [torch.tensor([-1, -1, 0, -1])])[
        "classification"
    ].backward()
    assert logits.grad is not None
    assert logits.grad[0].ne(0).any(1).tolist() == [False, False, True, True]


def test_fcos_says_which_widths_it_can_have() -> None:
    with pytest.raises(ConfigError, match="pyramid_channels: network fcos needs a multiple of 32"):
        _network(network="fcos", pyramid_channels=48)


def test_cover_is_the_share_of_a_box_in_its_best_other() -> None:
    found = cover(
        torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.tensor([[5.0, 0, 10, 10], [0, 0, 10, 2]])
    )
    assert found.tolist() == pytest.approx([0.5, 0.0])


def test_a_config_without_anchors_makes_no_network() -> None:
    with pytest.raises(ConfigError, match="settle"):
        TASK.make_network(DetectionConfig(backbone="test_resnet"), NetworkInputs(2, CLASSES, 64))
    with pytest.raises(ConfigError, match="the same number of sizes"):
        _network(anchor_sizes_px=((4.0,), (8.0,)))


def test_objects_of_no_class_cannot_be_learnt() -> None:
    with pytest.raises(LabelError, match="class of objects"):
        TASK.output_classes(ClassSet((ClassInfo(0, "background", "#000000"),)), {})
    assert TASK.output_classes(CLASSES.with_background(), {}).ids == (7, 3)


def test_small_objects_are_seen_at_stride_two() -> None:
    network = _network(finest_stride=2)
    with torch.inference_mode():
        raw = network.eval()(torch.randn(1, 2, 50, 70))
    assert raw["boxes"].shape == (1, 5, 4)
    assert (raw["boxes"][..., 2] <= 70).all()
    assert (raw["boxes"][..., 3] <= 50).all()
