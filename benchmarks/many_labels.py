"""CPU seconds and memory of `tile` for one scene under a million labels, most of which lie elsewhere.

    python benchmarks/many_labels.py

The scene of `tiling.py` (4096 px) and 1.03 million boxes on ground of 20,000 px. One process; imports are not
counted in seconds, but in memory.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import shapely
from tiling import CACHE, SIZE_PX, high_water_mb, make_scene

from eo_dl.chips.tile import tile

COUNT, GROUND_PX = 1_030_000, 20_000


def make_labels() -> Path:
    """The labels, made once."""
    path: Path = CACHE / "many_labels.gpkg"
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, GROUND_PX - 40, (COUNT, 2))
    sides = rng.uniform(8, 40, (COUNT, 2))
    left, top = 500_000 + corners[:, 0], 5_400_000 - corners[:, 1]
    boxes = shapely.box(left, top - sides[:, 1], left + sides[:, 0], top)
    kinds = rng.choice(["a", "b", "c"], COUNT)
    geopandas.GeoDataFrame({"kind": kinds}, geometry=boxes, crs="EPSG:32633").to_file(path)
    return path


def main() -> None:
    """Measure."""
    scene, _ = make_scene(SIZE_PX)
    labels = make_labels()
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        tile(scene, labels, out=Path(folder) / "chips", size_px=256)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, {high_water_mb():.0f} MB")


if __name__ == "__main__":
    main()
