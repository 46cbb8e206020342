"""Localization: which box a chip has, and that a box follows its object."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch

from eo_dl.core.arrays import BoxTarget
from eo_dl.core.chiprules import OneObjectRule
from eo_dl.core.classes import IGNORE_ID, ClassSet
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.tasks import NetworkInputs
from eo_dl.tasks.localization import TASK
from eo_dl.tasks.localization.codec import LocalizationCodec
from eo_dl.tasks.localization.config import LocalizationConfig
from eo_dl.tasks.localization.network import Locator

CLASSES = ClassSet.of_names(["ship"])


def labels(*boxes: tuple[float, float, float, float], ignore: tuple[bool, ...] = ()) -> PixelLabels:
    count = len(boxes)
    flags = np.array(ignore or (False,) * count, np.bool_)
    return PixelLabels(
        CLASSES,
        np.array([shapely.box(*box) for box in boxes], dtype=object),
        np.ones(count, np.int64),
        flags,
        np.arange(count),
    )


def encoded(codec: LocalizationCodec, found: PixelLabels) -> tuple[list[list[float]], list[int]]:
    target = codec.encode(found, 32, 32)
    return target.boxes.tolist(), target.class_ids.tolist()


def test_a_chip_has_its_largest_visible_object_or_none() -> None:
    codec = LocalizationCodec(CLASSES)
    assert encoded(codec, labels()) == ([], [])
    assert encoded(codec, labels((2, 3, 8, 9))) == ([[2, 3, 8, 9]], [1])
    assert encoded(codec, labels((2, 3, 8, 9), (10, 10, 20, 20))) == ([[10, 10, 20, 20]], [1])
    # what is larger as a whole but cut by the border to less of it than the other shows
    assert encoded(codec, labels((2, 3, 12, 13), (24, 24, 40, 36))) == ([[2, 3, 12, 13]], [1])


def test_what_cannot_be_said_teaches_nothing() -> None:
    strict = LocalizationCodec(CLASSES, OneObjectRule(crowded="ignore"))
    assert encoded(strict, labels((2, 3, 8, 9), (10, 10, 20, 20)))[1] == [IGNORE_ID]
    cut = labels((28, 28, 60, 60))
    # a corner of something: neither an object nor nothing
    assert encoded(LocalizationCodec(CLASSES), cut)[1] == [IGNORE_ID]
    assert encoded(LocalizationCodec(CLASSES), labels((2, 3, 8, 9), ignore=(True,)))[1] == [IGNORE_ID]
    assert LocalizationCodec(CLASSES).truth(LocalizationCodec(CLASSES).encode(cut, 32, 32)).ignore is not None


def test_ignored_chips_do_not_move_the_loss() -> None:
    network = network_of(3)
    images = torch.randn(3, 3, 64, 64)
    box = np.array([[4, 4, 20, 20]], np.float32)
    known = [
        BoxTarget(boxes=box, class_ids=np.array([1])),
        BoxTarget(boxes=np.empty((0, 4), np.float32), class_ids=np.empty(0, np.int64)),
    ]
    torch.manual_seed(1)
    alone = network.eval().loss(images[:2], known)["loss"]
    torch.manual_seed(1)
    beside = network.loss(images, [*known, BoxTarget(boxes=box, class_ids=np.array([IGNORE_ID]))])["loss"]
    assert beside.item() == pytest.approx(alone.item(), rel=1e-4)
    assert (
        network.loss(images[:1], [BoxTarget(boxes=box, class_ids=np.array([IGNORE_ID]))])["loss"].item() == 0
    )


def network_of(bands: int, **options: object) -> Locator:
    torch.manual_seed(0)
    config = LocalizationConfig(
        **(
            {
                "backbone": "test_resnet",
                "map_channels": 16,
                "head_channels": 16,
                "dropout": 0.0,
                "map_stride": 8,
            }
            | options
        )
    )
    return Locator(config, NetworkInputs(bands, CLASSES, 64))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (5, 200), (1, 1)])
def test_every_box_lies_in_its_chip_and_has_an_area(height: int, width: int) -> None:
    network = network_of(2).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 3)  # whatever it has learnt
    with torch.inference_mode():
        boxes = network(torch.randn(6, 2, height, width) * 10)["boxes"][:, 0]
    assert (boxes >= 0).all()
    assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 0).all()


def test_the_box_follows_the_object_without_being_taught() -> None:
    """Trained on objects in the left half only, it finds them on the right: place is weighed, not learned
    place by place.
    """
    rng = np.random.default_rng(0)

    def batch(low: int, high: int, count: int = 16) -> tuple[torch.Tensor, list[BoxTarget]]:
        images, targets = rng.normal(0, 0.2, (count, 1, 64, 64)).astype(np.float32), []
        for image in images:
            col, row = int(rng.integers(low, high)), int(rng.integers(4, 44))
            image[0, row : row + 14, col : col + 14] += 3
            targets.append(
                BoxTarget(
                    boxes=np.array([[col, row, col + 14, row + 14]], np.float32), class_ids=np.array([1])
                )
            )
        return torch.from_numpy(images), targets

    network = network_of(1).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(50):
        optimizer.zero_grad()
        network.loss(*batch(2, 16))["loss"].backward()
        optimizer.step()
    images, targets = batch(34, 46)
    with torch.inference_mode():
        boxes = network.eval()(images)["boxes"][:, 0].numpy()
    truth = np.concatenate([target.boxes for target in targets])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - (truth[:, :2] + truth[:, 2:]) / 2
    assert np.abs(centres).max() < 7


def test_chips_with_several_objects_are_said() -> None:
    notes = TASK.remarks(LocalizationConfig(), {"train": [0, 1, 2, 3], "val": [2]})
    assert notes == (
        (
            "3 of 5 chips contain several objects: the largest visible one is their label "
            "(`task_options.crowded`: largest or ignore)"
        ),
    )
    assert TASK.remarks(LocalizationConfig(), {"train": [0, 1, 1]}) == ()


def test_the_network_can_be_exported() -> None:
    network, images = network_of(2).eval(), torch.randn(2, 2, 64, 64)
    exported = torch.export.export(network, (images,)).module()
    with torch.inference_mode():
        for name, value in network(images).items():
            torch.testing.assert_close(exported(images)[name], value)


def test_the_spacing_of_places_comes_from_the_train_boxes() -> None:
    for side, stride in ((3, 2), (9, 4), (20, 8), (200, 16)):
        settled = TASK.settle(
            LocalizationConfig(), NetworkInputs(3, CLASSES, 64, object_sizes_px=np.full((5, 2), float(side)))
        )
        assert isinstance(settled, LocalizationConfig) and settled.map_stride == stride
