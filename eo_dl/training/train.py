"""The verb `train`: from a chip set to a model, scored on ground it has not seen."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..bundle import Bundle, save_bundle
from ..chips.chipset import ChipSet, open_chip_set
from ..core.progress import OnProgress, silent
from ..core.seeds import derived_seed
from ..errors import ConfigError
from ..modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from ..networks.network import TaskNetwork
from .clock import Clock
from .config import TrainConfig, resolve_config
from .curves import draw_curves
from .device import choose_device, choose_precision
from .judge import Judge, Verdict
from .loading import fixed_batches, train_batches, worker_count
from .prepare import Prepared, prepare
from .preview import draw_preview
from .provenance import provenance
from .results import Run
from .runfolder import RunFolder
from .sampler import EpochPlan
from .scoring import ChipScoring
from .state import RunState
from .stop import stop_on_signals

log = logging.getLogger(__name__)

_DRAW_SECONDS = 20.0  # curves of a run whose epochs take less are not drawn after each


def train(
    chips: ChipSet | str | Path,
    task: str | None = None,
    *,
    out: str | Path,
    network: str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    config: TrainConfig | str | Path | None = None,
    device: str | None = None,
    precision: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Run:
    """A model of a chip set, written to `out` (`NAME.eodl`) once it is trained and scored.

    What is given here goes before `config`. Logs, curves and pictures lie in `NAME.run/`. The best weights on the
    validation split are kept and scored once on the test split; both scores stand beside those of simple baselines.

    `resume=True` continues a killed run; on a CPU its weights are equal, bit for bit, to those of an unbroken one. Where
    there is nothing to continue it starts. Ctrl-C, SIGTERM and `Cancelled` raised by `on_progress` stop between two
    steps with a checkpoint. Raises `ConfigError`, `ChipSetError`, `OutputExistsError`, `DeviceError` before any work, and
    `TrainingError` where a loss is not finite.

        run = train("chips/", task="segmentation", out="model.eodl", epochs=30)
        run.model, run.scores
    """
    settled = resolve_config(
        config,
        task=task,
        network=network,
        backbone=backbone,
        weights=weights,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        device=device,
        precision=precision,
    )
    folder = RunFolder.of(out, overwrite)
    place = choose_device(settled.device)
    rounding = choose_precision(settled.precision, place)
    prepared = prepare(chips if isinstance(chips, ChipSet) else open_chip_set(chips), settled)
    started = _new_network(prepared)  # before anything is written: it refuses backbones and weights that do not fit
    restored = folder.begin(_identity(prepared, rounding), resume=resume, overwrite=overwrite)
    job = Job(prepared, folder, place, rounding, on_progress)
    state = job.run(started, restored)
    return job.finish(state, started, overwrite)


@dataclass(frozen=True)
class Job:
    """One run on one device."""

    prepared: Prepared
    folder: RunFolder
    device: torch.device
    precision: str
    on_progress: OnProgress
    _since_drawn: Clock = field(default_factory=Clock, repr=False, compare=False)

    @property
    def workers(self) -> int:
        """Worker processes for reading."""
        return worker_count(self.prepared.config.workers, self.device)

    def run(self, network: TaskNetwork, restored: dict[str, Any] | None) -> RunState:
        """Train, from the start or from a checkpoint; `network` ends with its best weights."""
        state = RunState(self.prepared.config.epochs)
        if restored is not None:
            state = RunState.from_dict(restored["state"])
            network.load_state_dict(restored["network"])
            log.info("continuing after step %d (epoch %d)", state.step, state.epoch + 1)
        if state.stopped is None:
            self._fit(network, state, restored)
        assert state.best_epoch is not None
        log.info("stopped: %s; best epoch %d", state.stopped, state.best_epoch)
        network.load_state_dict(self.folder.checkpoints.load_best(state.best_epoch))
        network.to(self.device)
        return state

    def finish(self, state: RunState, network: TaskNetwork, overwrite: bool) -> Run:
        """Score, draw, and write the model."""
        verdict = Judge(self.prepared, self.device, self.precision, self.workers).verdict(network)
        picture = draw_preview(verdict.preview, self.prepared.classes)
        (self.folder.path / "preview.png").write_bytes(picture)
        notes = (*self.prepared.notes, *self._notes_of(network))
        spec = _spec(self.prepared, state, verdict, notes, self.folder.out.stem)
        weights = {name: tensor.contiguous() for name, tensor in network.cpu().state_dict().items()}
        bundle: Bundle = save_bundle(self.folder.out, spec, weights, preview=picture, overwrite=overwrite)
        self.folder.finish()
        return Run(bundle, self.folder.path, self.prepared.task.primary_score, verdict.scores, verdict.baselines, tuple(state.history), notes)

    def _fit(self, network: TaskNetwork, state: RunState, restored: dict[str, Any] | None) -> None:
        # Lazy: Lightning takes seconds to load, and is not needed to say that an input is wrong.
        from .fit import fit
        from .module import RunParts, TrainingModule

        config, prepared = self.prepared.config, self.prepared
        plan = EpochPlan(len(prepared.records["train"]), prepared.batch_size, config.seed, config.min_steps)
        with stop_on_signals() as stop:
            parts = RunParts(
                config=config,
                plan=plan,
                state=state,
                checkpoints=self.folder.checkpoints,
                new_scoring=lambda: ChipScoring(prepared.task, prepared.codec),
                on_progress=self.on_progress,
                on_epoch=self._after_epoch,
                stop=stop,
                primary=prepared.task.primary_score,
            )
            train = train_batches(prepared.dataset("train", augmented=True), plan, lambda: (state.epoch, state.batch), self.workers)
            val = fixed_batches(prepared.dataset("val"), prepared.batch_size, self.workers) if prepared.records["val"] else None
            fit(TrainingModule(network, parts, restored), train, val, folder=self.folder.path, device=self.device, precision=self.precision)

    def _after_epoch(self, state: RunState) -> None:
        primary = self.prepared.task.primary_score
        row = state.history[-1]
        self.folder.write_history(state.history)
        if state.stopped is not None or self._since_drawn.seconds > _DRAW_SECONDS:
            draw_curves(state.history, primary, state.best_epoch, self.folder.path / "curves.png")
            self._since_drawn.restart()
        best = "" if state.best_score is None else f", best {state.best_score:.3f} (epoch {state.best_epoch})"
        score = row.get(f"val_{primary}", float("nan"))
        log.info("epoch %d/%d: loss %.4f, %s %.3f%s", row["epoch"], state.planned_epochs, row.get("train_loss", float("nan")), primary, score, best)

    def _notes_of(self, network: TaskNetwork) -> tuple[str, ...]:
        report = getattr(network, "weights_report", None)
        return (report.describe(),) if report is not None else ()


def _new_network(prepared: Prepared) -> TaskNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(prepared.config.seed, "weights"))
        return prepared.task.make_network(prepared.task_config, prepared.inputs)


def _spec(prepared: Prepared, state: RunState, verdict: Verdict, notes: tuple[str, ...], name: str) -> ModelSpec:
    chips = prepared.chips
    return ModelSpec(
        name=name,
        task=prepared.task.name,
        config=prepared.task_config.model_dump(mode="json"),
        bands=band_specs(chips.bands),
        classes=class_specs(prepared.classes),
        gsd_m=chips.gsd_m,
        chip_px=chips.chip_px,
        margin_px=margin_px(prepared),
        normalization=NormalizationSpec(mean=prepared.normalization.mean, std=prepared.normalization.std),
        thresholds=verdict.thresholds,
        scores=tuple(spec for found in verdict.scores for spec in found.specs()),
        provenance=provenance(prepared, state, verdict.baselines, notes),
    )


def margin_px(prepared: Prepared) -> int:
    """Context around a chip at prediction, px a side: an eighth of the chip, and half of nearly every train object where objects are found.

    The chip grid keeps objects up to twice the margin whole; a third of the chip is the most that is given for it.
    """
    chip_px = prepared.chips.chip_px
    margin = chip_px // 8
    sizes = prepared.inputs.object_sizes_px
    if sizes is not None and len(sizes):
        longest = sorted(float(side) for side in sizes.max(axis=1))
        margin = max(margin, int(longest[int(0.98 * (len(longest) - 1))] / 2) + 2)
    return min(margin, chip_px // 3)


def _identity(prepared: Prepared, precision: str) -> dict[str, Any]:
    """What a run is made of; see `RunFolder.begin`."""
    used = [(split, record.chip_id) for split, records in prepared.records.items() for record in records]
    weights = prepared.config.weights
    return {
        "chip set": prepared.chips.content_hash,
        "chips used": hashlib.sha256(json.dumps(used).encode()).hexdigest(),
        "config": prepared.config.model_dump(mode="json"),
        "task config": prepared.task_config.model_dump(mode="json"),
        "precision": precision,
        "batch size": prepared.batch_size,
        "weights file": "none" if weights == "none" else _file_hash(Path(weights)),
    }


def _file_hash(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; --weights takes none or the path of a file to start the encoder from")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
