"""`eo-dl demo`: the full workflow on the sample scenes."""

from __future__ import annotations

import html
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from . import options
from .reporter import Reporter, table

if TYPE_CHECKING:
    from eo_dl.core.labelset import LabelSet
    from eo_dl.evaluation.report import Report
    from eo_dl.training.record.results import TrainingResult


@dataclass(frozen=True)
class Demo:
    """One task on the sample scenes: a layer of labels, chips, and a short training.

    `sampling`: where chips lie, `count`: how many (None: the default); of "single" ones, with one object
    each, the second scene is scored chip by chip too.
    """

    title: str
    layer: str | None
    class_field: str | None
    size_px: int
    overlap_px: int
    suffix: str
    training: dict[str, Any]
    sampling: Literal["grid", "single"] = "grid"
    count: int | None = None
    values: str | None = None  # numbers that are learnt, from the raster NAME_height.tif


# A hundred steps are too few for a pretrained backbone to see objects of a few pixels.
_DETECTOR: dict[str, Any] = {"min_steps": 12, "batch_size": 4, "task_options.backbone": "resnet10t"}

# The networks of a CPU and few epochs: the workflow in under three minutes on two cores, not the best scores.
DEMOS = {
    "segmentation": Demo(
        title="Land cover per pixel (U-Net)",
        layer="landcover",
        class_field="class_name",
        size_px=96,
        overlap_px=32,
        suffix=".tif",
        training={"epochs": 7, "min_steps": 12},
    ),
    "detection": Demo(
        title="Single trees (Faster R-CNN)",
        layer="trees",
        class_field="class_name",
        size_px=96,
        overlap_px=32,
        suffix=".gpkg",
        training={**_DETECTOR, "epochs": 10},
    ),
    "classification": Demo(
        title="Classes that occur in squares of 48 m (pooled EfficientNet)",
        layer="landcover",
        class_field="class_name",
        size_px=48,
        overlap_px=16,
        suffix=".gpkg",
        training={
            "epochs": 6,
            "min_steps": 10,
            "task_options.multi_label": True,
            "task_options.min_cover": 0.03,
        },
    ),
    "localization": Demo(
        title="At most one tree per chip",
        layer="trees",
        class_field="class_name",
        size_px=48,
        overlap_px=0,
        suffix=".gpkg",
        training={"epochs": 10, "min_steps": 12, "batch_size": 16, "lr": 0.003},
        sampling="single",
        count=500,
    ),
    "instances": Demo(
        title="Single buildings by type of roof, touching ones separated (Mask R-CNN)",
        layer="buildings",
        class_field="roof",
        size_px=96,
        overlap_px=32,
        suffix=".gpkg",
        training={
            **_DETECTOR,
            "epochs": 24,
            "task_options.detections": 60,
        },
    ),
    "regression": Demo(
        title="Height of trees and buildings in metres (U-Net)",
        layer=None,
        class_field=None,
        values="height:m:0..",
        size_px=96,
        overlap_px=32,
        suffix=".tif",
        training={"epochs": 7, "min_steps": 12},
    ),
}

DEFAULT = ("segmentation", "detection")


@click.command("demo", cls=options.Command, short_help="Run the full workflow on the sample scenes.")
@click.option(
    "--out",
    default="demo",
    show_default=True,
    help="Folder for maps, pictures and reports.",
    metavar="FOLDER",
)
@click.option(
    "--task",
    type=click.Choice([*DEMOS, "all"]),
    help="Task to run (default: segmentation and detection, in under three minutes).",
)
@click.option(
    "--data", help="Folder with the sample scenes (default: those that come with eo_dl).", metavar="FOLDER"
)
@options.overwrite
def command(reporter: Reporter, out: str, task: str | None, data: str | None, overwrite: bool) -> None:
    """Tile, train, predict and evaluate on the sample scenes, with pictures and a report.

    Models are trained on one scene and scored on another one, with another location, sun and soil.
    """
    reporter.log("loading the libraries")
    from eo_dl.io.atomic import atomic_folder

    sample = _sample_folder(data)
    started = time.monotonic()
    names = _names(task)
    found = {}
    with atomic_folder(out, overwrite=overwrite) as folder:
        for name in names:
            reporter.log(f"--- {name}: {DEMOS[name].title}")
            found[name] = _walk(reporter, DEMOS[name], name, sample, folder / name)
        (folder / "index.html").write_text(_page(found, time.monotonic() - started), encoding="utf-8")
        (folder / "scores.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    rows = []
    for name, values in found.items():
        rows += [(name, *score.values()) for score in values["scores"]]
    lines = [
        *table(rows, ("task", "score", "new scene", "95 %", "test blocks", "best baseline", "ahead by")),
        "",
        f"{time.monotonic() - started:.0f} s; open {Path(out) / 'index.html'}",
    ]
    reporter.result({"out": out, "tasks": found}, lines)


def _names(task: str | None) -> list[str]:
    if task is None:
        return list(DEFAULT)
    return list(DEMOS) if task == "all" else [task]


def _sample_folder(data: str | None) -> Path:
    from eo_dl.errors import InputError
    from eo_dl.shipped import shipped_folder

    folder = Path(data) if data else shipped_folder("sample_data")
    if not (folder / "train.tif").is_file():
        raise InputError(f"{folder}: expected the sample scenes here, found no train.tif; check `data`")
    return folder


def _sample_labels(demo: Demo, sample: Path, scene: str) -> LabelSet:
    """The labels of a sample scene: a layer of classes, or the raster of heights."""
    import eo_dl as eo

    if demo.values is not None:
        return eo.read_values(sample / f"{scene}_height.tif", demo.values)
    return eo.read_labels(sample / f"{scene}_labels.gpkg", layer=demo.layer, class_field=demo.class_field)


def _walk(reporter: Reporter, demo: Demo, task: str, sample: Path, folder: Path) -> dict[str, Any]:
    """Tile, train, predict and evaluate one task; returns what the page shows."""
    import eo_dl as eo
    from eo_dl.evaluation.pictures import side_by_side
    from eo_dl.training.trainconfig import resolve_config

    folder.mkdir(parents=True)
    labels = _sample_labels(demo, sample, "train")
    chips = eo.tile(
        [sample / "train.tif"],
        labels,
        out=folder / "chips",
        size_px=demo.size_px,
        seed=1,
        on_progress=reporter.progress,
        sampling=eo.Sampling(demo.sampling, overlap_px=demo.overlap_px, count=demo.count),
    )
    config = resolve_config({"seed": 1, **demo.training}, task=task)
    run = eo.train(
        chips,
        config=config,
        out=folder / "model.eodl",
        on_progress=reporter.progress,
    )
    scene = eo.open_scene(sample / "test.tif")
    prediction = eo.predict(run.model, scene, out=folder / f"map{demo.suffix}", on_progress=reporter.progress)
    truth = _sample_labels(demo, sample, "test")
    scored = None
    if demo.sampling == "single":  # all in one split: nothing is trained on the second scene
        scored = eo.tile(
            [scene],
            truth,
            out=folder / "scored",
            size_px=demo.size_px,
            seed=1,
            sampling=eo.Sampling(demo.sampling),
            split=eo.Split((1, 0, 0)),
        )
    report = eo.evaluate(
        prediction, truth, out=folder / "report", chips=scored, split="train", on_progress=reporter.progress
    )
    side_by_side(scene, prediction.paths[0], run.model.classes, truth=truth, out=folder / "picture.png")
    return {
        "title": demo.title,
        "scores": _report_rows(report, run),
        "curves": f"{task}/model.run/curves.png",
    }


def _report_rows(report: Report, run: TrainingResult) -> list[dict[str, str]]:
    """The headline scores on the second scene; beside the first, what the best baseline reaches on the test
    blocks of the first scene.
    """
    rows = [
        {
            "score": s.name,
            "value": f"{s.value:.3f}",
            "interval": _interval(s.low, s.high),
            "own": "",
            "baseline": "",
            "lead": "",
        }
        for s in report.headline
    ]
    own = next((found for found in run.scores if found.split == "test"), None)
    tried = [found for found in run.baselines if found.split == "test" and found.overall(run.primary).defined]
    best = max(tried, key=lambda found: found.overall(run.primary).value, default=None)
    for row in rows:
        if row["score"] == run.primary:
            row["own"] = "" if own is None else own.overall(run.primary).text()
            row["baseline"] = "" if best is None else f"{best.overall(run.primary).value:.3f} ({best.name})"
            row["lead"] = "" if best is None or own is None else own.lead_over(best, run.primary).text()
    return rows


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


_STYLE = """<style>
body{font:16px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
img{max-width:100%}
td,th{padding:.2em .8em;text-align:left}
</style>"""
_HEADER = ("score", "new scene", "95 % interval", "test blocks", "best baseline", "ahead by")


def _page(found: dict[str, Any], seconds: float) -> str:
    parts = [
        "<!doctype html><meta charset='utf-8'><title>eo_dl demo</title>",
        _STYLE,
        "<h1>eo_dl: the full workflow</h1>",
        "<p>Trained on one scene, scored on another one, with another location, sun and soil. "
        f"{seconds:.0f} seconds in total.</p>",
    ]
    head = "".join(f"<th>{name}</th>" for name in _HEADER)
    for name, values in found.items():
        rows = "".join(_page_row(score) for score in values["scores"])
        parts += [
            f"<h2>{html.escape(values['title'])}</h2>",
            f"<img src='{name}/picture.png' alt='scene, reference and prediction'>",
            f"<table><tr>{head}</tr>{rows}</table>",
            f"<img src='{values['curves']}' alt='learning curves' style='max-width:700px'>",
            f"<p><a href='{name}/report/report.html'>report</a> · chips.gpkg, model.eodl and the map are in "
            f"<code>{name}/</code></p>",
        ]
    return "\n".join(parts)


def _page_row(score: dict[str, str]) -> str:
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in score.values())
    return f"<tr>{cells}</tr>"
