"""Regular outlines of real roofs: what `--regularize` gains and costs, and the package buildingregulariser.

    python benchmarks/outlines.py      writes benchmarks/outlines.md

True outlines of two data sets of `EO_DL_REAL_DATA` become masks as a network gives them: burnt, blurred by
a pixel and cut at a threshold that varies over a few pixels. Each method gets the same outlines. Numbers
are means over the roofs that the mask finds apart from others (IoU with the truth above 0.5).
buildingregulariser is no dependency; without it its rows are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import gaussian_filter

from eo_dl.core.pixelpolygons import polygonize
from eo_dl.io.rasterize import burn
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.outlineediting import edited_coverage

RESULT = Path(__file__).parent / "outlines.md"
DATA = Path(os.environ.get("EO_DL_REAL_DATA", "../shared/data"))
LEAST_PX = 60
REMARKS = (
    "Made by `python benchmarks/outlines.py`, on 2 cores that others used, too. Masks are true roofs,",
    "blurred and cut at a varying threshold; roofs of less than 60 px are left out. Dense roofs (banepa)",
    "run together in the mask: such an outline has many directions, and most of it stays as it was found.",
    "buildingregulariser 0.2.5 states no bound, and changes each roof for itself.",
)
Geometries = npt.NDArray[np.object_]
Method = Callable[[Geometries], Geometries]


def roofs(name: str) -> Geometries:
    """True outlines in pixels."""
    if name == "mass-buildings (1 m)":
        frame = gpd.read_file(DATA / "mass-buildings" / "22978945_15.gpkg").to_crs("EPSG:26986")
        pixel_m = 1.0
    else:
        files = sorted((DATA / "banepa-buildings" / "osm").glob("*.geojson"))
        frame = gpd.read_file(files[0]).to_crs("EPSG:32645")
        pixel_m = 0.3
    outlines = np.asarray(frame.geometry.explode().values, dtype=object)
    outlines = outlines[shapely.is_valid(outlines) & (shapely.get_type_id(outlines) == 3)]
    west, _, _, north = shapely.total_bounds(outlines)
    placed = shapely.transform(outlines, lambda xy: (xy - (west, north)) * (1, -1) / pixel_m + 5)
    return np.asarray(placed[shapely.area(placed) >= LEAST_PX], dtype=object)


def mask_of(outlines: Geometries) -> npt.NDArray[np.bool_]:
    """A mask as a network gives it."""
    _, _, width, height = np.ceil(shapely.total_bounds(outlines)).astype(int) + 6
    random = np.random.default_rng(4)
    soft = gaussian_filter(burn(outlines, [1] * len(outlines), height, width).astype(np.float32), 1)
    ripple = gaussian_filter(random.standard_normal((height, width)), 2)
    return np.asarray(soft > 0.5 + 0.15 * ripple / ripple.std(), np.bool_)


def ours(most_px: float) -> Method:
    """`--regularize`."""
    return lambda found: edited_coverage(found, Cleanup(regularize_px=most_px)).polygons


def simplified(tolerance: float) -> Method:
    """`--simplify`."""
    return lambda found: edited_coverage(found, Cleanup(simplify_px=tolerance)).polygons


def packaged(tolerance: float) -> Method:
    """buildingregulariser; a roof that it drops keeps its outline."""
    from buildingregulariser import regularize_geodataframe

    def run(found: Geometries) -> Geometries:
        frame = gpd.GeoDataFrame({"number": np.arange(len(found))}, geometry=found, crs="EPSG:32645")
        made = regularize_geodataframe(
            frame, simplify_tolerance=tolerance, parallel_threshold=tolerance, num_cores=1
        )
        result = found.copy()
        for number, outline in zip(made["number"], made.geometry, strict=True):
            result[number] = max(shapely.get_parts(outline), key=shapely.area)
        return result

    return run


def methods() -> dict[str, Method]:
    """All methods by name."""
    listed: dict[str, Method] = {"outlines of pixels": lambda found: found, "`--simplify 2`": simplified(2)}
    for most_px in (1.5, 2.0, 3.0):
        listed[f"`--regularize {most_px:g}`"] = ours(most_px)
    try:
        for tolerance in (1.0, 2.0):
            listed[f"buildingregulariser, tolerance {tolerance:g} px"] = packaged(tolerance)
    except ImportError:
        print("buildingregulariser is not installed: its rows are left out")
    return listed


def measured(found: Geometries, made: Geometries, true: Geometries) -> list[float]:
    """IoU with the truth, corners, mean distance to the true outline, largest distance to the found one."""
    iou = shapely.area(shapely.intersection(made, true)) / shapely.area(shapely.union(made, true))
    corners = shapely.get_num_coordinates(made) - shapely.get_num_interior_rings(made) - 1
    points, owner = shapely.get_coordinates(
        shapely.segmentize(shapely.boundary(made), 0.5), return_index=True
    )
    away = shapely.distance(shapely.points(points), shapely.boundary(true)[owner])
    mean_away = np.bincount(owner, away) / np.bincount(owner)
    lines = [shapely.segmentize(shapely.boundary(part), 0.5) for part in (found, made)]
    farthest = shapely.hausdorff_distance(lines[0], lines[1])
    return [float(np.mean(iou)), float(np.mean(corners)), float(np.mean(mean_away)), float(farthest.max())]


def main() -> None:
    """Run all methods on both data sets."""
    lines = [
        "# Regular outlines",
        "",
        "Made by `python benchmarks/outlines.py` (what is measured: see there).",
    ]
    for name in ("mass-buildings (1 m)", "banepa-buildings (0.3 m)"):
        true = roofs(name)
        found, _ = polygonize(mask_of(true), mask_of(true))
        found = found[shapely.area(found) >= LEAST_PX]
        first, second = shapely.STRtree(true).query(found, predicate="intersects")
        common = shapely.area(shapely.intersection(found[first], true[second]))
        iou = common / (shapely.area(found)[first] + shapely.area(true)[second] - common)
        chosen = iou > 0.5
        pairs = first[chosen], second[chosen]
        lines += ["", f"## {name}: {len(pairs[0])} roofs", ""]
        lines += [
            "| method | IoU with the truth | corners per roof | mean distance to the true outline, px |"
        ]
        lines[-1] += " farthest from the outline found, px | ms per roof |"
        lines += ["|---|---|---|---|---|---|"]
        numbers = measured(found[pairs[0]], true[pairs[1]], true[pairs[1]])
        lines += [f"| truth | 1 | {numbers[1]:.1f} | 0 | {numbers[3]:.1f} | |"]
        for method, run in methods().items():
            started = time.perf_counter()
            made = run(found)
            seconds = time.perf_counter() - started
            numbers = measured(found[pairs[0]], made[pairs[0]], true[pairs[1]])
            cells = [f"{numbers[0]:.4f}", f"{numbers[1]:.1f}", f"{numbers[2]:.3f}", f"{numbers[3]:.2f}"]
            lines.append(f"| {method} | {' | '.join(cells)} | {1000 * seconds / len(found):.1f} |")
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
