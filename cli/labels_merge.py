"""`eo-dl labels merge`: corrected pre-labels taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("merge", cls=options.Command, short_help="Take corrected pre-labels back into the labels.")
@click.argument("labels", metavar="LABELS")
@click.argument("corrected", metavar="CORRECTED")
@click.option("-o", "--out", required=True, help="The GeoPackage of both.", metavar="FILE")
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
    """LABELS and what became of pre-labels in CORRECTED, as labels that tile takes: accepted, changed and
    added ones are labels, rejected and deleted ones are background for sure (hard negatives), those nobody
    looked at are ignored. LABELS may be 'none'.

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
    reporter.result(values, [*table(list(made.counts.items()), ("what", "labels")), "", str(made.path)])
