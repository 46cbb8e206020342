"""`eo-dl labels convert`: labels of one format in another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from eo_dl.labels.formats import READ_FORMATS, WRITTEN_FORMATS

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("convert", cls=options.Command, short_help="Convert labels from one format to another.")
@click.argument("source", nargs=-1, required=True, metavar="LABELS...")
@click.option(
    "-o",
    "--out",
    required=True,
    help="Output file, or folder for formats with one file per image.",
    metavar="PATH",
)
@click.option(
    "--format",
    "out_format",
    type=click.Choice([name for name in WRITTEN_FORMATS if name != "folders"]),
    help="Output format (default: by the suffix of the output).",
)
@click.option(
    "--images",
    "images",
    multiple=True,
    help="Images of the labels: files, a folder or a pattern; they give positions and sizes (repeatable).",
    metavar="FILE",
)
@click.option(
    "--from",
    "format",
    type=click.Choice(READ_FORMATS),
    help="Format of LABELS, if their content does not tell.",
)
@options.labels(
    "class_field", "classes", "layer", "where", "label_crs", "voc_origin", "crowds", "accept_shift_m"
)
@options.overwrite
def command(
    reporter: Reporter,
    source: tuple[str, ...],
    out: str,
    out_format: str | None,
    images: tuple[str, ...],
    format: str | None,
    label_options: LabelOptions,
    overwrite: bool,
) -> None:
    """Convert labels to another format; what it cannot hold is counted and reported.

    \b
    eo-dl labels convert boxes.json -o labels.gpkg --images ortho.tif
    eo-dl labels convert roofs.gpkg -o yolo/ --format yolo-seg --images "tiles/*.tif"
    """
    from eo_dl.exchange import convert_labels

    made = convert_labels(
        source[0] if len(source) == 1 else list(source),
        out=out,
        out_format=out_format,
        images=images,
        label_options=replace(label_options, format=format),
        overwrite=overwrite,
    )
    reporter.notes(made.notes)
    if made.report.line:
        reporter.log(made.report.line)
    reporter.result(
        made.values(),
        [
            f"{made.path}: {len(made.labels)} objects",
            "",
            *table(list(made.counts.items()), ("class", "objects")),
        ],
    )
