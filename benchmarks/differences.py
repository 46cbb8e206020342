"""Speed and memory of `diff` for two dates of a large town.

    python benchmarks/differences.py [--objects N]      writes benchmarks/differences.md

N turned rectangles on a grid, of which the later date lacks 2 %, has 2 % new ones, moves all by up to a metre
and halves 1 %. Matching alone is timed, and the whole of `diff` with reading and writing GeoPackages.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from eo_dl.io.polygontable import PolygonTable
from eo_dl.io.vectorlayers import write_layer
from eo_dl.postprocessing.datedlayer import read_dated_layer
from eo_dl.postprocessing.differences import diff
from eo_dl.postprocessing.objectdiff import object_changes
from eo_dl.postprocessing.objectmatching import MatchRules

RESULT = Path(__file__).parent / "differences.md"
SPACING_M = 30.0


def houses(count: int, random: np.random.Generator) -> npt.NDArray[np.object_]:
    """Turned rectangles, one per cell of a grid."""
    side = int(np.ceil(np.sqrt(count)))
    number = np.arange(count)
    centre = np.column_stack([number % side, number // side]) * SPACING_M + (400_000, 5_000_000)
    half = random.uniform(3, 9, (count, 2))
    turn = random.uniform(0, np.pi, count)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])[None] * half[:, None]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    x = corners[..., 0] * cos - corners[..., 1] * sin + centre[:, :1]
    y = corners[..., 0] * sin + corners[..., 1] * cos + centre[:, 1:]
    return np.asarray(shapely.polygons(np.stack([x, y], axis=-1)), dtype=object)


def later(old: npt.NDArray[np.object_], random: np.random.Generator) -> npt.NDArray[np.object_]:
    """The same town a year later."""
    kept = old[random.random(len(old)) > 0.02]
    coordinates, house = shapely.get_coordinates(kept, return_index=True)
    moved = coordinates + random.uniform(-1, 1, (len(kept), 2))[house]
    new = shapely.set_coordinates(kept.copy(), moved)
    halved = random.random(len(new)) < 0.01
    boxes = shapely.bounds(new[halved])
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    left = shapely.intersection(new[halved], shapely.box(boxes[:, 0], boxes[:, 1], middle, boxes[:, 3]))
    right = shapely.intersection(new[halved], shapely.box(middle, boxes[:, 1], boxes[:, 2], boxes[:, 3]))
    added = houses(len(old) // 50, random)
    added = shapely.transform(added, lambda xy: xy + SPACING_M / 2 - (0, 30_000))
    return np.concatenate([new[~halved], left, right, added])


def write(path: Path, outlines: npt.NDArray[np.object_], random: np.random.Generator) -> None:
    """A layer as `predict` writes it."""
    columns = {
        "class_name": np.full(len(outlines), "roof", dtype=object),
        "score": random.random(len(outlines)).round(3),
    }
    write_layer(path, PolygonTable(shapely.to_wkb(outlines), columns, CRS.from_epsg(32633)))


def main() -> None:
    """Time it and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    count = parser.parse_args().objects
    random = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        old, new, out = (Path(folder) / name for name in ("old.gpkg", "new.gpkg", "changes.gpkg"))
        before = houses(count, random)
        write(old, before, random)
        write(new, later(before, random), random)
        started = time.perf_counter()
        layers = read_dated_layer(old), read_dated_layer(new)
        read = time.perf_counter() - started
        object_changes(*layers, MatchRules())
        matched = time.perf_counter() - started - read
        started = time.perf_counter()
        found = diff(old, new, out=out)
        whole = time.perf_counter() - started
        counts = ", ".join(f"{row.change} {row.old_count} > {row.new_count}" for row in found.rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    RESULT.write_text(
        "# Differences\n\n"
        "Made by `python benchmarks/differences.py` in one process, on 2 cores that others used, too: "
        f"{count:,} objects against {len(layers[1]):,}.\n\n"
        "| | seconds |\n|---|---|\n"
        f"| reading both layers | {read:.1f} |\n| matching and table | {matched:.1f} |\n"
        f"| `diff` in all, with reading and writing | {whole:.1f} |\n\n"
        f"Peak memory {peak:,.0f} MB (the town itself and both runs included). Found: {counts}.\n"
    )
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
