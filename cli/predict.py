"""`eo-dl predict`: a model and a scene to a map."""

from __future__ import annotations

import click

from . import options
from .reporter import Reporter


@click.command("predict", short_help="Make a map of a scene with a model.")
@click.argument("model", metavar="MODEL")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "-o",
    "--out",
    required=True,
    help="The map: .tif, .gpkg, .geojson, .fgb or .parquet; a folder for several scenes; .csv: a row an image (classification).",
    metavar="FILE",
)
@options.aoi
@click.option("--probabilities", is_flag=True, help="Also write NAME_prob.tif, a band a class.")
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help="Objects below this score are left out (default: the model's own threshold).",
)
@click.option(
    "--margin",
    "margin_px",
    type=click.IntRange(min=0),
    help="Context a side that is seen and thrown away, px (default: the model's).",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Chips at once.")
@click.option(
    "--keep-gsd",
    is_flag=True,
    help="Do not resample a scene whose ground resolution differs from the model's.",
)
@click.option(
    "--scale",
    type=float,
    help="What one stored unit is worth, in place of the scene's own scale (physical = stored * scale + offset).",
)
@click.option("--offset", type=float, help="In place of the scene's own offset.")
@options.device
@options.precision
@options.bands
@options.nodata
@options.scene_crs
@options.trust_vrt
@click.option(
    "--resume/--no-resume", default=True, show_default=True, help="Continue where a killed run stopped."
)
@options.overwrite
@options.said
def command(
    reporter: Reporter,
    model: str,
    scenes: tuple[str, ...],
    out: str,
    aoi: str | None,
    probabilities: bool,
    min_score: float | None,
    margin_px: int | None,
    batch_size: int | None,
    keep_gsd: bool,
    scale: float | None,
    offset: float | None,
    device: str,
    precision: str,
    bands: str | None,
    nodata: str | None,
    crs: str | None,
    trust_vrt: bool,
    resume: bool,
    overwrite: bool,
) -> None:
    """Make a map of a scene with a model.

    The model knows its bands, units, ground resolution and classes; a scene that does not fit stops with what
    to type. The suffix of the output decides its kind: .tif is a class map, the others are polygons.
    """
    reporter.log("starting")
    from eo_dl import load_model, open_scene, predict
    from eo_dl.io.discover import scene_paths

    bundle = load_model(model)
    paths = scene_paths(scenes, below=bundle.task.output == "chips")  # images in a folder for each class
    opened = [
        open_scene(path, nodata=options.parse_nodata(nodata), crs=crs, trust_vrt=trust_vrt) for path in paths
    ]
    prediction = predict(
        bundle,
        opened[0] if len(opened) == 1 else opened,
        out=out,
        aoi=aoi,
        probabilities=probabilities,
        min_score=min_score,
        margin_px=margin_px,
        batch_size=batch_size,
        keep_gsd=keep_gsd,
        bands=bands,
        scale=scale,
        offset=offset,
        device=device,
        precision=precision,
        resume=resume,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    for note in prediction.notes:
        reporter.log(note)
    reporter.result(prediction.values(), [str(path) for path in prediction.paths])
