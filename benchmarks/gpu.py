"""What engines, precisions, compiling and shared batches are worth on an NVIDIA GPU.

    python benchmarks/gpu.py [--chips N]      writes benchmarks/gpu.md (about five minutes)

Says "skipped: no CUDA device" and ends where there is none. The network is an untrained U-Net with a
ResNet-18, the chips are those of a scene of 4 bands (uint16), 1024 px a side. Each engine sees the same
batches, in turn, three times; the shortest time counts. Compiling pays from the number of chips on after
which the time that it saves exceeds the time that it takes. Labels changed: against torch in float32.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import rasterio
import torch
from predict import scene, unet
from rasterio.windows import Window

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray, BoolArray
from eo_dl.errors import EoDlError
from eo_dl.export.bundlegraph import add_graph
from eo_dl.inference.backends.backend import Backend, Scaling
from eo_dl.inference.backends.choice import make_backend
from eo_dl.inference.backends.torchbackend import TorchBackend
from eo_dl.inference.predict import predict
from eo_dl.networks.compute import Compute
from eo_dl.networks.device import choose_device

RESULT = Path(__file__).with_suffix(".md")
CHIP_PX, BATCH, ROUNDS = 1024, 8, 3
SMALL_SCENES, SMALL_PX = 64, 512


@dataclass(frozen=True)
class Row:
    """One engine on the chips."""

    name: str
    first_s: float
    """Seconds of the first batch: loading, choosing kernels, compiling."""
    chip_ms: float
    """Milliseconds per chip afterwards."""
    changed: float
    """Share of pixels of another class than in torch, float32."""


def main() -> None:
    """Measure, and write the table; or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chips", type=int, default=64, help="chips per round")
    chips = parser.parse_args().chips
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return
    bundle, _ = add_graph(unet())
    stored = np.concatenate([_batch(number) for number in range(max(1, chips // BATCH))])
    rows = _engine_rows(bundle, stored)
    text = "\n\n".join([_heading(), _table(rows), _compiling(rows), _small_scenes(bundle)]) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def _batch(number: int) -> AnyArray:
    """(N, C, H, W) stored pixels, in memory channels last."""
    size = 4096
    with rasterio.open(scene(size)) as source:
        chips = []
        for index in range(BATCH):
            place = (number * BATCH + index) * 97
            col, row = place % (size - CHIP_PX), (place * 31) % (size - CHIP_PX)
            chips.append(source.read(window=Window(col, row, CHIP_PX, CHIP_PX)))
    return np.ascontiguousarray(np.stack(chips).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _engine_rows(bundle: Bundle, stored: AnyArray) -> list[Row]:
    device = choose_device("cuda")

    def in_torch(precision: str, *, compiled: bool = False) -> Callable[[], Backend]:
        return lambda: TorchBackend(bundle.make_network(), device, precision, True, compiled=compiled)

    def in_onnxruntime() -> Backend:
        return make_backend("onnxruntime", bundle, compute=Compute("cuda", "32"), labels_only=True)

    makers: dict[str, Callable[[], Backend]] = {
        "torch, float32": in_torch("32"),
        "torch, bf16": in_torch("bf16"),
        "torch, float16": in_torch("16"),
        "torch, float32, compiled": in_torch("32", compiled=True),
        "torch, bf16, compiled": in_torch("bf16", compiled=True),
        "ONNX Runtime CUDA": in_onnxruntime,
    }
    rows: list[Row] = []
    expected: AnyArray | None = None
    for name, make in makers.items():
        try:
            engine = make()
        except EoDlError as error:
            print(f"{name}: skipped: {error}")
            continue
        row, labels = _measured(name, engine, bundle, stored, expected)
        expected = labels if expected is None else expected
        rows.append(row)
        print(row)
    return rows


def _measured(
    name: str, engine: Backend, bundle: Bundle, stored: AnyArray, expected: AnyArray | None
) -> tuple[Row, AnyArray]:
    scaling = Scaling.of(bundle.normalization, bundle.bands)
    pixels = stored if engine.takes_stored else _normalized(stored, scaling)
    valid = np.ones((BATCH, CHIP_PX, CHIP_PX), np.bool_)
    started = time.perf_counter()
    _labels(engine, pixels[:BATCH], valid, scaling)
    first_s = time.perf_counter() - started
    shortest = np.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        parts = [
            _labels(engine, pixels[start : start + BATCH], valid, scaling)
            for start in range(0, len(pixels), BATCH)
        ]
        shortest = min(shortest, time.perf_counter() - started)
    labels = np.concatenate(parts)
    changed = 0.0 if expected is None else float(np.mean(labels != expected))
    return Row(name, first_s, 1000 * float(shortest) / len(pixels), changed), labels


def _labels(engine: Backend, pixels: AnyArray, valid: BoolArray, scaling: Scaling) -> AnyArray:
    """(N, H, W) channel of each pixel; an engine gives it, or the logits."""
    (raw,) = engine.run(pixels, valid, scaling).values()
    return raw if raw.ndim == 3 else raw.argmax(axis=1).astype(np.uint8)


def _normalized(stored: AnyArray, scaling: Scaling) -> AnyArray:
    gain, shift = scaling.gain[:, None, None], scaling.shift[:, None, None]
    return stored.astype(np.float32) * gain + shift


def _heading() -> str:
    device = torch.cuda.get_device_name()
    return (
        f"# Prediction on a GPU\n\nWritten by `benchmarks/gpu.py` on {datetime.date.today()}, {device}, "
        f"torch {torch.__version__}, Python {platform.python_version()}. U-Net with a ResNet-18, chips of "
        f"{CHIP_PX} px with 4 bands, batches of {BATCH}."
    )


def _table(rows: list[Row]) -> str:
    lines = ["| | first batch, s | ms per chip | labels changed |", "|---|--:|--:|--:|"]
    lines += [f"| {row.name} | {row.first_s:.1f} | {row.chip_ms:.2f} | {row.changed:.4%} |" for row in rows]
    return "\n".join(lines)


def _compiling(rows: list[Row]) -> str:
    """From how many chips on compiling pays, for each precision."""
    by_name = {row.name: row for row in rows}
    sentences = []
    for precision in ("float32", "bf16"):
        plain = by_name.get(f"torch, {precision}")
        compiled = by_name.get(f"torch, {precision}, compiled")
        if plain is None or compiled is None:
            continue
        saved_ms = plain.chip_ms - compiled.chip_ms
        if saved_ms <= 0:
            sentences.append(f"In {precision} compiling never pays.")
            continue
        chips = 1000 * (compiled.first_s - plain.first_s) / saved_ms
        sentences.append(f"In {precision} compiling pays from {chips:.0f} chips on.")
    return " ".join(sentences)


def _small_scenes(bundle: Bundle) -> str:
    """Time of many small scenes, with batches of their own and with shared ones."""
    with tempfile.TemporaryDirectory() as folder:
        scenes = _write_small_scenes(Path(folder))
        seconds: dict[bool, float] = {}
        for shared in (False, True, False, True):
            with mock.patch.object(TorchBackend, "shares_batches", shared, create=True):
                out = Path(folder) / f"maps_{shared}"
                started = time.perf_counter()
                predict(bundle, scenes, out=f"{out}/", backend="torch", overwrite=True)
                seconds[shared] = min(seconds.get(shared, np.inf), time.perf_counter() - started)
    alone, together = (1000 * seconds[shared] / SMALL_SCENES for shared in (False, True))
    return (
        f"{SMALL_SCENES} scenes of {SMALL_PX} px: {alone:.0f} ms per scene with batches of their own, "
        f"{together:.0f} ms with shared ones."
    )


def _write_small_scenes(folder: Path) -> list[Path]:
    paths = []
    with rasterio.open(scene(4096)) as source:
        for number in range(SMALL_SCENES):
            window = Window((number % 8) * SMALL_PX, (number // 8) * SMALL_PX, SMALL_PX, SMALL_PX)
            profile = source.profile | {
                "width": SMALL_PX,
                "height": SMALL_PX,
                "transform": source.window_transform(window),
            }
            paths.append(folder / f"small_{number:02d}.tif")
            with rasterio.open(paths[-1], "w", **profile) as small:
                small.write(source.read(window=window))
                small.descriptions, small.scales = source.descriptions, source.scales
    return paths


if __name__ == "__main__":
    main()
