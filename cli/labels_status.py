"""`eo-dl labels status`: a summary of labels, and what a first model still needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "status", cls=options.Command, short_help="Summarize labels, and what a first model still needs."
)
@click.argument("labels", metavar="LABELS")
@click.option(
    "--scene",
    "scenes",
    multiple=True,
    help="Image of the labels (known to files of 'labels start'; repeatable).",
    metavar="FILE",
)
@options.labels("class_field", "layer")
def command(reporter: Reporter, labels: str, scenes: tuple[str, ...], label_options: LabelOptions) -> None:
    """Summarize labels: objects and area per class, annotated area, review, and what a first model needs."""
    from eo_dl.curation import labels_status

    found = labels_status(labels, scenes=scenes, label_options=label_options)
    unit = found.unit.replace("2", "²")
    ground = (
        "nothing"
        if found.annotated_m2 is None
        else f"{found.annotated_areas} areas, {found.annotated_m2:.0f} {unit}"
    )
    share = "" if found.scene_share is None else f", {found.scene_share:.1%} of the scenes"
    chips = "" if found.chips is None else f", {found.chips:g} chips of 256 px"
    statuses = "".join(f", {count} {name}" for name, count in found.statuses.items())
    lines = [
        *table(found.rows(), ("class", "objects", f"area {unit}", f"median {unit}", "reviewed")),
        "",
        f"annotated: {ground}{share}{chips}",
        f"reviewed:  {found.reviewed} of {found.objects}{statuses}",
        "",
        *(
            ["for a first model:", *(f"  - {reporter.spell(text)}" for text in found.advice)]
            if found.advice
            else ["ready for a first model: eo-dl tile, eo-dl train"]
        ),
    ]
    reporter.notes(found.notes)
    reporter.result(found.values(), lines)
