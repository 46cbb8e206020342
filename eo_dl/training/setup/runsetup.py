"""`RunSetup`: a chip set, a configuration and a device, put together but not yet begun; nothing is written for
it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...chips.chipset import ChipSet, open_chip_set
from ...core.seeds import derived_seed
from ...errors import ChipSetError, ConfigError
from ...networks.device import choose_device, choose_precision
from ...networks.tasknetwork import TaskNetwork
from ...networks.weights import load_rest
from ...tasks import NetworkInputs, Task, TaskConfig, load_task
from ..trainconfig import TrainConfig, task_name
from .freeze import check_freeze
from .loading import worker_count
from .processes import ProcessLayout, process_layout, refuse_without_program
from .sampler import EpochPlan
from .taskdata import TaskData, prepare_data


@dataclass(frozen=True)
class RunSetup:
    """What will be trained, on what."""

    data: TaskData
    device: torch.device
    precision: str
    processes: ProcessLayout

    @property
    def config(self) -> TrainConfig:
        """The configuration."""
        return self.data.config

    @property
    def workers(self) -> int:
        """Worker processes for reading."""
        return worker_count(self.config.workers, self.device)

    @property
    def plan(self) -> EpochPlan:
        """Which chips are seen in which step; every process takes its part of each batch."""
        size = self.data.batch_size * self.processes.world
        return EpochPlan(
            len(self.data.records["train"]),
            size,
            self.config.seed,
            self.config.min_steps,
            self.processes.world,
        )

    def new_network(self) -> TaskNetwork:
        """The network as it begins. Raises `ConfigError` and `BundleError` for backbones and weights that do
        not fit.
        """
        ready = self.data
        return begin_network(
            ready.task,
            ready.task_config,
            ready.inputs,
            self.config,
            derived_seed(self.config.seed, "weights"),
        )

    def identity(self) -> dict[str, Any]:
        """What a run is made of; see `RunFolder.begin`."""
        used = [(split, record.chip_id) for split, records in self.data.records.items() for record in records]
        start = self.data.inputs.weights
        return {
            "chip set": self.data.chips.content_hash,
            "chips used": hashlib.sha256(json.dumps(used).encode()).hexdigest(),
            "config": {
                **self.config.model_dump(mode="json"),
                "task_options": self.data.task_config.model_dump(mode="json"),
            },
            "precision": self.precision,
            "batch size": self.data.batch_size,
            "processes": self.processes.world,
            "weights file": start
            if isinstance(start, str)
            else start.where
            if start.file is None
            else _file_hash(start.file),
        }


def prepare_run(chips: ChipSet | str | Path, config: TrainConfig, val_fold: int | None = None) -> RunSetup:
    """Everything looked at that can be wrong before any work. `val_fold`: validate on this fold of the chip
    set.

    Raises `ConfigError`, `ChipSetError` and `DeviceError`.
    """
    processes = process_layout(config)
    device = choose_device(config.device)
    if processes.world > 1 and device.index is not None:
        raise ConfigError(
            f"`device` {config.device}: each of the {processes.world} processes takes a GPU of its own; use cuda"
        )
    precision = choose_precision(
        config.precision, device, bfloat16=load_task(task_name(config)).output.bfloat16
    )
    opened = open_chip_set(chips)
    if val_fold is not None:
        opened = opened.with_val_fold(val_fold)
    setup = RunSetup(prepare_data(opened, config), device, precision, processes)
    few = [name for name in ("train", "val") if 0 < len(setup.data.records[name]) < processes.world]
    if few:
        raise ChipSetError(
            f"{opened.path}: {len(setup.data.records[few[0]])} {few[0]} chips are too few for {processes.world} processes; use fewer (`devices`)"
        )
    refuse_without_program(processes)
    return setup


def begin_network(
    task: Task, task_config: TaskConfig, inputs: NetworkInputs, config: TrainConfig, seed: int
) -> TaskNetwork:
    """Random numbers are those of `seed`, and nobody else's are used up. Raises `ConfigError` and
    `BundleError` for backbones and weights that do not fit.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = task.make_network(task_config, inputs)
    if config.weights_for == "network":
        if isinstance(inputs.weights, str) or network.weights_report is None:
            raise ConfigError(
                "`weights_for=network`: there is no model to start from; name an .eodl file as `weights`"
            )
        network.weights_report = load_rest(
            network, network.class_layers, inputs.weights, inputs.classes, network.weights_report
        )
    check_freeze(network, config)
    return network


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
