"""The task that labels are meant for: guessed with a reason, or a question where two fit equally."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from PIL import Image

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.tile import tile
from eo_dl.errors import ConfigError
from eo_dl.tasks.taskguess import guess_task
from eo_dl.training.taskchoice import with_task
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig
from tests.making import NORTH_UP, noise, square, write_polygons, write_raster

SIDE_PX = 128


def _chips(folder: Path, outlines: Sequence[shapely.Geometry], classes: Sequence[str] = ("roof",)) -> ChipSet:
    """Chips of a scene with labels, the classes in turn."""
    scene = write_raster(folder / "scene.tif", noise(3, SIDE_PX, SIDE_PX), transform=NORTH_UP)
    names = [classes[number % len(classes)] for number in range(len(outlines))]
    labels = write_polygons(folder / "labels.gpkg", outlines, kind=names)
    return tile(scene, labels, out=folder / "chips", size_px=32)


def _lattice(step: int, side: int) -> list[shapely.Polygon]:
    starts = range(2, SIDE_PX - side, step)
    return [square(col, row, side) for row in starts for col in starts]


def _halves(boxes: Sequence[shapely.Polygon]) -> list[shapely.Polygon]:
    """Each box as two triangles."""
    halves = []
    for box in boxes:
        corners = list(box.exterior.coords)
        halves += [shapely.Polygon(corners[:3]), shapely.Polygon([corners[2], corners[3], corners[0]])]
    return halves


def test_boxes_are_detection(tmp_path: Path) -> None:
    guess = guess_task(_chips(tmp_path, _lattice(16, 8)))
    assert guess.task == "detection" and "boxes" in guess.reason
    assert guess.describe().endswith("change it with `task`")


def test_separate_outlines_are_segmentation_and_the_other_choice_is_named(tmp_path: Path) -> None:
    triangles = _halves(_lattice(16, 8))[::2]
    guess = guess_task(_chips(tmp_path, triangles))
    assert guess.task == "segmentation" and "instances" in guess.reason


def test_outlines_that_touch_are_instances(tmp_path: Path) -> None:
    guess = guess_task(_chips(tmp_path, _halves(_lattice(16, 8))))
    assert guess.task == "instances" and "100% of the outlines touch" in guess.reason


def test_outlines_of_several_classes_that_cover_the_ground_are_segmentation(tmp_path: Path) -> None:
    guess = guess_task(_chips(tmp_path, _halves(_lattice(16, 16)), ("water", "woods")))
    assert guess.task == "segmentation" and "of the ground with several classes" in guess.reason


def test_outlines_of_which_half_touch_are_a_question(tmp_path: Path) -> None:
    halves = _halves(_lattice(16, 8))
    pairs, single = halves[:28], halves[28::2][:28]
    with pytest.raises(
        ConfigError, match=r"segmentation .* and instances .* fit equally; choose one with `task`"
    ):
        guess_task(_chips(tmp_path, pairs + single))


def test_boxes_among_outlines_are_a_question_and_nothing_is_written(tmp_path: Path) -> None:
    boxes = _lattice(16, 8)
    chips = _chips(tmp_path, boxes[::2] + _halves(boxes[1::2])[::2])
    with pytest.raises(
        ConfigError, match=r"50% of the labels are boxes .* choose one with `task`"
    ) as question:
        train(chips, out=tmp_path / "model.eodl")
    assert "\n" not in str(question.value)
    assert not list(tmp_path.glob("model*"))


def test_label_rasters_are_segmentation(tmp_path: Path) -> None:
    scene = write_raster(tmp_path / "scene.tif", noise(3, SIDE_PX, SIDE_PX))
    mask = np.zeros((1, SIDE_PX, SIDE_PX), np.uint8)
    mask[0, ::3] = 1
    raster = write_raster(tmp_path / "mask.tif", mask)
    assert guess_task(tile(scene, raster, out=tmp_path / "chips", size_px=32)).task == "segmentation"


def test_classes_of_whole_images_are_classification(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / "images" / ("water" if number % 2 else "woods")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(3, 32, 32, seed=number).transpose(1, 2, 0).astype(np.uint8)).save(
            folder / f"{number}.png"
        )
    chips = tile(tmp_path / "images", tmp_path / "images", out=tmp_path / "chips")
    assert guess_task(chips).task == "classification"


def test_one_box_per_image_is_localization(tmp_path: Path) -> None:
    boxes = []
    for number in range(8):
        transform = Affine.translation(10_000 * number, 0) @ NORTH_UP
        write_raster(tmp_path / f"{number}.tif", noise(3, 32, 32, seed=number), transform=transform)
        boxes.append(square(10, 10, 8, transform))
    labels = write_polygons(tmp_path / "labels.gpkg", boxes, kind=["ship"] * len(boxes))
    chips = tile(sorted(tmp_path.glob("*.tif")), labels, out=tmp_path / "chips", size_px=32)
    assert guess_task(chips).task == "localization"


def test_a_training_without_a_task_takes_the_guess_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chips = _chips(tmp_path, _lattice(16, 8))
    with caplog.at_level(logging.INFO, "eo_dl"):
        assert with_task(TrainConfig(), chips).task == "detection"
    assert "task detection, because the labels are boxes" in caplog.text
    assert with_task(TrainConfig(task="segmentation"), chips).task == "segmentation"
