"""`eo-dl vectorize`: a class map to polygons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .reporter import Reporter

if TYPE_CHECKING:
    from eo_dl.postprocessing.cleanup import Cleanup


@click.command("vectorize", cls=options.Command, short_help="Convert a class map to polygons.")
@click.argument("source", nargs=-1, required=True, metavar="MAP...")
@click.option(
    "-o",
    "--out",
    required=True,
    help="The polygons: .gpkg, .geojson, .fgb or .parquet; a folder for several maps.",
    metavar="FILE",
)
@click.option(
    "--probabilities",
    help="Probabilities of the map (NAME_prob.tif), for several maps their folder; the score of a "
    "polygon is the mean probability of its class.",
    metavar="FILE",
)
@options.cleanup
@options.aoi
@options.dask
@options.overwrite
def command(
    reporter: Reporter,
    source: tuple[str, ...],
    out: str,
    probabilities: str | None,
    cleanup: Cleanup,
    aoi: str | None,
    cluster: str | None,
    overwrite: bool,
) -> None:
    """Convert a class map to seamless polygons with class, area and a review field, styled for QGIS.

    Several maps, a folder or a quoted pattern give a folder with NAME.gpkg for each map; a stopped run
    continues with the same command.
    """
    from eo_dl import vectorize, vectorize_maps
    from eo_dl.postprocessing.classtotals import class_totals, sum_of_totals

    wanted: dict[str, Any] = {
        "out": out,
        "cleanup": cleanup,
        "probabilities": probabilities,
        "aoi": aoi,
        "overwrite": overwrite,
        "on_progress": reporter.progress,
    }
    if _into_folder(source, out):
        paths = [str(path) for path in vectorize_maps(source, cluster=cluster, **wanted)]
        totals = sum_of_totals([class_totals(path) for path in paths])
        reporter.totals(totals)
        reporter.result({"paths": paths, "totals": [total.values() for total in totals]}, paths)
        return
    if cluster is not None:
        raise click.UsageError("--dask works on several maps; name a folder as --out, e.g. polygons/")
    path = vectorize(source[0], **wanted)
    totals = class_totals(path)
    reporter.totals(totals)
    reporter.result({"path": str(path), "totals": [total.values() for total in totals]}, [str(path)])


def _into_folder(sources: tuple[str, ...], out: str) -> bool:
    """True if the output is a folder with one file per map."""
    only = sources[0]
    several = len(sources) > 1 or Path(only).is_dir() or any(sign in only for sign in "*?[")
    return several or out.endswith("/") or Path(out).is_dir()
