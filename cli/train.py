"""`eo-dl train`: a chip set to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table
from .scoretable import score_lines

if TYPE_CHECKING:
    from eo_dl.chips.chipset import ChipSet
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.networks.compute import Compute
    from eo_dl.training.trainconfig import TrainConfig


_CONFIG_HEADER = """\
# All options of `eo-dl train`. Pass a file like this one with --config FILE; it needs only the keys that it
# changes. Change a single option with --set KEY=VALUE, e.g. --set lr=0.0005 or
# --set task_options.backbone=resnet34.

"""


class TaskOption(click.Option):
    """An option that lists the tasks only when its help is shown: listing them takes half a second."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The flag and its help, with the tasks."""
        from eo_dl.tasks import available_tasks

        return (
            "--task NAME",
            f"{self.help}: {', '.join(available_tasks())} (default: as in --config, else by the labels).",
        )


@click.command("train", cls=options.Command, short_help="Train a model on a chip set.")
@click.argument("chips", metavar="CHIPS")
@click.option("--task", cls=TaskOption, help="The task", metavar="NAME")
@click.option("-o", "--out", default="model.eodl", show_default=True, help="The model file.", metavar="FILE")
@click.option(
    "--config",
    "config",
    help="YAML file with any training options (configs/*.yaml are complete examples).",
    metavar="FILE",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one configuration option, e.g. --set lr=0.001, --set task_options.loss=dice (repeatable).",
)
@click.option("--network", help="Network architecture of the task, e.g. unet.", metavar="NAME")
@click.option(
    "--backbone", help="Any timm model that supports `features_only`, e.g. resnet18.", metavar="NAME"
)
@click.option(
    "--weights",
    help="Initial weights of the backbone: auto (ImageNet, if the bands allow it), none, imagenet, a name "
    "listed by `eo-dl model backbones`, or a file (safetensors, state dict, checkpoint, .eodl of any task).",
    metavar="NAME|PATH",
)
@click.option(
    "--freeze",
    type=click.Choice(["none", "backbone", "probe"]),
    help="Freeze the backbone; probe: train one linear layer on a frozen backbone.",
)
@click.option(
    "--unfreeze-epoch",
    type=click.IntRange(min=1),
    help="Unfreeze the backbone after N epochs.",
    metavar="N",
)
@click.option(
    "--backbone-lr-scale",
    type=click.FloatRange(0, 1, min_open=True),
    help="Backbone learning rate as a fraction of the base rate.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Time for training; the learning rate is planned for it (default: 10 on a CPU and 30 on a GPU, or "
    "until the epochs are done).",
    metavar="N",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Number of epochs (default: 20, with few chips as many as make 1000 steps).",
    metavar="N",
)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate.")
@options.scenes("trust_vrt", "allow_remote")
@options.compute("batch_size", "device", "precision", "workers")
@click.option(
    "--cache",
    type=click.Choice(["auto", "off", "memory", "disk"]),
    help="Keep chips once they were read: in memory, or on disk in a file that is removed at the end "
    "(default: auto, memory if they fit into a quarter of what is free).",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    help="Number of GPUs (processes) per machine; set by torchrun or SLURM if they launch the run.",
)
@click.option(
    "--nodes", type=click.IntRange(min=1), help="Number of machines, launched by torchrun or SLURM."
)
@click.option(
    "--strategy",
    help="Strategy of several processes: auto, ddp, ddp_find_unused_parameters_true.",
    metavar="NAME",
)
@click.option("--seed", type=int, help="Random seed (reproducible weights on one machine).")
@click.option(
    "--resume", is_flag=True, help="Continue a stopped run; the result equals that of an uninterrupted run."
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Cross-validate: one model per fold of the chip set (tile --folds K); reports mean "
    "and standard deviation.",
    metavar="K",
)
@click.option(
    "--val-fold", type=click.IntRange(min=0), help="Validate on this fold of the chip set.", metavar="N"
)
@click.option("--dry-run", is_flag=True, help="Estimate chips, steps, memory and minutes, and stop.")
@click.option(
    "--find-lr",
    is_flag=True,
    help="Try increasing learning rates, plot the loss (NAME.lr.png), suggest one, and stop.",
)
@click.option("--print-config", is_flag=True, help="Print the complete configuration and stop.")
@options.overwrite
def command(
    reporter: Reporter,
    chips: str,
    task: str | None,
    out: str,
    config: str | None,
    settings: tuple[str, ...],
    network: str | None,
    backbone: str | None,
    weights: str | None,
    freeze: str | None,
    unfreeze_epoch: int | None,
    backbone_lr_scale: float | None,
    minutes: float | None,
    epochs: int | None,
    lr: float | None,
    scene_options: SceneOptions,
    compute: Compute,
    cache: str | None,
    devices: int | None,
    nodes: int | None,
    strategy: str | None,
    seed: int | None,
    resume: bool,
    folds: int | None,
    val_fold: int | None,
    dry_run: bool,
    find_lr: bool,
    print_config: bool,
    overwrite: bool,
) -> None:
    """Train a model on a chip set, and score it on held-out ground, next to simple baselines.

    The weights that are best on the validation blocks become the model. Logs, curves, checkpoints and
    pictures are written to a folder beside it (NAME.run).
    """
    reporter.log("loading the libraries")
    from eo_dl.training.trainconfig import resolve_config

    overrides = {
        "task_options.network": network,
        "task_options.backbone": backbone,
        "weights": weights,
        "freeze": freeze,
        "unfreeze_epoch": unfreeze_epoch,
        "backbone_lr_scale": backbone_lr_scale,
        "minutes": minutes,
        "epochs": epochs,
        "lr": lr,
        "seed": seed,
        "cache": cache,
        "devices": devices,
        "nodes": nodes,
        "strategy": strategy,
    }
    resolved = resolve_config(config, task=task, settings=settings, compute=compute, overrides=overrides)
    if print_config:
        from eo_dl.training.configyaml import config_yaml

        click.echo(f"{_CONFIG_HEADER}{config_yaml(resolved)}", nl=False)
        return
    _refuse_together(folds=folds is not None, val_fold=val_fold is not None, dry_run=dry_run, find_lr=find_lr)
    from eo_dl.training.taskchoice import with_task

    chip_set = options.chip_set(chips, scene_options)
    resolved = with_task(resolved, chip_set)
    if dry_run:
        _say_dry_run(reporter, chip_set, resolved, val_fold)
    elif find_lr:
        _say_rate(reporter, chip_set, resolved, out, overwrite)
    elif folds is not None:
        from eo_dl.training.folds import train_folds

        found = train_folds(
            chip_set,
            resolved,
            folds=folds,
            out=out,
            resume=resume,
            overwrite=overwrite,
            on_progress=reporter.progress,
        ).summary()
        reporter.result(
            found.values, [*table(found.rows, found.header), "", f"all scores: {found.values['file']}"]
        )
    else:
        from eo_dl import train

        run = train(
            chip_set,
            config=resolved,
            out=out,
            val_fold=val_fold,
            resume=resume,
            overwrite=overwrite,
            on_progress=reporter.progress,
        )
        reporter.notes(run.notes)
        lines = [str(run.model.path), "", *score_lines(run), "", f"report: {run.report}"]
        reporter.result(run.summary().values, lines)


def _refuse_together(*, folds: bool, val_fold: bool, dry_run: bool, find_lr: bool) -> None:
    asked = [
        name
        for name, wanted in (("--folds", folds), ("--dry-run", dry_run), ("--find-lr", find_lr))
        if wanted
    ]
    asked += ["--val-fold"] if val_fold and (folds or find_lr) else []
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} cannot be combined; choose one of them")


def _say_dry_run(reporter: Reporter, chips: ChipSet, config: TrainConfig, val_fold: int | None) -> None:
    from eo_dl.training.dryrun import dry_run

    found = dry_run(chips, config, val_fold=val_fold)
    summary = found.summary()
    if found.advice:
        reporter.warning(found.advice)
    reporter.notes(found.setup.data.notes)
    reporter.result(summary.values, table(summary.rows, summary.header))


def _say_rate(reporter: Reporter, chips: ChipSet, config: TrainConfig, out: str, overwrite: bool) -> None:
    from eo_dl.training.findlr import find_lr

    picture = Path(out).with_suffix(".lr.png")
    summary = find_lr(
        chips, config, picture=picture, overwrite=overwrite, on_progress=reporter.progress
    ).summary()
    reporter.result(summary.values, [*table(summary.rows, summary.header)])
