"""The verb `train`: from a chip set to a model, scored on ground it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from ..chips.chipset import ChipSet, open_chip_set
from ..core.progress import OnProgress, silent
from ..io.outputlock import run_lock
from ..networks.compute import Compute
from .loop.trainingrun import TrainingRun
from .record.results import TrainingResult
from .record.runfolder import RunFolder
from .setup.caching import cached
from .setup.processes import process_layout
from .setup.runsetup import prepare_run
from .taskchoice import with_task
from .trainconfig import TrainConfig, resolve_config


def train(
    chips: ChipSet | str | Path,
    task: str | None = None,
    *,
    out: str | Path,
    backbone: str | None = None,
    weights: str | None = None,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    config: TrainConfig | Mapping[str, object] | str | Path | None = None,
    compute: Compute = Compute(),
    val_fold: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> TrainingResult:
    """Train a model on a chip set and score it on ground that it has not seen.

    The weights that are best on the validation split become the model; it is scored once on the test split,
    next to simple baselines. Logs, curves and pictures are written to `NAME.run/` beside `out`. Ctrl-C,
    SIGTERM and `Cancelled` raised by `on_progress` stop between two steps with a checkpoint; Ctrl-C also
    leaves the best weights so far, as a model that is marked as unfinished. Several processes (`devices` in
    the configuration, torchrun, SLURM) share the work; all but the first end when it is done (`SystemExit`).

    Args:
        chips: The chip set or its folder.
        task: What to learn, e.g. "segmentation" or "detection" (default: as in `config`, else by the labels;
            the choice is logged with its reason).
        out: The model file, `NAME.eodl`.
        backbone: Name of the timm model that extracts features, e.g. "resnet18".
        weights: Weights to start from: "auto", "none", "imagenet", the name of published weights, or a file.
        minutes: Time for training; the learning rate is planned for it (default: no limit if `epochs` is set,
            otherwise 10 on a CPU and 30 on a GPU).
        epochs: Number of epochs (default: as many as there is time for if `minutes` is set, otherwise 20, and
            with few chips as many as make 1000 steps).
        seed: Random seed; the same seed gives the same weights on one machine.
        config: All other options: a `TrainConfig`, a YAML file, or a mapping of keys such as
            {"min_steps": 12, "task_options.network": "unet"}. The other parameters go before it.
        compute: Device, precision, batch size and number of readers.
        val_fold: Validate on this fold of a chip set with folds.
        resume: Continue a run that was stopped; on a CPU its weights equal those of an unbroken run, bit for
            bit. Without a stopped run, start.
        overwrite: Replace an existing model and run.
        on_progress: Called with (steps done, total, what).

    Returns:
        The model, its scores, and those of the baselines.

    Raises:
        ConfigError: An option is unknown, out of range, or does not fit the chips; or two tasks fit the
            labels equally.
        ChipSetError: The chip set cannot be used for training.
        OutputExistsError: `out` exists.
        DeviceError: This machine has no such device.
        TrainingError: A loss is not finite.

    Example:
        >>> run = train("chips/", "segmentation", out="model.eodl", minutes=8)  # doctest: +SKIP
        >>> run.model, run.scores  # doctest: +SKIP
    """
    overrides = {
        "task_options.backbone": backbone,
        "weights": weights,
        "minutes": minutes,
        "epochs": epochs,
        "seed": seed,
    }
    resolved = resolve_config(config, task=task, compute=compute, overrides=overrides)
    is_first = process_layout(resolved).rank == 0
    # Only the first process writes.
    with run_lock(out) if is_first else nullcontext():
        folder = RunFolder.of(out, overwrite, resume)
        chip_set = open_chip_set(chips)
        setup = prepare_run(chip_set, with_task(resolved, chip_set), val_fold)
        network = setup.new_network()  # before anything is written: it refuses weights that do not fit
        checkpoint = folder.begin(setup.identity(), resume=resume, overwrite=overwrite) if is_first else None
        with cached(setup, folder.path, on_progress if is_first else silent) as setup_with_cache:
            run = TrainingRun(setup_with_cache, folder, on_progress)
            state = run.run(network, checkpoint)
            if not is_first:
                raise SystemExit(0)
            return run.finish(network, state)
