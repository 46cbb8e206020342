"""The network of a finished run is asked once about each chip that is scored."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from eo_dl.chips.chipset import ChipSet
from eo_dl.core.arrays import MaskTarget
from eo_dl.core.classes import ClassSet
from eo_dl.modelcard import calibration_rows, coverage_rows
from eo_dl.networks.tasknetwork import TaskNetwork
from eo_dl.scores.setcoverage import COVERAGE
from eo_dl.tasks import OBJECTS, RASTER, VALUES, available_tasks, load_task
from eo_dl.training.judging.calibrate import FEWEST_SAMPLES, calibration_diagram, fit_precision
from eo_dl.training.judging.judge import Judge
from eo_dl.training.judging.logitsample import LogitSample, LogitSampler
from eo_dl.training.judging.scoring import ChipScoring, RawChip, object_pairs, predict_chips
from eo_dl.training.judging.setfit import prediction_sets
from eo_dl.training.judging.thresholds import best_suppression
from eo_dl.training.setup.loading import fixed_batches
from eo_dl.training.setup.runsetup import RunSetup, prepare_run
from eo_dl.training.trainconfig import TrainConfig
from tests.making import tiny_network

# Those that learn from the classes of `small_chips`.
TASKS = [task for task in available_tasks() if load_task(task).output != VALUES]


def prepared(chips: ChipSet, task: str) -> tuple[RunSetup, TaskNetwork]:
    config = TrainConfig(
        task=task, task_options=tiny_network(task), device="cpu", precision="32", batch_size=3
    )
    setup = prepare_run(chips, config)
    return setup, setup.new_network()


def passes(network: TaskNetwork) -> Counter[str]:
    """How often the network will have seen each chip."""
    seen: Counter[str] = Counter()

    def count(module: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.update(hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in arguments[0])

    network.register_forward_pre_hook(count)
    return seen


@pytest.mark.parametrize("task", TASKS)
def test_one_pass_per_split(small_chips: ChipSet, task: str) -> None:
    setup, network = prepared(small_chips, task)
    seen = passes(network)
    verdict = Judge(setup).verdict(network, baselines=False)
    scored = setup.data.records["val"] + setup.data.records["test"]
    assert len(verdict.preview) == 4
    assert max(seen.values()) == 1 and len(seen) == len(scored)


def test_a_stopped_run_is_judged_by_its_validation_chips_alone(small_chips: ChipSet) -> None:
    setup, network = prepared(small_chips, "detection")
    seen = passes(network)
    verdict = Judge(setup).verdict(network, ("val",), baselines=False)
    assert [scores.split for scores in verdict.scores] == ["val"] and verdict.baselines == ()
    assert seen.total() == len(setup.data.records["val"])


@pytest.mark.parametrize("task", TASKS)
def test_the_scores_are_those_of_the_chips_one_by_one(small_chips: ChipSet, task: str) -> None:
    setup, network = prepared(small_chips, task)
    data = setup.data
    verdict = Judge(setup).verdict(network, baselines=False)

    def decoded(split: str) -> list[Any]:
        batches = fixed_batches(data.dataset(split), data.batch_size, 0)
        return list(predict_chips(network, batches, data.codec, setup.device, "32"))

    threshold, suppression = None, None
    if data.task.output == OBJECTS and data.codec_for(OBJECTS).one_object is not None:
        threshold = 0.0
    elif data.task.output == OBJECTS:
        suppression, threshold = best_suppression(object_pairs(decoded("val")))
    assert (verdict.threshold, verdict.suppression) == (threshold, suppression)
    for scores in verdict.scores:
        scoring = ChipScoring(data.task, data.codec, data.blocks, threshold)
        for chip in decoded(scores.split):
            scoring.add_chip(chip.suppressed(suppression))
        assert str(scores.scores) == str(tuple(scoring.scores()))


def test_without_validation_chips_the_threshold_comes_from_the_train_split(small_chips: ChipSet) -> None:
    setup, network = prepared(small_chips, "detection")
    setup.data.records["val"] = ()
    verdict = Judge(setup).verdict(network, baselines=False)
    assert [scores.split for scores in verdict.scores] == ["test"]
    assert verdict.threshold is not None and len(verdict.preview) == 4 and verdict.worst == ()


@pytest.mark.parametrize("task", TASKS)
def test_the_network_is_calibrated_on_validation_blocks(small_chips: ChipSet, task: str) -> None:
    setup, network = prepared(small_chips, task)
    calibration = Judge(setup).verdict(network, baselines=False).calibration
    if calibration is None:
        assert setup.data.task.output != RASTER  # too few chips or objects to fit anything to
        return
    spec = calibration.spec()
    assert spec.samples >= FEWEST_SAMPLES
    blocks = {setup.data.blocks[record.chip_id] for record in setup.data.records["val"]}
    assert 0 < spec.blocks <= len(blocks)
    assert set(calibration.measured) == {"val", "test"}
    assert bool(spec.temperature) == (setup.data.task.output != OBJECTS)
    assert calibration_rows(spec)[0][:2] == ("all", "val")
    assert calibration_diagram(calibration, setup.data.classes).startswith(b"\x89PNG")


def test_without_validation_chips_nothing_is_calibrated(small_chips: ChipSet) -> None:
    setup, network = prepared(small_chips, "segmentation")
    setup.data.records["val"] = ()
    assert Judge(setup).verdict(network, baselines=False).calibration is None


def test_scores_are_mapped_to_the_share_that_is_right() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(4000)
    curve = fit_precision(scores, rng.random(4000) < scores**2)
    claimed = np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(curve.of(claimed), claimed**2, atol=0.06)
    few = fit_precision(np.array([0.1, 0.9]), np.array([False, True]))
    assert few.of(np.array([0.0, 1.0])).tolist() == [0.25, 0.75]


def test_a_sample_is_bounded_and_even() -> None:
    mask = np.full((100, 100), 255, np.uint8)
    mask[:50] = 1
    raw = {"logits": np.stack([np.zeros((100, 100)), np.ones((100, 100))]).astype(np.float32)}
    sampler = LogitSampler(2, 2_000_000)
    for number in range(20):
        sampler.add(RawChip(str(number), raw, MaskTarget(mask)), f"block {number % 2}")
    sample = sampler.sample()
    assert len(sample) == pytest.approx(20 * 5000 * 0.1, abs=20)
    assert set(sample.truth.tolist()) == {1} and set(sample.places) == {"block 0", "block 1"}
    assert (sample.logits == [0, 1]).all()


def test_sets_are_fitted_on_validation_blocks_and_measured_on_test_blocks() -> None:
    rng = np.random.default_rng(0)

    def sample(blocks: int) -> LogitSample:
        truth = rng.integers(0, 2, blocks * 50)
        logits = rng.normal(0, 1, (len(truth), 2)).astype(np.float32)
        logits[np.arange(len(truth)), truth] += 1
        places = np.repeat([str(block) for block in range(blocks)], 50).astype(object)
        return LogitSample(logits, truth, places)

    classes = ClassSet.of_names(["wood", "water"])
    spec = prediction_sets({"val": sample(30), "test": sample(40)}, (1.0,), classes)
    assert spec.blocks == (30, 30)
    found = {(s.threshold, s.split, s.class_name): s.value for s in spec.coverage if s.name == COVERAGE}
    assert {wanted for wanted, _, _ in found} == {0.8, 0.9, 0.95}
    for wanted in (0.8, 0.9):
        for name in (None, "wood", "water"):
            assert found[wanted, "test", name] == pytest.approx(wanted + 0.02, abs=0.03)
    assert coverage_rows(spec)[0][:3] == ("0.8", "all", "val")
    few = prediction_sets({"val": sample(3)}, (1.0,), classes)
    assert few.coverage == () and few.blocks == (3, 3)
