"""`eo-dl summary`: a map to numbers by zone."""

from __future__ import annotations

from typing import Any

import click

from . import options
from .reporter import Reporter, table


@click.command("summary", cls=options.Command, short_help="Sum up a map by plots, districts or parcels.")
@click.argument("source", metavar="MAP")
@click.option("--zones", required=True, help="Polygons by which the map is summed up.", metavar="FILE")
@click.option(
    "-o",
    "--out",
    required=True,
    help="The numbers: .csv or .xlsx, or as attributes of the zones: .gpkg, .geojson, .fgb, .parquet.",
    metavar="FILE",
)
@click.option(
    "--by",
    help="Field with the name of a zone; polygons of one name are one zone (default: each is one).",
    metavar="NAME",
)
@click.option(
    "--mean",
    "means",
    multiple=True,
    help="Also the mean of this raster, e.g. heights, over each zone and over what is mapped in it "
    "(repeatable).",
    metavar="FILE",
)
@click.option(
    "--truth",
    help="True objects or areas, complete within --annotated: corrects the sums, with 95 % intervals.",
    metavar="FILE",
)
@click.option("--truth-class", help="Field of --truth with the class (default: class_name).", metavar="NAME")
@click.option("--annotated", help="Polygons in which --truth is complete.", metavar="FILE")
@click.option(
    "--block-m",
    type=click.FloatRange(min=0, min_open=True),
    help="Side of the blocks of ground that are resampled for the intervals (default: about 30 blocks).",
    metavar="METRES",
)
@click.option("--layer", help="Layer of MAP, for multi-layer files.", metavar="NAME")
@click.option("--zone-layer", help="Layer of --zones, for multi-layer files.", metavar="NAME")
@click.option("--page", help="Also write the numbers as this HTML page.", metavar="FILE")
@options.overwrite
def command(
    reporter: Reporter,
    source: str,
    zones: str,
    out: str,
    page: str | None,
    overwrite: bool,
    **values: Any,
) -> None:
    """Sum up a map by plots, districts or parcels.

    Objects are counted in the zone in which their centre lies, with the part of their area that lies in it;
    class maps by their pixels; maps of values give mean, spread and extremes. Areas are square metres on the
    ground. The zones may lie in another CRS, and may overlap.
    """
    from eo_dl import SummaryOptions, summary

    found = summary(
        source,
        zones=zones,
        out=out,
        options=SummaryOptions(**values),
        page=page,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(found.notes)
    header, *rows = found.lines()
    more = len(found.table) - len(rows)
    paths = [str(path) for path in (found.path, found.page) if path is not None]
    rest = [f"... and {more} more"] if more else []
    reporter.result(found.values(), [*table(rows, header), *rest, "", *paths])
