"""`evaluate` says how much of what it scores lies on ground that the model was trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from eo_dl.bundle import Bundle
from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.classes import ClassSet
from eo_dl.core.geometries import reproject
from eo_dl.core.gridwindow import window_outlines
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import BundleError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.evaluation.report import Report
from eo_dl.inference.trainedground import trained_ground_tags
from eo_dl.io.outputtags import GRID_TAG, TRAINED_TAG, grid_tag, read_trained_ground, trained_ground_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.vectorlayers import write_layer
from eo_dl.modelspec import GroundSpec, ModelSpec, NormalizationSpec, Provenance, band_specs, class_specs
from eo_dl.tasks import load_task
from eo_dl.training.record.trainedvalues import train_quantiles, trained_ground
from eo_dl.training.setup.taskdata import TaskData, prepare_data
from eo_dl.training.trainconfig import resolve_config
from tests.evaluation.woodchips import wood_chips
from tests.making import noise, write_geotiff, write_raster

UTM = CRS.from_epsg(32633)
GRID = PixelGrid(
    UTM, Affine.translation(500_000, 5_000_000) @ Affine.rotation(12) @ Affine.scale(2, -2), 256, 256
)
CLASSES = ClassSet.of_names(["wood"], background=True)


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    return wood_chips(tmp_path_factory.mktemp("chips"), GRID)


@pytest.fixture(scope="module")
def data(chips: ChipSet) -> TaskData:
    return prepare_data(chips, resolve_config(task="segmentation"))


def model_of(data: TaskData, ground: tuple[GroundSpec, ...] | None = None) -> Bundle:
    """A model without weights that keeps the ground of a training."""
    origin = Provenance(trained_ground=trained_ground(data) if ground is None else ground)
    spec = ModelSpec(
        task="segmentation",
        config=load_task("segmentation").config.model_validate({}).model_dump(mode="json"),
        bands=band_specs(data.chips.bands),
        classes=class_specs(CLASSES),
        chip_px=32,
        normalization=NormalizationSpec(mean=(0.0,), std=(1.0,)),
        provenance=origin,
    )
    return Bundle(Path("wood.eodl"), spec)


def write_map(path: Path, data: TaskData, scene: Path, grid: PixelGrid | None = None) -> Path:
    """A map with the tags of a prediction; `grid`: of a map that was resampled afterwards."""
    opened = open_scene(scene)
    tags = trained_ground_tags(model_of(data), opened)
    tags |= {GRID_TAG: grid_tag(opened.native), "model": "wood.eodl"}
    grid = grid or opened.native
    with RasterWriter(path, grid, nodata=255, classes=CLASSES, tags=tags) as writer:
        writer.write(0, np.ones((grid.height, grid.width), np.uint8))
    return path


def share_of(report: Report) -> float | None:
    """The share that the note states; None without a note."""
    notes = " ".join(report.notes)
    found = re.search(r"(\d+)% of the scored (?:pixels|objects|chips) lie on ground that wood\.eodl", notes)
    return None if found is None else int(found[1]) / 100


def test_the_share_is_that_of_the_train_chips(chips: ChipSet, data: TaskData, tmp_path: Path) -> None:
    made = write_map(tmp_path / "map.tif", data, chips.path.parent / "scene.tif")
    truth = chips.path.parent / "truth.gpkg"
    trained = np.zeros((256, 256), bool)
    for record in chips.split("train"):
        trained[record.window.slices] = True
    assert share_of(evaluate(made, truth)) == pytest.approx(trained.mean(), abs=0.006)
    assert share_of(evaluate(made, truth, chips=chips, split="train")) == 1.0


@pytest.mark.parametrize("split", ["val", "test"])
def test_chips_of_another_split_are_scored_without_a_word(
    chips: ChipSet, data: TaskData, tmp_path: Path, split: str
) -> None:
    made = write_map(tmp_path / "map.tif", data, chips.path.parent / "scene.tif")
    assert share_of(evaluate(made, chips.path.parent / "truth.gpkg", chips=chips, split=split)) is None


def test_another_date_of_the_same_ground_is_trained_ground(
    chips: ChipSet, data: TaskData, tmp_path: Path
) -> None:
    """Also in another CRS, under another name, and of pixels of another size."""
    there = CRS.from_epsg(3857)
    place = reproject(np.array([GRID.footprint()], object), UTM, there, "place")[0]
    x0, _, _, y1 = place.bounds
    grid = PixelGrid(there, Affine.translation(x0, y1) @ Affine.scale(5, -5), 140, 140)
    write_geotiff(tmp_path / "later.tif", np.ones((1, 140, 140), np.uint8), grid)
    area = read_trained_ground(trained_ground_tags(model_of(data), open_scene(tmp_path / "later.tif")))
    outlines = window_outlines([record.window for record in chips.split("train")])
    moved = reproject(GRID.geometries_to_map(outlines), UTM, there, "chips")
    expected = shapely.union_all(grid.geometries_to_pixel(moved))
    expected = shapely.intersection(expected, shapely.box(0, 0, 140, 140))
    assert area is not None and expected.area > 0
    assert shapely.symmetric_difference(area, expected).area < 0.05 * expected.area


def test_other_ground_is_none_of_it(data: TaskData, tmp_path: Path) -> None:
    away = PixelGrid(UTM, Affine.translation(700_000, 5_000_000) @ Affine.scale(2, -2), 64, 64)
    write_geotiff(tmp_path / "away.tif", np.ones((1, 64, 64), np.uint8), away)
    other_side = PixelGrid(CRS.from_epsg(32760), Affine.translation(5e5, 5e6) @ Affine.scale(2, -2), 64, 64)
    write_geotiff(tmp_path / "other_side.tif", np.ones((1, 64, 64), np.uint8), other_side)
    for name in ("away.tif", "other_side.tif"):
        assert trained_ground_tags(model_of(data), open_scene(tmp_path / name)) == {}


def test_a_map_that_was_resampled_since_says_the_same(chips: ChipSet, data: TaskData, tmp_path: Path) -> None:
    scene, truth = chips.path.parent / "scene.tif", chips.path.parent / "truth.gpkg"
    own = evaluate(write_map(tmp_path / "map.tif", data, scene), truth)
    coarse = evaluate(write_map(tmp_path / "half.tif", data, scene, GRID.resized(128, 128)), truth)
    assert share_of(coarse) == pytest.approx(share_of(own), abs=0.011)


def test_objects_on_trained_ground_are_counted(chips: ChipSet, data: TaskData, tmp_path: Path) -> None:
    truth = chips.path.parent / "truth.gpkg"
    found = geopandas.read_file(truth)
    tags = trained_ground_tags(model_of(data), open_scene(chips.path.parent / "scene.tif"))
    tags |= {GRID_TAG: grid_tag(GRID), "model": "wood.eodl"}
    write_layer(tmp_path / "found.gpkg", found.assign(score=0.9), metadata=tags)
    area = read_trained_ground(tags)
    assert area is not None
    inside = shapely.contains(area, shapely.centroid(GRID.geometries_to_pixel(found.geometry.to_numpy())))
    report = evaluate(tmp_path / "found.gpkg", truth)
    assert share_of(report) == pytest.approx(inside.mean(), abs=0.006)
    assert share_of(evaluate(tmp_path / "found.gpkg", truth, chips=chips)) is None


def test_an_image_without_a_crs_is_known_by_its_content(tmp_path: Path) -> None:
    """Another name does not hide it, and another image of its name is other ground."""
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = noise(1, 64, 64)
    write_raster(folder / "a.tif", pixels, crs=None)
    image_labels = {"images": [{"id": 1, "file_name": "a.tif", "width": 64, "height": 64}]}
    image_labels |= {"categories": [{"id": 1, "name": "wood"}]}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20], "iscrowd": 0, "area": 400}
    image_labels |= {"annotations": [box | {"segmentation": [[4, 4, 24, 4, 24, 24, 4, 24]]}]}
    (tmp_path / "coco.json").write_text(json.dumps(image_labels))
    chips = tile(
        folder / "a.tif", tmp_path / "coco.json", out=tmp_path / "set", size_px=32, split=Split((1.0, 0, 0))
    )
    data = prepare_data(chips, resolve_config(task="segmentation"))
    renamed = write_raster(tmp_path / "b.tif", pixels, crs=None)
    area = read_trained_ground(trained_ground_tags(model_of(data), open_scene(renamed)))
    assert area is not None and area.area == 64 * 64
    (tmp_path / "other").mkdir()
    other = write_raster(tmp_path / "other" / "a.tif", noise(1, 64, 64, seed=9), crs=None)
    assert trained_ground_tags(model_of(data), open_scene(other)) == {}


def test_quantiles_are_those_of_the_train_chips(chips: ChipSet, data: TaskData) -> None:
    with SceneReader(chips.scenes[0]) as reader:
        pixels, _ = reader.read_rows(0, 256)
    trained = [pixels[0][record.window.slices] for record in chips.split("train")]
    (found,) = train_quantiles(data)
    assert found is not None
    assert (found.p02, found.p50, found.p98) == pytest.approx(tuple(np.percentile(trained, (2, 50, 98))))


def test_a_ground_that_is_no_geometry_is_one_line(data: TaskData, chips: ChipSet) -> None:
    scene = open_scene(chips.path.parent / "scene.tif")
    for ground in (GroundSpec(crs="EPSG:32633", area="nothing"), GroundSpec(crs="none", area="POINT (1 1)")):
        with pytest.raises(BundleError, match=r"training ground .*; train it again"):
            trained_ground_tags(model_of(data, (ground,)), scene)


@pytest.mark.parametrize("text", ["", "nothing", "POLYGON ((0 0", "POINT (1 1)"])
def test_a_tag_of_anything_else_is_no_ground(text: str) -> None:
    area = read_trained_ground({TRAINED_TAG: text})
    assert area is None or area.area == 0


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 100), st.integers(1, 100))
def test_the_tag_of_whole_pixels_comes_back(col: int, row: int, width: int, height: int) -> None:
    area = shapely.box(col, row, col + width, row + height)
    again = read_trained_ground(trained_ground_tag(area))
    assert again is not None and shapely.equals(again, area)
