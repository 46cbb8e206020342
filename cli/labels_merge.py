"""`eo-dl labels merge`: merge corrected pre-labels into the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("merge", cls=options.Command, short_help="Merge corrected pre-labels into the labels.")
@click.argument("labels", metavar="LABELS")
@click.argument("corrected", metavar="CORRECTED")
@click.option("-o", "--out", required=True, help="The merged GeoPackage.", metavar="FILE")
@options.labels("class_field", "layer")
@options.overwrite
def command(
    reporter: Reporter,
    labels: str,
    corrected: str,
    out: str,
    label_options: LabelOptions,
    overwrite: bool,
) -> None:
    """Merge LABELS with the corrected pre-labels in CORRECTED, as labels for tile: accepted, changed and
    added ones become labels, rejected and deleted ones are background (hard negatives), unreviewed ones are
    ignored. LABELS may be 'none'.

    \b
    eo-dl labels merge labels.gpkg to_correct.gpkg -o labels_2.gpkg
    """
    from eo_dl.curation.project.merge import merge_labels

    made = merge_labels(
        None if labels == "none" else labels,
        corrected,
        out=out,
        label_options=label_options,
        overwrite=overwrite,
    )
    reporter.notes(made.notes)
    values = {
        "path": str(made.path),
        "counts": dict(made.counts),
        "classes": list(made.classes.names),
        "notes": list(made.notes),
    }
    reporter.result(values, [*table(list(made.counts.items()), ("status", "labels")), "", str(made.path)])
