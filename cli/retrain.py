"""`eo-dl retrain`: corrected labels to a new model, beside the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.networks.compute import Compute


@click.command(
    "retrain",
    cls=options.Command,
    short_help="Train again with corrected labels, and compare the new model with the old one.",
)
@click.argument("model", metavar="MODEL")
@click.argument("chips", metavar="CHIPS")
@click.option(
    "--labels",
    required=True,
    help="The corrected labels, e.g. of `eo-dl labels merge`; with --corrected the labels before "
    "correction, or 'none'.",
    metavar="FILE",
)
@click.option(
    "--corrected",
    help="Corrected pre-labels (`eo-dl labels prelabel`), merged into the labels first, as "
    "NAME.labels.gpkg beside the new model.",
    metavar="FILE",
)
@click.option(
    "--scene",
    "scenes",
    multiple=True,
    help="A further corrected scene, for training only (repeatable).",
    metavar="FILE",
)
@click.option(
    "-o",
    "--out",
    default="retrained.eodl",
    show_default=True,
    help="The new model; its chips are written beside it (NAME.chips).",
    metavar="FILE",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Maximum number of epochs (default: as for the old model)."
)
@options.scenes("trust_vrt", "allow_remote")
@options.labels("class_field", "classes", "layer")
@options.compute("device")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a stopped retraining; labels, chips and settings must be the same.",
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
    scene_options: SceneOptions,
    label_options: LabelOptions,
    compute: Compute,
    resume: bool,
    overwrite: bool,
) -> None:
    """Train again with corrected labels, starting from the old model, and score both on the same held-out
    ground.

    CHIPS is the chip set that MODEL was trained on: its scenes, chip size and held-out ground are kept, so
    both models are scored on ground that neither was trained on.

    \b
    eo-dl labels prelabel trees_map.gpkg -o to_correct.gpkg      (correct it in QGIS)
    eo-dl retrain trees.eodl chips/ --labels trees.gpkg --corrected to_correct.gpkg -o trees_2.eodl
    """
    if corrected is None and labels == "none":
        raise click.UsageError("there are no labels to train on; give --labels FILE, or --corrected FILE")
    if corrected is not None and label_options.classes is not None:
        raise click.UsageError(
            "--classes cannot be combined with --corrected; merge first (eo-dl labels merge), then retrain "
            "with --labels"
        )
    reporter.log("loading the libraries")
    from eo_dl import retrain

    done = retrain(
        model,
        options.chip_set(chips, scene_options),
        labels=None if corrected and labels == "none" else labels,
        corrected=corrected,
        label_options=label_options,
        scenes=scenes,
        out=out,
        epochs=epochs,
        compute=compute,
        resume=resume,
        overwrite=overwrite,
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
