"""`eo-dl labels queue`: select the chips to label next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.networks.compute import Compute


_SCENE_FLAGS = ("bands", "nodata", "valid", "crs", "scale", "offset", "mask")


@click.command("queue", cls=options.Command, short_help="Select the chips to label next.")
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
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="Number of chips.")
@click.option(
    "--size",
    "size_px",
    type=click.IntRange(min=8),
    help="Side of a chip, px (default: the model's).",
    metavar="PX",
)
@click.option(
    "--labels",
    help="Existing labels; labelled ground is skipped and similar chips rank lower.",
    metavar="FILE",
)
@options.labels("class_field", "layer")
@click.option(
    "--chips",
    help="Existing chip set; treated like --labels.",
    metavar="FOLDER",
)
@options.aoi
@click.option(
    "--by",
    type=click.Choice(["entropy", "margin", "disagreement", "dissimilarity"]),
    default="entropy",
    show_default=True,
    help="Measure of uncertainty; disagreement: between predictions of the rotated and flipped chip; "
    "dissimilarity: ground outside the model's area of applicability first.",
)
@click.option(
    "--diversity",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Weight of diversity against uncertainty, 0 to 1.",
    metavar="SHARE",
)
@click.option(
    "--views",
    type=click.IntRange(1, 8),
    default=4,
    show_default=True,
    help="Number of rotated and flipped views per chip.",
)
@options.scenes(*_SCENE_FLAGS, *options.TRUST)
@options.compute("device")
@options.overwrite
def command(
    reporter: Reporter,
    model: str,
    scenes: tuple[str, ...],
    out: str,
    count: int,
    size_px: int | None,
    labels: str | None,
    label_options: LabelOptions,
    chips: str | None,
    aoi: str | None,
    by: Literal["entropy", "margin", "disagreement", "dissimilarity"],
    diversity: float,
    views: int,
    scene_options: SceneOptions,
    compute: Compute,
    overwrite: bool,
) -> None:
    """Select the chips to label next: those of which the model is uncertain, which differ from one another
    and from labelled chips, spread over the ground.

    \b
    eo-dl labels queue roofs.eodl town.tif --chips chips/ -o queue.gpkg
    """
    from eo_dl.curation.queue.chipqueue import Ranking, queue_chips
    from eo_dl.io.scene import open_scenes
    from eo_dl.labels.reading import classes_of

    if labels is None and label_options.stated():
        raise click.UsageError("--class-field and --layer apply to --labels, which is missing")
    made = queue_chips(
        model,
        open_scenes(scenes, scene_options),
        out=out,
        count=count,
        ranking=Ranking(by, diversity, views),
        size_px=size_px,
        labels=None if labels is None else classes_of(labels, label_options),
        chips=None if chips is None else options.chip_set(chips, scene_options),
        aoi=aoi,
        compute=compute,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(made.notes)
    reporter.result(
        made.values,
        [
            *table(made.rows, made.header),
            "",
            f"{made.path}: {len(made.picks)} of {made.candidates} chips to label next",
        ],
    )
