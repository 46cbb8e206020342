"""The network of a finished run is asked once about each chip that is scored."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
import torch

from eo_dl.chips.chipset import ChipSet
from eo_dl.networks.tasknetwork import TaskNetwork
from eo_dl.tasks import OBJECTS, available_tasks
from eo_dl.training.judging.judge import Judge
from eo_dl.training.judging.scoring import ChipScoring, object_pairs, predict_chips
from eo_dl.training.judging.thresholds import best_suppression
from eo_dl.training.setup.loading import fixed_batches
from eo_dl.training.setup.runsetup import RunSetup, prepare_run
from eo_dl.training.trainconfig import TrainConfig
from tests.making import tiny_network

TASKS = available_tasks()


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
