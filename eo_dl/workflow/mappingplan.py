"""`plan_mapping`: what `map_scenes` would do, and how long it would take; nothing is kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bundle import Bundle
from ..chips.chipset import ChipSet
from ..core.labelset import LabelSet
from ..core.progress import silent
from ..core.wording import count_of
from ..io.scene import SceneSources
from ..networks.compute import Compute
from ..training.dryrun import DryRun, dry_run
from ..training.taskchoice import with_task
from ..training.trainconfig import TrainConfig
from .mapping import MappingJob, mapping_job


@dataclass(frozen=True)
class PlannedStep:
    """What a step would do."""

    step: str
    """Its name."""

    what: str
    """What it would do, in words."""

    seconds: float
    """About how long it would take."""


@dataclass(frozen=True)
class MappingPlan:
    """What `map_scenes` would do."""

    task: str
    """What would be learnt."""

    steps: tuple[PlannedStep, ...]
    """The steps in their order."""

    notes: tuple[str, ...]
    """What would be decided on the way."""

    @property
    def minutes(self) -> float:
        """About how long all steps would take."""
        return sum(step.seconds for step in self.steps) / 60

    def values(self) -> dict[str, object]:
        """The plan as plain values, for JSON."""
        steps = [{"step": step.step, "what": step.what, "seconds": step.seconds} for step in self.steps]
        return {"task": self.task, "minutes": self.minutes, "steps": steps, "notes": list(self.notes)}

    def rows(self) -> list[tuple[str, str, str]]:
        """The plan as a table."""
        rows = [(step.step, step.what, _time(step.seconds)) for step in self.steps]
        return [*rows, ("all", "", _time(60 * self.minutes))]


def plan_mapping(
    scenes: SceneSources,
    labels: LabelSet | str | Path,
    *,
    start: Bundle | str | Path | None = None,
    task: str | None = None,
    minutes: float | None = None,
    size_px: int | None = None,
    gsd_m: float | None = None,
    annotated: str | Path | None = None,
    seed: int = 0,
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    compute: Compute = Compute(),
) -> MappingPlan:
    """What `map_scenes` would do with these parameters, which it describes.

    Chips are cut into a temporary folder, and a few steps of training are measured.

    Raises:
        EoDlError: What `map_scenes` would raise before it trains.
    """
    job = mapping_job(
        scenes,
        labels,
        start=start,
        task=task,
        minutes=minutes,
        size_px=size_px,
        gsd_m=gsd_m,
        annotated=annotated,
        seed=seed,
        config=config,
        compute=compute,
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        chips = job.make_chips(Path(folder) / "chips", silent)
        tile_seconds = time.monotonic() - started
        training = dry_run(chips, with_task(job.config, chips))
    return MappingPlan(
        task=training.setup.data.task.name,
        steps=_steps(job, chips, tile_seconds, training),
        notes=(*chips.notes, *training.setup.data.notes),
    )


def _steps(job: MappingJob, chips: ChipSet, tile_seconds: float, training: DryRun) -> tuple[PlannedStep, ...]:
    counts = {split: len(chips.split(split)) for split in ("train", "val", "test")}
    # The engine of `predict` is at least as fast as a validation, which runs the network as training does.
    val_chips = len(training.setup.data.records["val"])
    chip_seconds = training.val_seconds / val_chips if val_chips else training.step_seconds
    ground_px2 = sum(scene.grid.height * scene.grid.width for scene in chips.scenes)
    map_chips = max(len(chips.scenes), round(ground_px2 / chips.chip_px**2))
    cut = f"{sum(counts.values())} chips of {chips.chip_px} px: " + ", ".join(
        f"{count} {split}" for split, count in counts.items()
    )
    task, network = training.setup.data.task.name, training.setup.data.task_config.network
    budget = training.setup.budget.describe(training.setup.plan.steps)
    learn = f"{task} with {network}, {budget}, then scoring"
    scored = f"score the map on {counts['test']} test chips" if counts["test"] else "nothing: no test chips"
    return (
        PlannedStep("chips", cut, tile_seconds),
        PlannedStep("model", learn, 60 * training.minutes),
        PlannedStep(
            "map",
            f"{count_of(len(job.scenes), 'scene')}, about {count_of(map_chips, 'chip')}",
            chip_seconds * map_chips,
        ),
        PlannedStep("report", scored, chip_seconds * counts["test"]),
    )


def _time(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{max(1, round(seconds))} s"
