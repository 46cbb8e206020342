"""What shorter numbers change on a trained model: int8 in the engines, and rounding to bfloat16.

    python benchmarks/precision.py MODEL.eodl CHIPS SCENE     writes benchmarks/precision.md (a few minutes)

A model of class maps, its chip set, and a scene of its bands. Windows of 256 px of the scene go through each
engine one by one, in turn; the time is CPU time, the median over the windows, relative to OpenVINO in
float32. Changed: pixels of another class than in float32. The rounding of bfloat16 is that of torch's
autocast, which any processor can compute, so it says nothing about time; single layers are kept in float32 to
see which ones matter.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import eo_dl as eo
from eo_dl.bundle import ONNX, Bundle
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.window import Window
from eo_dl.export.int8graph import quantize_model
from eo_dl.inference.backends.backend import Scaling
from eo_dl.inference.backends.choice import make_backend
from eo_dl.io.scene import SceneReader
from eo_dl.modelcard import int8_text
from eo_dl.networks.compute import Compute

RESULT = Path(__file__).with_suffix(".md")
SIZE_PX = 256


class InFloat32(torch.nn.Module):
    """A layer that is left out of autocast."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        with torch.autocast("cpu", enabled=False):
            output: torch.Tensor = self.layer(maps.float())
        return output


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("chips")
    parser.add_argument("scene")
    words = parser.parse_args()
    bundle = eo.load_model(words.model)
    images = _images(bundle, words.scene)
    with tempfile.TemporaryDirectory() as folder:
        short = quantize_model(bundle, words.chips, Path(folder) / "int8.eodl")
        engines = _engines(bundle, short, images)
        sizes = [len(model.read(ONNX)) / 1e6 for model in (bundle, short)]
    assert short.spec.int8 is not None
    text = (
        "# Shorter numbers\n\nWritten by `benchmarks/precision.py` on "
        f"{platform.machine()}, Python {platform.python_version()}, {_processor()}; {len(images)} windows of "
        f"{SIZE_PX} px of {Path(words.scene).name}, model {bundle.path.name} "
        f"({bundle.config.network}, {bundle.config.backbone}).\n\n"
        f"## int8\n\n{engines}\n\n{int8_text(short.spec.int8)} `model.onnx` has {sizes[1]:.1f} MB instead of "
        f"{sizes[0]:.1f} MB.\n\n## bfloat16\n\n{_rounding(bundle, images)}\n"
    )
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def _images(bundle: Bundle, path: str) -> AnyArray:
    """(N, C, H, W) standard scores, in memory channels last."""
    scene = eo.open_scene(path)
    scene = scene.reordered(bundle.bands.match(scene.bands, scene.path))
    images = []
    with SceneReader(scene) as reader:
        for row in range(0, scene.grid.height - SIZE_PX, SIZE_PX):
            for col in range(0, scene.grid.width - SIZE_PX, SIZE_PX):
                chip = reader.read(Window(col, row, SIZE_PX, SIZE_PX))
                images.append(bundle.normalization.apply(chip.pixels, chip.valid, chip.bands))
    return np.ascontiguousarray(np.stack(images).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _engines(bundle: Bundle, short: Bundle, images: AnyArray) -> str:
    engines = {}
    for name in ("openvino", "onnxruntime"):
        float32, auto = Compute("cpu", "32"), Compute("cpu")
        engines[f"{name}, float32"] = make_backend(name, bundle, compute=float32, labels_only=True)
        engines[f"{name}, int8"] = make_backend(name, short, compute=auto, labels_only=True)
    valid = np.ones((1, SIZE_PX, SIZE_PX), np.bool_)
    bands = len(bundle.bands)
    unchanged = Scaling(np.ones(bands, np.float32), np.zeros(bands, np.float32))
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    labels: dict[str, list[AnyArray]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.run(images[:1], valid, unchanged)  # compiles
    for index in range(len(images)):
        for name, engine in engines.items():
            started = time.process_time()
            raw = engine.run(images[index : index + 1], valid, unchanged)
            seconds[name].append(time.process_time() - started)
            labels[name].append(raw["logits"][0].argmax(axis=0))
    first = next(iter(engines))
    lines = ["| | time | changed |", "|---|--:|--:|"]
    for name in engines:
        relative = float(np.median(seconds[name]) / np.median(seconds[first]))
        changed = np.mean(np.stack(labels[name]) != np.stack(labels[first]))
        lines.append(f"| {name} | {relative:.2f} | {changed:.4%} |")
    return "\n".join(lines)


def _rounding(bundle: Bundle, images: AnyArray) -> str:
    network = bundle.make_network()
    names = [name for name, layer in network.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    kept: dict[str, Sequence[str]] = {
        "all in bfloat16": (),
        "first convolution in float32": names[:1],
        "last convolution in float32": names[-1:],
        "first and last in float32": (names[0], names[-1]),
    }
    expected = _labels(network, images)
    lines = ["| | changed |", "|---|--:|"]
    for title, layers in kept.items():
        partly = bundle.make_network()
        for name in layers:
            parent, _, last = name.rpartition(".")
            owner = partly.get_submodule(parent)
            setattr(owner, last, InFloat32(getattr(owner, last)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            changed = np.mean(_labels(partly, images) != expected)
        lines.append(f"| {title} | {changed:.4%} |")
    return "\n".join(lines)


def _labels(network: torch.nn.Module, images: AnyArray) -> AnyArray:
    with torch.inference_mode():
        maps = [network(torch.from_numpy(image[None]))["logits"].argmax(dim=1) for image in images]
    labels: AnyArray = torch.cat(maps).numpy()
    return labels


def _processor() -> str:
    flags = torch.backends.cpu.get_cpu_capability()
    return f"best instructions {flags}"


if __name__ == "__main__":
    main()
