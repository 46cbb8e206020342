"""A chip set, a configuration and a machine, put together and checked; nothing is written yet."""

from __future__ import annotations

import hashlib
import json
import os
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
from .budget import Budget, budget_of
from .freeze import check_freeze
from .hardware import Hardware
from .loading import worker_count
from .processes import ProcessLayout, process_layout, refuse_without_program
from .sampler import EpochPlan
from .taskdata import TaskData, prepare_data

_WORKERS_PER_PROCESSOR, _LEAST_WORKERS = 4, 16
"""How many worker processes may be asked for."""


@dataclass(frozen=True)
class RunSetup:
    """Everything that is fixed before a run begins."""

    data: TaskData
    """The chips as the task sees them."""
    hardware: Hardware
    """On what it computes."""

    @property
    def config(self) -> TrainConfig:
        """The configuration."""
        return self.data.config

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.hardware.device

    @property
    def precision(self) -> str:
        """ "32", "bf16" or "16"."""
        return self.hardware.precision

    @property
    def processes(self) -> ProcessLayout:
        """Which processes share the work."""
        return self.hardware.processes

    @property
    def workers(self) -> int:
        """Worker processes that read chips, for each process of the run."""
        return worker_count(self.config.workers, self.device)

    @property
    def plan(self) -> EpochPlan:
        """Which chips are in which batch; each process takes its part of every batch."""
        return EpochPlan(
            count=len(self.data.records["train"]),
            batch_size=self.data.batch_size * self.processes.world,
            seed=self.config.seed,
            min_steps=self.config.min_steps,
            parts=self.processes.world,
        )

    @property
    def budget(self) -> Budget:
        """How long the run may take."""
        return budget_of(self.config, self.plan.steps, on_cpu=self.device.type == "cpu")

    def describe_budget(self) -> str:
        """The budget in one line; where nobody chose it, with the parameter that does."""
        said = self.budget.describe(self.plan.steps)
        chosen = self.config.epochs is not None or self.config.minutes is not None
        return said if chosen else f"{said}; `minutes` changes it"

    def new_network(self) -> TaskNetwork:
        """The network at step 0, on the CPU.

        Raises:
            ConfigError: The backbone is unknown, or cannot be frozen as configured.
            BundleError: The weights do not fit the network.
        """
        seed = derived_seed(self.config.seed, "weights")
        return initial_network(self.data.task, self.data.task_config, self.data.inputs, self.config, seed)

    def identity(self) -> dict[str, Any]:
        """What decides the weights of the run; a stopped run is only continued by one of the same
        identity."""
        chips_used = [
            (split, record.chip_id) for split, records in self.data.records.items() for record in records
        ]
        config = self.config.model_dump(mode="json")
        config["task_options"] = self.data.task_config.model_dump(mode="json")
        return {
            "chip set": self.data.chips.content_hash,
            "chips used": hashlib.sha256(json.dumps(chips_used).encode()).hexdigest(),
            "config": config,
            "precision": self.precision,
            "batch size": self.data.batch_size,
            "processes": self.processes.world,
            "weights file": _weights_identity(self.data.inputs),
        }


def _check_batch(batch_size: int | None, processes: int, chips: int) -> None:
    """Refuse a chosen batch that is larger than an epoch: it would hold chips several times."""
    if batch_size is not None and batch_size * processes > chips:
        each = "" if processes == 1 else f" for each of {processes} processes"
        raise ConfigError(
            f"`batch_size` {batch_size}{each}: there are only {chips} train chips; take at most "
            f"{max(2, chips // processes)}, or leave it out"
        )


def _check_workers(workers: int | None) -> None:
    """Refuse more worker processes than a machine can have a use for: each takes hundreds of megabytes."""
    processors = os.cpu_count() or 1
    most = max(_LEAST_WORKERS, _WORKERS_PER_PROCESSOR * processors)
    if workers is not None and workers > most:
        raise ConfigError(
            f"`workers` {workers}: this machine has {processors} processors; take at most {most}, or leave "
            "it out"
        )


def prepare_run(chips: ChipSet | str | Path, config: TrainConfig, val_fold: int | None = None) -> RunSetup:
    """Check everything that can be wrong before any work.

    Args:
        chips: The chip set, or its folder.
        config: The configuration.
        val_fold: Validate on this fold of a chip set with folds (default: the splits of the chip set).

    Raises:
        ConfigError: An option is unknown or does not fit the others.
        ChipSetError: Not a chip set, or too few chips.
        DeviceError: The device is not available.
    """
    processes = process_layout(config)
    device = choose_device(config.device)
    if processes.world > 1 and device.index is not None:
        raise ConfigError(
            f"`device` {config.device}: each of the {processes.world} processes takes a GPU of its own; use "
            "cuda"
        )
    output = load_task(task_name(config)).output
    precision = choose_precision(config.precision, device, bfloat16=output.bfloat16)
    chip_set = open_chip_set(chips)
    if val_fold is not None:
        chip_set = chip_set.with_val_fold(val_fold)
    data = prepare_data(chip_set, config, on_cpu=device.type == "cpu")
    _check_batch(config.batch_size, processes.world, len(data.records["train"]))
    _check_workers(config.workers)
    for split in ("train", "val"):
        count = len(data.records[split])
        if 0 < count < processes.world:
            raise ChipSetError(
                f"{chip_set.path}: {count} {split} chips are too few for {processes.world} processes; "
                f"use fewer `devices`"
            )
    refuse_without_program(processes)
    return RunSetup(data, Hardware(device, precision, processes))


def initial_network(
    task: Task, task_config: TaskConfig, inputs: NetworkInputs, config: TrainConfig, seed: int
) -> TaskNetwork:
    """The network of a task with its initial weights.

    Args:
        task: The task.
        task_config: Its settled options.
        inputs: What the data decide; `inputs.weights` is where the backbone starts.
        config: The training's configuration.
        seed: Of the random weights; torch's global generator is left as it was.

    Raises:
        ConfigError: The backbone is unknown, or cannot be frozen as configured.
        BundleError: The weights do not fit the network.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = task.make_network(task_config, inputs)
    if config.weights_for == "network":
        if isinstance(inputs.weights, str) or network.weights_report is None:
            raise ConfigError(
                "`weights_for=network`: there is no model to start from; give one as `weights`, e.g. "
                "model.eodl"
            )
        network.weights_report = load_rest(
            network, network.class_layers, inputs.weights, inputs.classes, network.weights_report
        )
    check_freeze(network, config)
    return network


def _weights_identity(inputs: NetworkInputs) -> str:
    """The initial weights: "none", their name, or the hash of their file."""
    source = inputs.weights
    if isinstance(source, str):
        return source
    if source.file is None:
        return source.where
    with source.file.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
