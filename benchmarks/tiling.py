"""Speed and memory of `tile` against a plain loop over the same windows, in one run.

    python benchmarks/tiling.py [--rounds N]      writes benchmarks/tiling.md

The scene: 4096 x 4096 px, 4 bands uint16, 512 px blocks, deflate with predictor 2, 4000 polygons. The work:
256 chips of 256 px, image and class mask, as GeoTIFFs (zstd level 1). The plain loop reads, burns and writes
with rasterio in two threads and does nothing else; `tile` also measures valid pixels, class shares and
statistics, deals splits, writes the GeoPackage and the contact sheet and opens the result. Both take turns in
one process; the ratio is the median of the rounds' ratios, which other work on the machine disturbs least.
Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from measuring import Row, add_common_options, high_water_mb, write_rows
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.windows import Window as RasterioWindow
from rasterio.windows import transform as window_transform

CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).parent / "tiling.md"
SIZE_PX, CHIP_PX, THREADS = 4096, 256, 2
LARGE_PX = 16384


def make_scene(size_px: int) -> tuple[Path, Path]:
    """The scene and its labels, made once."""
    CACHE.mkdir(exist_ok=True)
    path, labels = CACHE / f"tiling_{size_px}.tif", CACHE / f"tiling_{size_px}.gpkg"
    if path.exists() and labels.exists():
        return path, labels
    rng = np.random.default_rng(0)
    transform = from_origin(500_000, 5_400_000, 1, 1)
    profile = {
        "driver": "GTiff",
        "height": size_px,
        "width": size_px,
        "count": 4,
        "dtype": "uint16",
        "crs": "EPSG:32633",
        "transform": transform,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
        "predictor": 2,
        "BIGTIFF": "IF_SAFER",
    }
    with rasterio.open(path, "w", **profile) as dataset:
        for row in range(0, size_px, 512):
            ground = rng.integers(300, 3000, (4, 16, size_px // 32)).repeat(32, axis=1).repeat(32, axis=2)
            noise = rng.normal(0, 60, (4, 512, size_px)).astype(np.int64)
            dataset.write(
                (ground + noise).clip(1, 65535).astype(np.uint16), window=RasterioWindow(0, row, size_px, 512)
            )
        for band, name in enumerate(("blue", "green", "red", "nir"), start=1):
            dataset.set_band_description(band, name)
    count = 4000 * (size_px // 4096) ** 2
    corners = rng.uniform(0, size_px - 40, (count, 2))
    sides = rng.uniform(8, 40, (count, 2))
    shapes = shapely.box(
        500_000 + corners[:, 0],
        5_400_000 - corners[:, 1] - sides[:, 1],
        500_000 + corners[:, 0] + sides[:, 0],
        5_400_000 - corners[:, 1],
    )
    turned = [
        shapely.affinity.rotate(shape, angle)
        for shape, angle in zip(shapes, rng.uniform(0, 90, count), strict=True)
    ]
    gpd.GeoDataFrame({"kind": rng.choice(["a", "b", "c"], count)}, geometry=turned, crs="EPSG:32633").to_file(
        labels
    )
    return path, labels


def plain_loop(scene: Path, labels: Path, out: Path) -> None:
    """What anybody would write with rasterio and two threads."""
    (out / "images").mkdir(parents=True)
    (out / "masks").mkdir()
    table = gpd.read_file(labels)
    shapes = table.geometry.to_numpy()
    values = table["kind"].map({"a": 1, "b": 2, "c": 3}).to_numpy()
    tree = shapely.STRtree(shapes)
    compress = {"driver": "GTiff", "height": CHIP_PX, "width": CHIP_PX, "compress": "zstd", "zstd_level": 1}

    def rows(first: int) -> None:
        with rasterio.open(scene, sharing=False) as source:
            for row in range(first * CHIP_PX, source.height, THREADS * CHIP_PX):
                for col in range(0, source.width, CHIP_PX):
                    window = RasterioWindow(col, row, CHIP_PX, CHIP_PX)
                    place = window_transform(window, source.transform)
                    pixels = source.read(window=window)
                    frame = shapely.box(place.c, place.f - CHIP_PX, place.c + CHIP_PX, place.f)
                    hits = np.sort(tree.query(frame, predicate="intersects"))
                    burnt = [(shapes[i], int(values[i])) for i in hits]
                    mask = (
                        rasterize(burnt, (CHIP_PX, CHIP_PX), transform=place, dtype="uint8")
                        if burnt
                        else np.zeros((CHIP_PX, CHIP_PX), np.uint8)
                    )
                    name = f"{row}_{col}.tif"
                    with rasterio.open(
                        out / "images" / name,
                        "w",
                        count=4,
                        dtype="uint16",
                        crs=source.crs,
                        transform=place,
                        predictor=2,
                        **compress,
                    ) as image:
                        image.write(pixels)
                    with rasterio.open(
                        out / "masks" / name,
                        "w",
                        count=1,
                        dtype="uint8",
                        crs=source.crs,
                        transform=place,
                        **compress,
                    ) as target:
                        target.write(mask, 1)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(rows, range(THREADS)))


def ours(scene: Path, labels: Path, out: Path, write_chips: bool = True) -> None:
    """The whole of `tile`."""
    from eo_dl.chips.tile import tile

    tile(scene, labels, out=out, size_px=CHIP_PX, write_chips=write_chips, workers=THREADS)


def timed(work: Callable[[Path, Path, Path], None], scene: Path, labels: Path) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        work(scene, labels, Path(folder) / "out")
        return time.perf_counter() - wall, time.process_time() - cpu


def peak_mb(size_px: int, write_chips: bool) -> float:
    """Peak resident memory of a process that tiles a scene."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(size_px), str(int(write_chips))],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def child(size_px: int, write_chips: bool) -> None:
    """Tile once and say the peak memory."""
    scene, labels = make_scene(size_px)
    with tempfile.TemporaryDirectory() as folder:
        ours(scene, labels, Path(folder) / "out", write_chips)
    print(json.dumps(high_water_mb()))


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-memory", action="store_true", help="times only; nothing is recorded")
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    add_common_options(parser)
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.skip_memory = 1, True
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    if options.child:
        child(options.child[0], bool(options.child[1]))
        return []
    scene, labels = make_scene(SIZE_PX)
    times: dict[str, list[tuple[float, float]]] = {"plain loop": [], "tile": []}
    for number in range(options.rounds + 1):
        for name, work in (("plain loop", plain_loop), ("tile", ours)):
            found = timed(work, scene, labels)
            if number:  # the first round pays for imports and the page cache
                times[name].append(found)
            print(f"round {number} {name}: {found[0]:.2f} s wall, {found[1]:.2f} s CPU", flush=True)
    wall = {name: statistics.median(t[0] for t in found) for name, found in times.items()}
    cpu = {name: statistics.median(t[1] for t in found) for name, found in times.items()}
    ratios = tuple(
        statistics.median(
            ours[k] / plain[k] for ours, plain in zip(times["tile"], times["plain loop"], strict=True)
        )
        for k in (0, 1)
    )
    print(f"ratio: {ratios[0]:.2f} wall, {ratios[1]:.2f} CPU")
    rows = [
        Row(
            f"tile, {SIZE_PX} px to {(SIZE_PX // CHIP_PX) ** 2} written chips",
            times_of["tile"],
            unit,
            "plain rasterio loop in as many threads",
            times_of["plain loop"],
            ratio,
            "1.25",
            headline=unit == "CPU s",
        )
        for unit, times_of, ratio in (("s", wall, ratios[0]), ("CPU s", cpu, ratios[1]))
    ]
    write_rows(rows, options)
    if not options.skip_memory:
        memory = {
            (size, write): peak_mb(size, write) for size in (SIZE_PX, LARGE_PX) for write in (True, False)
        }
        RESULT.write_text(report(wall, cpu, ratios, memory, options.rounds))
        print(f"written: {RESULT}")
    return rows


def report(
    wall: dict[str, float],
    cpu: dict[str, float],
    ratios: tuple[float, ...],
    memory: dict[tuple[int, bool], float],
    rounds: int,
) -> str:
    """The recorded result."""
    chips = (SIZE_PX // CHIP_PX) ** 2
    lines = [
        "# Tiling",
        "",
        f"Made by `python benchmarks/tiling.py` ({platform.system()}, Python {platform.python_version()}, "
        f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end). {chips} chips of {CHIP_PX} px (image and mask, 4 bands "
        f"uint16) from a {SIZE_PX} px scene of deflate blocks, {THREADS} threads, medians of {rounds} "
        "rounds in turn.",
        "",
        "| | wall s | CPU s | chips/s |",
        "|---|---|---|---|",
        *(f"| {name} | {wall[name]:.2f} | {cpu[name]:.2f} | {chips / wall[name]:.0f} |" for name in wall),
        f"| **ratio** (target 1.25) | **{ratios[0]:.2f}** | {ratios[1]:.2f} | |",
        "",
        (
            "The plain loop only reads, burns and writes; `tile` also takes statistics, deals splits, "
            "writes the GeoPackage and the contact sheet, and opens the result. The ratio is the median of "
            "the rounds' ratios."
        ),
        "",
        "| peak memory, MB | written chips | read on the fly |",
        "|---|---|---|",
        *(
            (
                f"| {size} px ({(size // CHIP_PX) ** 2} chips) | {memory[size, True]:.0f} | "
                f"{memory[size, False]:.0f} |"
            )
            for size in (SIZE_PX, LARGE_PX)
        ),
        "",
        "GDAL's block cache may take 256 MB of it, which the smaller scene does not fill.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    shutil.rmtree(CACHE / "out", ignore_errors=True)
    main()
