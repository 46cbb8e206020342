"""Numbers by zone are those of counting and adding up one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError, LabelError, SceneError
from eo_dl.io.classmap import open_class_map
from eo_dl.io.rasterize import burn
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import layer_names, read_layer, read_styles, write_layer
from eo_dl.postprocessing import zonesums
from eo_dl.postprocessing.checkedground import ratios
from eo_dl.postprocessing.zones import Zones, read_zones
from eo_dl.postprocessing.zonesummary import SummaryOptions, summary
from eo_dl.postprocessing.zonesums import map_sums
from tests.making import write_raster

UTM = "EPSG:32633"
GRID = Affine.translation(500_000, 5_200_000) @ Affine.scale(2, -2)
CLASSES = ClassSet.of_names(["wood", "water"], background=True)
LABELS = np.random.default_rng(2).choice(np.array([0, 1, 1, 2, 255], np.uint8), (43, 37))


def on_map(pixels: Sequence[shapely.Geometry]) -> list[shapely.Geometry]:
    """Geometries in pixels of `GRID`, in map coordinates."""
    return list(PixelGrid(None, GRID, 1, 1).geometries_to_map(np.array(list(pixels), dtype=object)))


def layer(path: Path, pixels: Sequence[shapely.Geometry], **columns: object) -> Path:
    write_layer(path, gpd.GeoDataFrame(columns, geometry=on_map(pixels), crs=UTM))
    return path


def class_map(path: Path, labels: np.ndarray = LABELS) -> Path:
    with RasterWriter(
        path, PixelGrid(CRS.from_user_input(UTM), GRID, *labels.shape), nodata=255, classes=CLASSES
    ) as out:
        out.write(0, labels)
    return path


ZONES = [
    shapely.box(2.2, 3.1, 17.4, 20.3),
    shapely.box(17.4, 3.1, 30, 20.3),
    shapely.Polygon([(5, 15), (33, 18), (20, 40)]),  # over both
    shapely.box(30, 30, 60, 60),  # partly outside of the map
]


def test_a_class_map_by_overlapping_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zones = layer(tmp_path / "zones.gpkg", ZONES, plot=["a", "b", "c", "d"])
    monkeypatch.setattr(zonesums, "_STRIP_PIXELS", 37 * 4)
    source = class_map(tmp_path / "map.tif")
    found = summary(source, zones=zones, out=tmp_path / "s.csv", options=SummaryOptions(by="plot"))
    table = pd.read_csv(found.path)
    assert table["zone"].tolist() == ["a", "b", "c", "d"]
    for number, zone in enumerate(ZONES):
        inside = burn([zone], [1], *LABELS.shape) == 1
        for class_id, name in ((1, "wood"), (2, "water")):
            pixels = int((inside & (class_id == LABELS)).sum())
            assert table[f"{name}_m2"][number] == pytest.approx(4 * pixels, rel=2e-3)
            measured = int((inside & (LABELS != 255)).sum())
            assert table[f"{name}_share"][number] == pytest.approx(pixels / measured, abs=1e-4)
    assert table["zone_m2"].tolist() == pytest.approx([4 * zone.area for zone in ZONES], rel=2e-3)
    json.dumps(found.values(), allow_nan=False)


@settings(max_examples=25)
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4), min_size=1, max_size=8), st.integers(1, 10))
def test_zones_that_overlap_are_burnt_apart(corners: list[tuple[int, ...]], rows: int) -> None:
    boxes = [shapely.box(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in corners]
    names = np.arange(len(boxes)).astype(str).astype(object)
    zones = Zones("z", names, np.array(boxes, dtype=object), np.arange(len(boxes)), None)
    grid = PixelGrid(None, Affine.identity(), 11, 11)
    counts = np.zeros(len(boxes), np.int64)
    for row0 in range(0, 11, rows):
        for plane in zones.burnt(grid, row0, min(rows, 11 - row0)):
            counts += np.bincount(plane[plane >= 0], minlength=len(boxes))
    assert counts.tolist() == [int(box.area) for box in boxes]


def trees() -> list[shapely.Geometry]:
    random = np.random.default_rng(4)
    return [shapely.Point(*random.uniform(0, 40, 2)).buffer(random.uniform(0.5, 2)) for _ in range(80)]


def test_objects_count_where_their_centre_lies_with_the_part_that_lies_inside(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    names, scores = random.choice(["oak", "pine"], 80), random.uniform(0.3, 1, 80)
    source = layer(tmp_path / "trees.gpkg", trees(), class_name=names, score=scores)
    zones = layer(tmp_path / "zones.gpkg", ZONES)
    found = summary(source, zones=zones, out=tmp_path / "s.gpkg", page=tmp_path / "s.html")
    table = read_layer(found.path)
    for number, zone in enumerate(ZONES):
        held = np.array([zone.contains(tree.centroid) for tree in trees()])
        assert table["count"][number + 1] == held.sum()
        for name in ("oak", "pine"):
            assert table[f"{name}_count"][number + 1] == (held & (names == name)).sum()
            area = sum(
                tree.intersection(zone).area for tree, one in zip(trees(), names, strict=True) if one == name
            )
            assert table[f"{name}_m2"][number + 1] == pytest.approx(4 * area, rel=2e-3, abs=1e-3)
        expected = scores[held].mean() if held.any() else np.nan
        assert table["mean_score"][number + 1] == pytest.approx(expected, abs=1e-4, nan_ok=True)
    outside = sum(not any(zone.contains(tree.centroid) for zone in ZONES) for tree in trees())
    assert any(f"{outside} objects have their centre outside" in note for note in found.notes)
    assert layer_names(found.path) == ("zones",) and read_styles(found.path)
    assert "oak_count" in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_a_centre_on_a_border_counts_once_and_parts_of_one_name_are_one_zone(tmp_path: Path) -> None:
    source = layer(tmp_path / "o.gpkg", [shapely.box(9, 4, 11, 6), shapely.box(2, 2, 4, 4)])
    parts = [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(30, 0, 40, 10)]
    zones = layer(tmp_path / "z.gpkg", parts, district=["west", "east", "west"])
    options = SummaryOptions(by="district")
    table = summary(source, zones=zones, out=tmp_path / "s.fgb", options=options).table
    assert table["zone"].tolist() == ["west", "east"] and table["count"].tolist() == [2, 0]
    assert table["objects_m2"].tolist() == pytest.approx([4 * 6, 4 * 2], rel=2e-3)
    written = read_layer(tmp_path / "s.fgb").set_index("zone")
    assert written.loc["west"].geometry.area == pytest.approx(2 * 100 * 4)


def test_means_of_another_raster_over_zones_and_over_what_is_mapped(tmp_path: Path) -> None:
    heights = np.random.default_rng(7).uniform(0, 30, (1, 22, 19)).astype(np.float32)
    heights[0, 3, 4] = -1
    coarse = GRID @ Affine.scale(2)
    write_raster(tmp_path / "chm.tif", heights, crs=UTM, transform=coarse, nodata=-1)
    zones = layer(tmp_path / "zones.gpkg", ZONES)
    source = class_map(tmp_path / "map.tif")
    options = SummaryOptions(means=[tmp_path / "chm.tif"])
    table = summary(source, zones=zones, out=tmp_path / "s.csv", options=options).table
    rows, cols = np.mgrid[:22, :19]
    # The centre of a pixel of 2 x 2 lies at the upper left corner of the lower right one.
    padded = np.full((44, 38), 255, np.uint8)
    padded[:43, :37] = LABELS
    is_mapped = np.isin(padded[2 * rows + 1, 2 * cols + 1], (1, 2))
    for number, zone in enumerate(ZONES):
        inside = burn([shapely.transform(zone, lambda xy: xy / 2)], [1], 22, 19) == 1
        known = inside & (heights[0] != -1)
        assert table["chm_mean"][number] == pytest.approx(heights[0][known].mean(), rel=1e-5)
        assert table["chm_mean_mapped"][number] == pytest.approx(
            heights[0][known & is_mapped].mean(), rel=1e-5
        )
    crowns = layer(tmp_path / "trees.gpkg", trees())
    table = summary(crowns, zones=zones, out=tmp_path / "t.csv", options=options).table
    on_trees = burn([shapely.transform(tree, lambda xy: xy / 2) for tree in trees()], [1] * 80, 22, 19) == 1
    inside = burn([shapely.transform(ZONES[0], lambda xy: xy / 2)], [1], 22, 19) == 1
    known = inside & (heights[0] != -1) & on_trees
    assert table["chm_mean_mapped"][0] == pytest.approx(heights[0][known].mean(), rel=1e-5)


def test_truth_corrects_the_sums_with_an_interval(tmp_path: Path) -> None:
    """The map finds two of three trees: a zone with 20 found ones truly has about 30."""
    random = np.random.default_rng(8)
    centres = [(col + 0.5, row + 0.5) for col in range(0, 60, 2) for row in range(0, 40, 2)]
    there = [shapely.box(col, row, col + 1, row + 1) for col, row in centres]
    seen = [tree for tree in there if random.random() < 2 / 3]
    source = layer(tmp_path / "found.gpkg", seen)
    truth = layer(tmp_path / "truth.gpkg", [tree for tree in there if tree.bounds[0] < 40])
    annotated = layer(tmp_path / "annotated.gpkg", [shapely.box(0, 0, 40, 40)])
    zones = layer(tmp_path / "zones.gpkg", [shapely.box(40, 0, 60, 40)])
    options = SummaryOptions(truth=truth, annotated=annotated, block_m=16)
    found = summary(source, zones=zones, out=tmp_path / "s.csv", options=options)
    row = found.table.iloc[0]
    mapped = sum(tree.bounds[0] >= 40 for tree in seen)
    near = sum(tree.bounds[0] < 40 for tree in seen)
    assert row["objects_count"] == mapped and row["objects_count_true"] == pytest.approx(mapped * 400 / near)
    assert row["objects_count_low"] < 200 < row["objects_count_high"]
    assert row["objects_m2_low"] < row["objects_m2_true"] < row["objects_m2_high"]
    assert any("25 blocks of checked ground" in note for note in found.notes)


def test_intervals_cover_the_true_amounts_of_places_of_any_size() -> None:
    random = np.random.default_rng(11)
    covered = np.zeros(3)
    for seed in range(200):
        true = random.poisson(8, (25, 1)).astype(float)
        mapped = random.binomial(true.astype(int), 0.7).astype(float)
        (ratio,) = ratios(mapped, true, seed=seed)
        there = random.poisson([8, 80, 2000])
        _, low, high = ratio.of(random.binomial(there, 0.7).astype(float))
        covered += (low <= there) & (there <= high)
    assert (covered >= 175).all() and (covered <= 199).all()
    (few,) = ratios(np.ones((2, 1)), np.ones((2, 1)))
    assert few.value == 1 and np.isnan(few.of(np.ones(1))[1]).all()


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    source = class_map(tmp_path / "map.tif")
    zones = layer(tmp_path / "zones.gpkg", ZONES)
    points = layer(tmp_path / "points.gpkg", [shapely.Point(1, 1)])
    with pytest.raises(LabelError, match="expected polygons as zones"):
        summary(source, zones=points, out=tmp_path / "s.csv")
    with pytest.raises(LabelError, match="has no field 'plot' \\(`by`\\); its fields are none"):
        summary(source, zones=zones, out=tmp_path / "s.csv", options=SummaryOptions(by="plot"))
    with pytest.raises(ConfigError, match="is no table or layer"):
        summary(source, zones=zones, out=tmp_path / "s.txt")
    with pytest.raises(ConfigError, match="`truth` and `annotated` belong together"):
        summary(source, zones=zones, out=tmp_path / "s.csv", options=SummaryOptions(truth=zones))
    two = write_raster(tmp_path / "two.tif", np.ones((2, 4, 4), np.uint8))
    with pytest.raises(SceneError, match="means are taken of rasters with one band"):
        summary(source, zones=zones, out=tmp_path / "s.csv", options=SummaryOptions(means=[two]))
    assert not (tmp_path / "s.csv").exists()


def test_a_workbook_holds_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    zones = layer(tmp_path / "zones.gpkg", ZONES)
    found = summary(class_map(tmp_path / "map.tif"), zones=zones, out=tmp_path / "s.xlsx")
    again = pd.read_excel(found.path, sheet_name="zones")
    assert again["wood_m2"].tolist() == found.table["wood_m2"].tolist()


def test_sums_of_a_map_without_names(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "map.tif", np.array([[1, 1, 7]], np.uint8), crs=UTM, transform=GRID)
    zones = read_zones(layer(tmp_path / "z.gpkg", [shapely.box(0, 0, 3, 1)]))
    sums = map_sums(open_class_map(path), zones)
    assert sums.class_names == ("1", "7") and sums.areas_m2[0].tolist() == pytest.approx([8, 4], rel=2e-3)
