"""`eo-dl diff`: two maps or layers to a list of changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.postprocessing.cleanup import Cleanup


@click.command("diff", cls=options.Command, short_help="List what changed between two maps or layers.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "-o",
    "--out",
    required=True,
    help="The changes: .gpkg, .geojson, .fgb or .parquet; of class maps also .tif, a raster of transitions.",
    metavar="FILE",
)
@click.option("--page", help="Also write the numbers as this HTML page.", metavar="FILE")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Two objects are the same one if their common area is at least this share of the smaller one.",
)
@click.option(
    "--same-iou",
    type=click.FloatRange(0, 1),
    default=0.7,
    show_default=True,
    help="Below this overlap (IoU) an object counts as changed.",
)
@click.option(
    "--distance",
    "distance_m",
    type=click.FloatRange(min=0, min_open=True),
    help="Also match objects that do not overlap if their centres are at most this far apart, metres; needed "
    "for points.",
    metavar="METRES",
)
@click.option("--with-same", is_flag=True, help="Also list objects that are the same.")
@click.option("--old-layer", help="Layer of OLD, for multi-layer files.", metavar="NAME")
@click.option("--new-layer", help="Layer of NEW, for multi-layer files.", metavar="NAME")
@click.option("--old-crs", help="CRS of OLD, in place of its file's own.", metavar="CRS")
@click.option("--new-crs", help="CRS of NEW, in place of its file's own.", metavar="CRS")
@click.option("--old-class", help="Field of OLD with the class (default: class_name).", metavar="NAME")
@click.option(
    "--old-id",
    help="Field of OLD with the name of an object, e.g. of a parcel.",
    metavar="NAME",
)
@click.option(
    "--old-probabilities",
    help="Class maps: probabilities of OLD, on the grid of NEW; they become score_old.",
    metavar="FILE",
)
@click.option(
    "--new-probabilities", help="Class maps: probabilities of NEW; they become score_new.", metavar="FILE"
)
@options.cleanup
@options.overwrite
def command(
    reporter: Reporter,
    old: str,
    new: str,
    out: str,
    page: str | None,
    cleanup: Cleanup,
    overwrite: bool,
    **values: object,
) -> None:
    """List what changed between two maps or layers.

    Layers of objects (polygons, boxes, points): OLD may be an earlier map, a cadastre or an extract of
    OpenStreetMap. Objects are matched by overlap, then by distance: gone, new, changed, split, merged, same.
    Class maps: the ground that went from one class to another, and the areas of all transitions.

    The result opens coloured by change, and the review panel of QGIS walks through it.
    """
    from eo_dl import DiffOptions, diff
    from eo_dl.postprocessing.objectmatching import MatchRules

    rules = MatchRules(**{name: values.pop(name) for name in ("overlap", "same_iou", "distance_m")})  # type: ignore[arg-type]
    found = diff(
        old,
        new,
        out=out,
        options=replace(DiffOptions(rules, cleanup=cleanup), **values),  # type: ignore[arg-type]
        page=page,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(found.notes)
    header, *rows = found.table()
    paths = [str(path) for path in (found.path, found.page) if path is not None]
    reporter.result(found.values(), [*table(rows, header), "", *paths])
