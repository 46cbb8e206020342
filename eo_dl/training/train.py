"""The verb `train`: from a chip set to a model, scored on ground it has not seen."""

from __future__ import annotations

from pathlib import Path

from ..chips.chipset import ChipSet
from ..core.progress import OnProgress, silent
from .loop.trainingrun import TrainingRun
from .record.results import TrainingResult
from .record.runfolder import RunFolder
from .setup.runsetup import prepare_run
from .trainconfig import TrainConfig, resolve_config


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
    val_fold: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> TrainingResult:
    """A model of a chip set, written to `out` (`NAME.eodl`) once it is trained and scored.

    What is given here goes before `config`. Logs, curves and pictures lie in `NAME.run/`. The best weights on
    the validation split are kept and scored once on the test split; both scores stand beside those of simple
    baselines.

    `resume=True` continues a killed run; on a CPU its weights are equal, bit for bit, to those of an unbroken
    one. Where there is nothing to continue it starts. Ctrl-C, SIGTERM and `Cancelled` raised by `on_progress`
    stop between two steps with a checkpoint; Ctrl-C also leaves the best weights so far as a model that says
    it is unfinished.

    `val_fold`: validate on this fold of a chip set with folds. Several processes (`devices` in the
    configuration, torchrun, SLURM) share the work; all but the first end when it is done (`SystemExit`).
    Raises `ConfigError`, `ChipSetError`, `OutputExistsError`, `DeviceError` before any work, and
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
    folder = RunFolder.of(out, overwrite, resume)
    setup = prepare_run(chips, settled, val_fold)
    # before anything is written: it refuses backbones and weights that do not fit
    network_ = setup.new_network()
    first = setup.processes.rank == 0
    restored = folder.begin(setup.identity(), resume=resume, overwrite=overwrite) if first else None
    job = TrainingRun(setup, folder, on_progress)
    state = job.run(network_, restored)
    if not first:
        raise SystemExit(0)
    return job.finish(state, network_)
