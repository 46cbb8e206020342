"""`eo-dl labels export`: chips and their labels for annotation tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from eo_dl.labels.formats import WRITTEN_FORMATS

from . import options
from .reporter import Reporter

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "export", cls=options.Command, short_help="Export chips and labels as COCO, YOLO, CVAT, Label Studio ..."
)
@click.argument("chips", metavar="CHIPS")
@click.option(
    "--format",
    "out_format",
    type=click.Choice(WRITTEN_FORMATS),
    required=True,
    help="Output format (see docs/reference/label-formats.md).",
)
@click.option(
    "-o",
    "--out",
    required=True,
    help="Output folder for images, labels and eo_dl_index.json.",
    metavar="FOLDER",
)
@click.option(
    "--labels",
    help="Labels to export in place of the chip set's own, e.g. the output of predict.",
    metavar="FILE",
)
@click.option(
    "--predictions",
    help="Objects with scores that annotators start from (Label Studio only).",
    metavar="FILE",
)
@click.option(
    "--split",
    "splits",
    default="train,val,test",
    show_default=True,
    help="Splits to export; 'none' for chips without a split.",
    metavar="LIST",
)
@click.option(
    "--images",
    type=click.Choice(["tif", "png", "jpg"]),
    help="tif: all bands and values; png, jpg: stretched to 8 bits (default: what the format's tools show).",
)
@click.option(
    "-b",
    "--bands",
    help="One or three bands to show in PNG and JPEG, by name, number or range (default: red, green, blue).",
    metavar="LIST",
)
@options.scenes("trust_vrt", "allow_remote")
@options.labels("class_field", "layer")
@options.overwrite
def command(
    reporter: Reporter,
    chips: str,
    out_format: str,
    out: str,
    labels: str | None,
    predictions: str | None,
    splits: str,
    images: Literal["tif", "png", "jpg"] | None,
    bands: str | None,
    scene_options: SceneOptions,
    label_options: LabelOptions,
    overwrite: bool,
) -> None:
    """Export the images and labels of a chip set for an annotation tool. The folder also gets
    eo_dl_index.json, by which `labels import` brings corrected labels back to the map.

    \b
    eo-dl labels export chips/ --format cvat -o for_cvat/
    eo-dl labels import annotations.xml --index for_cvat/eo_dl_index.json -o labels.gpkg
    """
    from eo_dl.exchange.exporting import export_labels

    made = export_labels(
        options.chip_set(chips, scene_options),
        out=out,
        out_format=out_format,
        labels=labels,
        predictions=predictions,
        label_options=label_options,
        splits=options.split_list(splits) or (),
        images=images,
        bands=options.split_list(bands),
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(made.notes)
    reporter.result(
        made.values(), [f"{made.path}: {made.objects} objects in {made.images} images, {made.format}"]
    )
