"""`eo-dl labels import`: labels that were corrected in an annotation tool, back in map coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "import", cls=options.Command, short_help="Bring labels corrected in another tool back to the map."
)
@click.argument("source", nargs=-1, required=True, metavar="LABELS...")
@click.option(
    "--index", help="eo_dl_index.json of the export (default: beside or above LABELS).", metavar="FILE"
)
@click.option(
    "-o",
    "--out",
    default="labels.gpkg",
    show_default=True,
    help="Output: .gpkg, .geojson, .fgb or .parquet; .json (COCO) for images without a CRS.",
    metavar="FILE",
)
@options.labels("format", "classes", "voc_origin", "crowds")
@click.option(
    "--join/--no-join",
    default=True,
    show_default=True,
    help="Join the pieces of objects that several images show.",
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
    """Bring labels of exported images back to map coordinates. LABELS is the folder of an export, or the
    files that the tool saved. A GeoPackage also gets the ground of these images as the area in which labels
    are complete.

    \b
    eo-dl labels import for_voc/ -o labels.gpkg
    eo-dl labels import annotations.xml --index for_cvat/eo_dl_index.json -o labels.gpkg
    """
    from eo_dl.exchange import import_labels

    made = import_labels(
        source[0] if len(source) == 1 else list(source),
        out=out,
        index=index,
        label_options=label_options,
        join=join,
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
