"""`eo-dl vectorize`: a class map to polygons."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter


@click.command("vectorize", cls=options.Command, short_help="Convert a class map to polygons.")
@click.argument("source", metavar="MAP")
@click.option(
    "-o", "--out", required=True, help="The polygons: .gpkg, .geojson, .fgb or .parquet.", metavar="FILE"
)
@click.option(
    "--min-area",
    "min_area_m2",
    type=click.FloatRange(min=0),
    help="Leave out polygons smaller than this, square metres (they are counted).",
    metavar="M2",
)
@click.option(
    "--simplify",
    "simplify_px",
    type=click.FloatRange(min=0),
    help="Simplify outlines with a tolerance of about N pixels; shared borders stay shared.",
    metavar="PX",
)
@click.option(
    "--probabilities",
    help="Probabilities of the map (NAME_prob.tif); the score of a polygon is the mean "
    "probability of its class.",
    metavar="FILE",
)
@options.aoi
@options.overwrite
def command(
    reporter: Reporter,
    source: str,
    out: str,
    min_area_m2: float | None,
    simplify_px: float | None,
    probabilities: str | None,
    aoi: str | None,
    overwrite: bool,
) -> None:
    """Convert a class map to seamless polygons with class, area and a review field, styled for QGIS."""
    from eo_dl import vectorize

    path = vectorize(
        source,
        out=out,
        min_area_m2=min_area_m2,
        simplify_px=simplify_px,
        probabilities=probabilities,
        aoi=aoi,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.result({"path": str(path)}, [str(path)])
