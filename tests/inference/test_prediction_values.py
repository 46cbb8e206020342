"""A prediction as values of other packages and as pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError
from eo_dl.inference.prediction import Prediction, folder_prediction
from eo_dl.io.qgisstyles import PROBABILITIES_TAG, classes_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.io.vectorlayers import write_layer
from tests.making import NORTH_UP, square, write_raster

CLASSES = ClassSet.of_names(["roof", "tree"], background=True)
SIDE = 40


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 200, (3, SIDE, SIDE)).astype(np.uint8)
    return write_raster(tmp_path / "scene.tif", pixels, transform=NORTH_UP, names=("red", "green", "blue"))


@pytest.fixture
def raster(scene: Path, tmp_path: Path) -> Prediction:
    """A map of three vertical stripes, the last without a prediction, and its probabilities."""
    ids = np.repeat(np.array([0, 2, 255], np.uint8), [10, 20, 10])[None].repeat(SIDE, 0)
    grid = open_scene(scene).grid
    with RasterWriter(tmp_path / "map.tif", grid, nodata=255, classes=CLASSES) as writer:
        writer.write(0, ids)
    planes = np.stack([np.where(ids == info.id, 254, 0) for info in CLASSES]).astype(np.uint8)
    planes[:, ids == 255] = 255
    tags = {PROBABILITIES_TAG: classes_tag(CLASSES)}
    with RasterWriter(
        tmp_path / "map_prob.tif", grid, count=3, nodata=255, scales=[1 / 254] * 3, tags=tags
    ) as writer:
        writer.write(0, planes)
    return Prediction(
        tmp_path / "map.tif",
        "raster",
        "segmentation",
        CLASSES,
        "model.eodl",
        "0" * 64,
        scene=str(scene),
        extras={"prob": tmp_path / "map_prob.tif"},
    )


def objects(path: Path, scene: Path, col: int) -> Prediction:
    frame = geopandas.GeoDataFrame(
        {"class_id": [1, 2], "class_name": ["roof", "tree"], "score": [0.9, 0.4]},
        geometry=[square(col, 5, 10), square(col, 20, 10)],
        crs="EPSG:32633",
    )
    write_layer(path, frame, classes=CLASSES)
    return Prediction(
        path, "objects", "detection", CLASSES, "model.eodl", "0" * 64, scene=str(scene), count=2
    )


def test_a_map_as_an_array_lies_where_the_raster_does(raster: Prediction) -> None:
    xarray = pytest.importorskip("xarray")
    array = raster.to_xarray()
    assert isinstance(array, xarray.DataArray) and array.dims == ("y", "x")
    with rasterio.open(raster.path) as dataset:
        assert np.array_equal(array.values, dataset.read(1))
        x, y = dataset.xy(7, 11)
        assert dict(zip(("x", "y"), (x, y), strict=True)) == {
            "x": float(array.x[11]),
            "y": float(array.y[7]),
        }
        assert rasterio.crs.CRS.from_wkt(array.spatial_ref.attrs["crs_wkt"]) == dataset.crs
        numbers = [float(word) for word in array.spatial_ref.attrs["GeoTransform"].split()]
        assert numbers == list(dataset.transform.to_gdal())
    assert array.attrs["classes"] == {"0": "background", "1": "roof", "2": "tree"}
    chances = raster.to_xarray(probabilities=True)
    assert list(chances["class"].values) == ["background", "roof", "tree"]
    assert float(chances.sel({"class": "tree"})[0, 15]) == 1.0 and np.isnan(chances.values[:, :, 30:]).all()


def test_objects_as_a_table_of_places(scene: Path, tmp_path: Path) -> None:
    first, second = objects(tmp_path / "a.gpkg", scene, 5), objects(tmp_path / "b.gpkg", scene, 25)
    frame = first.to_geodataframe()
    assert list(frame["class_name"]) == ["roof", "tree"] and frame.crs.to_epsg() == 32633
    both = folder_prediction(tmp_path, (first, second), 1.0).to_geodataframe()
    assert len(both) == 4 and set(both["scene"]) == {str(scene)}
    assert shapely.equals(both.geometry.iloc[2], square(25, 5, 10))


def test_what_a_prediction_is_not_says_what_to_do(raster: Prediction, scene: Path, tmp_path: Path) -> None:
    found = objects(tmp_path / "a.gpkg", scene, 5)
    several = folder_prediction(tmp_path, (found, found), 1.0)
    for call, message in (
        (raster.to_geodataframe, "`vectorize` makes polygons"),
        (found.to_xarray, r"to_geodataframe\(\) reads it"),
        (several.to_xarray, "take those of `parts`"),
        (several.plot, "draw those of `parts`"),
        (several.explore, "explore those of `parts`"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()


def test_pictures_show_map_and_objects(raster: Prediction, scene: Path, tmp_path: Path) -> None:
    axes = raster.plot()
    (image,) = axes.images
    left, right, bottom, top = image.get_extent()
    bounds = open_scene(scene).grid.footprint().bounds
    assert (left, bottom, right, top) == pytest.approx(bounds)
    shown = np.asarray(image.get_array())
    assert (shown[:, 30:, 3] == 0).all() and (shown[:, :30, 3] == 255).all()
    found = objects(tmp_path / "a.gpkg", scene, 5)
    drawn = found.plot()
    assert len(drawn.images) == 1 and len(drawn.collections) == 2
    for prediction in (raster, found):
        assert re.search(r"<img [^>]*src='data:image/png;base64,", prediction._repr_html_())
    found.path.unlink()
    assert "<img" not in found._repr_html_()


def test_a_web_map_lies_on_its_ground(raster: Prediction, scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("folium")
    page = raster.explore().get_root().render()
    lon, lat = _centre(scene)
    found = re.search(r"\[\[(-?[\d.]+), (-?[\d.]+)\], \[(-?[\d.]+), (-?[\d.]+)\]\]", page)
    assert found is not None and "data:image/png" in page
    south, west, north, east = map(float, found.groups())
    assert south < lat < north and west < lon < east and north - south < 0.01
    shown = objects(tmp_path / "a.gpkg", scene, 5).explore().get_root().render()
    assert json.dumps("roof") in shown


def _centre(scene: Path) -> tuple[float, float]:
    frame = geopandas.GeoSeries([open_scene(scene).grid.footprint().centroid], crs="EPSG:32633").to_crs(4326)
    return float(frame.x[0]), float(frame.y[0])
