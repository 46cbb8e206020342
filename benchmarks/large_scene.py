"""Chips of a 20,000 px scene under 128,000 polygons, and scores of a class map of that size.

    python benchmarks/large_scene.py [--rounds N] [--quick]      writes benchmarks/large_scene.md

`tile` leaves the chips in the scene and writes no pixels. Beside it the scene is only decoded, by rows of
blocks, in as many threads. `evaluate` scores a class map against the polygons with one thread and with one
per core. All take turns in processes of their own; imports are not counted in seconds, but in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import geopandas
import numpy as np
import rasterio
import shapely
from measuring import Row, add_common_options, high_water_mb, write_rows
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.windows import Window

CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).with_suffix(".md")
SIZE_PX, QUICK_PX, BLOCK_PX = 20_000, 4096, 512
POLYGONS_PER_MPX = 320
TRANSFORM = from_origin(500_000, 5_400_000, 1, 1)
CLASSES = {"a": 1, "b": 2, "c": 3}
WAYS = ("decode", "tile", "evaluate, 1 thread", "evaluate, all threads")


def make_files(size_px: int) -> tuple[Path, Path, Path]:
    """The scene, its polygons, and a class map 3 px beside them; made once."""
    scene, labels, class_map = (
        CACHE / f"large_{size_px}{suffix}" for suffix in (".tif", ".gpkg", "_map.tif")
    )
    if not labels.exists():
        CACHE.mkdir(exist_ok=True)
        _make_labels(labels, size_px)
    if not scene.exists():
        _make_scene(scene, size_px)
    if not class_map.exists():
        _make_map(class_map, labels, size_px)
    return scene, labels, class_map


def _profile(size_px: int) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "height": size_px,
        "width": size_px,
        "crs": "EPSG:32633",
        "transform": TRANSFORM,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
    }


def _make_scene(path: Path, size_px: int) -> None:
    rng, part = np.random.default_rng(0), path.with_suffix(".part")
    noise = rng.normal(0, 60, (4, BLOCK_PX, size_px)).astype(np.int16)
    with rasterio.open(part, "w", **_profile(size_px), count=4, dtype="uint16", predictor=2) as dataset:
        for row in range(0, size_px, BLOCK_PX):
            rows = min(BLOCK_PX, size_px - row)
            ground = rng.integers(300, 3000, (4, 16, size_px // 32)).repeat(32, axis=1).repeat(32, axis=2)
            pixels = (ground + noise).clip(1, 65535).astype(np.uint16)[:, :rows]
            dataset.write(pixels, window=Window(0, row, size_px, rows))
        dataset.descriptions, dataset.scales = ("blue", "green", "red", "nir"), (1e-4,) * 4
    part.rename(path)


def _make_labels(path: Path, size_px: int) -> None:
    """Turned rectangles of 8 to 40 px."""
    rng = np.random.default_rng(0)
    count = POLYGONS_PER_MPX * size_px**2 // 10**6
    centres = np.column_stack([500_000 + rng.uniform(30, size_px - 30, count), np.zeros(count)])
    centres[:, 1] = 5_400_000 - rng.uniform(30, size_px - 30, count)
    half = rng.uniform(4, 20, (count, 2))
    corners = half[:, None] * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    angle = rng.uniform(0, np.pi / 2, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    outlines = shapely.polygons(np.einsum("nij,nkj->nki", turn, corners) + centres[:, None])
    kinds = rng.choice(list(CLASSES), count)
    geopandas.GeoDataFrame({"kind": kinds}, geometry=outlines, crs="EPSG:32633").to_file(path)


def _make_map(path: Path, labels: Path, size_px: int) -> None:
    table = geopandas.read_file(labels)
    burnt = zip(table.geometry, table["kind"].map(CLASSES), strict=True)
    ids = rasterize(burnt, (size_px, size_px), transform=TRANSFORM, dtype="uint8")
    part = path.with_suffix(".part")
    with rasterio.open(part, "w", **_profile(size_px), count=1, dtype="uint8", nodata=255) as dataset:
        names = {number: name for name, number in {"background": 0, **CLASSES}.items()}
        dataset.update_tags(classes=json.dumps(names))
        dataset.write(np.roll(ids, 3, axis=1), 1)
    part.rename(path)


def decode(scene: Path) -> None:
    """Read all pixels once, in as many threads as there are cores."""
    threads = os.cpu_count() or 1

    def rows_of(first: int) -> None:
        with rasterio.open(scene, sharing=False) as dataset:
            for row in range(first * BLOCK_PX, dataset.height, threads * BLOCK_PX):
                rows = min(BLOCK_PX, dataset.height - row)
                dataset.read(window=Window(0, row, dataset.width, rows))

    with rasterio.Env(GDAL_CACHEMAX=64), ThreadPoolExecutor(threads) as pool:
        list(pool.map(rows_of, range(threads)))


def work_of(way: str, size_px: int, folder: Path) -> Callable[[], object]:
    """What is timed, with its imports done."""
    from eo_dl.chips.measure import in_order
    from eo_dl.chips.tile import tile
    from eo_dl.evaluation.evaluate import evaluate
    from eo_dl.labels.reading import read_labels

    scene, labels, class_map = make_files(size_px)

    def one_thread() -> None:
        with mock.patch(
            "eo_dl.evaluation.pixelwise.in_order", lambda work, jobs, workers: in_order(work, jobs, 1)
        ):
            evaluate(class_map, read_labels(labels), out=folder / "report")

    ways: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(scene),
        "tile": lambda: tile(scene, labels, out=folder / "chips", size_px=256, write_chips=False),
        "evaluate, 1 thread": one_thread,
        "evaluate, all threads": lambda: evaluate(class_map, read_labels(labels), out=folder / "report"),
    }
    return ways[way]


def child(way: str, size_px: int) -> None:
    """Do it once and report wall seconds, CPU seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        work = work_of(way, size_px, Path(folder))
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, high_water_mb()]))


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    add_common_options(parser)
    options = parser.parse_args(argv)
    size_px, count = (QUICK_PX, 1) if options.quick else (SIZE_PX, options.rounds)
    if options.child:
        child(options.child, size_px)
        return []
    make_files(size_px)
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for number in range(count):
        for way, rounds in found.items():
            command = [sys.executable, __file__, "--child", way, *(["--quick"] if options.quick else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
            print(number, way, rounds[-1], flush=True)
    rows = rows_of(found, size_px)
    write_rows(rows, options)
    if not options.quick:
        RESULT.write_text(report(found, rows, count), encoding="utf-8")
    return rows


def rows_of(found: dict[str, list[list[float]]], size_px: int) -> list[Row]:
    """`tile` beside decoding, and `evaluate` beside itself with one thread."""
    polygons = f"{POLYGONS_PER_MPX * size_px**2 // 10**6:,} polygons"
    rows = []
    for way, beside, what, text in (
        ("tile", "decode", f"tile, {size_px} px, {polygons}, chips not written", "decoding the scene"),
        (
            "evaluate, all threads",
            "evaluate, 1 thread",
            f"evaluate, {size_px} px, {polygons}, {os.cpu_count()} threads",
            "one thread",
        ),
    ):
        for column, unit in ((0, "s"), (1, "CPU s")):
            values = [[numbers[column] for numbers in found[name]] for name in (way, beside)]
            ratio = statistics.median(ours / other for ours, other in zip(*values, strict=True))
            ours, other = (statistics.median(numbers) for numbers in values)
            rows.append(
                Row(what, ours, unit, text, other, ratio, headline=(way == "tile") == (unit == "CPU s"))
            )
    return rows


def report(found: dict[str, list[list[float]]], rows: Sequence[Row], count: int) -> str:
    """The recorded result."""
    lines = [
        "# A large scene",
        "",
        f"`python benchmarks/large_scene.py`, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: a scene "
        f"of {SIZE_PX} px (4 bands uint16) with {POLYGONS_PER_MPX * SIZE_PX**2 // 10**6:,} polygons, medians "
        f"of {count} round(s) in turn. On a busy machine, CPU seconds and ratios of one run say more than "
        "wall seconds.",
        "",
        "| | wall s | CPU s | peak MB |",
        "|---|--:|--:|--:|",
    ]
    for way, rounds in found.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*rounds, strict=True))
        lines.append(f"| {way} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")
    lines += ["", "Ratios, medians over the rounds:", ""]
    lines += [f"- {row.what}, beside {row.beside}: {row.ratio:.2f} of the {row.unit}" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
