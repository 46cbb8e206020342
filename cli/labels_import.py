"""`eo-dl labels import`: labels that were corrected in another tool, back on the ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "import", cls=options.Command, short_help="Labels corrected in another tool, back on the ground."
)
@click.argument("source", nargs=-1, required=True, metavar="LABELS...")
@click.option(
    "--index", help="The eo_dl_index.json of the export (default: beside or above LABELS).", metavar="FILE"
)
@click.option(
    "-o",
    "--out",
    default="labels.gpkg",
    show_default=True,
    help="GeoPackage, .geojson, .fgb or .parquet; .json (COCO) for plain images.",
    metavar="FILE",
)
@options.labels("format", "classes")
@click.option(
    "--join/--no-join",
    default=True,
    show_default=True,
    help="Make pieces of one object in neighbouring images one again.",
)
@options.overwrite
def command(
    reporter: Reporter,
    source: tuple[str, ...],
    index: str | None,
    out: str,
    label_options: LabelOptions,
    join: bool,
    overwrite: bool,
) -> None:
    """Bring labels of exported images back to map coordinates: the folder of an export, or the file that a
    tool saved. The GeoPackage also has the ground of these images, on which labels are complete.

    \b
    eo-dl labels import for_voc/ -o labels.gpkg
    eo-dl labels import annotations.xml --index for_cvat/eo_dl_index.json -o labels.gpkg
    """
    from eo_dl.exchange import import_labels

    given = source[0] if len(source) == 1 else list(source)
    made = import_labels(
        given,
        out=out,
        index=index,
        label_options=label_options,
        join=join,
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
