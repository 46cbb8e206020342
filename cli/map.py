"""`eo-dl map`: scenes and labels to a map, its model and its accuracy, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import options
from .reporter import Reporter, table
from .train import TaskOption

if TYPE_CHECKING:
    from eo_dl.io.sceneoptions import SceneOptions
    from eo_dl.labels.labeloptions import LabelOptions
    from eo_dl.networks.compute import Compute


@click.command(
    "map",
    cls=options.Command,
    short_help="Map scenes from labels in one command: chips, model, map and report.",
)
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option(
    "--labels",
    "labels",
    multiple=True,
    required=True,
    metavar="FILE",
    help="Labels, as for `tile` (repeatable; or a folder).",
)
@click.option(
    "-o",
    "--out",
    default="map",
    show_default=True,
    help="Folder of the results: chips/, model.eodl, the map and report/.",
    metavar="FOLDER",
)
@click.option(
    "--start",
    help="Start from this model (a file, or the name of a ready one): fine-tune it.",
    metavar="MODEL",
)
@click.option("--task", cls=TaskOption, help="The task", metavar="NAME")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Time for training (default: 10 on a CPU, 30 on a GPU).",
    metavar="N",
)
@click.option(
    "--size",
    help="Side of a chip, pixels (default: chosen from the labelled objects and the ground).",
    type=click.IntRange(min=8),
    metavar="PIXELS",
)
@options.gsd
@options.labels(
    *options.ABOUT_FEATURES, "classes", "values", "annotated", "unlabelled", *options.ABOUT_FORMATS
)
@options.colors
@options.scenes("bands", "nodata", "valid", "crs", "mask", "derive", *options.TRUST)
@options.compute("device")
@options.seed
@click.option("--config", help="YAML file with any training options, as for `train`.", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Say what each step would do and how long it takes, and stop.")
@options.overwrite
def command(
    reporter: Reporter,
    scenes: tuple[str, ...],
    labels: tuple[str, ...],
    out: str,
    start: str | None,
    task: str | None,
    minutes: float | None,
    size: int | None,
    gsd_m: float | None,
    label_options: LabelOptions,
    colors: str | None,
    scene_options: SceneOptions,
    compute: Compute,
    seed: int,
    config: str | None,
    dry_run: bool,
    overwrite: bool,
) -> None:
    """Map scenes from a few labels on them: cut chips, train, predict, and score on ground held out.

    SCENE is as for `tile`. Every step decides what nobody states, and says so with the option that changes
    it. A stopped run continues with the same command.
    """
    reporter.log("loading the libraries")
    opened, label_set = options.scenes_with_labels(scenes, labels, scene_options, label_options, colors)
    wanted: dict[str, Any] = {
        "start": start,
        "task": task,
        "minutes": minutes,
        "size_px": size,
        "gsd_m": gsd_m,
        "annotated": label_options.annotated,
        "seed": seed,
        "config": config,
        "compute": compute,
    }
    if dry_run:
        from eo_dl.workflow.mappingplan import plan_mapping

        plan = plan_mapping(opened, label_set, **wanted)
        reporter.notes(plan.notes)
        reporter.result(plan.values(), table(plan.rows(), ("step", "what", "time")))
        return
    from eo_dl import map_scenes

    result = map_scenes(
        opened, label_set, out=out, overwrite=overwrite, on_progress=reporter.progress, **wanted
    )
    reporter.result(result.values(), table(result.rows(), ("what", "result")))
