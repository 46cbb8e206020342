"""`eo-dl labels weak`: labelling functions to a raster of class probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions


@click.command("weak", cls=options.Command, short_help="Turn rules (indices, other layers) into soft labels.")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option("--functions", help="YAML file of labelling functions (docs/how-to/labels.md).", metavar="FILE")
@click.option(
    "--function",
    "short",
    multiple=True,
    metavar="RULE",
    help="One labelling function: 'water: ndwi > 0.2', 'building: roofs.gpkg', "
    "'tree: cover.tif=10|20' (repeatable).",
)
@click.option(
    "-o",
    "--out",
    default="weak.tif",
    show_default=True,
    help="Raster of probabilities; a folder for several scenes.",
    metavar="FILE",
)
@click.option(
    "--method",
    type=click.Choice(["agreement", "majority"]),
    help="How votes are combined: weighted by estimated accuracy, or by majority [default: agreement].",
)
@click.option("--truth", help="A few hand labels with which every function is scored.", metavar="FILE")
@options.scenes("bands", "nodata", "valid", "crs", "mask", "trust_vrt")
@options.overwrite
def command(
    reporter: Reporter,
    scenes: tuple[str, ...],
    functions: str | None,
    short: tuple[str, ...],
    out: str,
    method: Literal["agreement", "majority"] | None,
    truth: str | None,
    scene_options: SceneOptions,
    overwrite: bool,
) -> None:
    """Combine labelling functions, which vote on every pixel or abstain, into a raster of class
    probabilities, which tile and train accept as labels.

    \b
    eo-dl labels weak ortho.tif --function "water: ndwi > 0.2" --function "plants: ndvi > 0.4" \\
        --function "building: osm_buildings.gpkg" --truth hand.gpkg -o weak.tif
    eo-dl tile ortho.tif --labels weak.tif -o chips/
    """
    if (functions is None) == (not short):
        raise click.UsageError("give either --functions FILE or one or more --function RULE")
    from eo_dl.curation.weak.weakconfig import parse_functions, read_weak_config
    from eo_dl.curation.weak.weaklabels import weak_labels
    from eo_dl.io.scene import open_scenes

    config = read_weak_config(functions) if functions is not None else parse_functions(short)
    made = weak_labels(
        open_scenes(scenes, scene_options),
        config if method is None else config.model_copy(update={"method": method}),
        out=out,
        truth=truth,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(made.notes)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in made.class_shares.items())
    reporter.result(
        made.values,
        [*table(made.rows, made.header), "", f"of the covered ground: {shares}", *map(str, made.paths)],
    )
