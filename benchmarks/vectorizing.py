"""Speed and memory of `vectorize` against the tutorial way, in one run.

    python benchmarks/vectorizing.py [--rounds N]      writes benchmarks/vectorizing.md

A class map of 8192 x 8192 px with three classes in ragged patches. The tutorial way reads the whole map,
takes `rasterio.features.shapes`, makes each polygon with shapely and writes a GeoDataFrame without areas or
style. Each runs in processes of its own, in turn; imports are not counted in seconds, but in memory.
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from measuring import Row, add_common_options, compared, high_water_mb, write_rows
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter

CACHE = Path(__file__).parent / "cache"
RESULT = Path(__file__).parent / "vectorizing.md"
SIZE_PX, QUICK_PX = 8192, 2048
BEFORE = (
    "Before polygons were traced with whole arrays (5669884), the same map took 18.6 CPU s (20.3 s wall) and "
    "891 MB; before finished polygons were held as WKB and GDAL's cache was limited while the map is read "
    "(e593053), 530 MB. All polygons are equal. Imports take 190 MB of the peak: pyogrio loads pandas, and "
    "pyarrow where it is installed."
)


def make_map(size_px: int) -> Path:
    """The class map, made once."""
    path = CACHE / f"classes_{size_px}.tif"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    field = gaussian_filter(rng.standard_normal((size_px, size_px), dtype=np.float32), 3.4)
    classes = rng.integers(1, 4, (size_px // 64, size_px // 64)).repeat(64, axis=0).repeat(64, axis=1)
    ids = np.where(field > 0.5 * field.std(), classes, 0).astype(np.uint8)
    profile = {
        "driver": "GTiff",
        "height": size_px,
        "width": size_px,
        "count": 1,
        "dtype": "uint8",
        "nodata": 255,
        "crs": "EPSG:32633",
        "transform": from_origin(500_000, 5_400_000, 0.5, 0.5),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(ids, 1)
    return path


def tutorial(source: Path, out: Path) -> int:
    """What tutorials show."""
    import geopandas
    from rasterio.features import shapes
    from shapely.geometry import shape

    with rasterio.open(source) as dataset:
        ids = dataset.read(1)
        found = list(shapes(ids, mask=ids > 0, transform=dataset.transform))
        table = geopandas.GeoDataFrame(
            {"class_id": [int(value) for _, value in found]},
            geometry=[shape(outline) for outline, _ in found],
            crs=dataset.crs,
        )
    table.to_file(out, driver="GPKG")
    return len(table)


def ours(source: Path, out: Path) -> int:
    """The whole of `vectorize`."""
    from eo_dl.postprocessing.vectorize import vectorize

    vectorize(source, out=out)
    return 0


def child(name: str, size_px: int) -> None:
    """Do it once and report seconds and peak memory."""
    import geopandas  # noqa: F401 - imports are not counted

    import eo_dl.postprocessing.vectorize  # noqa: F401

    work = {"tutorial": tutorial, "vectorize": ours}[name]
    source = make_map(size_px)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        polygons = work(source, Path(folder) / "out.gpkg")
        seconds = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps([*seconds, high_water_mb(), polygons]))


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_common_options(parser)
    options = parser.parse_args(argv)
    size_px, count = (QUICK_PX, 1) if options.quick else (SIZE_PX, options.rounds)
    if options.child:
        child(options.child, size_px)
        return []
    make_map(size_px)
    found: dict[str, list[list[float]]] = {"tutorial": [], "vectorize": []}
    for number in range(count):
        for name, rounds in found.items():
            command = [sys.executable, __file__, "--child", name, *(["--quick"] if options.quick else [])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
            print(number, name, rounds[-1], flush=True)
    medians = {
        name: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for name, rounds in found.items()
    }
    polygons = f"{medians['tutorial'][3]:,.0f} polygons"
    rows = [
        compared(
            f"vectorize, {size_px} px, {polygons}",
            medians["vectorize"][column],
            unit,
            "rasterio.features.shapes and a GeoDataFrame",
            medians["tutorial"][column],
            headline=unit != "s",
        )
        for column, unit in enumerate(("s", "CPU s", "MB peak"))
    ]
    write_rows(rows, options)
    if options.quick:
        return rows
    lines = [
        "# Vectorizing",
        "",
        f"`python benchmarks/vectorizing.py`, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}:",
        f"a class map of {SIZE_PX} px, medians of {options.rounds} rounds in turn,",
        f"{found['tutorial'][0][3]:.0f} polygons.",
        "",
        "| | wall s | CPU s | peak MB |",
        "|---|---|---|---|",
    ]
    for name, (wall, cpu, peak, _) in medians.items():
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} |")
    RESULT.write_text("\n".join([*lines, "", BEFORE]) + "\n")
    return rows


if __name__ == "__main__":
    main()
