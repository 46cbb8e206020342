"""`dry_run`: what a training will take, before anything starts. Three steps are taken for it, and nothing is
left behind.
"""

from __future__ import annotations

import sys
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
_SMALLER = {"decoder_channels": "[64, 32, 24, 16, 16]", "pyramid_channels": "64"}


@dataclass(frozen=True)
class DryRun:
    """`step_seconds` includes reading; `minutes` counts all epochs with their validations, early stopping and
    the final scores aside.

    `memory_mb`: the most that this process (or, on a GPU, the device) held during the steps, None where the
    system does not say.
    """

    setup: RunSetup
    parameters: int
    step_seconds: float
    val_seconds: float
    memory_mb: float | None

    @property
    def steps(self) -> int:
        """Steps in all epochs."""
        return self.setup.plan.steps * self.setup.config.epochs

    @property
    def minutes(self) -> float:
        """Minutes for all epochs, or `max_minutes` where that is less."""
        config = self.setup.config
        return min(
            (self.steps * self.step_seconds + config.epochs * self.val_seconds) / 60,
            config.max_minutes or float("inf"),
        )

    @property
    def advice(self) -> str:
        """What would make a long run on a CPU shorter, in one line; empty where it is short."""
        if self.setup.device.type != "cpu" or self.minutes <= LONG_MINUTES:
            return ""
        known = type(self.setup.data.task_config).model_fields
        smaller = [f"`task_options.{name}={value}`" for name, value in _SMALLER.items() if name in known]
        ways = [
            f"`max_minutes={LONG_MINUTES:g}`",
            "fewer `epochs`",
            "a smaller `backbone` (resnet10t)",
            *smaller,
            "a GPU",
        ]
        return f"about {self.minutes:.0f} minutes on a CPU; shorter with {', '.join(ways)}"

    def summary(self) -> Summary:
        """As a table for people and as values for machines."""
        setup, data = self.setup, self.setup.data
        counts = {split: len(records) for split, records in data.records.items()}
        memory = (
            "not known"
            if self.memory_mb is None
            else f"{self.memory_mb:.0f} MB ({'process' if setup.device.type == 'cpu' else 'device'})"
        )
        rows = (
            ("chips", ", ".join(f"{name} {number}" for name, number in counts.items())),
            ("network", f"{data.task.name}, {self.parameters / 1e6:.2f} million weights"),
            (
                "device",
                f"{setup.device.type}, precision {setup.precision}, {setup.processes.world} process{'es' * (setup.processes.world > 1)}",
            ),
            ("batch", f"{data.batch_size} chips of {data.chips.chip_px} px a process"),
            ("steps", f"{setup.plan.steps} an epoch, {self.steps} in {setup.config.epochs} epochs"),
            ("a step", f"{self.step_seconds:.2f} s"),
            ("memory", memory),
            ("time", f"{self.minutes:.1f} minutes at most"),
        )
        values: dict[str, JsonValue] = {
            "chips": dict(counts),
            "steps": self.steps,
            "epochs": setup.config.epochs,
            "batch_size": data.batch_size,
        }
        measured: dict[str, JsonValue] = {
            "step_seconds": self.step_seconds,
            "memory_mb": self.memory_mb,
            "minutes": self.minutes,
            "parameters": self.parameters,
        }
        return Summary(
            {**values, **measured, "advice": self.advice, "notes": list(data.notes)},
            ("what", "how much"),
            rows,
        )


def dry_run(chips: ChipSet | str | Path, config: TrainConfig, *, val_fold: int | None = None) -> DryRun:
    """Chips, steps, memory and minutes of a training. Raises what `train` would raise before its first step."""
    setup = prepare_run(chips, config, val_fold)
    if setup.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        steps = PlainSteps(setup)
        clock = Clock()
        for number, batch in enumerate(islice(steps.batches(), TIMED_STEPS + 1)):
            steps.step(batch, config.lr)
            if number == 0:
                clock.restart()  # the first one also pays for starting up
        step_seconds = clock.lap() / TIMED_STEPS
        val_seconds = _validation_seconds(steps)
    trained = sum(p.numel() for p in steps.network.parameters())
    return DryRun(setup, trained, step_seconds, val_seconds, _peak_mb(setup.device))


def _validation_seconds(steps: PlainSteps) -> float:
    """Of all validation batches, by the first one."""
    setup, data = steps.setup, steps.setup.data
    if not data.records["val"]:
        return 0.0
    batches = fixed_batches(data.dataset("val"), data.batch_size, 0)
    clock = Clock()
    scoring = ChipScoring(data.task, data.codec)
    first = islice(batches, 1)
    for chip in predict_chips(steps.network, first, data.codec, setup.device, setup.precision):
        scoring.add_chip(chip)
    scoring.values()
    return clock.lap() * len(batches)


def _peak_mb(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # its peak is this program's; getrusage counts what was there before it, too
    status = Path("/proc/self/status")
    if status.is_file():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
            / 2**10
        )
    if sys.platform == "win32":
        return None
    import resource  # there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
