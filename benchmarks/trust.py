"""What certainty is worth on real scenes: calibration, sets of classes, area of applicability.

    python benchmarks/trust.py [--minutes 3]

Trains a small model of buildings (banepa-buildings) and one of trees (neon-trees), as `real_data.py` does,
and writes benchmarks/trust.md: calibration error before and after on test blocks, coverage of sets of
classes, scores of the rest if the least certain ground is left to a person, ground outside the area of
applicability on own and on foreign scenes, and what the rasters beside a map cost. Scenes: EO_DL_REAL_DATA.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from real_data import CASES, DATA, ROOT, Case, Done, _paths, _words, machine, run

WORK = ROOT / "benchmarks" / "cache" / "trust"
REPORT = ROOT / "benchmarks" / "trust.md"
SEGMENTATION, DETECTION = "banepa-segmentation", "neon-detection"
FOREIGN = "{data}/mass-buildings/22978945_15.tif"
COVERAGE = "0.8"
ROUNDS = 3


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def train(case: Case, minutes: float) -> tuple[Path, list[Done]]:
    """Chips and a model of a case, in a folder of its own."""
    folder = WORK / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    labels = [word for path in _paths(case.labels) for word in ("--labels", path)]
    tiled = run(["tile", *_paths(case.scenes), *labels, "-o", str(folder / "chips"), *_words(case.tile)])
    options = ["--task", case.task, "-o", str(folder / "model.eodl"), "--minutes", f"{minutes:g}"]
    return folder, [tiled, run(["train", str(folder / "chips"), *options])]


def spec_of(folder: Path) -> dict[str, Any]:
    """What the model of a folder says about itself."""
    return dict(run(["inspect", str(folder / "model.eodl")]).result)


def predict(folder: Path, scene: str, name: str, *options: str) -> Done:
    """A map of a scene."""
    out = str(folder / f"{name}.tif")
    return run(["predict", str(folder / "model.eodl"), scene, "-o", out, "--overwrite", *options])


def segmentation(minutes: float) -> dict[str, Any]:
    """The model of buildings."""
    case = _case(SEGMENTATION)
    folder, steps = train(case, minutes)
    scene = _paths(case.scenes)[0]
    extras = ["--probabilities", "--certainty", "--set-coverage", COVERAGE, "--applicability"]
    done = predict(folder, scene, "map", *extras)
    truth = _paths(case.labels)[0]
    test = ["--chips", str(folder / "chips"), "--split", "test", "-o", str(folder / "report")]
    judged = run(["evaluate", str(folder / "map.tif"), truth, *test, *_words(case.evaluate)])
    foreign = predict(folder, _paths([FOREIGN])[0], "foreign", "--applicability", "--force")
    plain, with_all = [], []
    for _ in range(ROUNDS):
        plain.append(predict(folder, scene, "again").seconds)
        with_all.append(predict(folder, scene, "again", "--certainty", "--applicability").seconds)
    draw(folder, scene)
    return {
        "steps": [vars(step) for step in (*steps, done, judged, foreign)],
        "spec": spec_of(folder),
        "report": json.loads((folder / "report" / "report.json").read_text()),
        "seconds": [statistics.median(plain), statistics.median(with_all)],
    }


def draw(folder: Path, scene: str) -> None:
    """The scene, its map, and what lies beside it, in one picture."""
    import rasterio
    from matplotlib.figure import Figure

    panels: dict[str, tuple[str | Path, int]] = {"scene": (scene, 1), "map": (folder / "map.tif", 1)}
    panels |= {
        "largest probability": (folder / "map_certainty.tif", 1),
        "number of classes in the set": (folder / "map_sets.tif", 1),
        "dissimilarity, own ground": (folder / "map_applicability.tif", 1),
        "dissimilarity, foreign scene": (folder / "foreign_applicability.tif", 1),
    }
    figure = Figure(figsize=(12, 9), dpi=90, layout="constrained")
    for axis, (title, (path, band)) in zip(figure.subplots(2, 3).flat, panels.items(), strict=True):
        with rasterio.open(path) as dataset:
            step = max(dataset.height, dataset.width) / 800
            shape = (int(dataset.height / step), int(dataset.width / step))
            if title == "scene":
                pixels = dataset.read([1, 2, 3], out_shape=(3, *shape)).transpose(1, 2, 0)
            else:
                pixels = dataset.read(band, out_shape=shape, masked=True)
        axis.imshow(pixels, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    figure.savefig(folder / "picture.png")


def detection(minutes: float) -> dict[str, Any]:
    """The model of trees."""
    folder, steps = train(_case(DETECTION), minutes)
    return {"steps": [vars(step) for step in steps], "spec": spec_of(folder)}


def write(found: dict[str, Any], minutes: float) -> None:
    """The report."""
    first, second = found[SEGMENTATION], found[DETECTION]
    plain, with_all = first["seconds"]
    lines = [
        "# What certainty is worth on real scenes",
        "",
        f"Written by `python benchmarks/trust.py` on {found['date']}: {found['machine']}; {minutes:g} "
        "minutes of training per model. Other work ran on the machine: only ratios of times mean something.",
        "",
        "## Calibration error",
        "",
        "| model | class | split | before (95 %) | after (95 %) |",
        "|---|---|---|--:|--:|",
    ]
    for name in (SEGMENTATION, DETECTION):
        lines += [f"| {name} | {' | '.join(row)} |" for row in calibration(found[name]["spec"])]
    lines += [
        "",
        f"Temperature of {SEGMENTATION}: {first['spec']['calibration']['temperature'][0]:.3f}.",
        "",
        "## Sets of classes",
        "",
        "| wanted | class | split | covered (95 %) |",
        "|--:|---|---|--:|",
        *coverage(first["spec"]),
        "",
        f"Validation blocks per class: {first['spec']['prediction_sets']['blocks']}.",
        "",
        "## The test blocks of the map",
        "",
        *(f"- {note}" for note in first["report"]["notes"]),
        "",
        "## Area of applicability",
        "",
        f"Kept in the model: {first['spec']['applicability']}.",
        "",
    ]
    for step, ground in ((first["steps"][2], "own scene"), (first["steps"][4], "foreign scene")):
        said = [note for note in step["result"]["notes"] if "area of applicability" in note]
        lines.append(f"- {ground}: {said[0] if said else 'nothing said'}")
    lines += [
        "",
        "## What it costs",
        "",
        f"`predict` with `--certainty --applicability`: {with_all:.1f} s, without: {plain:.1f} s, ratio "
        f"{with_all / plain:.2f} (medians of {ROUNDS} rounds, whole commands).",
        "",
    ]
    lines += ["## Commands", "", "```"]
    lines += [step["command"] for case in (first, second) for step in case["steps"]]
    lines += ["```", ""]
    REPORT.write_text("\n".join(lines), encoding="utf-8")


def calibration(spec: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of class, split, before, after."""
    known = spec["calibration"]
    if known is None:
        return [("all", "", "not calibrated: too few objects on validation blocks", "")]
    pairs: dict[tuple[str, str], dict[str, str]] = {}
    for score in known["errors"]:
        key = (score["class_name"] or "all", score["split"])
        pairs.setdefault(key, {})[score["name"]] = _with_interval(score)
    return [
        (*key, texts.get("calibration_error_before", ""), texts.get("calibration_error", ""))
        for key, texts in pairs.items()
    ]


def coverage(spec: dict[str, Any]) -> list[str]:
    """Rows of wanted coverage, class, split, covered."""
    rows = []
    for score in spec["prediction_sets"]["coverage"]:
        if score["name"] == "set_coverage":
            of_class = score["class_name"] or "all"
            rows.append(
                f"| {score['threshold']:g} | {of_class} | {score['split']} | {_with_interval(score)} |"
            )
    return rows


def _with_interval(score: dict[str, Any]) -> str:
    if score["value"] is None:
        return "not defined"
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def main(words: Sequence[str] | None = None) -> None:
    """Run both, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="time of each training")
    options = parser.parse_args(words)
    assert DATA.is_dir(), f"{DATA}: no real scenes; set EO_DL_REAL_DATA"
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine()}
    found[SEGMENTATION] = segmentation(options.minutes)
    (WORK / "results.json").write_text(json.dumps(found, indent=1, default=str))
    found[DETECTION] = detection(options.minutes)
    (WORK / "results.json").write_text(json.dumps(found, indent=1, default=str))
    write(found, options.minutes)


if __name__ == "__main__":
    main()
