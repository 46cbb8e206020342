"""`eo-dl train`: a chip set to a model."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter, table


@click.command("train", short_help="Train a model on a chip set.")
@click.argument("chips", metavar="CHIPS")
@click.option("--task", help="What to learn: segmentation, detection (default: the one of --config).", metavar="NAME")
@click.option("-o", "--out", default="model.eodl", show_default=True, help="The model file.", metavar="FILE")
@click.option("--config", "config", help="YAML with any option of training (configs/*.yaml are complete ones).", metavar="FILE")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One option of the configuration, e.g. --set optimizer.lr=0.001.")
@click.option("--network", help="Network of the task, e.g. unet.", metavar="NAME")
@click.option("--backbone", help="Any timm backbone with features, e.g. resnet18.", metavar="NAME")
@click.option("--weights", help="Where the backbone starts: none, or a file (safetensors, state dict, checkpoint, .eodl).", metavar="none|PATH")
@click.option("--epochs", type=click.IntRange(min=1), help="At most this many rounds over the train chips.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Chips a step.")
@options.device
@options.precision
@options.workers
@click.option("--seed", type=int, help="Same seed, same weights on one machine.")
@click.option("--resume", is_flag=True, help="Continue a run that was stopped, to the same result as an unbroken one.")
@click.option("--print-config", is_flag=True, help="Show the whole configuration and stop.")
@options.overwrite
@options.said
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
    epochs: int | None,
    lr: float | None,
    batch_size: int | None,
    device: str,
    precision: str,
    workers: int | None,
    seed: int | None,
    resume: bool,
    print_config: bool,
    overwrite: bool,
) -> None:
    """Train a model on a chip set, and score it on ground held out, beside simple baselines.

    The best weights on the validation blocks become the model. Logs, curves, checkpoints and pictures lie in a folder beside it (NAME.run).
    """
    reporter.log("starting")
    from eo_dl.training.config import resolve_config

    resolved = resolve_config(
        config,
        task=task,
        settings=settings,
        network=network,
        backbone=backbone,
        weights=weights,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
    )
    if print_config:
        click.echo(resolved.as_yaml(), nl=False)
        return
    from eo_dl import train

    run = train(chips, config=resolved, out=out, device=device, precision=precision, resume=resume, overwrite=overwrite, on_progress=reporter.progress)
    summary = run.summary()
    reporter.result(summary.values, [f"{run.model.path}", "", *table(summary.rows, summary.header), "", f"curves and pictures: {run.folder}"])
