"""Make the sample scenes and their labels: `python sample_data/generator/make.py [--out DIR] [--seed N]`.

Writes train.tif, train_labels.gpkg, train_height.tif, and the same of test (see README.md here). Same seed,
same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from _plan import Plan, make_plan
from _recipes import BANDS, CLASS_IDS, CRS, GSD_M, SCALE, SCENES, Recipe, stream
from _render import render
from _village import Village, make_village, orchard
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from shapely.geometry import MultiPoint, box
from shapely.geometry.base import BaseGeometry

SEED = 7
MEADOWS = 0.16  # share of parcels under grass
SLIVERS_M2 = {"field": 300.0, "grass": 0.0}  # smaller leftovers go to grass
SLIVER_M2 = 2.0  # of the other classes
PRECISION_M = 0.01


def main() -> None:
    """Make both scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1], help="output folder (default: sample_data/)"
    )
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for recipe in SCENES:
        make_scene(recipe, options.seed, options.out)


def make_scene(recipe: Recipe, seed: int, out: Path) -> None:
    """Write one scene and its labels."""
    plan = make_plan(recipe, seed)
    village = make_village(recipe, plan, seed)
    cover = land_cover(recipe, plan, village, seed)
    pixels, heights = render(recipe, plan, village, [shape for name, shape in cover if name == "field"], seed)
    write_image(out / f"{recipe.name}.tif", recipe, pixels)
    write_heights(out / f"{recipe.name}_height.tif", recipe, heights)
    write_labels(out / f"{recipe.name}_labels.gpkg", recipe, label_layers(plan, village, cover))


def land_cover(recipe: Recipe, plan: Plan, village: Village, seed: int) -> list[tuple[str, BaseGeometry]]:
    """A partition of the footprint into (class name, polygon): the topmost wins; the rest is grass."""
    rng = stream(seed, recipe, "cover")
    paved = shapely.union_all([plan.paved, *village.drives])
    houses = [snapped(b.outline) for b in village.buildings]
    layers = [("building", houses), ("road", [paved]), ("water", [plan.water]), ("woods", [plan.woods])]
    meadow = MultiPoint(orchard(recipe)).convex_hull.buffer(6)
    margin, gardens = (
        shapely.union_all([plan.paved.buffer(1.5), plan.water.buffer(5), meadow]),
        shapely.union_all(village.gardens),
    )
    arable = [p.buffer(-0.7) for p in plan.parcels if rng.random() > MEADOWS]
    layers += [
        ("field", [field.difference(margin).difference(gardens).buffer(-1).buffer(1) for field in arable])
    ]
    layers += [("grass", [plan.footprint])]
    found: list[tuple[str, BaseGeometry]] = []
    taken: BaseGeometry = shapely.Polygon()
    for name, shapes in layers:
        for shape in shapes:
            left = snapped(
                snapped(shape.intersection(plan.footprint)).difference(taken, grid_size=PRECISION_M)
            )
            parts = [
                p
                for p in shapely.get_parts(left)
                if p.geom_type == "Polygon" and p.area > SLIVERS_M2.get(name, SLIVER_M2)
            ]
            found += [(name, part) for part in parts]
        taken = shapely.union_all([shape for _, shape in found], grid_size=PRECISION_M)
    return found


def snapped(shape: BaseGeometry) -> BaseGeometry:
    """Coordinates on centimetres, valid."""
    return shapely.set_precision(shape, PRECISION_M)


def label_layers(
    plan: Plan, village: Village, cover: list[tuple[str, BaseGeometry]]
) -> dict[str, gpd.GeoDataFrame]:
    """The layers of a label file, in metres from the upper left corner."""
    names = [name for name, _ in cover]
    boxes = [snapped(box(*tree.outline(90).bounds).intersection(plan.footprint)) for tree in village.trees]
    return {
        "landcover": gpd.GeoDataFrame(
            {"class_name": names, "class_id": np.array([CLASS_IDS[n] for n in names], np.int32)},
            geometry=[s for _, s in cover],
        ),
        "buildings": gpd.GeoDataFrame(
            {"roof": [b.roof for b in village.buildings]},
            geometry=[snapped(b.outline) for b in village.buildings],
        ),
        "trees": gpd.GeoDataFrame({"class_name": ["tree"] * len(boxes)}, geometry=boxes),
    }


def write_image(path: Path, recipe: Recipe, pixels: np.ndarray) -> None:
    """A tiled GeoTIFF with band names, scale and nodata."""
    path.unlink(missing_ok=True)
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": len(BANDS),
        "height": recipe.size_px,
        "width": recipe.size_px,
        "crs": CRS,
        "transform": from_origin(*recipe.origin, GSD_M, GSD_M),
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 9,
        "predictor": 2,
        "interleave": "band",
    }
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions, file.scales, file.offsets = BANDS, (SCALE,) * len(BANDS), (0.0,) * len(BANDS)
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
        file.write(pixels)


def write_heights(path: Path, recipe: Recipe, heights: np.ndarray) -> None:
    """Heights above ground in metres as a GeoTIFF of one band."""
    path.unlink(missing_ok=True)
    profile = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "height": recipe.size_px,
        "width": recipe.size_px,
        "crs": CRS,
        "transform": from_origin(*recipe.origin, GSD_M, GSD_M),
        "nodata": np.nan,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
        "zlevel": 9,
        "predictor": 3,
    }
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions, file.units = ("height",), ("m",)
        file.write(heights[None])


def write_labels(path: Path, recipe: Recipe, layers: dict[str, gpd.GeoDataFrame]) -> None:
    """A GeoPackage with a fixed date inside, so that the same seed gives the same bytes."""
    path.unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2025-01-01T00:00:00.000Z"})
    x0, y0 = recipe.origin
    for name, frame in layers.items():
        placed = frame.set_geometry(frame.geometry.affine_transform([GSD_M, 0, 0, -GSD_M, x0, y0])).set_crs(
            CRS
        )
        placed.to_file(
            path,
            layer=name,
            driver="GPKG",
            engine="pyogrio",
            geometry_type="Polygon",
            VERSION="1.3",  # of 1.4 older readers warn (QGIS 3.22)
        )


if __name__ == "__main__":
    main()
