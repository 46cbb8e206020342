"""How fast samples come: from the scene, from written chips and from a cache, with and without augmentation.

    python benchmarks/training_reading.py [--rounds N]     writes benchmarks/training_reading.md

The chips of `benchmarks/training.py` (256 px, 4 bands uint16), in batches of 8. Everything takes turns in one
process without workers. Time is that of the processor, because other programs may share the machine: on a
machine of its own it is the time that passes.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.windows import Window as RasterioWindow
from training import chip_set, steps_of

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.dataset import ChipDataset, collate
from eo_dl.chips.samplecache import FileStorage, MemoryStorage, SampleCache
from eo_dl.core.arraytypes import AnyArray
from eo_dl.training.setup.runsetup import RunSetup

RESULT = Path(__file__).parent / "training_reading.md"
ROOMY = 2**40
BATCH = 8
Take = Callable[[Sequence[int]], object]
"""Takes the samples of some numbers as a batch."""


def samplers(scene: RunSetup, written: RunSetup, folder: Path, stack: ExitStack) -> dict[str, Take]:
    """Everything that is measured, by name, the last ones as a plain program would do it."""
    memory = stack.enter_context(SampleCache(MemoryStorage(), ROOMY))
    disk = stack.enter_context(SampleCache(FileStorage(folder), ROOMY))
    found: dict[str, Take] = {}
    for name, setup, cache in (
        ("scene", scene, None),
        ("written chips", written, None),
        ("cache in memory", scene, memory),
        ("cache on disk", scene, disk),
    ):
        data = replace(setup.data, cache=cache)
        for augmented in (True, False):
            dataset = data.dataset("train", augmented=augmented)
            found[f"{name}, {'augmented' if augmented else 'plain'}"] = _batches(dataset)
    found["floor: windows and burnt labels"] = _windows_and_labels(scene.data.chips)
    found["floor: memmap of chips and masks"] = _memmap(scene, folder)
    torchgeo = _torchgeo(scene.data.chips)
    if torchgeo is not None:
        found["torchgeo"] = torchgeo
    return found


def rates(samples: dict[str, Take], count: int, chips: int, rounds: int) -> dict[str, float]:
    """Samples per second of each, the median of the rounds of `count` batches.

    All have seen every chip before.
    """
    batches = [range(start, start + BATCH) for start in range(0, chips - BATCH + 1, BATCH)]
    for take in samples.values():
        for batch in batches:
            take(batch)
    seconds: dict[str, list[float]] = {name: [] for name in samples}
    for _ in range(rounds):
        for name, take in samples.items():
            start = time.process_time()
            for batch in islice(cycle(batches), count):
                take(batch)
            seconds[name].append(time.process_time() - start)
    return {name: count * BATCH / statistics.median(taken) for name, taken in seconds.items()}


def _batches(dataset: ChipDataset) -> Take:
    return lambda numbers: collate([dataset[number] for number in numbers])


def _stacked(one: Callable[[int], tuple[AnyArray, AnyArray]]) -> Take:
    """Batches of plain arrays."""

    def take(numbers: Sequence[int]) -> object:
        pixels, masks = zip(*(one(number) for number in numbers), strict=True)
        return np.stack(pixels), np.stack(masks)

    return take


def _windows_and_labels(chips: ChipSet) -> Take:
    """A window of the open scene and the labels that a search tree finds, burnt into a mask."""
    scene = rasterio.open(chips.scenes[0].path)
    labels = chips.truth_of(0).labels
    tree, shapes = shapely.STRtree(labels.geometries), list(labels.geometries)
    windows = [record.window for record in chips.split("train")]

    def one(number: int) -> tuple[AnyArray, AnyArray]:
        window = windows[number]
        here = RasterioWindow(window.col, window.row, window.width, window.height)
        pixels = scene.read(window=here)
        near = np.sort(tree.query(shapely.box(*window.box)))
        burnt = [(shapes[index], int(labels.class_ids[index])) for index in near]
        moved = rasterio.Affine.translation(window.col, window.row)
        size = (window.height, window.width)
        return pixels, rasterize(burnt, out_shape=size, transform=moved, dtype="uint8")

    return _stacked(one)


def _memmap(setup: RunSetup, folder: Path) -> Take:
    """Standard scores out of two flat files, made once."""
    data = setup.data
    dataset = data.dataset("train")
    raw = [dataset.raw(number) for number in range(len(dataset))]
    np.save(folder / "pixels.npy", np.stack([sample.pixels for sample in raw]))
    np.save(folder / "masks.npy", np.stack([getattr(sample.target, "mask") for sample in raw]))  # noqa: B009
    pixels, masks = (np.load(folder / name, mmap_mode="r") for name in ("pixels.npy", "masks.npy"))
    gain, shift = data.normalization.coefficients(data.chips.bands)

    def one(number: int) -> tuple[AnyArray, AnyArray]:
        image = pixels[number].astype(np.float32) * gain[:, None, None] + shift[:, None, None]
        return image, np.array(masks[number])

    return _stacked(one)


def _torchgeo(chips: ChipSet) -> Take | None:
    """The same windows out of torchgeo's data sets; None where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchgeo.datasets import RasterDataset, VectorDataset
    except ImportError:
        print("torchgeo: not installed, left out")
        return None
    scene = chips.scenes[0]
    labels = chips.path.parent / f"{Path(scene.path).stem}_ids.gpkg"
    if not labels.exists():
        table = gpd.read_file(Path(scene.path).with_suffix(".gpkg"))
        table["id"] = table["kind"].map({"a": 1, "b": 2, "c": 3})
        table.to_file(labels)

    class Pixels(RasterDataset):
        filename_glob = Path(scene.path).name

    class Masks(VectorDataset):
        filename_glob = labels.name

    both = Pixels(str(Path(scene.path).parent)) & Masks(
        str(labels.parent), crs=scene.grid.crs, res=(1.0, 1.0), label_name="id"
    )
    bounds = [scene.grid.footprint(record.window).bounds for record in chips.split("train")]
    times = both.bounds[2]

    def one(number: int) -> tuple[AnyArray, AnyArray]:
        west, south, east, north = bounds[number]
        sample = both[west:east, south:north, times]
        return sample["image"].numpy(), sample["mask"].numpy()

    return _stacked(one)


def report(found: dict[str, float], rounds: int) -> str:
    """The recorded result."""
    base = found["scene, augmented"]
    lines = [
        "# Training: samples by their source",
        "",
        f"Made by `python benchmarks/training_reading.py` ({platform.system()}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end). "
        f"Chips of 256 px, 4 bands uint16, class masks, batches of {BATCH}, no workers; medians of {rounds} "
        "rounds. Compare within the table: the rates themselves fall with the load of the machine.",
        "",
        "| samples from | samples per CPU second | of the scene, augmented |",
        "|---|---|---|",
        *(f"| {name} | {rate:.0f} | {rate / base:.2f} |" for name, rate in found.items()),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chips", type=int, default=64)
    rounds, chips = parser.parse_args().rounds, parser.parse_args().chips
    scene, written = (steps_of(chip_set(is_written), 0, "cpu").setup for is_written in (False, True))
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        samples = samplers(scene, written, Path(folder), stack)
        found = rates(samples, chips // BATCH, chips, rounds)
    text = report(found, rounds)
    print(text)
    RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
