"""Engines, chip sizes, blending and views on trained models: time, labels changed, scores on another scene.

    python benchmarks/engines.py [--seeds N] [--quick]   writes benchmarks/engines.md (three minutes per seed)

Each seed trains the demo's two models on the training scene and predicts the test scene, which lies elsewhere
and on which nothing was chosen. Engines and options are run in turn, so that their times can be compared;
scores are differences to the run with the defaults in float32 torch, model by model. Times are those that
`predict` reports, without start-up.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from measuring import Row, add_common_options, compared, write_rows

import eo_dl as eo
from eo_dl.bundle import Bundle
from eo_dl.inference.backends.choice import BackendName
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.prediction import Prediction
from eo_dl.networks.compute import Compute
from eo_dl.networks.device import Precision
from eo_dl_cli.demo import DEMOS

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"
RESULT = Path(__file__).with_suffix(".md")
BOX_PX = 0.1


@dataclass(frozen=True)
class Variant:
    """One way to predict."""

    name: str
    backend: BackendName
    precision: Precision
    chips: ChipOptions = ChipOptions()


TRAINED_CHIP_PX = DEMOS["segmentation"].size_px
ENGINES = (
    Variant("torch, float32", "torch", "32"),
    Variant("torch, auto", "torch", "auto"),
    Variant("ONNX Runtime", "onnxruntime", "auto"),
    Variant("OpenVINO, float32", "openvino", "32"),
    Variant("OpenVINO, auto", "openvino", "auto"),
)
# Everything but the option itself is the same: OpenVINO in float32.
OPTIONS = (
    Variant("defaults", "openvino", "32"),
    Variant("chips as in training", "openvino", "32", ChipOptions(chip_px=TRAINED_CHIP_PX)),
    Variant(
        "chips as in training, Hann", "openvino", "32", ChipOptions(chip_px=TRAINED_CHIP_PX, blend="hann")
    ),
    Variant("Hann", "openvino", "32", ChipOptions(blend="hann")),
    Variant("2 views", "openvino", "32", ChipOptions(views=2)),
    Variant("4 views", "openvino", "32", ChipOptions(views=4)),
    Variant("8 views", "openvino", "32", ChipOptions(views=8)),
)


@dataclass(frozen=True)
class Outcome:
    """A prediction beside the one that it is compared with."""

    variant: str
    seconds: float
    changed: float
    """Share of pixels of another class, or of boxes that no box equals within 0.1 px."""
    score: float


def train_model(task: str, seed: int, folder: Path) -> Bundle:
    """The demo's model of a task, with a seed of its own."""
    demo = DEMOS[task]
    labels = eo.read_labels(SAMPLE / "train_labels.gpkg", layer=demo.layer, class_field=demo.class_field)
    chips = eo.tile(
        [SAMPLE / "train.tif"],
        labels,
        out=folder / f"{task}_{seed}_chips",
        size_px=demo.size_px,
        sampling=eo.Sampling(overlap_px=demo.overlap_px),
    )
    return eo.train(chips, task, config=demo.training, seed=seed, out=folder / f"{task}_{seed}.eodl").model


def compare(task: str, model: Bundle, variants: Sequence[Variant], folder: Path) -> list[Outcome]:
    """Predict the test scene in each way, twice in turn; the shorter time counts."""
    demo = DEMOS[task]
    truth = eo.read_labels(SAMPLE / "test_labels.gpkg", layer=demo.layer, class_field=demo.class_field)
    predictions: dict[str, list[Prediction]] = {variant.name: [] for variant in variants}
    for turn in range(2):
        for index, variant in enumerate(variants):
            predictions[variant.name].append(
                eo.predict(
                    model,
                    SAMPLE / "test.tif",
                    out=folder / f"{task}_{index}_{turn}{demo.suffix}",
                    backend=variant.backend,
                    chip_options=variant.chips,
                    compute=Compute("cpu", variant.precision),
                    overwrite=True,
                )
            )
    first = predictions[variants[0].name][0]
    outcomes = []
    for name, (prediction, again) in predictions.items():
        report = eo.evaluate(prediction, truth)
        outcomes.append(
            Outcome(
                variant=name,
                seconds=min(prediction.seconds, again.seconds),
                changed=_changed(first, prediction),
                score=report.score(model.task.primary_score).value,
            )
        )
    return outcomes


def _changed(first: Prediction, second: Prediction) -> float:
    if first.path.suffix == ".tif":
        with rasterio.open(first.path) as one, rasterio.open(second.path) as other:
            return float(np.mean(one.read(1) != other.read(1)))
    assert first.grid is not None and first.grid.gsd_m is not None
    boxes = [geopandas.read_file(path).bounds.to_numpy() for path in (first.path, second.path)]
    differences = np.abs(boxes[0][:, None] - boxes[1][None]).max(axis=2).min(axis=1)
    return float(np.mean(differences > BOX_PX * first.grid.gsd_m))


def _rows(outcomes: Sequence[Sequence[Outcome]]) -> list[str]:
    """One row per variant: medians over the seeds, and the paired differences of the scores."""
    rows = []
    for column, outcome in enumerate(outcomes[0]):
        seconds = statistics.median(run[column].seconds / run[0].seconds for run in outcomes)
        changed = statistics.median(run[column].changed for run in outcomes)
        score = statistics.mean(run[column].score for run in outcomes)
        gains = [run[column].score - run[0].score for run in outcomes]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        rows.append(
            f"| {outcome.variant} | {seconds:.2f} | {changed:.4%} | {score:.4f} | "
            f"{statistics.mean(gains):+.4f} ± {spread:.4f} |"
        )
    return rows


def _table(title: str, score: str, outcomes: Sequence[Sequence[Outcome]]) -> str:
    lines = [
        f"## {title}",
        "",
        f"| | time | changed | {score} | difference |",
        "|---|--:|--:|--:|--:|",
        *_rows(outcomes),
    ]
    return "\n".join(lines)


def _speed_rows(task: str, runs: Sequence[Sequence[Outcome]]) -> list[Row]:
    """Seconds of each engine beside those of torch in float32."""
    rows = []
    for column, outcome in enumerate(runs[0] if runs else []):
        ours, first = (statistics.median(run[index].seconds for run in runs) for index in (column, 0))
        if column:
            what = f"predict, {task}, demo scene, {outcome.variant}"
            rows.append(compared(what, ours, "s", ENGINES[0].name, first))
    return rows


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    add_common_options(parser)
    given = parser.parse_args(argv)
    seeds = 1 if given.quick else given.seeds
    engines: dict[str, list[list[Outcome]]] = {"segmentation": [], "detection": []}
    options: list[list[Outcome]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(seeds):
            for task, runs in engines.items():
                if given.quick and task != "segmentation":
                    continue
                model = train_model(task, seed, folder)
                runs.append(compare(task, model, ENGINES, folder))
                if task == "segmentation" and not given.quick:
                    options.append(compare(task, model, OPTIONS, folder))
    rows = [row for task, runs in engines.items() for row in _speed_rows(task, runs)]
    write_rows(rows, given)
    if given.quick:
        return rows
    text = [
        "# Engines and options of prediction",
        "",
        f"Written by `benchmarks/engines.py` with {seeds} seeds per task, on {platform.machine()}, Python "
        f"{platform.python_version()}. Time is relative to the first row of a table (median over the seeds, "
        "each the shorter of two runs in turn). Changed: pixels of another class, or boxes without a box "
        f"within {BOX_PX} px, against the first row. Difference: mean and standard deviation over the seeds "
        "of the score's difference to the first row. The scene is small (one chip for the U-Net), so times "
        "hold a fixed part.",
        "",
        _table("Engines, segmentation (U-Net)", "mean IoU", engines["segmentation"]),
        "",
        _table("Engines, detection (Faster R-CNN)", "AP50", engines["detection"]),
        "",
        _table("Options, segmentation", "mean IoU", options),
        "",
    ]
    RESULT.write_text("\n".join(text), encoding="utf-8")
    print("\n".join(text))
    return rows


if __name__ == "__main__":
    main()
