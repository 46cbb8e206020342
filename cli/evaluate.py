"""`eo-dl evaluate`: a map and its reference to a report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions


@click.command("evaluate", cls=options.Command, short_help="Score a map against a reference.")
@click.argument("prediction", metavar="PREDICTION")
@click.argument("truth", nargs=-1, required=True, metavar="TRUTH...")
@click.option("-o", "--out", help="Folder for report.html and report.json.", metavar="FOLDER")
@options.aoi
@options.iou
@options.chips_to_score
@options.split_to_score
@options.class_map
@click.option(
    "--scene", help="The scene that was predicted, if the prediction's file does not name it.", metavar="FILE"
)
@options.scenes("trust_vrt", "allow_remote")
@options.labels(*options.ABOUT_FEATURES, "classes", "values", "annotated", *options.ABOUT_FORMATS)
@options.dask
@options.overwrite
def command(
    reporter: Reporter,
    prediction: str,
    truth: tuple[str, ...],
    out: str | None,
    aoi: str | None,
    iou: float,
    chips: str | None,
    split: Literal["train", "val", "test"],
    class_map: tuple[str, ...],
    scene: str | None,
    scene_options: SceneOptions,
    label_options: LabelOptions,
    cluster: str | None,
    overwrite: bool,
) -> None:
    """Score a map against a reference, where the reference is complete and the map has values.

    Class maps get a confusion matrix, IoU, F1, precision and recall; polygons and boxes get precision,
    recall, F1 and AP; maps of values R², RMSE, MAE and bias, also by range. Headline scores have a 95 %
    confidence interval from a bootstrap over blocks of ground.
    """
    from eo_dl import evaluate
    from eo_dl.evaluation.evaluate import values_asked
    from eo_dl.evaluation.predictionfiles import parts_of
    from eo_dl.labels.reading import labels_of

    if label_options.values is None:
        # The truth of a map of values is read as the same values.
        label_options = replace(label_options, values=values_asked(parts_of(prediction)[0]))
    labels = labels_of(truth[0] if len(truth) == 1 else truth, label_options)
    report = evaluate(
        prediction,
        labels,
        out=out,
        aoi=aoi,
        iou=iou,
        class_map=options.class_pairs(class_map),
        chips=None if chips is None else options.chip_set(chips, scene_options),
        split=split,
        scene=scene,
        cluster=cluster,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(report.notes)
    header, *rows = report.table()
    place = [f"report: {report.path}"] if report.path else []
    reporter.result(report.values(), [*table(rows, header), *([""] if place else []), *place])
