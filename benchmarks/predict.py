"""How fast `predict` is beside its network, what it costs with hardly any network, and how much memory it
takes.

    python benchmarks/predict.py            all three, writes benchmarks/predict.md (about 4 GB in
    benchmarks/cache) python benchmarks/predict.py --small    a quarter of the size, prints only

(a) End to end against the pure forward of the same chips in the same batches: U-Net ResNet-18, chips of 512
px, margin 64,
    a 4096 px scene of 4 bands (uint16, tiled, deflate). Target: at most 1.15.
(b) A network of one 1x1 convolution on 8192 px: what is left is reading, cutting, normalising, argmax,
mosaic, writing, checking.
    Target: at most 0.12 s a Mpx on 2 cores.
(c) Peak memory of a process of its own with that network at 4096 and 20000 px. Target: a ratio of at most
1.25.

Pairs are run in turn (network, predict, network, ...), so that other work on the machine hits both.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.windows import Window

from eo_dl.bundle import Bundle, save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.inference.backends.torchbackend import TorchBackend
from eo_dl.inference.batches import groups
from eo_dl.inference.predict import predict
from eo_dl.modelspec import ModelSpec, NormalizationSpec, band_specs, class_specs
from eo_dl.networks.compute import Compute
from eo_dl.networks.device import Precision, autocast, choose_device, choose_precision
from eo_dl.tasks import NetworkInputs, load_task

HERE = Path(__file__).resolve().parent
CACHE = HERE / "cache"
BANDS = BandSet(
    tuple(
        Band(name, number, dtype="uint16", scale=1e-4)
        for number, name in enumerate(("blue", "green", "red", "nir"), start=1)
    )
)
CLASSES = ClassSet.of_names(["water", "woods"], background=True)
CHIP, MARGIN = 512, 64
TARGETS = {"ratio": 1.15, "seconds": 0.12, "memory": 1.25}


def scene(size: int) -> Path:
    """A square scene of smooth ground with fine texture; compresses about as aerial images do."""
    path = CACHE / f"scene_{size}.tif"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    rng, part = np.random.default_rng(0), path.with_suffix(".part")
    texture = rng.normal(0, 60, (4, 512, 512))
    profile = {
        "driver": "GTiff",
        "count": 4,
        "height": size,
        "width": size,
        "dtype": "uint16",
        "crs": "EPSG:32633",
        "transform": Affine(1, 0, 5e5, 0, -1, 5.2e6),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "zlevel": 1,
        "num_threads": 2,
        "bigtiff": "if_safer",
    }
    with rasterio.open(part, "w", **profile) as out:
        for row in range(0, size, 512):
            for col in range(0, size, 512):
                high, wide = min(512, size - row), min(512, size - col)
                rows, cols = np.mgrid[row : row + high, col : col + wide]
                ground = 1500 + 900 * np.sin(rows / 97) * np.cos(cols / 131)
                out.write(
                    (ground + texture[:, :high, :wide]).clip(1, 9999).astype(np.uint16),
                    window=Window(col, row, wide, high),
                )
        out.descriptions, out.scales = BANDS.names, (1e-4,) * 4
    part.replace(path)
    return path


def spec() -> ModelSpec:
    """The default U-Net's."""
    config = load_task("segmentation").config.model_validate({"network": "unet"})
    normalization = NormalizationSpec(mean=(0.15,) * 4, std=(0.06,) * 4)
    return ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(BANDS),
        classes=class_specs(CLASSES),
        gsd_m=1.0,
        chip_px=CHIP,
        margin_px=MARGIN,
        normalization=normalization,
    )


class StandIn(Bundle):
    """A bundle without a file, so that no network but the least one is ever in memory."""

    @property
    def hash(self) -> str:
        return "0" * 64


def unet() -> Bundle:
    """Untrained: its speed is that of a trained one. Written in each run, so that the file fits the code."""
    task = load_task("segmentation")
    network = task.make_network(
        task.config.model_validate({"network": "unet"}), NetworkInputs(4, CLASSES, CHIP)
    )
    CACHE.mkdir(exist_ok=True)
    return save_bundle(CACHE / "unet.eodl", spec(), network.state_dict(), overwrite=True)


class OnePixel(torch.nn.Module):
    """The least network: one 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(4, len(CLASSES), 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits."""
        return {"logits": self.layer(images)}


def run(bundle: Bundle, size: int, precision: Precision) -> float:
    """Seconds of one prediction, from an opened model to the verified map."""
    out = CACHE / "map.tif"
    return predict(
        bundle,
        scene(size),
        out=out,
        compute=Compute(precision=precision, device="cpu"),
        overwrite=True,
        resume=False,
    ).seconds


def run_one_pixel(size: int) -> float:
    """The same with the least network."""
    backend = TorchBackend(OnePixel(), torch.device("cpu"), "32")
    with mock.patch("eo_dl.inference.backends.choice.make_backend", return_value=backend):
        return run(StandIn(CACHE / "least.eodl", spec()), size, "32")


def forward(bundle: Bundle, size: int, precision: Precision) -> float:
    """Seconds of the network alone on as many chips in the same batches, input ready in memory."""
    backend = TorchBackend(bundle.make_network(), torch.device("cpu"), precision)
    grid = ChipGrid(size, size, CHIP, MARGIN)
    cut = groups(grid.shape[1], backend.batch_px // CHIP**2)
    buffer = backend.buffer(max(stop - start for start, stop in cut), 4, CHIP, "float32")
    buffer.pixels[...] = np.random.default_rng(1).normal(size=buffer.pixels.shape)
    started = time.perf_counter()
    with torch.inference_mode(), autocast(torch.device("cpu"), precision):
        for _ in range(grid.shape[0]):
            for start, stop in cut:
                backend._network(torch.from_numpy(buffer.pixels[: stop - start]))
    return time.perf_counter() - started


def against_forward(size: int, precision: Precision, repeats: int) -> dict[str, float]:
    """(a)"""
    bundle = unet()
    forward(bundle, CHIP, precision)  # warm up
    pairs = [(forward(bundle, size, precision), run(bundle, size, precision)) for _ in range(repeats)]
    return {
        "forward_s": statistics.median(pair[0] for pair in pairs),
        "predict_s": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def peak_mib() -> float:
    """Peak resident memory of this process. Linux hands getrusage's figure down from the parent, so /proc is
    asked first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(
            float(line.split()[1]) / 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_mib(size: int) -> float:
    """(c) Peak resident memory of a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", str(size)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{name}, {os.cpu_count()} cores, torch {torch.__version__} with {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}; load before the run {load:.1f}"
    )


def report(rows: list[tuple[str, str, str]], where: str) -> str:
    """The recorded result."""
    table = "\n".join(f"| {what} | {value} | {target} |" for what, value, target in rows)
    return f"""# predict: recorded result

Made by `python benchmarks/predict.py` on {datetime.date.today().isoformat()}.
Machine: {where}.

| what | measured | target |
|---|---|---|
{table}

What each line means stands at the top of `benchmarks/predict.py`.
"""


def measure(small: bool, repeats: int) -> list[tuple[str, str, str]]:
    """All figures as rows of the report."""
    divide = 2 if small else 1
    a, b, c = (
        4096 // divide,
        8192 // divide,
        ((4096 // divide, 20000 // (4 * divide)) if small else (4096, 20000)),
    )
    rows = []
    precisions: list[Precision] = ["32"]
    if choose_precision("auto", choose_device("cpu"), bfloat16=True) == "bf16":
        precisions.append("bf16")
    for precision in precisions:
        found = against_forward(a, precision, repeats)
        rows.append(
            (
                (
                    f"(a) U-Net ResNet-18, {a} px, {precision}: network alone {found['forward_s']:.1f} s, "
                    f"predict {found['predict_s']:.1f} s"
                ),
                f"{found['ratio']:.3f}",
                f"<= {TARGETS['ratio']}",
            )
        )
    run_one_pixel(CHIP)  # imports, first calls
    seconds = statistics.median(run_one_pixel(b) for _ in range(repeats))
    rows.append(
        (
            f"(b) 1x1 network, {b} px: {seconds:.1f} s",
            f"{seconds / (b * b / 1e6):.3f} s/Mpx",
            f"<= {TARGETS['seconds']}",
        )
    )
    peaks = [memory_mib(size) for size in c]
    rows.append(
        (
            f"(c) peak memory: {peaks[0]:.0f} MiB at {c[0]} px, {peaks[1]:.0f} MiB at {c[1]} px",
            f"{peaks[1] / peaks[0]:.2f}",
            f"<= {TARGETS['memory']}",
        )
    )
    return rows


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int)
    given = parser.parse_args()
    if given.memory:
        run_one_pixel(given.memory)
        print(peak_mib())
        return
    where = machine()
    text = report(measure(given.small, given.repeats), where)
    print(text)
    if not given.small:
        (HERE / "predict.md").write_text(text)


if __name__ == "__main__":
    main()
