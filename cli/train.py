"""`eo-dl train`: a chip set to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table
from .scoretable import score_lines

if TYPE_CHECKING:
    from eo_dl.networks.compute import Compute
    from eo_dl.training.trainconfig import TrainConfig


_CONFIG_HEADER = """\
# All options of `eo-dl train`. Pass a file like this one with --config FILE, or with only the keys that it changes;
# change a single option with --set KEY=VALUE, e.g. --set lr=0.0005 or --set task_options.backbone=resnet34.

"""


class _TaskOption(click.Option):
    """Lists the tasks when its help is shown: the list costs half a second, and a run says its first line
    before.
    """

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        from eo_dl.tasks import available_tasks

        return (
            "--task NAME",
            f"{(self.help or '').rstrip('.')}: {', '.join(available_tasks())} (default: the one of --config).",
        )


@click.command("train", cls=options.Command, short_help="Train a model on a chip set.")
@click.argument("chips", metavar="CHIPS")
@click.option("--task", cls=_TaskOption, help="What to learn.", metavar="NAME")
@click.option("-o", "--out", default="model.eodl", show_default=True, help="The model file.", metavar="FILE")
@click.option(
    "--config",
    "config",
    help="YAML with any option of training (configs/*.yaml are complete ones).",
    metavar="FILE",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="One option of the configuration, e.g. --set lr=0.001, --set task_options.loss=dice.",
)
@click.option("--network", help="Network of the task, e.g. unet.", metavar="NAME")
@click.option("--backbone", help="Any timm backbone with features, e.g. resnet18.", metavar="NAME")
@click.option(
    "--weights",
    help="Where the backbone starts: none, imagenet, a name of `eo-dl model backbones`, or a file (safetensors, state dict, checkpoint, .eodl of any task).",
    metavar="NAME|PATH",
)
@click.option(
    "--freeze",
    type=click.Choice(["none", "backbone", "probe"]),
    help="Keep the backbone as the weights made it; probe: with one linear layer on it.",
)
@click.option(
    "--unfreeze-epoch",
    type=click.IntRange(min=1),
    help="After so many epochs a frozen backbone learns too.",
    metavar="N",
)
@click.option(
    "--backbone-lr-scale",
    type=click.FloatRange(0, 1, min_open=True),
    help="Learning rate of the backbone as a part of the others'.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="At most this many rounds over the train chips.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate.")
@options.compute("batch_size", "device", "precision", "workers")
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    help="Processes (GPUs) on this machine that share the work; torchrun and SLURM say it themselves.",
)
@click.option(
    "--nodes", type=click.IntRange(min=1), help="Machines that share the work, started by torchrun or SLURM."
)
@click.option(
    "--strategy",
    help="How several processes work together: auto, ddp, ddp_find_unused_parameters_true.",
    metavar="NAME",
)
@click.option("--seed", type=int, help="Same seed, same weights on one machine.")
@click.option(
    "--resume", is_flag=True, help="Continue a run that was stopped, to the same result as an unbroken one."
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="One model a fold of the chip set (tile --folds K), scores with their spread.",
    metavar="K",
)
@click.option(
    "--val-fold", type=click.IntRange(min=0), help="Validate on this fold of the chip set.", metavar="N"
)
@click.option(
    "--dry-run", is_flag=True, help="Say what it would take (chips, steps, memory, minutes) and stop."
)
@click.option(
    "--find-lr",
    is_flag=True,
    help="Try rising learning rates, plot the loss (NAME.lr.png), suggest one and stop.",
)
@click.option("--print-config", is_flag=True, help="Show the whole configuration and stop.")
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
    epochs: int | None,
    lr: float | None,
    compute: Compute,
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
    """Train a model on a chip set, and score it on ground held out, beside simple baselines.

    The best weights on the validation blocks become the model. Logs, curves, checkpoints and pictures lie in
    a folder beside it (NAME.run).
    """
    reporter.log("starting")
    from eo_dl.training.trainconfig import resolve_config

    overrides = {
        "task_options.network": network,
        "task_options.backbone": backbone,
        "weights": weights,
        "freeze": freeze,
        "unfreeze_epoch": unfreeze_epoch,
        "backbone_lr_scale": backbone_lr_scale,
        "epochs": epochs,
        "lr": lr,
        "seed": seed,
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
    if dry_run:
        _say_dry_run(reporter, chips, resolved, val_fold)
    elif find_lr:
        _say_rate(reporter, chips, resolved, out, overwrite)
    elif folds is not None:
        from eo_dl.training.folds import train_folds

        found = train_folds(
            chips,
            resolved,
            folds=folds,
            out=out,
            resume=resume,
            overwrite=overwrite,
            command=options.command_line(),
            on_progress=reporter.progress,
        ).summary()
        reporter.result(
            found.values, [*table(found.rows, found.header), "", f"all of it: {found.values['file']}"]
        )
    else:
        from eo_dl import train

        run = train(
            chips,
            config=resolved,
            out=out,
            val_fold=val_fold,
            resume=resume,
            overwrite=overwrite,
            command=options.command_line(),
            on_progress=reporter.progress,
        )
        reporter.notes(run.notes)
        lines = [str(run.model.path), "", *score_lines(run), "", f"curves and pictures: {run.folder}"]
        reporter.result(run.summary().values, lines)


def _refuse_together(*, folds: bool, val_fold: bool, dry_run: bool, find_lr: bool) -> None:
    asked = [
        name
        for name, wanted in (("--folds", folds), ("--dry-run", dry_run), ("--find-lr", find_lr))
        if wanted
    ]
    asked += ["--val-fold"] if val_fold and (folds or find_lr) else []
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} do not go together; give one of them")


def _say_dry_run(reporter: Reporter, chips: str, config: TrainConfig, val_fold: int | None) -> None:
    from eo_dl.training.dryrun import dry_run

    found = dry_run(chips, config, val_fold=val_fold)
    summary = found.summary()
    if found.advice:
        reporter.warning(found.advice)
    reporter.notes(found.setup.data.notes)
    reporter.result(summary.values, table(summary.rows, summary.header))


def _say_rate(reporter: Reporter, chips: str, config: TrainConfig, out: str, overwrite: bool) -> None:
    from eo_dl.training.findlr import find_lr

    picture = Path(out).with_suffix(".lr.png")
    summary = find_lr(
        chips, config, picture=picture, overwrite=overwrite, on_progress=reporter.progress
    ).summary()
    reporter.result(summary.values, [*table(summary.rows, summary.header)])
