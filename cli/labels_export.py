"""`eo-dl labels export`: chips and their labels, ready to open in another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from eo_dl.labels.formats import WRITTEN_FORMATS

from . import options
from .reporter import Reporter

if TYPE_CHECKING:
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "export", cls=options.Command, short_help="Chips and labels for COCO, YOLO, CVAT, Label Studio ..."
)
@click.argument("chips", metavar="CHIPS")
@click.option(
    "--format",
    "format",
    type=click.Choice(WRITTEN_FORMATS),
    required=True,
    help="What to write (docs/label-formats.md).",
)
@click.option(
    "-o", "--out", required=True, help="Folder for images, labels and eo_dl_index.json.", metavar="FOLDER"
)
@click.option(
    "--labels", help="Other labels than those of the chips, e.g. what a model found.", metavar="FILE"
)
@click.option(
    "--predictions", help="Found objects with scores, for Label Studio to start from.", metavar="FILE"
)
@click.option(
    "--split",
    "splits",
    default="train,val,test",
    show_default=True,
    help="Which chips; 'none' are those in no split.",
    metavar="LIST",
)
@click.option(
    "--images",
    type=click.Choice(["tif", "png", "jpg"]),
    help="Images: all bands and values, or stretched (default: what the tools show).",
)
@click.option(
    "-b",
    "--bands",
    help="One or three bands that PNG and JPEG show, by name (default: red, green, blue).",
    metavar="LIST",
)
@options.labels("class_field", "layer")
@options.overwrite
def command(
    reporter: Reporter,
    chips: str,
    format: str,
    out: str,
    labels: str | None,
    predictions: str | None,
    splits: str,
    images: Literal["tif", "png", "jpg"] | None,
    bands: str | None,
    label_options: LabelOptions,
    overwrite: bool,
) -> None:
    """Write the images of a chip set, their labels in a format, and eo_dl_index.json, which says where each
    image is on the ground.

    \b
    eo-dl labels export chips/ --format cvat -o for_cvat/
    eo-dl labels import annotations.xml --index for_cvat/eo_dl_index.json -o labels.gpkg
    """
    from eo_dl.exchange.exporting import export_labels

    made = export_labels(
        chips,
        out=out,
        format=format,
        labels=labels,
        predictions=predictions,
        label_options=label_options,
        splits=options.split_list(splits) or (),
        images=images,
        bands=options.split_list(bands),
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    for note in made.notes:
        reporter.log(f"note: {note}")
    reporter.result(
        made.values(), [f"{made.path}: {made.objects} objects in {made.images} images, {made.format}"]
    )
