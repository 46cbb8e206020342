from __future__ import annotations

import numpy as np
import pytest
import shapely
from scipy import ndimage

from eo_dl.chips.dataset import Sample
from eo_dl.core.arrays import BoxTarget, MaskTarget, Objects
from eo_dl.core.classes import ClassSet
from eo_dl.tasks import Task, TaskConfig, load_task
from eo_dl.training.judging.baselines import BandPlane, MajorityClass, PeakBoxes, fit_baselines
from eo_dl.training.judging.patchbaseline import PixelPatches
from eo_dl.training.judging.pixelregression import PixelRegression
from eo_dl.training.judging.thresholds import best_threshold

CLASSES = ClassSet.of_names(["wood", "water"], background=True)


def pixel_chip(seed: int) -> Sample:
    """Band 0 tells the class (0, 1, 2) with noise; band 1 is noise; the first row is ignored."""
    rng = np.random.default_rng(seed)
    mask = rng.choice(3, (16, 16), p=[0.6, 0.3, 0.1]).astype(np.uint8)
    image = np.stack([mask + rng.normal(0, 0.15, mask.shape), rng.normal(0, 1, mask.shape)]).astype(
        np.float32
    )
    mask[0] = 255
    return Sample(image, np.ones(mask.shape, np.bool_), MaskTarget(mask), f"chip-{seed}")


def object_chip(seed: int, ignored: bool = False) -> Sample:
    """Dark spots of 8 px in band 1, far from each other."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.2, (2, 64, 64)).astype(np.float32)
    centres = np.array([(12, 12), (12, 44), (44, 20), (50, 50)])[rng.permutation(4)[:3]] + rng.integers(
        -3, 4, (3, 2)
    )
    for row, col in centres:
        image[1, row - 4 : row + 4, col - 4 : col + 4] -= 1.5
    boxes = np.column_stack(
        [centres[:, 1] - 4, centres[:, 0] - 4, centres[:, 1] + 4, centres[:, 0] + 4]
    ).astype(np.float32)
    ids = np.ones(3, np.int64)
    if ignored:
        boxes[0], ids[0] = (0, 0, 64, 64), 255
    return Sample(image, np.ones((64, 64), np.bool_), BoxTarget(boxes=boxes, class_ids=ids), f"chip-{seed}")


def _task(name: str, classes: ClassSet) -> tuple[Task, ClassSet, TaskConfig]:
    task = load_task(name)
    return task, classes, task.config(network=task.networks[0])


def test_the_majority_class_is_the_one_of_most_train_pixels() -> None:
    task, classes, config = _task("segmentation", CLASSES)
    found = fit_baselines(task, classes, config, [pixel_chip(seed) for seed in range(6)], seed=0)
    assert isinstance(found[0], MajorityClass)
    assert set(np.unique(found[0].answer(pixel_chip(9).image))) == {0}
    assert [type(baseline) for baseline in found[1:]] == [PixelRegression, PixelRegression]


def test_the_regression_finds_the_band_that_tells() -> None:
    task, classes, config = _task("segmentation", CLASSES)
    codec = task.make_codec(classes, config)
    found = fit_baselines(task, classes, config, [pixel_chip(seed) for seed in range(6)], seed=0)
    sample = pixel_chip(9)
    truth = codec.truth(sample.target)
    for baseline in found[1:]:
        answer = baseline.answer(sample.image)
        assert isinstance(answer, np.ndarray)
        assert (answer == truth)[1:].mean() > 0.95


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_regression_answers_as_sklearn_does(count: int) -> None:
    task, classes, config = _task("segmentation", CLASSES)
    samples = [pixel_chip(seed) for seed in range(4)]
    for sample in samples:
        sample.target.mask[(sample.target.mask >= count) & (sample.target.mask < 255)] = 0
    found = fit_baselines(task, classes, config, samples, seed=0)
    assert len(found) == (1 if count == 1 else 3)
    for baseline in found[1:]:
        answer = baseline.answer(samples[0].image)
        assert isinstance(answer, np.ndarray)
        assert set(np.unique(answer)) <= set(range(count))


def test_spots_are_found_by_the_band_and_the_sign_that_show_them() -> None:
    task, classes, config = _task("detection", ClassSet.of_names(["tree"]))
    codec = task.make_codec(classes, config)
    (baseline,) = fit_baselines(
        task, classes, config, [object_chip(seed, ignored=seed == 0) for seed in range(6)], seed=0
    )
    assert isinstance(baseline, PeakBoxes)
    assert baseline.box_px == (8, 8)
    pairs = []
    for seed in range(20, 26):
        sample, answer = object_chip(seed), baseline.answer(object_chip(seed).image)
        truth = codec.truth(sample.target)
        assert isinstance(truth, Objects)
        pairs.append((answer.take(answer.scores >= (baseline.threshold or 0)), truth))
    assert best_threshold(pairs)[1] > 0.9


def test_boxes_stay_in_the_chip_and_scores_between_0_and_1() -> None:
    blobs = PeakBoxes(BandPlane(0), 1, (20.0, 30.0), 1)
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 9, (1, 40, 50)), (0, 2, 2)).astype(
        np.float32
    )
    found = blobs.answer(image)
    assert len(found)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [50, 40, 50, 40]).all()
    assert ((found.scores > 0) & (found.scores < 1)).all()


def test_without_objects_there_is_no_object_baseline() -> None:
    task, classes, config = _task("detection", ClassSet.of_names(["tree"]))
    assert fit_baselines(task, classes, config, [], seed=0) == []


def outlined_chip(seed: int, chip: int = 64) -> Sample:
    """Rectangles of two classes, each bright in a band of its own; the last one is ignored and dark."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.2, (2, chip, chip)).astype(np.float32)
    masks, ids = np.zeros((4, chip, chip), np.bool_), np.array([1, 2, 1, 255])
    for place, (row, col) in enumerate(((4, 6), (4, 36), (36, 6), (36, 36))):
        height, width = rng.integers(9, 22, 2)
        masks[place, row : row + height, col : col + width] = True
        image[ids[place] - 1 if ids[place] < 255 else 0, masks[place]] += 2 if ids[place] < 255 else -2
    rows, cols = [[np.flatnonzero(mask.any(axis=axis)) for mask in masks] for axis in (1, 0)]
    boxes = np.array(
        [[c[0], r[0], c[-1] + 1, r[-1] + 1] for r, c in zip(rows, cols, strict=True)], np.float32
    )
    return Sample(
        image,
        np.ones((chip, chip), np.bool_),
        BoxTarget(boxes=boxes, class_ids=ids, instance_masks=masks),
        f"chip-{seed}",
    )


def test_patches_of_the_pixel_regression_have_the_outlines_and_classes_that_the_bands_tell() -> None:
    task, classes, config = _task("instances", ClassSet.of_names(["roof", "pond"]))
    codec = task.make_codec(classes, config)
    found = fit_baselines(task, classes, config, [outlined_chip(seed) for seed in range(4)], seed=0)
    assert [type(baseline) for baseline in found] == [PeakBoxes, PixelPatches]
    scorer = task.make_scorer(codec, 0.0)
    for seed in (8, 9):
        sample = outlined_chip(seed)
        scorer.update(found[1].answer(sample.image), codec.truth(sample.target), str(seed))
    assert next(score.value for score in scorer.scores() if score.name == "f1") > 0.9


def test_the_threshold_of_outlines_is_chosen_by_outlines() -> None:
    half = shapely.Polygon([(0, 0), (10, 0), (0, 10)])
    other = shapely.Polygon([(10, 10), (10, 0), (0, 10)])
    box, ids, score = np.array([[0.0, 0, 10, 10]]), np.ones(1, np.int64), np.full(1, 0.7, np.float32)
    true = Objects(box, ids, np.ones(1, np.float32), np.array([half], object))
    assert best_threshold([(Objects(box, ids, score, np.array([half], object)), true)])[1] == 1
    assert best_threshold([(Objects(box, ids, score, np.array([other], object)), true)])[1] == 0
