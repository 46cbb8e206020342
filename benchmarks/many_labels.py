"""CPU seconds and memory of `tile` for one scene under a million labels, most of which lie elsewhere.

    python benchmarks/many_labels.py

The scene of `tiling.py` (4096 px) and 1.03 million boxes on ground of 20,000 px. One process; imports are not
counted in seconds, but in memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import shapely
from measuring import Row, add_common_options, high_water_mb, write_rows
from tiling import CACHE, SIZE_PX, make_scene

from eo_dl.chips.tile import tile

COUNT, QUICK_COUNT, GROUND_PX = 1_030_000, 100_000, 20_000


def make_labels(count: int) -> Path:
    """The labels, made once."""
    path: Path = CACHE / f"many_labels_{count}.gpkg"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, GROUND_PX - 40, (count, 2))
    sides = rng.uniform(8, 40, (count, 2))
    left, top = 500_000 + corners[:, 0], 5_400_000 - corners[:, 1]
    boxes = shapely.box(left, top - sides[:, 1], left + sides[:, 0], top)
    kinds = rng.choice(["a", "b", "c"], count)
    geopandas.GeoDataFrame({"kind": kinds}, geometry=boxes, crs="EPSG:32633").to_file(path)
    return path


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    options = parser.parse_args(argv)
    count = QUICK_COUNT if options.quick else COUNT
    scene, _ = make_scene(SIZE_PX)
    labels = make_labels(count)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        tile(scene, labels, out=Path(folder) / "chips", size_px=256)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    what = f"tile, {SIZE_PX} px under {count:,} labels"
    rows = [Row(what, cpu, "CPU s"), Row(what, high_water_mb(), "MB peak")]
    write_rows(rows, options)
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, {high_water_mb():.0f} MB")
    return rows


if __name__ == "__main__":
    main()
