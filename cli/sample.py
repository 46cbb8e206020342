"""`eo-dl sample`: places of a map to interpret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.scores.allocation import Allocation


@click.command(
    "sample", cls=options.Command, short_help="Draw places of a map to interpret, for its accuracy."
)
@click.argument("prediction", metavar="MAP")
@click.option("-o", "--out", required=True, help="The sample: NAME.gpkg.", metavar="FILE")
@click.option(
    "-n",
    "--units",
    "count",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Number of units to draw (pixels, or chips with --unit).",
    metavar="N",
)
@click.option(
    "--method",
    type=click.Choice(["stratified", "simple", "systematic"]),
    default="stratified",
    show_default=True,
    help="At random in each stratum, at random on the whole map, or a lattice with a random start.",
)
@click.option(
    "--strata",
    help="Polygons or a raster whose classes are the strata, in place of those of the map.",
    metavar="FILE",
)
@click.option(
    "--allocation",
    type=click.Choice(["proportional", "equal", "neyman", "area"]),
    default="proportional",
    show_default=True,
    help="How strata share the units: by area, equally, by area and expected errors (neyman), or as many "
    "as a wanted standard error of the area of a class needs (area).",
)
@click.option(
    "--at-least",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Least number of units per stratum.",
    metavar="N",
)
@click.option(
    "--expect",
    "accuracies",
    help="Expected user's accuracy of each class, for --allocation neyman and area: 'forest=0.9,water=0.95'.",
    metavar="LIST",
)
@click.option("--area-of", help="The class whose area --allocation area is for.", metavar="CLASS")
@click.option(
    "--area-error",
    type=click.FloatRange(min=0, min_open=True),
    help="Wanted standard error of that area, hectares (pixels without a CRS); about half of the '±'.",
    metavar="HA",
)
@click.option(
    "--unit",
    "chip_px",
    type=click.IntRange(min=1),
    help="Side of a unit, pixels of the map (default: 1; needed for objects, which are counted in chips).",
    metavar="PX",
)
@click.option(
    "--scene", help="The scene of predicted objects, if their file does not name it.", metavar="FILE"
)
@options.aoi
@options.labels("class_field", "layer")
@options.seed
@options.overwrite
def command(
    reporter: Reporter,
    prediction: str,
    out: str,
    count: int,
    method: Literal["stratified", "simple", "systematic"],
    strata: str | None,
    allocation: Allocation,
    at_least: int,
    accuracies: str | None,
    area_of: str | None,
    area_error: float | None,
    chip_px: int | None,
    scene: str | None,
    aoi: str | None,
    label_options: LabelOptions,
    seed: int,
    overwrite: bool,
) -> None:
    """Draw places of a map at which people say what is there, as a GeoPackage with a form for QGIS.

    The form does not show what the map says. Of predicted objects chips are drawn, in which objects are
    counted. `eo-dl assess` computes accuracy and areas from the answers.

    \b
    eo-dl sample map.tif -n 300 -o sample.gpkg
    eo-dl sample map.tif --allocation neyman --expect 'loss=0.7,other=0.95' -o sample.gpkg
    eo-dl sample trees.gpkg --unit 256 -n 60 -o chips_to_count.gpkg
    """
    from eo_dl import SampleDesign, sample
    from eo_dl.labels.reading import classes_of

    design = SampleDesign(
        count=count,
        method=method,
        allocation=allocation,
        at_least=at_least,
        accuracies=None if accuracies is None else options.named_numbers(accuracies, "--expect"),
        area_of=area_of,
        area_error=area_error,
    )
    drawn = sample(
        prediction,
        out=out,
        design=design,
        strata=None if strata is None else classes_of(strata, label_options),
        chip_px=chip_px,
        aoi=aoi,
        scene=scene,
        seed=seed,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(drawn.notes)
    header, *rows = drawn.table()
    where = f"{drawn.path}: {drawn.count} units to interpret; then `eo-dl assess {drawn.path}`"
    reporter.result(drawn.values(), [*table(rows, header), "", where])
