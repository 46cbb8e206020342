"""A model of each head, predicted by three engines side by side: a picture and a line of numbers per head.

    python benchmarks/engine_pictures.py [HEAD ...] [--minutes N]

Trains a small model per head on real scenes (the cases of `real_data.py`; EO_DL_REAL_DATA, default
../shared/data), predicts with torch in float32 and with ONNX Runtime and OpenVINO as `--backend` runs them by
default, and writes docs/images/engines-HEAD.png and benchmarks/engine_pictures.md. Models are kept in
benchmarks/cache/engine_pictures. The pictures compare engines; how good the maps are says `real_data.md`.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import matplotlib
import numpy as np
import pandas as pd
import rasterio
import shapely
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from real_data import CASES, DATA  # beside this file
from recipe import chips_of, eo_dl

import eo_dl as eo
from eo_dl.inference.backends.choice import BackendName
from eo_dl.networks.compute import Compute

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "benchmarks" / "cache" / "engine_pictures"
NUMBERS = WORK / "numbers.json"
RESULT = Path(__file__).with_suffix(".md")
CLOSE_PX = 0.1
COLORS = 128


@dataclass(frozen=True)
class Engine:
    """A way to run a network."""

    title: str
    backend: BackendName
    compute: Compute


ENGINES = (
    Engine("torch, float32", "torch", Compute("cpu", "32")),
    Engine("ONNX Runtime", "onnxruntime", Compute("cpu")),
    Engine("OpenVINO", "openvino", Compute("cpu")),
)


@dataclass(frozen=True)
class Head:
    """A kind of result, the case whose chips its model learns, and the scenes that it predicts."""

    case: str
    scenes: Callable[[], list[Path]]
    view: tuple[int, int, int, int] | None = None
    """Columns and rows to show: col0, row0, col1, row1 (None: all)."""


def _mass() -> list[Path]:
    return [DATA / "mass-buildings" / "22978945_15.tif"]


def _trees() -> list[Path]:
    return [DATA / "neon-trees" / "TEAK" / "TEAK_043.tif"]


def _ships() -> list[Path]:
    return sorted((DATA / "s2-ships").glob("*.tif"))[:6]


def _places() -> list[Path]:
    folders = sorted(path.parent for path in (DATA / "fair-xyz-regions").glob("*/images"))
    return [path for folder in folders for path in sorted((folder / "images").glob("*.png"))[:3]]


HEADS = {
    "classification": Head("fair-classification", _places),
    "localization": Head("ships-localization", _ships),
    "detection": Head("neon-detection", _trees),
    "segmentation": Head("mass-segmentation", _mass, (300, 200, 800, 700)),
    "instances": Head("mass-instances", _mass, (500, 300, 800, 600)),
}


def model_of(name: str, minutes: float) -> Path:
    """The model of a head, trained once."""
    case = next(case for case in CASES if case.name == HEADS[name].case)
    out = WORK / f"{name}.eodl"
    if not out.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        eo_dl(
            *("train", str(chips_of(case)), "--task", case.task, "-o", str(out)),
            *("--minutes", str(minutes), "--set", "baselines=false"),
        )
    return out


def predict(name: str, model: Path) -> list[list[Path]]:
    """Per engine, the maps of the scenes (one table for whole images)."""
    suffix = {"classification": ".csv", "segmentation": ".tif"}.get(name, ".gpkg")
    scenes = HEADS[name].scenes()
    groups = [scenes] if name == "classification" else [[scene] for scene in scenes]
    outs = []
    for number, engine in enumerate(ENGINES):
        maps = []
        for index, group in enumerate(groups):
            out = WORK / f"{name}_{number}_{index}{suffix}"
            eo.predict(model, group, out=out, backend=engine.backend, compute=engine.compute, overwrite=True)
            maps.append(out)
        outs.append(maps)
    return outs


def image_of(path: Path) -> np.ndarray:
    """(H, W, 3) red, green and blue from 0 to 1, stretched between the 2nd and 98th percentile."""
    with rasterio.open(path) as scene:
        bands = (4, 3, 2) if scene.count >= 4 else (1, 2, 3)
        pixels = scene.read(bands).astype(np.float32)
    low, high = np.percentile(pixels, (2, 98), axis=(1, 2))[..., None, None]
    stretched: np.ndarray = (pixels - low) / np.maximum(high - low, 1e-6)
    return stretched.clip(0, 1).transpose(1, 2, 0)


def objects_of(path: Path, scene: Path) -> geopandas.GeoDataFrame:
    """Objects in pixels of their scene."""
    table = geopandas.read_file(path)
    with rasterio.open(scene) as dataset:
        inverse = ~dataset.transform

    def to_pixels(points: np.ndarray) -> np.ndarray:
        return np.column_stack(inverse @ (points[:, 0], points[:, 1]))

    outlines = shapely.transform(table.geometry.to_numpy(), to_pixels)
    return table.set_geometry(geopandas.GeoSeries(outlines)).set_crs(None, allow_override=True)


def draw_objects(axes: Axes, table: geopandas.GeoDataFrame, *, outlines: bool) -> None:
    """Boxes or outlines over a scene."""
    for shape in table.geometry:
        drawn = shape if outlines else shapely.box(*shape.bounds)
        for part in shapely.get_parts(drawn):
            axes.plot(
                *np.array(part.exterior.coords).T, color="#ffd400", linewidth=0.9, scalex=False, scaley=False
            )


def boxes_line(outs: Sequence[Sequence[Path]], scenes: Sequence[Path], number: int) -> str:
    """How many boxes of torch have a box of an engine within 0.1 px."""
    close = total = found = 0
    for index, scene in enumerate(scenes):
        ours, theirs = (
            shapely.bounds(objects_of(outs[engine][index], scene).geometry.to_numpy()).reshape(-1, 4)
            for engine in (0, number)
        )
        total, found = total + len(ours), found + len(theirs)
        if len(ours) and len(theirs):
            apart = np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=1)
            close += int((apart <= CLOSE_PX).sum())
    return f"{close} of {total} boxes within {CLOSE_PX} px ({found} found)"


def class_maps(name: str, outs: Sequence[Sequence[Path]]) -> tuple[list[str], Figure]:
    """Class maps over the scene."""
    head = HEADS[name]
    col0, row0, col1, row1 = head.view or (0, 0, 1, 1)
    image = image_of(head.scenes()[0])[row0:row1, col0:col1]
    maps = []
    for (path,) in outs:
        with rasterio.open(path) as dataset:
            maps.append(dataset.read(1))
    figure, panels = pyplot.subplots(1, 4, figsize=(13, 3.7))
    show(panels[0], image, "scene")
    for panel, engine, labels in zip(panels[1:], ENGINES, maps, strict=True):
        show(panel, image, engine.title)
        part = labels[row0:row1, col0:col1]
        panel.imshow(np.ma.masked_equal(part, 0), cmap="autumn", alpha=0.6, interpolation="nearest")
    lines = [f"{np.mean(labels != maps[0]):.4%} of {labels.size} labels changed" for labels in maps[1:]]
    return lines, figure


def found_objects(name: str, outs: Sequence[Sequence[Path]]) -> tuple[list[str], Figure]:
    """Boxes or outlines over a scene, or over each of several."""
    head, outlines = HEADS[name], name == "instances"
    scenes = head.scenes()
    shape = (len(ENGINES), len(scenes)) if len(scenes) > 1 else (1, len(ENGINES))
    figure, panels = pyplot.subplots(*shape, figsize=(13, 4.6 if shape[0] == 1 else 6.6), squeeze=False)
    for number, engine in enumerate(ENGINES):
        for index, scene in enumerate(scenes):
            panel = panels[number, index] if len(scenes) > 1 else panels[0, number]
            show(panel, image_of(scene), engine.title if index == 0 else "")
            draw_objects(panel, objects_of(outs[number][index], scene), outlines=outlines)
            if head.view is not None:
                panel.set_xlim(head.view[0], head.view[2])
                panel.set_ylim(head.view[3], head.view[1])
    return [boxes_line(outs, scenes, number) for number in (1, 2)], figure


def named_images(name: str, outs: Sequence[Sequence[Path]]) -> tuple[list[str], Figure]:
    """Images with the class that each engine gives them."""
    scenes = HEADS[name].scenes()
    tables = [pd.read_csv(paths[0]) for paths in outs]
    figure, panels = pyplot.subplots(len(ENGINES), len(scenes), figsize=(13, 4.6))
    for row, engine, table in zip(panels, ENGINES, tables, strict=True):
        for index, (panel, scene) in enumerate(zip(row, scenes, strict=True)):
            show(panel, image_of(scene), "")
            found = table.iloc[index]
            panel.set_title(f"{found['class_name'][:10]}\n{found['score']:.4f}", fontsize=7, pad=2)
        row[0].set_ylabel(engine.title, fontsize=8)
    first = tables[0]
    lines = []
    for table in tables[1:]:
        changed = int((table["class_name"] != first["class_name"]).sum())
        apart = float((table["score"] - first["score"]).abs().max())
        lines.append(f"{changed} of {len(first)} labels changed, scores differ by {apart:.4f} at most")
    return lines, figure


def show(axes: Axes, image: np.ndarray, title: str) -> None:
    """An image without ticks."""
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=9, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])


def save(figure: Figure, path: Path) -> None:
    """A small PNG: few colours."""
    figure.tight_layout(pad=0.4)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    pyplot.close(figure)
    Image.open(buffer).convert("RGB").quantize(COLORS).save(path, optimize=True)


DRAWERS: dict[str, Callable[[str, Sequence[Sequence[Path]]], tuple[list[str], Figure]]] = {
    "classification": named_images,
    "segmentation": class_maps,
    "localization": found_objects,
    "detection": found_objects,
    "instances": found_objects,
}


def report(numbers: dict[str, list[str]]) -> str:
    """The recorded result."""
    lines = [
        "# Each head by three engines",
        "",
        "`python benchmarks/engine_pictures.py`: small models, trained for a minute or two on real scenes, "
        "predict with torch in float32 and with ONNX Runtime and OpenVINO in the precision that they choose "
        "(float32 on the machine of this record, which has no bfloat16). Numbers are against torch. The "
        "models are far from good, and need not be: the same boxes and labels are what counts here.",
        "",
        "| head | ONNX Runtime | OpenVINO | picture |",
        "|---|---|---|---|",
    ]
    for name in HEADS:
        if name in numbers:
            picture = f"[engines-{name}.png](../docs/images/engines-{name}.png)"
            lines.append(f"| {name} | {numbers[name][0]} | {numbers[name][1]} | {picture} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Train, predict, draw and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("heads", nargs="*", metavar="HEAD", help=f"of {', '.join(HEADS)}; default: all")
    parser.add_argument("--minutes", type=float, default=2, help="training time per head")
    given = parser.parse_args(argv)
    for name in given.heads or HEADS:
        outs = predict(name, model_of(name, given.minutes))
        lines, figure = DRAWERS[name](name, outs)
        save(figure, ROOT / "docs" / "images" / f"engines-{name}.png")
        numbers = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
        numbers[name] = lines
        NUMBERS.write_text(json.dumps(numbers))
        RESULT.write_text(report(numbers), encoding="utf-8")
        print(name, *lines, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
