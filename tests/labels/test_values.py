"""Labels that are numbers: what is asked for, how it is read, and where it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.chips.truth import SceneTruth
from eo_dl.core.classes import ClassSet
from eo_dl.core.labelset import LabelSet, features_of
from eo_dl.core.maplabels import MapLabels
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.core.window import Window
from eo_dl.errors import LabelError
from eo_dl.io.areamean import area_means
from eo_dl.io.scene import open_scene
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.reading import labels_of, read_labels, read_values
from eo_dl.labels.valueplanes import value_planes
from eo_dl.labels.valuerequest import parse_values, values_text
from tests.making import NORTH_UP, noise, square, write_polygons, write_raster

HEIGHTS = np.random.default_rng(1).uniform(0, 30, (12, 18)).astype(np.float32)


def _scene(folder: Path, height: int, width: int, factor: float = 1.0) -> Path:
    pixels = noise(1, height, width)
    return write_raster(folder / "scene.tif", pixels, transform=NORTH_UP @ Affine.scale(factor))


def _planes(labels: LabelSet, scene: Path, window: Window | None = None) -> np.ndarray:
    opened = open_scene(scene)
    frame = window or opened.grid.window
    chip = SceneTruth.of(labels, opened).chip(frame)
    return value_planes(chip, frame.height, frame.width)


# What is asked for


def test_items_have_a_name_a_unit_and_a_range() -> None:
    values = parse_values("height:m:0..60, share::0..1, yield:t/ha, depth:m:..0,count")
    assert dict(values) == {
        "height": ValueInfo("m", 0, 60),
        "share": ValueInfo("", 0, 1),
        "yield": ValueInfo("t/ha"),
        "depth": ValueInfo("m", None, 0),
        "count": ValueInfo(),
    }


def test_the_text_of_values_asks_for_the_same_values() -> None:
    values = parse_values(["height:m:0..60", "share::0..", "plain"])
    assert dict(parse_values(values_text(ClassSet.of_values(values)))) == dict(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected NAME"),
        ("a:b:c:d", "expected NAME"),
        ("a::3", "two dots"),
        ("a::x..3", "expected numbers"),
        ("a::3..3", "below the upper one"),
        ("a::0..inf", "finite"),
        ("a,b,a", "named twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        parse_values(text)


# Rasters


def test_fractions_are_taken_for_values_unless_classes_are_wanted(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "canopy.tif", HEIGHTS)
    guessed = read_labels(path)
    assert guessed.classes.are_values and guessed.classes.names == ("canopy",)
    assert "change it with `values`" in guessed.notes[0]
    for options in (LabelOptions(values="none"), LabelOptions(classes="a,b")):
        with pytest.raises(LabelError, match="whole numbers"):
            labels_of(path, options)


def test_whole_numbers_stay_classes_unless_values_are_asked_for(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "ids.tif", (HEIGHTS > 15).astype(np.float32))
    assert not read_labels(path).classes.are_values
    assert read_values(path, "share::0..1").classes.are_values


def test_numbers_outside_the_valid_range_are_ignored_and_counted(tmp_path: Path) -> None:
    heights = HEIGHTS.copy()
    heights[0, :3] = -9999
    heights[1, 0] = 400
    path = write_raster(tmp_path / "height.tif", heights)
    labels = read_values(path, "height:m:0..60")
    assert "4 px outside the valid range (0 to 60 m) are ignored" in labels.notes[0]
    planes = _planes(labels, _scene(tmp_path, 12, 18))
    assert np.isnan(planes).sum() == 4
    assert np.array_equal(planes[0, 2:], heights[2:])


def test_scale_and_nodata_of_the_file_count(tmp_path: Path) -> None:
    stored = np.array([[0, 100], [255, 50]], np.uint8)
    path = write_raster(tmp_path / "cover.tif", stored, nodata=255, scales=[0.01])
    planes = _planes(read_values(path, "cover"), _scene(tmp_path, 2, 2))
    np.testing.assert_allclose(planes[0], np.array([[0, 1], [np.nan, 0.5]]), atol=1e-6)


def test_several_bands_are_several_values(tmp_path: Path) -> None:
    bands = np.stack([HEIGHTS, HEIGHTS * 2])
    path = write_raster(tmp_path / "two.tif", bands)
    labels = read_values(path, ["height:m", "double"])
    assert np.array_equal(_planes(labels, _scene(tmp_path, 12, 18)), bands)
    with pytest.raises(LabelError, match="has 2 bands, expected one for each of height"):
        read_values(path, "height")


@pytest.mark.parametrize("factor", [2, 3])
def test_a_coarser_scene_gets_the_mean_of_the_ground_of_each_pixel(tmp_path: Path, factor: int) -> None:
    path = write_raster(tmp_path / "height.tif", HEIGHTS)
    scene = _scene(tmp_path, 12 // factor, 18 // factor, factor)
    blocks = HEIGHTS.reshape(12 // factor, factor, 18 // factor, factor)
    planes = _planes(read_labels(path), scene)
    np.testing.assert_allclose(planes[0], blocks.mean((1, 3)), rtol=1e-5)


def test_a_finer_scene_gets_the_number_around_each_pixel(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "height.tif", HEIGHTS)
    planes = _planes(read_labels(path), _scene(tmp_path, 36, 54, 1 / 3))
    np.testing.assert_allclose(planes[0], np.kron(HEIGHTS, np.ones((3, 3))), rtol=1e-5)


def test_the_mean_is_that_of_known_numbers(tmp_path: Path) -> None:
    heights = np.array([[1, 3, np.nan, np.nan], [np.nan, 5, np.nan, np.nan]], np.float32)
    path = write_raster(tmp_path / "height.tif", heights, nodata=float("nan"))
    planes = _planes(read_values(path, "height"), _scene(tmp_path, 1, 2, 2))
    np.testing.assert_allclose(planes[0], [[3, np.nan]])


def test_a_raster_in_another_crs_lies_where_it_lies(tmp_path: Path) -> None:
    """A plane over longitude and latitude: its mean over a pixel is its number at the centre."""
    rows, cols = np.mgrid[0:200, 0:200]
    lon, lat = 14.999 + (cols + 0.5) * 2e-5, 46.956 - (rows + 0.5) * 2e-5
    plane = (lon * 1e4 + lat * 3e4 - 1.55e6).astype(np.float32)
    transform = Affine(2e-5, 0, 14.999, 0, -2e-5, 46.956)
    path = write_raster(tmp_path / "plane.tif", plane, crs="EPSG:4326", transform=transform)
    grid_transform = Affine(10, 0, 500_000, 0, -10, 5_200_100)
    scene = write_raster(tmp_path / "scene.tif", noise(1, 12, 16), transform=grid_transform)
    planes = _planes(read_labels(path), scene)
    opened = open_scene(scene)
    xs, ys = opened.grid.to_map(*np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5))
    from pyproj import Transformer

    lons, lats = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform(xs, ys)
    expected = lons * 1e4 + lats * 3e4 - 1.55e6
    known = np.isfinite(planes[0])
    assert known.mean() > 0.9
    np.testing.assert_allclose(planes[0][known], expected[known], atol=0.5)  # 0.5 is 1.5 m of ground


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 8), st.integers(0, 4), st.integers(1, 9), st.integers(1, 7))
def test_a_window_holds_what_the_whole_scene_holds_there(
    tmp_path_factory: pytest.TempPathFactory, col: int, row: int, width: int, height: int
) -> None:
    folder = tmp_path_factory.mktemp("windows")
    path = write_raster(folder / "height.tif", HEIGHTS)
    scene = _scene(folder, 11, 17, 12 / 11)
    labels, window = read_labels(path), Window(col, row, width, height)
    whole = _planes(labels, scene)
    np.testing.assert_allclose(_planes(labels, scene, window)[0], whole[(0, *window.slices)], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**31))
def test_means_by_area_are_those_of_a_naive_count(rows: int, cols: int, seed: int) -> None:
    """Target pixels of any size over source pixels of 1: each is cut into 20 x 20 points that are counted."""
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(1, 10, 10)).astype(np.float32)
    grid = PixelGrid(None, Affine.identity(), 10, 10)
    target = PixelGrid(None, Affine.scale(10 / cols, 10 / rows), rows, cols)
    means = area_means(source, grid, target)
    points = 2520  # of both sides, and a multiple of 10 and of 1 to 7 and of 8 and 9
    index_row, index_col = np.arange(points) * rows // points, np.arange(points) * cols // points
    from_row = np.arange(points) * 10 // points
    weights_row = np.zeros((rows, 10))
    weights_col = np.zeros((cols, 10))
    np.add.at(weights_row, (index_row, from_row), 1)
    np.add.at(weights_col, (index_col, from_row), 1)
    weights_row /= weights_row.sum(1, keepdims=True)
    weights_col /= weights_col.sum(1, keepdims=True)
    np.testing.assert_allclose(means[0], weights_row @ source[0] @ weights_col.T, atol=1e-4)


# Fields of features


def _yields(folder: Path) -> Path:
    shapes = [square(1, 1, 4), square(3, 3, 4), square(9, 1, 3), square(14, 4, 2)]
    return write_polygons(
        folder / "fields.gpkg",
        shapes,
        t_ha=[7.5, 3.0, None, 99.0],
        name=["a", "b", "c", "d"],
    )


def test_the_later_feature_wins_and_ground_without_a_number_is_unknown(tmp_path: Path) -> None:
    labels = read_values(_yields(tmp_path), "t_ha:t/ha:0..20")
    assert isinstance(labels, MapLabels)
    text = " ".join(labels.notes)
    assert "1 outside the valid range (0 to 20 t/ha)" in text
    assert "2 of 4 features have no number and are ignored" in text
    expected = np.full((8, 18), np.nan)
    expected[1:5, 1:5] = 7.5
    expected[3:7, 3:7] = 3.0
    np.testing.assert_array_equal(_planes(labels, _scene(tmp_path, 8, 18))[0], expected)


def test_points_become_areas_by_a_radius(tmp_path: Path) -> None:
    points = [shapely.Point(500_005, 5_199_995)]
    path = write_polygons(tmp_path / "plots.gpkg", points, carbon=[12.5])
    labels = read_values(path, "carbon:t", buffer_m=3)
    planes = _planes(labels, _scene(tmp_path, 10, 10))
    known = np.isfinite(planes[0])
    assert known.sum() == pytest.approx(np.pi * 9, abs=4)
    assert set(planes[0][known].tolist()) == {12.5}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("mass", "has no field mass; its fields are t_ha, name"),
        ("name", "its field 'name' holds 'a', expected numbers"),
        ("t_ha::200..300", "no feature has a number in the valid range"),
    ],
)
def test_fields_without_numbers_are_refused(tmp_path: Path, values: str, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        read_values(_yields(tmp_path), values)


def test_values_and_classes_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="reads numbers and `class_field` classes"):
        labels_of(_yields(tmp_path), LabelOptions(values="t_ha", class_field="name"))


def test_the_order_of_features_does_not_lose_their_numbers(tmp_path: Path) -> None:
    labels = read_values(_yields(tmp_path), "t_ha")
    features = features_of(labels)
    assert features.values is not None
    taken = features.take(np.array([2, 0]))
    assert taken.values is not None
    np.testing.assert_array_equal(taken.values, features.values[[2, 0]])
