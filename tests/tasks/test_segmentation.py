from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_dl.core.arrays import MaskTarget
from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.errors import ConfigError, LabelError
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.segmentation.codec import SegmentationCodec, largest_channel
from eo_dl.tasks.segmentation.config import NETWORKS, Network, SegmentationConfig, fitting_rates
from tests.making import pixel_labels

TASK = load_task("segmentation")
CLASSES = ClassSet((ClassInfo(7, "field", "#00ff00"), ClassInfo(3, "road", "#ff0000")))


def _codec(background: bool = True) -> SegmentationCodec:
    return SegmentationCodec(CLASSES.with_background() if background else CLASSES)


def test_truth_of_the_encoded_labels_are_the_class_ids() -> None:
    codec = _codec()
    target = codec.encode(
        pixel_labels(CLASSES, (shapely.box(0, 0, 3, 2), 7, False), (shapely.box(3, 0, 4, 4), 3, False)), 4, 5
    )
    assert target.mask is not None
    assert target.mask.tolist() == [[1, 1, 1, 2, 0], [1, 1, 1, 2, 0], [0, 0, 0, 2, 0], [0, 0, 0, 2, 0]]
    assert codec.truth(target).tolist() == [
        [7, 7, 7, 3, 0],
        [7, 7, 7, 3, 0],
        [0, 0, 0, 3, 0],
        [0, 0, 0, 3, 0],
    ]


def test_the_later_feature_wins_and_ignored_ones_win_over_all() -> None:
    features = [
        (shapely.box(0, 0, 3, 3), 7, True),
        (shapely.box(1, 0, 4, 3), 7, False),
        (shapely.box(3, 0, 5, 3), 3, False),
    ]
    assert _codec().truth(_codec().encode(pixel_labels(CLASSES, *features), 1, 5)).tolist() == [
        [255, 255, 255, 3, 3]
    ]


def test_ground_without_features_is_ignored_where_the_background_is_no_class() -> None:
    target = _codec(background=False).encode(pixel_labels(CLASSES, (shapely.box(0, 0, 1, 1), 3, False)), 1, 2)
    assert target.mask is not None
    assert target.mask.tolist() == [[1, 255]]


@pytest.mark.parametrize(
    "annotated",
    [
        shapely.box(0, 0, 2, 1),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)]),
        shapely.Polygon(),
    ],
)
def test_ground_outside_annotated_is_ignored(annotated: shapely.Geometry) -> None:
    target = _codec().encode(
        pixel_labels(CLASSES, (shapely.box(1, 0, 4, 1), 3, False), annotated=annotated), 1, 4
    )
    assert _codec().truth(target).tolist() == [[255] * 4 if annotated.is_empty else [0, 3, 255, 255]]


def test_raster_labels_are_taken_as_they_are() -> None:
    mask = np.array([[0, 3], [7, 255], [9, 0]], np.uint8)
    assert _codec().truth(_codec().encode(pixel_labels(CLASSES, mask=mask), 3, 2)).tolist() == [
        [0, 3],
        [7, 255],
        [255, 0],
    ]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([-3.0, -0.5, 0.0, 0.25, 2.0]),
    )
)
def test_the_largest_channel_is_numpys_argmax_also_at_ties_and_in_any_memory_order(
    logits: np.ndarray,
) -> None:
    assert (largest_channel(logits) == logits.argmax(0)).all()
    assert (largest_channel(np.asfortranarray(logits)) == logits.argmax(0)).all()


def test_probabilities_are_the_softmax_and_agree_with_the_labels() -> None:
    logits = np.random.default_rng(0).normal(0, 40, (3, 5, 6)).astype(np.float32)
    found = _codec().decode({"logits": logits})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, torch.softmax(torch.from_numpy(logits).double(), 0).numpy(), atol=1e-6)
    assert (_codec().answer({"logits": logits}) == np.array([0, 7, 3])[found.argmax(0)]).all()


def test_background_is_a_class_only_where_some_train_pixel_is_background() -> None:
    assert TASK.output_classes(CLASSES, {0: 0.2, 7: 0.5, 3: 0.3}).ids == (0, 7, 3)
    assert TASK.output_classes(CLASSES.with_background(), {7: 0.5, 3: 0.5}).ids == (7, 3)
    with pytest.raises(LabelError, match="two classes"):
        TASK.output_classes(ClassSet.of_names(["water"]), {1: 1.0})


def test_chips_of_nothing_but_ignored_pixels_have_loss_and_gradient_zero() -> None:
    network = TASK.make_network(
        SegmentationConfig(backbone="test_resnet", decoder_channels=(8,)), NetworkInputs(2, CLASSES, 32)
    ).train()
    loss = network.loss(torch.randn(1, 2, 32, 32), [MaskTarget(mask=np.full((32, 32), 255, np.uint8))])[
        "loss"
    ]
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in network.parameters())


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70))
def test_any_size_gives_logits_of_that_size(height: int, width: int) -> None:
    network = TASK.make_network(
        SegmentationConfig(backbone="test_convnext", decoder_channels=(16, 8)), NetworkInputs(1, CLASSES, 32)
    ).eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 1, height, width))["logits"]
    assert logits.shape == (1, 2, height, width)
    assert logits.is_contiguous()


@pytest.mark.parametrize("backbone", ["swin_tiny_patch4_window7_224", "vit_small_patch16_224"])
def test_backbones_without_a_pyramid_are_refused(backbone: str) -> None:
    with pytest.raises(ConfigError, match="choose another"):
        TASK.make_network(SegmentationConfig(backbone=backbone), NetworkInputs(3, CLASSES, 64))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_exported_and_says_the_same_by_name(name: Network) -> None:
    config = SegmentationConfig(
        network=name, backbone="test_resnet", decoder_channels=(8,), atrous_rates=(1, 2, 3)
    )
    network = TASK.make_network(config, NetworkInputs(2, CLASSES, 64)).eval()
    images = torch.randn(1, 2, 64, 64)
    exported = torch.export.export(network, (images,)).module()
    with torch.inference_mode():
        assert exported(images).keys() == {"logits"}
        torch.testing.assert_close(exported(images)["logits"], network(images)["logits"])


def test_the_rates_of_deeplab_fit_the_chip_and_are_written_down() -> None:
    settled = TASK.settle(SegmentationConfig(network="deeplabv3plus"), NetworkInputs(3, CLASSES, 528))
    assert isinstance(settled, SegmentationConfig)
    assert settled.atrous_rates == (12, 24, 36)
    assert fitting_rates(16) == (1, 2, 3)
    with pytest.raises(ConfigError, match="settle"):
        TASK.make_network(
            SegmentationConfig(network="deeplabv3plus", backbone="test_resnet"), NetworkInputs(3, CLASSES, 64)
        )


@pytest.mark.parametrize(
    ("network", "backbone"), [("deeplabv3plus", "edgenext_xx_small"), ("fpn", "test_vit")]
)
def test_a_backbone_that_a_network_cannot_use_is_refused_by_name(network: Network, backbone: str) -> None:
    config = SegmentationConfig(network=network, backbone=backbone, atrous_rates=(1, 2, 3))
    with pytest.raises(ConfigError, match=backbone):
        TASK.make_network(config, NetworkInputs(3, CLASSES, 64))
