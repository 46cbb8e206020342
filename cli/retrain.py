"""`eo-dl retrain`: corrected labels to a new model, beside the old one."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter, table


@click.command("retrain", short_help="Train again with corrected labels; old and new model side by side.")
@click.argument("model", metavar="MODEL")
@click.argument("chips", metavar="CHIPS")
@click.option("--labels", required=True, help="The corrected labels, e.g. of eo-dl labels merge.", metavar="FILE")
@click.option("-o", "--out", default="retrained.eodl", show_default=True, help="The new model; its chips lie beside it (NAME.chips).", metavar="FILE")
@click.option("--epochs", type=click.IntRange(min=1), help="At most this many rounds (default: as the old model).")
@options.class_field
@options.label_classes
@options.label_layer
@options.device
@options.overwrite
@options.said
def command(
    reporter: Reporter,
    model: str,
    chips: str,
    labels: str,
    out: str,
    epochs: int | None,
    class_field: str | None,
    classes: str | None,
    layer: str | None,
    device: str,
    overwrite: bool,
) -> None:
    """Train again with corrected labels, starting from the old model, and score both on the same held-out ground.

    CHIPS is the chip set that MODEL was trained on: its scenes, chip size and held-out ground are kept, so neither model has seen what both
    are scored on.
    """
    reporter.log("starting")
    from eo_dl import read_labels, retrain

    found = read_labels(labels, class_field=class_field, layer=layer, classes=classes)
    done = retrain(model, chips, labels=found, out=out, epochs=epochs, device=device, overwrite=overwrite, on_progress=reporter.progress)
    lines = [str(done.run.model.path), "", *table(done.rows(), ("score", "before", "after", "ahead by")), "", f"chips: {done.chips.path}"]
    reporter.result(done.values(), lines)
