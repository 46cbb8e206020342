"""`dry_run`: the cost of a training, measured on its first steps; nothing is written."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from pydantic import JsonValue

from ..chips.chipset import ChipSet
from .judging.scoring import ChipScoring, predict_chips
from .loop.plainsteps import PlainSteps
from .record.results import Summary
from .record.runstate import Clock
from .setup.loading import fixed_batches
from .setup.runsetup import RunSetup, prepare_run
from .trainconfig import TrainConfig

TIMED_STEPS = 3
LONG_MINUTES = 30.0
"""Trainings on a CPU that take longer are answered with advice."""
_ROUNDING = 1e-6  # so that 3 epochs that fill their minutes exactly are not counted as 2
_SMALLER = {"decoder_channels": "[32, 24, 16, 16, 16]", "pyramid_channels": "32"}
"""Options of tasks with a smaller value than the default, which makes the network faster."""


@dataclass(frozen=True)
class DryRun:
    """The cost of a training."""

    setup: RunSetup
    """What would be trained."""
    parameters: int
    """Weights of the network."""
    step_seconds: float
    """Time per batch, reading included."""
    val_seconds: float
    """Time per validation."""
    memory_mb: float | None
    """Peak memory of this process during the steps, or of the GPU; None where the system does not tell."""

    @property
    def epochs(self) -> int:
        """Whole epochs in the budget, at least one."""
        return max(1, int(60 * self.minutes / self._epoch_seconds + _ROUNDING))

    @property
    def steps(self) -> int:
        """Batches in all epochs."""
        return self.setup.plan.steps * self.epochs

    @property
    def minutes(self) -> float:
        """Time for all epochs with their validations, at most the time of the budget.

        Early stopping may shorten it; the scores at the end are not included.
        """
        budget = self.setup.budget
        limits = [] if budget.seconds is None else [budget.seconds]
        if budget.epochs is not None:
            limits.append(budget.epochs * self._epoch_seconds)
        return min(limits) / 60

    @property
    def _epoch_seconds(self) -> float:
        return self.setup.plan.steps * self.step_seconds + self.val_seconds

    @property
    def advice(self) -> str:
        """How to shorten a long training on a CPU, in one line; empty if it is short."""
        if self.setup.device.type != "cpu" or self.minutes <= LONG_MINUTES:
            return ""
        known = type(self.setup.data.task_config).model_fields
        ways = [f"`minutes={LONG_MINUTES:g}`", "fewer `epochs`", "a smaller `backbone` (resnet10t)"]
        ways += [f"`task_options.{name}={value}`" for name, value in _SMALLER.items() if name in known]
        return f"about {self.minutes:.0f} minutes on a CPU; shorter with {', '.join(ways)}, or a GPU"

    def summary(self) -> Summary:
        """The cost as a table, and as values for machines."""
        setup, data = self.setup, self.setup.data
        chip_counts = {split: len(records) for split, records in data.records.items()}
        values: dict[str, JsonValue] = {
            "chips": dict(chip_counts),
            "steps": self.steps,
            "epochs": self.epochs,
            "batch_size": data.batch_size,
            "step_seconds": self.step_seconds,
            "memory_mb": self.memory_mb,
            "minutes": self.minutes,
            "parameters": self.parameters,
            "advice": self.advice,
            "notes": list(data.notes),
        }
        processes = f"{setup.processes.world} processes" if setup.processes.world > 1 else "1 process"
        rows = (
            ("chips", ", ".join(f"{split} {count}" for split, count in chip_counts.items())),
            ("network", f"{data.task.name}, {self.parameters / 1e6:.2f} million weights"),
            ("device", f"{setup.device.type}, precision {setup.precision}, {processes}"),
            ("batch", f"{data.batch_size} chips of {data.chips.chip_px} px per process"),
            ("steps", f"{setup.plan.steps} per epoch, {self.steps} in {self.epochs} epochs"),
            ("time per step", f"{self.step_seconds:.2f} s"),
            ("peak memory", self._memory()),
            ("time", f"at most {self.minutes:.1f} minutes"),
        )
        return Summary(values, ("item", "value"), rows)

    def _memory(self) -> str:
        if self.memory_mb is None:
            return "unknown"
        holder = "process" if self.setup.device.type == "cpu" else "device"
        return f"{self.memory_mb:.0f} MB ({holder})"


def dry_run(chips: ChipSet | str | Path, config: TrainConfig, *, val_fold: int | None = None) -> DryRun:
    """Measure what a training costs.

    Args:
        chips: The chip set, or its folder.
        config: The configuration.
        val_fold: Validate on this fold of a chip set with folds.

    Returns:
        Chips, steps, memory and minutes.

    Raises:
        EoDlError: What `train` would raise before its first step.
    """
    setup = prepare_run(chips, config, val_fold)
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        steps = PlainSteps(setup)
        clock = Clock()
        for number, batch in enumerate(islice(steps.batches(), TIMED_STEPS + 1)):
            steps.step(batch, setup.config.peak_lr)
            if number == 0:
                clock.restart()  # the first step also pays for starting up
        step_seconds = clock.lap() / TIMED_STEPS
        val_seconds = _validation_seconds(steps)
    return DryRun(
        setup=setup,
        parameters=sum(parameter.numel() for parameter in steps.network.parameters()),
        step_seconds=step_seconds,
        val_seconds=val_seconds,
        memory_mb=_peak_mb(setup.device),
    )


def _validation_seconds(steps: PlainSteps) -> float:
    """The time of a validation, estimated from its first batch."""
    setup, data = steps.setup, steps.setup.data
    if not data.records["val"]:
        return 0.0
    scoring = ChipScoring(data.task, data.codec)
    with closing(fixed_batches(data.dataset("val"), data.batch_size, workers=0)) as batches:
        clock = Clock()
        first = islice(batches, 1)
        for chip in predict_chips(steps.network, first, data.codec, setup.device, setup.precision):
            scoring.add_chip(chip)
        scoring.values()
        return clock.lap() * len(batches)


def _peak_mb(device: torch.device) -> float | None:
    """The peak memory, MiB; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # The peak of this program; getrusage would count the program that was replaced by it, too.
    status = Path("/proc/self/status")
    if status.is_file():
        peak_line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak_line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource  # lazy: Windows does not have it

    units_per_mb = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units_per_mb
