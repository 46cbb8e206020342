"""Does reading keep the training step busy? Chips a second of the loader beside those of the step, in one
run.

    python benchmarks/training.py [--rounds N] [--device cuda]     writes benchmarks/training.md
    python benchmarks/training.py --quick                          a step of each, prints only

The network: U-Net ResNet-18, chips of 256 px with 4 bands uint16, batches of 8, augmented as by default. The
chips come from the scene of `benchmarks/tiling.py` (4096 px, 512 px blocks, deflate), or are written
GeoTIFFs. For 0, 1 and 2 worker processes: the loader alone (once its queue is empty), the step alone (on
batches that are there), and both together, as a training has them. The figure that counts is the last:
together / step alone is 1 where nobody waits for the loader. Loader, step and both take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import torch
from measuring import Row, add_common_options, write_rows
from tiling import make_scene

from eo_dl.chips.chipset import ChipSet, open_chip_set
from eo_dl.chips.dataset import Batch
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import ChipSetError
from eo_dl.networks.compute import Compute
from eo_dl.training.loop.plainsteps import PlainSteps
from eo_dl.training.setup.runsetup import prepare_run
from eo_dl.training.trainconfig import resolve_config

CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).parent / "training.md"
CHIP_PX, BATCH, SCENE_PX, WORKERS = 256, 8, 4096, (0, 1, 2)
Rates = tuple[float, float, float]


def chip_set(written: bool) -> ChipSet:
    """The chips, made once."""
    folder = CACHE / f"training_{'written' if written else 'scene'}"
    with suppress(ChipSetError):
        return open_chip_set(folder)
    scene, labels = make_scene(SCENE_PX)
    return tile(
        scene,
        labels,
        out=folder,
        size_px=CHIP_PX,
        write_chips=written,
        overwrite=True,
        split=Split((1.0, 0.0, 0.0)),
    )


def steps_of(chips: ChipSet, workers: int, device: str) -> PlainSteps:
    """The network and its batches."""
    config = resolve_config(
        None,
        task="segmentation",
        overrides={"task_options.network": "unet", "task_options.backbone": "resnet18"},
        compute=Compute(batch_size=BATCH, workers=workers, device=device),
    )
    return PlainSteps(prepare_run(chips, config))


def rate_of_loader(batches: Iterator[Batch], count: int, queued: int) -> float:
    """Chips a second of the loader alone, once the `queued` batches that it has ready are gone."""
    list(islice(batches, queued))
    start = time.perf_counter()
    chips = sum(len(batch) for batch in islice(batches, count))
    return chips / (time.perf_counter() - start)


def rate_of_step(steps: PlainSteps, ready: list[Batch]) -> float:
    """Chips a second of the step alone."""
    start = time.perf_counter()
    for batch in ready:
        steps.step(batch, 1e-3)
    return sum(len(batch) for batch in ready) / (time.perf_counter() - start)


def rate_of_both(steps: PlainSteps, batches: Iterator[Batch], count: int) -> float:
    """Chips a second as in a training: the next batch is asked for when the step is done."""
    start, chips = time.perf_counter(), 0
    for batch in islice(batches, count):
        steps.step(batch, 1e-3)
        chips += len(batch)
    return chips / (time.perf_counter() - start)


def measured(steps: PlainSteps, count: int, rounds: int) -> list[Rates]:
    """(loader, step, both) for each round, taken in turn."""
    batches = steps.batches()
    ready = list(islice(batches, count))
    steps.step(ready[0], 1e-3)  # pays for starting up
    many, queued = 4 * count, 2 * steps.setup.workers
    return [
        (
            rate_of_loader(batches, many, queued),
            rate_of_step(steps, ready),
            rate_of_both(steps, batches, count),
        )
        for _ in range(rounds)
    ]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6, help="steps a round")
    parser.add_argument("--device", default="auto")
    add_common_options(parser)
    options = parser.parse_args(argv)
    count, rounds = (1, 1) if options.quick else (options.steps, options.rounds)
    all_workers = WORKERS[:1] if options.quick else WORKERS
    rows: list[Row] = []
    found: dict[tuple[str, int], Rates] = {}
    where = ""
    for source in ("scene", "written chips"):
        chips = chip_set(source != "scene")
        for workers in all_workers:
            steps = steps_of(chips, workers, options.device)
            where = f"{steps.setup.device.type}, precision {steps.setup.precision}"
            taken = measured(steps, count, rounds)
            loader, step, _ = (statistics.median(column) for column in zip(*taken, strict=True))
            share = statistics.median(both / alone for _, alone, both in taken)
            found[source, workers] = (loader, step, share)
            what = f"training loader, chips from {source}, {workers} workers"
            rows.append(
                Row(what, loader, "chips/s", "the step of a U-Net ResNet-18 alone", step, loader / step)
            )
            print(
                (
                    f"{source}, {workers} workers: loader {loader:.1f}, step {step:.2f} chips/s, together "
                    f"{share:.2f} of the step"
                ),
                flush=True,
            )
    write_rows(rows, options)
    if not options.quick:
        RESULT.write_text(report(found, where, rounds, count), encoding="utf-8")
        print(f"written: {RESULT}")
    return rows


def report(found: dict[tuple[str, int], Rates], where: str, rounds: int, count: int) -> str:
    """The recorded result."""
    place = torch.cuda.get_device_name() if where.startswith("cuda") else f"{os.cpu_count()} cores"
    worst = min(share for (_, workers), (_, _, share) in found.items() if workers == 0)
    lines = [
        "# Training: the loader and the step",
        "",
        f"Made by `python benchmarks/training.py` ({platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {where}, {place}, load {os.getloadavg()[0]:.1f} at the end). U-Net "
        f"ResNet-18, {CHIP_PX} px, 4 bands uint16, batches of {BATCH}, augmented; medians of {rounds} "
        f"rounds of {count} steps.",
        "",
        (
            "| chips from | workers | loader alone, chips/s | step alone, chips/s | loader / step | "
            "together / step alone |"
        ),
        "|---|---|---|---|---|---|",
        *(
            f"| {source} | {workers} | {loader:.1f} | {step:.2f} | {loader / step:.1f} | {share:.2f} |"
            for (source, workers), (loader, step, share) in found.items()
        ),
        "",
        f"Without workers a training runs at {worst:.0%} of the speed of its step or better. On a CPU a "
        "worker process takes a core from the network, hence the default of none there, and up to 4 beside "
        "a GPU. Every process opens its own handles; none is taken over a fork "
        "(`tests/chips/test_dataset.py`).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
