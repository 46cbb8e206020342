"""`eo-dl labels convert`: labels of one format as another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from eo_dl.labels.formats import READ_FORMATS, WRITTEN_FORMATS

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("convert", cls=options.Command, short_help="Labels of one format as another.")
@click.argument("source", nargs=-1, required=True, metavar="LABELS...")
@click.option(
    "-o", "--out", required=True, help="File, or folder for formats of a file an image.", metavar="PATH"
)
@click.option(
    "--format",
    "format",
    type=click.Choice([name for name in WRITTEN_FORMATS if name != "folders"]),
    help="What to write (default: by the suffix).",
)
@click.option(
    "--images",
    "images",
    multiple=True,
    help="The images of the labels, a folder or a pattern; for places and sizes (repeatable).",
    metavar="FILE",
)
@click.option(
    "--from",
    "source_format",
    type=click.Choice(READ_FORMATS),
    help="What LABELS are, where their content does not say it.",
)
@options.labels("class_field", "classes", "layer", "where", "label_crs")
@options.overwrite
def command(
    reporter: Reporter,
    source: tuple[str, ...],
    out: str,
    format: str | None,
    images: tuple[str, ...],
    source_format: str | None,
    label_options: LabelOptions,
    overwrite: bool,
) -> None:
    """Convert labels; what the new format cannot carry is counted.

    \b
    eo-dl labels convert boxes.json -o labels.gpkg --images ortho.tif
    eo-dl labels convert roofs.gpkg -o yolo/ --format yolo-seg --images "tiles/*.tif"
    """
    from eo_dl.exchange import convert_labels

    made = convert_labels(
        source[0] if len(source) == 1 else list(source),
        out=out,
        format=format,
        images=images,
        label_options=replace(label_options, format=source_format),
        overwrite=overwrite,
    )
    for note in made.notes:
        reporter.log(f"note: {note}")
    reporter.result(
        made.values(),
        [
            f"{made.path}: {len(made.labels)} objects",
            "",
            *table(list(made.counts.items()), ("class", "objects")),
        ],
    )
