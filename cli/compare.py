"""`eo-dl compare`: two maps or models on the same ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions


@click.command(
    "compare", cls=options.Command, short_help="Two maps or models on the same ground, with intervals."
)
@click.argument("first", metavar="FIRST")
@click.argument("second", metavar="SECOND")
@click.argument("truth", metavar="TRUTH")
@click.option(
    "-o",
    "--out",
    help="Folder for compare.html, compare.json and the map of where they differ.",
    metavar="FOLDER",
)
@click.option(
    "--scene",
    help="The scene that two models predict; of objects, if their files do not name it.",
    metavar="FILE",
)
@options.aoi
@options.iou
@options.chips_to_score
@options.split_to_score
@options.class_map
@options.scenes("bands", "nodata", "crs", "trust_vrt", "allow_remote")
@options.labels(*options.ABOUT_FEATURES, "classes", "annotated", *options.ABOUT_FORMATS)
@options.seed
@options.overwrite
def command(
    reporter: Reporter,
    first: str,
    second: str,
    truth: str,
    out: str | None,
    scene: str | None,
    aoi: str | None,
    iou: float,
    chips: str | None,
    split: Literal["train", "val", "test"],
    class_map: tuple[str, ...],
    scene_options: SceneOptions,
    label_options: LabelOptions,
    seed: int,
    overwrite: bool,
) -> None:
    """Score two maps, or two models with --scene, on the same ground, and say which is ahead, and how surely.

    Every score stands side by side, with the difference and its 95 % interval from a paired block bootstrap;
    a map shows where only one of them is right.

    \b
    eo-dl compare old.tif new.tif reference.gpkg -o comparison/
    eo-dl compare old.eodl new.eodl reference.gpkg --scene town.tif -o comparison/
    """
    from eo_dl import compare
    from eo_dl.io.scene import open_scenes
    from eo_dl.labels.reading import classes_of

    report = compare(
        first,
        second,
        truth=classes_of(truth, label_options),
        out=out,
        scene=None if scene is None else open_scenes([scene], scene_options)[0],
        aoi=aoi,
        iou=iou,
        class_map=options.class_pairs(class_map),
        chips=None if chips is None else options.chip_set(chips, scene_options),
        split=split,
        seed=seed,
        overwrite=overwrite,
        on_progress=reporter.progress,
    )
    reporter.notes(report.notes)
    header, *rows = report.table()
    counts = [f"{name}: {count}" for name, count in report.counts.items() if count]
    place = ["", f"report: {report.path}"] if report.path else []
    reporter.result(report.values(), [f"{report.verdict()}", "", *table(rows, header), "", *counts, *place])
