"""`eo-dl retrain`: corrected labels to a new model, beside the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.networks.compute import Compute


@click.command(
    "retrain",
    cls=options.Command,
    short_help="Train again with corrected labels; old and new model side by side.",
)
@click.argument("model", metavar="MODEL")
@click.argument("chips", metavar="CHIPS")
@click.option(
    "--labels",
    required=True,
    help="The corrected labels, e.g. of eo-dl labels merge; with --corrected those so far, or 'none'.",
    metavar="FILE",
)
@click.option(
    "--corrected",
    help="Corrected pre-labels (eo-dl labels prelabel), merged into the labels first: NAME.labels.gpkg beside the new model.",
    metavar="FILE",
)
@click.option(
    "--scene",
    "scenes",
    multiple=True,
    help="A corrected scene that CHIPS has not; its ground is for training. May be repeated.",
    metavar="FILE",
)
@click.option(
    "-o",
    "--out",
    default="retrained.eodl",
    show_default=True,
    help="The new model; its chips lie beside it (NAME.chips).",
    metavar="FILE",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="At most this many rounds (default: as the old model)."
)
@options.labels("class_field", "classes", "layer")
@options.compute("device")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a retraining that was stopped; labels, chips and settings must be the same.",
)
@options.overwrite
def command(
    reporter: Reporter,
    model: str,
    chips: str,
    labels: str,
    corrected: str | None,
    scenes: tuple[str, ...],
    out: str,
    epochs: int | None,
    label_options: LabelOptions,
    compute: Compute,
    resume: bool,
    overwrite: bool,
) -> None:
    """Train again with corrected labels, starting from the old model, and score both on the same held-out
    ground.

    CHIPS is the chip set that MODEL was trained on: its scenes, chip size and held-out ground are kept, so
    neither model has seen what both are scored on.

    \b
    eo-dl labels prelabel trees_map.gpkg -o to_correct.gpkg      (correct it in QGIS)
    eo-dl retrain trees.eodl chips/ --labels trees.gpkg --corrected to_correct.gpkg -o trees_2.eodl
    """
    if corrected is None and labels == "none":
        raise click.UsageError("there is nothing to learn from; give --labels FILE, or --corrected FILE")
    if corrected is not None and label_options.classes is not None:
        raise click.UsageError(
            "--classes does not go with --corrected; merge first (eo-dl labels merge), then retrain with --labels"
        )
    reporter.log("starting")
    from eo_dl import retrain

    done = retrain(
        model,
        chips,
        labels=None if corrected and labels == "none" else labels,
        corrected=corrected,
        label_options=label_options,
        scenes=scenes,
        out=out,
        epochs=epochs,
        compute=compute,
        resume=resume,
        overwrite=overwrite,
        command=options.command_line(),
        on_progress=reporter.progress,
    )
    reporter.notes(done.notes)
    lines = [
        str(done.run.model.path),
        "",
        *table(done.rows(), ("score", "before", "after", "ahead by")),
        "",
        f"chips: {done.chips.path}",
        *([f"labels: {done.labels}"] if done.labels else []),
    ]
    reporter.result(done.values(), lines)
