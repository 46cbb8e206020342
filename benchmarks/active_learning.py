"""Are 20 chips from `labels queue` worth more than 20 random ones? On the sample data, several seeds.

    python benchmarks/active_learning.py [--seeds N]      writes benchmarks/active_learning.md

Each seed: 8 random chips of 64 px of `train.tif` are labelled (land cover, 6 classes) and a U-Net on `resnet10t` is trained from nothing. Then 20 chips are
added, by the queue of that model or at random, and the same network is trained from nothing again, with the same seed, steps and
augmentation. The score is the mean IoU on all of `test.tif`, another village under another sun; beside it that on a third scene made as
`train.tif` is. What is told is the difference of the two ways within a seed, with a 95 % interval (bootstrap over seeds).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
import torch

from eo_dl import open_scene, read_labels
from eo_dl.advice.queue import queue_chips
from eo_dl.advice.views import VIEWS
from eo_dl.bundle import Bundle, save_bundle
from eo_dl.chips.augment import Augment, AugmentConfig
from eo_dl.chips.sampling import grid_windows
from eo_dl.chips.truth import SceneTruth
from eo_dl.core.arrays import Target
from eo_dl.core.labelset import LabelSet
from eo_dl.core.normalization import Normalization, to_physical
from eo_dl.core.seeds import derived_seed, generator
from eo_dl.core.window import Window
from eo_dl.io.scene import Scene, SceneReader
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.scores.pixels import PixelScorer
from eo_dl.tasks import load_task
from eo_dl.tasks.task import NetworkInputs, RasterCodec

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_data"
CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).parent / "active_learning.md"
CHIP_PX, FIRST, MORE = 64, 8, 20
STEPS, BATCH, RATE = 400, 8, 2e-3
TASK = load_task("segmentation")
CONFIG = {"backbone": "resnet10t", "decoder_channels": (64, 32, 16, 16, 16)}


@dataclass(frozen=True)
class Ground:
    """A scene with its truth and the chips of a grid; all its pixels and targets in memory."""

    scene: Scene
    labels: LabelSet
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, scene: Path, labels: Path) -> Ground:
        opened = open_scene(scene)
        return cls(opened, read_labels(labels, layer="landcover", class_field="class_name"), grid_windows(opened.grid, CHIP_PX, 0))

    def annotated(self, windows: Sequence[Window]) -> LabelSet:
        """The labels, complete in some windows only: what a person would have drawn."""
        areas = np.array([shapely.box(*window.box) for window in windows], dtype=object)
        return replace(self.labels, annotated=self.scene.grid.geometries_to_map(areas))


def train(ground: Ground, windows: Sequence[Window], seed: int, out: Path) -> Bundle:
    """A model of the chips in `windows`."""
    labels = ground.annotated(windows)
    classes = labels.classes
    truth, codec = SceneTruth.of(labels, ground.scene), TASK.make_codec(classes, TASK.config(**CONFIG))
    with SceneReader(ground.scene) as reader:
        chips = [reader.read(window) for window in windows]
    values = np.concatenate([to_physical(chip.pixels, chip.bands)[:, chip.valid] for chip in chips], axis=1)
    scaling = Normalization(tuple(values.mean(1).tolist()), tuple(values.std(1).tolist()))
    images = [scaling.apply(chip.pixels, chip.valid, chip.bands) for chip in chips]
    targets = [codec.encode(truth.chip(window), CHIP_PX, CHIP_PX) for window in windows]
    targets = [replace(t, mask=np.where(chip.valid, t.mask, np.uint8(255))) for t, chip in zip(targets, chips, strict=True)]
    torch.manual_seed(derived_seed(seed, "weights") % 2**31)
    inputs = NetworkInputs(len(ground.scene.bands), classes, CHIP_PX)
    config = TASK.settle(TASK.config(**CONFIG), inputs)
    network = TASK.make_network(config, inputs).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    relit = Augment(AugmentConfig(dihedral=False, scale=0))  # turned by views below, which cost nothing
    for step in range(STEPS):
        rng = generator(seed, "batch", step)
        drawn = []
        for i in rng.integers(0, len(chips), BATCH):
            image, _, target = relit.apply(images[i], chips[i].valid, targets[i], rng)
            view = VIEWS[rng.integers(len(VIEWS))]
            drawn.append((view.apply(image), Target(mask=np.ascontiguousarray(view.apply(target.mask)))))
        loss = network.loss(torch.from_numpy(np.stack([image for image, _ in drawn])), [target for _, target in drawn])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    spec = ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(ground.scene.bands),
        classes=class_specs(classes),
        gsd_m=ground.scene.grid.gsd_m,
        chip_px=CHIP_PX,
        normalization=NormalizationSpec(mean=scaling.mean, std=scaling.std),
    )
    return save_bundle(out, spec, {name: value.detach().numpy() for name, value in network.state_dict().items()}, overwrite=True)


def mean_iou(model: Bundle, ground: Ground) -> float:
    """Over all chips of a scene, each seen whole."""
    network, codec = model.make_network().eval(), model.codec()
    assert isinstance(codec, RasterCodec)
    truth, scorer = SceneTruth.of(ground.labels, ground.scene), PixelScorer(model.classes)
    with SceneReader(ground.scene) as reader, torch.inference_mode():
        for window in ground.windows:
            chip = reader.read(window)
            image = model.normalization.apply(chip.pixels, chip.valid, chip.bands)
            logits = network(torch.from_numpy(image[None]))["logits"][0].numpy()
            found = codec.truth(codec.encode(truth.chip(window), CHIP_PX, CHIP_PX))
            scorer.update(codec.labels({"logits": logits}), np.where(chip.valid, found, np.uint8(255)))
    return next(score.value for score in scorer.scores() if score.name == "mean_iou" and score.class_name is None)


def queued(ground: Ground, first: Sequence[Window], model: Bundle, folder: Path, options: dict[str, object]) -> list[Window]:
    """The windows that `labels queue` asks for."""
    made = queue_chips(model, ground.scene, out=folder / "queue.gpkg", count=MORE, labels=ground.annotated(first), overwrite=True, **options)  # type: ignore[arg-type]
    return [pick.window for pick in made.picks]


def usable(ground: Ground) -> list[Window]:
    """Chips of which half is measured, as the queue has them."""
    with SceneReader(ground.scene) as reader:
        return [window for window in ground.windows if reader.read(window).valid.mean() >= 0.5]


WAYS: dict[str, dict[str, object] | None] = {
    "random": None,
    "queue": {},
    "entropy alone": {"diversity": 0.0},
}


def one_seed(pool: Ground, tests: Sequence[Ground], seed: int, folder: Path, ways: Sequence[str]) -> dict[str, list[float]]:
    """Mean IoU on each test scene, before and with each way."""
    windows = usable(pool)
    order = generator(seed, "first").permutation(len(windows))
    first = [windows[i] for i in order[:FIRST]]
    base = train(pool, first, seed, folder / "base.eodl")
    found = {"first": [mean_iou(base, test) for test in tests]}
    for way in ways:
        options = WAYS[way]
        more = [windows[i] for i in order[FIRST : FIRST + MORE]] if options is None else queued(pool, first, base, folder, options)
        model = train(pool, [*first, *more], seed, folder / "more.eodl")
        found[way] = [mean_iou(model, test) for test in tests]
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the mean, by bootstrap over seeds."""
    drawn = np.random.default_rng(0).integers(0, len(values), (10_000, len(values)))
    low, high = np.percentile(values[drawn].mean(1), (2.5, 97.5))
    return float(low), float(high)


def third_scene() -> Ground:
    """A scene made as `train.tif` is, with another seed."""
    folder = CACHE / "village_1"
    if not (folder / "train.tif").exists():
        subprocess.run([sys.executable, str(SAMPLES / "make.py"), "--out", str(folder), "--seed", "1"], check=True)
    return Ground.of(folder / "train.tif", folder / "train_labels.gpkg")


def report(results: Sequence[dict[str, list[float]]], seconds: float) -> str:
    """The note."""
    ways = [way for way in results[0] if way != "first"]
    lines = [
        "# What to label next: the queue against chance",
        "",
        f"`python benchmarks/active_learning.py --seeds {len(results)}`: {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {seconds / 60:.0f} min. "
        f"{FIRST} random chips of {CHIP_PX} px, then {MORE} more; mean IoU of land cover (6 classes), mean over {len(results)} seeds; difference to random chips within a seed with its 95 % interval.",
        "",
    ]
    for place, name in enumerate(("test.tif (another village, another sun)", "a third scene, made as train.tif is")):
        table = {way: np.array([result[way][place] for result in results]) for way in results[0]}
        lines += [f"## {name}", "", "| chips | mean IoU | against random | 95 % interval | seeds won |", "|---|--:|--:|--:|--:|"]
        lines.append(f"| first {FIRST} | {table['first'].mean():.3f} | | | |")
        for way in ways:
            gain = table[way] - table["random"]
            low, high = interval(gain)
            told = "| | |" if way == "random" else f"{gain.mean():+.3f} | {low:+.3f} to {high:+.3f} | {int((gain > 0).sum())} of {len(gain)} |"
            lines.append(f"| {FIRST} + {MORE} {way} | {table[way].mean():.3f} | {told}" + (" |" if way == "random" else ""))
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run the seeds and write the note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--out", default=str(RESULT))
    asked = parser.parse_args()
    started = time.perf_counter()
    pool = Ground.of(SAMPLES / "train.tif", SAMPLES / "train_labels.gpkg")
    tests = [Ground.of(SAMPLES / "test.tif", SAMPLES / "test_labels.gpkg"), third_scene()]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            results.append(one_seed(pool, tests, seed, Path(folder), asked.ways.split(",")))
            print(
                seed, {way: [round(value, 3) for value in values] for way, values in results[-1].items()}, f"{time.perf_counter() - started:.0f} s", flush=True
            )
            Path(asked.out).write_text(report(results, time.perf_counter() - started))


if __name__ == "__main__":
    main()
