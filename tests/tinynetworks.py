"""The smallest network of every architecture of every task, for tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eo_dl.bundle import Bundle, save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.networks.tasknetwork import TaskNetwork
from eo_dl.tasks import NetworkInputs, Task, TaskConfig, available_tasks, load_task
from tests.making import tiny_network

SIZE = 64
BANDS = 4
BAND_NAMES = ("blue", "green", "red", "nir")
TASKS = [load_task(name) for name in available_tasks()]
EVERY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
EVERY_NETWORK = pytest.mark.parametrize(
    "task",
    [replace(task, networks=(network,)) for task in TASKS for network in task.networks],
    ids=lambda task: f"{task.name}-{task.networks[0]}",
)
# For what takes seconds per network: each task's first network is quick, the others are slow.
EVERY_NETWORK_FIRST_QUICK = pytest.mark.parametrize(
    "task",
    [
        pytest.param(
            replace(task, networks=(network,)),
            id=f"{task.name}-{network}",
            marks=[pytest.mark.slow] if index else [],
        )
        for task in TASKS
        for index, network in enumerate(task.networks)
    ],
)


def network_inputs(task: Task) -> NetworkInputs:
    classes = task.output_classes(ClassSet.of_names(["roof", "pond"]), {0: 0.8, 1: 0.1, 2: 0.1})
    return NetworkInputs(BANDS, classes, SIZE, object_sizes_px=np.full((9, 2), 14.0))


def tiny_config(task: Task) -> TaskConfig:
    return task.settle(
        task.config.model_validate({"network": task.networks[0], **tiny_network(task.name)}),
        network_inputs(task),
    )


def make_tiny_network(task: Task, config: TaskConfig | None = None) -> TaskNetwork:
    torch.manual_seed(0)
    return task.make_network(config or tiny_config(task), network_inputs(task))


def tiny_spec(task: Task, config: TaskConfig, classes: ClassSet) -> ModelSpec:
    bands = BandSet(tuple(Band(name, number) for number, name in enumerate(BAND_NAMES, start=1)))
    return ModelSpec(
        task=task.name,
        config=config.model_dump(mode="json"),
        bands=band_specs(bands),
        classes=class_specs(classes),
        gsd_m=0.5,
        chip_px=SIZE,
        margin_px=8,
        normalization=NormalizationSpec(mean=(0.0,) * BANDS, std=(1.0,) * BANDS),
    )


def tiny_bundle(task: Task, path: Path) -> Bundle:
    """An untrained network as a bundle."""
    config, network = tiny_config(task), make_tiny_network(task)
    spec = tiny_spec(task, config, network_inputs(task).classes)
    return save_bundle(path, spec, network.state_dict())
