"""`eo-dl labels queue`: which chips to label next."""

from __future__ import annotations

from typing import Literal

import click

from . import options
from .reporter import Reporter, table


@click.command("queue", short_help="Which chips to label next.")
@click.argument("model", metavar="MODEL")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "-o",
    "--out",
    default="queue.gpkg",
    show_default=True,
    help="GeoPackage with the layer queue, sorted and styled for QGIS.",
    metavar="FILE",
)
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="How many chips.")
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(min=8),
    help="Side of a chip, px (default: the model's).",
    metavar="PX",
)
@click.option(
    "--labels",
    help="Labels that there are: their ground is not asked for again, and chips like it come later.",
    metavar="FILE",
)
@options.class_field
@options.label_layer
@click.option(
    "--chips",
    help="Chip set that there is: nor is its ground, and chips like its train chips come later.",
    metavar="FOLDER",
)
@options.aoi
@click.option(
    "--by",
    type=click.Choice(["entropy", "margin", "disagreement"]),
    default="entropy",
    show_default=True,
    help="What unsure means; disagreement is that of the chip turned and mirrored.",
)
@click.option(
    "--diversity",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="How much it counts that chips are unlike each other: 0 not at all, 1 only that.",
    metavar="SHARE",
)
@click.option(
    "--views",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="In how many turned and mirrored ways a chip is looked at.",
)
@options.bands
@click.option(
    "--scale", type=float, help="What a stored unit is worth, where the scene does not say.", metavar="NUMBER"
)
@click.option("--offset", type=float, help="Added after --scale.", metavar="NUMBER")
@options.nodata
@options.scene_crs
@options.trust_vrt
@options.device
@options.overwrite
@options.said
def command(
    reporter: Reporter,
    model: str,
    scenes: tuple[str, ...],
    out: str,
    count: int,
    size_px: int | None,
    labels: str | None,
    class_field: str | None,
    layer: str | None,
    chips: str | None,
    aoi: str | None,
    by: Literal["entropy", "margin", "disagreement"],
    diversity: float,
    views: int,
    bands: str | None,
    scale: float | None,
    offset: float | None,
    nodata: str | None,
    crs: str | None,
    trust_vrt: bool,
    device: str,
    overwrite: bool,
) -> None:
    """The chips from whose labels a model would learn most: those it is unsure of, unlike each other, spread
    over the ground, not annotated yet.

    \b
    eo-dl labels queue roofs.eodl town.tif --chips chips/ -o queue.gpkg
    """
    from eo_dl import open_scene, read_labels
    from eo_dl.curation.queue.chipqueue import Ranking, queue_chips
    from eo_dl.inference.contract import SceneOptions
    from eo_dl.io.discover import scene_paths

    if labels is None and (class_field or layer):
        raise click.UsageError("--class-field and --layer say how --labels are read; give --labels too")
    made = queue_chips(
        model,
        [
            open_scene(path, nodata=options.parse_nodata(nodata), crs=crs, trust_vrt=trust_vrt)
            for path in scene_paths(scenes)
        ],
        out=out,
        count=count,
        ranking=Ranking(by, diversity, views),
        size_px=size_px,
        labels=None if labels is None else read_labels(labels, class_field=class_field, layer=layer),
        chips=chips,
        aoi=aoi,
        options=SceneOptions(bands, scale, offset),
        device=device,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    for note in made.notes:
        reporter.log(f"note: {note}")
    reporter.result(
        made.values,
        [
            *table(made.rows, made.header),
            "",
            f"{made.path}: {len(made.picks)} of {made.candidates} chips to label next",
        ],
    )
