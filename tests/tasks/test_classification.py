"""Image classification: when a chip has which class, and what its networks take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import shapely
import torch

from eo_dl.core.arrays import ChipTarget
from eo_dl.core.chiprules import ChipClassRule
from eo_dl.core.classes import ClassSet
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.errors import ConfigError, LabelError
from eo_dl.tasks import NetworkInputs, load_task
from eo_dl.tasks.classification.codec import ClassificationCodec
from eo_dl.tasks.classification.config import ClassificationConfig

SIZE = 20
CLASSES = ClassSet.of_names(["roof", "pond"])
TASK = load_task("classification")


def _labels(
    *boxes: tuple[int, tuple[float, float, float, float]], ignore: tuple[int, ...] = (), **more: Any
) -> PixelLabels:
    """Rectangles of class ids; `ignore`: places of those that count neither way."""
    shapes = np.array([shapely.box(*box) for _, box in boxes], dtype=object)
    flags = np.isin(np.arange(len(boxes)), ignore)
    return PixelLabels(
        CLASSES, shapes, np.array([i for i, _ in boxes], np.int64), flags, np.arange(len(boxes)), **more
    )


def _one(labels: PixelLabels, classes: ClassSet = CLASSES, **more: float) -> list[float]:
    rule = ChipClassRule(False, more.pop("min_cover", 0.5))
    codec = ClassificationCodec(classes, rule, more.get("min_known", 0.0))
    return codec.truth(codec.encode(labels, SIZE, SIZE)).tolist()


def test_the_class_that_covers_enough_of_what_is_known_is_the_chips() -> None:
    assert _one(_labels((1, (0, 0, 20, 11)), (2, (0, 11, 20, 20)))) == [1, 0]
    assert _one(_labels((2, (0, 0, 20, 20)))) == [0, 1]
    assert all(map(math.isnan, _one(_labels((1, (0, 0, 20, 9))))))
    assert _one(_labels((1, (0, 0, 20, 9))), min_cover=0.4) == [1, 0]
    assert all(map(math.isnan, _one(_labels())))


def test_ground_without_a_label_is_the_background_where_that_is_a_class() -> None:
    assert _one(_labels((1, (0, 0, 20, 9))), CLASSES.with_background()) == [1, 0, 0]
    assert _one(_labels(), CLASSES.with_background()) == [1, 0, 0]


def test_two_that_cover_the_same_leave_it_open() -> None:
    assert all(map(math.isnan, _one(_labels((1, (0, 0, 20, 10)), (2, (0, 10, 20, 20))))))
    assert all(map(math.isnan, _one(_labels((1, (0, 0, 20, 20)), (2, (0, 0, 20, 20))))))


def test_only_annotated_measured_and_not_ignored_ground_counts() -> None:
    roof = (1, (0.0, 0.0, 20.0, 4.0))
    assert _one(_labels(roof, annotated=shapely.box(0, 0, 20, 5))) == [1, 0]
    assert all(map(math.isnan, _one(_labels(roof, annotated=shapely.Polygon()))))
    valid = np.zeros((SIZE, SIZE), bool)
    valid[:6] = True
    assert _one(_labels(roof, valid=valid)) == [1, 0]
    assert _one(_labels(roof, (2, (0, 4, 20, 20)), ignore=(1,))) == [1, 0]
    assert all(map(math.isnan, _one(_labels(roof, valid=valid), min_known=0.5)))


def test_label_rasters_are_counted() -> None:
    mask = np.full((SIZE, SIZE), 255, np.uint8)
    mask[:2], mask[2:3] = 2, 1
    assert _one(_labels(mask=mask)) == [0, 1]


def test_several_classes_a_chip() -> None:
    codec = ClassificationCodec(CLASSES, ChipClassRule(True, 0.1))
    for labels, values in (
        (_labels((1, (0, 0, 20, 20)), (2, (0, 0, 20, 3))), [1, 1]),
        (_labels((1, (0, 0, 20, 1))), [0, 0]),
        (_labels(), [0, 0]),
    ):
        assert codec.truth(codec.encode(labels, SIZE, SIZE)).tolist() == values
    np.testing.assert_allclose(codec.decode({"logits": np.array([0.0, 800.0], np.float32)}), [0.5, 1])
    np.testing.assert_allclose(
        ClassificationCodec(CLASSES, ChipClassRule(False, 0.5)).decode(
            {"logits": np.array([800.0, 0.0], np.float32)}
        ),
        [1, 0],
    )


def test_the_labels_decide_between_one_and_several() -> None:
    def settled(covers: list[list[float]], **more: object) -> ClassificationConfig:
        found = TASK.settle(
            ClassificationConfig(**more), NetworkInputs(3, CLASSES, SIZE, chip_covers=np.array(covers))
        )
        assert isinstance(found, ClassificationConfig)
        return found

    partition, meeting = [[0.5, 0.5], [1.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]
    one, several = settled(partition), settled(meeting)
    assert (one.multi_label, one.min_cover, list(one.loss.terms or ())) == (False, 0.5, ["cross_entropy"])
    assert (several.multi_label, several.min_cover, list(several.loss.terms or ())) == (True, 0.1, ["bce"])
    assert settled(meeting, multi_label=False).multi_label is False
    assert settled([[1.0, 1.0], *[[1.0, 0.0]] * 200]).multi_label is False, (
        "one overlap in 200 chips is careless drawing"
    )
    background = CLASSES.with_background()
    assert TASK.settled_classes(background, several) == CLASSES
    assert TASK.settled_classes(background, one) == background
    with pytest.raises(LabelError, match="multi_label=true"):
        TASK.settled_classes(ClassSet.of_names(["roof"]), one)
    with pytest.raises(ConfigError, match="settle"):
        TASK.make_network(ClassificationConfig(), NetworkInputs(3, CLASSES, SIZE))


@pytest.mark.parametrize("network", TASK.networks)
@pytest.mark.parametrize("several", [False, True])
def test_chips_without_a_class_add_nothing_to_the_loss(network: str, several: bool) -> None:
    inputs = NetworkInputs(3, CLASSES, SIZE, class_weights=(1.0, 2.0))
    config = TASK.settle(
        ClassificationConfig(network=network, backbone="test_resnet", multi_label=several, dropout=0.0),
        inputs,
    )
    torch.manual_seed(0)
    made = TASK.make_network(config, inputs).eval()
    images = torch.randn(3, 3, SIZE, SIZE)
    known = [ChipTarget(values=np.array(values, np.float32)) for values in ([1, 0], [0, 1])]
    unknown = ChipTarget(values=np.full(2, np.nan, np.float32))
    together = made.loss(images, [*known, unknown])["loss"]
    torch.testing.assert_close(together, made.loss(images[:2], known)["loss"])
    assert made.loss(images, [unknown] * 3)["loss"].item() == 0
