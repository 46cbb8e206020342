"""How fast `predict` is beside its network, what it costs with hardly any network, and how much memory it
takes.

    python benchmarks/predict.py            all three, writes benchmarks/predict.md (4 GB in benchmarks/cache)
    python benchmarks/predict.py --quick    small and once, prints only

(a) End to end against the pure forward of the same chips in the same batches: U-Net ResNet-18, chips of 512
px, margin 64,
    a 4096 px scene of 4 bands (uint16, tiled, deflate). Target: at most 1.15.
(b) A network of one 1x1 convolution on 8192 px: what is left is reading, cutting, normalising, argmax,
mosaic, writing, checking.
    Target: at most 0.12 s a Mpx on 2 cores.
(c) Peak memory of a process of its own that predicts with that network by OpenVINO, without torch, at 4096
    and 20000 px. Target: a ratio of at most 1.05.
(d) The same for 100,000 px by 1024 px and 13 bands (an empty file, whose blocks decode to zeros): rows of
    blocks of 1.3 GB each. Target: at most 2 GB.

Pairs are run in turn (network, predict, network, ...), so that other work on the machine hits both.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import rasterio
import torch
from affine import Affine
from measuring import Row, add_common_options, write_rows
from rasterio.windows import Window

from eo_dl.bundle import Bundle, save_bundle
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.chipgrid import ChipGrid
from eo_dl.core.classes import ClassSet
from eo_dl.export.onnxgraph import GraphInput, export_graph
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
TARGETS = {"ratio": 1.15, "seconds": 0.12, "memory": 1.05, "wide": 2000}
WIDE_PX, WIDE_ROWS, WIDE_BANDS = 100_000, 1024, 13


def scene(size: int) -> Path:
    """A square scene of smooth ground with fine texture; compresses about as aerial images do."""
    path = CACHE / f"scene_{size}.tif"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    rng, part = np.random.default_rng(0), path.with_suffix(".part")
    texture = rng.normal(0, 60, (4, 512, 512))
    profile = {
        **profile_of(bands=4, height=size, width=size),
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


def profile_of(*, bands: int, height: int, width: int) -> dict[str, object]:
    """The GeoTIFF that all scenes are: blocks of 512 px, 1 m."""
    return {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": "uint16",
        "crs": "EPSG:32633",
        "transform": Affine(1, 0, 5e5, 0, -1, 5.2e6),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
    }


def empty_scene() -> Path:
    """A wide and low scene without a stored block."""
    path = CACHE / f"empty_{WIDE_PX}.tif"
    CACHE.mkdir(exist_ok=True)
    profile = {**profile_of(bands=WIDE_BANDS, height=WIDE_ROWS, width=WIDE_PX), "sparse_ok": True}
    with rasterio.open(path, "w", **profile) as out:
        out.descriptions, out.scales = numbered_bands(WIDE_BANDS).names, (1e-4,) * WIDE_BANDS
    return path


def numbered_bands(count: int) -> BandSet:
    """Bands without a colour."""
    return BandSet(
        tuple(Band(f"b{number}", number, dtype="uint16", scale=1e-4) for number in range(1, count + 1))
    )


def spec(bands: BandSet = BANDS) -> ModelSpec:
    """The default U-Net's."""
    config = load_task("segmentation").config.model_validate({"network": "unet"})
    count = len(bands)
    normalization = NormalizationSpec(mean=(0.15,) * count, std=(0.06,) * count)
    return ModelSpec(
        task="segmentation",
        config=config.model_dump(mode="json"),
        bands=band_specs(bands),
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
    save_bundle(
        CACHE / "unet_graph.eodl",
        spec(),
        network.state_dict(),
        extra={"model.onnx": export_graph(network, GraphInput(4, CHIP, any_size=True))},
        overwrite=True,
    )
    return save_bundle(CACHE / "unet.eodl", spec(), network.state_dict(), overwrite=True)


class OnePixel(torch.nn.Module):
    """The least network: one 1x1 convolution."""

    def __init__(self, bands: int = 4) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(bands, len(CLASSES), 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits."""
        return {"logits": self.layer(images)}


def one_pixel_model(bands: BandSet = BANDS) -> Path:
    """The least network as a model with a graph, for engines without torch."""
    CACHE.mkdir(exist_ok=True)
    network, graph = OnePixel(len(bands)).eval(), CACHE / f"one_pixel_{len(bands)}.onnx"
    sizes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("images", "logits")}
    torch.onnx.export(
        network,
        (torch.zeros(1, len(bands), CHIP, CHIP),),
        str(graph),
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes=sizes,
        opset_version=17,
        dynamo=False,
    )
    path = CACHE / f"one_pixel_{len(bands)}.eodl"
    extra = {"model.onnx": graph.read_bytes()}
    save_bundle(path, spec(bands), network.state_dict(), extra=extra, overwrite=True)
    return path


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


# Predicts with the model, the scene and the output of its arguments and prints the peak memory in MiB.
# Nothing of this file is imported: torch would be most of the memory.
MEMORY_PROGRAM = """
import sys
from measuring import high_water_mb
from eo_dl.inference.predict import predict
predict(sys.argv[1], sys.argv[2], out=sys.argv[3], backend="openvino", overwrite=True, resume=False)
assert "torch" not in sys.modules
print(high_water_mb())
"""


def memory_mib(model: Path, path: Path) -> float:
    """(c) and (d) Peak resident memory of a fresh process."""
    words = [str(model), str(path), str(CACHE / "map.tif")]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, *words], cwd=HERE, capture_output=True, text=True, check=True
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


def measure(quick: bool, repeats: int) -> list[Row]:
    """All figures."""
    network_px, least_px, memory_px = (1024, 2048, (1024, 4096)) if quick else (4096, 8192, (4096, 20000))
    rows = []
    precisions: list[Precision] = ["32"]
    if choose_precision("auto", choose_device("cpu"), bfloat16=True) == "bf16":
        precisions.append("bf16")
    for precision in precisions:
        found = against_forward(network_px, precision, repeats)
        rows.append(
            Row(
                f"(a) predict, U-Net ResNet-18, {network_px} px, torch {precision}",
                found["predict_s"],
                "s",
                "the network alone on the same chips",
                found["forward_s"],
                found["ratio"],
                f"{TARGETS['ratio']}",
                headline=precision == precisions[-1],
            )
        )
    run_one_pixel(CHIP)  # imports, first calls
    seconds = statistics.median(run_one_pixel(least_px) for _ in range(repeats))
    per_mpx = seconds / (least_px**2 / 1e6)
    what = f"(b) predict, 1x1 network, {least_px} px"
    rows.append(Row(what, per_mpx, "s/Mpx", target=f"{TARGETS['seconds']} s/Mpx"))
    small, large = (memory_mib(one_pixel_model(), scene(size)) for size in memory_px)
    rows.append(
        Row(
            f"(c) predict, 1x1 network, OpenVINO, {memory_px[1]} px",
            large,
            "MB peak",
            f"the same at {memory_px[0]} px",
            small,
            large / small,
            "" if quick else f"{TARGETS['memory']}",  # small scenes do not fill the buffers
            headline=not quick,
        )
    )
    if not quick:
        wide = memory_mib(one_pixel_model(numbered_bands(WIDE_BANDS)), empty_scene())
        what = f"(d) predict, 1x1 network, OpenVINO, {WIDE_PX} px, {WIDE_BANDS} bands"
        rows.append(Row(what, wide, "MB peak", target=f"{TARGETS['wide']} MB"))
    return rows


def report(rows: Sequence[Row], where: str) -> str:
    """The recorded result."""
    lines = [
        "# predict: recorded result",
        "",
        f"Made by `python benchmarks/predict.py` on {datetime.date.today().isoformat()}.",
        f"Machine: {where}.",
        "",
        "| what | measured | beside it | ratio | wanted |",
        "|---|--:|---|--:|--:|",
    ]
    for row in rows:
        beside = "" if row.beside_value is None else f"{row.beside}: {row.beside_value:.2f} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        lines.append(f"| {row.what} | {row.value:.3f} {row.unit} | {beside} | {ratio} | {row.target} |")
    lines += ["", "What each line means stands at the top of `benchmarks/predict.py`.", ""]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """See the top of the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    add_common_options(parser)
    given = parser.parse_args(argv)
    where = machine()
    rows = measure(given.quick, 1 if given.quick else given.repeats)
    write_rows(rows, given)
    text = report(rows, where)
    print(text)
    if not given.quick:
        (HERE / "predict.md").write_text(text)
    return rows


if __name__ == "__main__":
    main()
