"""What derived bands cost in `predict`, beside the same network on bands of the file.

    python benchmarks/derived.py            # 2048 px, 3 rounds; writes benchmarks/derived.md
    python benchmarks/derived.py --quick    # 1024 px, once; prints only

One scene of four bands (uint16, tiled, deflate, 1 m), one U-Net ResNet-18 of four inputs, the default engine.
Model A reads red, nir, green and elevation; model B reads red and makes three bands of the same file. CPU
seconds of the whole `predict`, all models in turn. Target: at most 1.2.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from pathlib import Path

import numpy as np
import rasterio
from measuring import Row, add_common_options, compared, write_rows
from predict import CACHE, CHIP, CLASSES, HERE, machine, profile_of, spec

from eo_dl.bundle import Bundle, save_bundle
from eo_dl.core.bands import Band, BandSet, Derivation
from eo_dl.export.onnxgraph import GraphInput, export_graph
from eo_dl.inference.predict import predict
from eo_dl.tasks import NetworkInputs, load_task

FILE_BANDS = ("red", "nir", "green", "elevation")
SETS = {
    "ndvi, ndwi, x": ("ndvi=(nir-red)/(nir+red)", "ndwi=(green-nir)/(green+nir)", "x=nir/red"),
    "slope, hillshade, relief(4m)": (
        "slope=slope(elevation)",
        "hillshade=hillshade(elevation,35)",
        "relief=relief(elevation,4m)",
    ),
    "ndvi, slope, relief(12m)": (
        "ndvi=(nir-red)/(nir+red)",
        "slope=slope(elevation)",
        "relief=relief(elevation,12m)",
    ),
    "sky(10m), ndvi, slope": (
        "sky=sky(elevation,10m,8)",
        "ndvi=(nir-red)/(nir+red)",
        "slope=slope(elevation)",
    ),
    "glcm contrast, ndvi, slope": (
        "t=glcm(nir,contrast,3px,0..1)",
        "ndvi=(nir-red)/(nir+red)",
        "slope=slope(elevation)",
    ),
}
TARGET = 1.2


def scene(size: int) -> Path:
    """Red, near infrared, green and heights of smooth ground with fine texture."""
    path: Path = CACHE / f"derived_{size}.tif"
    CACHE.mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    rows, cols = np.mgrid[:size, :size]
    ground = 1500 + 900 * np.sin(rows / 97) * np.cos(cols / 131)
    with rasterio.open(path, "w", **profile_of(bands=4, height=size, width=size)) as out:
        for number in range(1, 5):
            out.write((ground + noise.normal(0, 60, ground.shape)).clip(1, 9999).astype(np.uint16), number)
        out.descriptions, out.scales = FILE_BANDS, (1e-4, 1e-4, 1e-4, 0.1)
    return path


def models() -> dict[str, Bundle]:
    """The same untrained network for the bands of the file, and for each set of derived bands."""
    task = load_task("segmentation")
    network = task.make_network(
        task.config.model_validate({"network": "unet"}), NetworkInputs(4, CLASSES, CHIP)
    )
    weights, graph = network.state_dict(), export_graph(network, GraphInput(4, CHIP, any_size=True))
    scales = (1e-4, 1e-4, 1e-4, 0.1)
    own = [
        Band(name, number, dtype="uint16", scale=scale)
        for number, (name, scale) in enumerate(zip(FILE_BANDS, scales, strict=True), start=1)
    ]
    made = {"": BandSet(tuple(own))}
    for what, recipes in SETS.items():
        derived = [
            Band(recipe.partition("=")[0], 5 + place, derived=Derivation(recipe))
            for place, recipe in enumerate(recipes)
        ]
        made[what] = BandSet((own[0], *derived))
    found = {}
    for number, (what, bands) in enumerate(made.items()):
        path = CACHE / f"derived_{number}.eodl"
        found[what] = save_bundle(path, spec(bands), weights, extra={"model.onnx": graph}, overwrite=True)
    return found


def seconds(bundle: Bundle, path: Path) -> float:
    """CPU seconds of one prediction in all threads."""
    before = time.process_time()
    predict(bundle, path, out=CACHE / "map.tif", overwrite=True, resume=False, force=True)
    return time.process_time() - before


def measure(size: int, rounds: int) -> list[Row]:
    """A row for each set of derived bands, beside the bands of the file in the same round."""
    path, bundles = scene(size), models()
    seconds(bundles[""], path)  # imports, first calls
    times: dict[str, list[float]] = {what: [] for what in bundles}
    for _ in range(rounds):
        for what, bundle in bundles.items():
            times[what].append(seconds(bundle, path))
    own = statistics.median(times[""])
    rows = []
    for place, what in enumerate(SETS):
        found = statistics.median(times[what])
        rows.append(
            compared(
                f"predict with {what}, {size} px",
                found,
                "CPU s",
                "the same network on bands of the file",
                own,
                target=f"{TARGET}",
                headline=place == 2,
            )
        )
    return rows


def page(rows: list[Row], size: int, rounds: int) -> str:
    """The result as a page."""
    lines = [
        "# Derived bands",
        "",
        f"`python benchmarks/derived.py`, {datetime.date.today().isoformat()}; {machine()}.",
        f"{size} px, 1 m, U-Net ResNet-18 with four inputs, default engine, median of {rounds} rounds.",
        "",
        "| derived bands | CPU s | bands of the file | ratio |",
        "|---|--:|--:|--:|",
    ]
    for row in rows:
        what = row.what.removeprefix("predict with ").rpartition(",")[0]
        lines.append(f"| {what} | {row.value:.2f} | {row.beside_value:.2f} | {row.ratio:.3f} |")
    lines += [
        "",
        f"Target: at most {TARGET}. `relief` looks 3 standard deviations far.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    add_common_options(parser)
    options = parser.parse_args()
    size, rounds = (1024, 1) if options.quick else (2048, 3)
    rows = measure(size, rounds)
    for row in rows:
        print(f"{row.what}: {row.value:.2f} {row.unit}, {row.ratio:.3f} of {row.beside}")
    write_rows(rows, options)
    if not options.quick:
        (HERE / "derived.md").write_text(page(rows, size, rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
