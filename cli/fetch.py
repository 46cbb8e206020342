"""`eo-dl fetch`: a map on the web to a GeoTIFF."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter


@click.command("fetch", cls=options.Command, short_help="Cut a map on the web (WMS, WMTS, XYZ) to a GeoTIFF.")
@click.argument("source", metavar="ADDRESS")
@click.option("-o", "--out", required=True, help="The GeoTIFF.", metavar="FILE")
@click.option(
    "--gsd",
    "gsd_m",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Ground sample distance, metres.",
    metavar="METRES",
)
@click.option("--bounds", help="West,south,east,north of the ground, degrees.", metavar="W,S,E,N")
@click.option("--aoi", help="Polygons whose extent is fetched, in place of --bounds.", metavar="FILE")
@click.option("--crs", help="CRS of the file (default: the UTM zone of its centre).", metavar="CRS")
@click.option("--layer", "map_layer", help="Layer of a WMS or WMTS.", metavar="NAME")
@click.option("--matrix-set", help="Set of tiles of a WMTS (default: the layer's first).", metavar="NAME")
@click.option(
    "--pause",
    "pause_s",
    type=click.FloatRange(0, 3600),
    default=0.1,
    show_default=True,
    help="Seconds between two requests.",
)
@click.option(
    "--most-requests",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Refuse ground that takes more requests.",
)
@options.overwrite
def command(
    reporter: Reporter,
    source: str,
    out: str,
    gsd_m: float,
    bounds: str | None,
    aoi: str | None,
    crs: str | None,
    map_layer: str | None,
    matrix_set: str | None,
    pause_s: float,
    most_requests: int,
    overwrite: bool,
) -> None:
    """Cut a map on the web to a GeoTIFF with red, green and blue, a scene like any other.

    ADDRESS is that of XYZ tiles (https://.../{z}/{x}/{y}.png), the capabilities of a WMTS, or a WMS. Servers
    are asked for one picture after the other; a stopped run continues with the same command. Check that the
    terms of the service allow it.
    """
    from eo_dl import Service, fetch

    found = fetch(
        source,
        out=out,
        gsd_m=gsd_m,
        bounds=None if bounds is None else _numbers(bounds),
        aoi=aoi,
        crs=crs,
        service=Service(map_layer, matrix_set, pause_s, most_requests),
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(found.notes)
    values = {"path": str(found.path), "requests": found.requests, "kept": found.kept}
    reporter.result(
        values, [f"{found.path}: {found.requests} requests, {found.kept} answers of an earlier run"]
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"expected west,south,east,north in degrees, found {text!r}", param_hint="--bounds"
        ) from None
