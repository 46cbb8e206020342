"""`vectorize` on files: what it writes lies where the pixels lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ConfigError, OutputExistsError, SceneError
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import read_layer
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.vectorize import vectorize
from tests.making import write_geotiff

CLASSES = ClassSet.of_names(["wood", "water"], background=True)
UTM = CRS.from_epsg(32633)
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(20) @ Affine.scale(2, -2)


def _map(
    path: Path, labels: npt.NDArray[np.uint8], transform: Affine = ROTATED, crs: CRS | None = UTM
) -> Path:
    with RasterWriter(path, PixelGrid(crs, transform, *labels.shape), nodata=255, classes=CLASSES) as writer:
        writer.write(0, labels)
    return path


def _labels() -> npt.NDArray[np.uint8]:
    labels = np.zeros((20, 30), np.uint8)
    labels[2:8, 3:9] = 1
    labels[4:6, 5:7] = 2
    labels[12:14, 20:21] = 2
    labels[15:, :] = 255
    return labels


def test_polygons_are_the_pixels_in_map_coordinates(tmp_path: Path) -> None:
    source = _map(tmp_path / "map.tif", _labels())
    frame = read_layer(vectorize(source, out=tmp_path / "map.gpkg"))
    grid = PixelGrid(UTM, ROTATED, 20, 30)
    wood = frame[frame["class_name"] == "wood"]
    assert len(frame) == 3 and len(wood) == 1
    expected = grid.geometries_to_map(
        np.array([shapely.box(3, 2, 9, 8).difference(shapely.box(5, 4, 7, 6))], object)
    )[0]
    assert shapely.hausdorff_distance(wood.geometry.iloc[0], expected) < 1e-6
    assert wood["class_id"].iloc[0] == 1 and not wood["reviewed"].iloc[0]
    # on the ground, so not quite the projected area
    assert wood["area_m2"].iloc[0] == pytest.approx(32 * 4, rel=2e-3)
    assert "score" not in frame.columns


def test_small_polygons_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = read_layer(
        vectorize(
            _map(tmp_path / "map.tif", _labels()), out=tmp_path / "map.fgb", cleanup=Cleanup(min_area_m2=10)
        )
    )
    assert sorted(frame["class_name"]) == ["water", "wood"]


def test_only_the_aoi(tmp_path: Path) -> None:
    source = _map(tmp_path / "map.tif", _labels(), Affine.identity(), None)
    import geopandas

    from eo_dl.io.vectorlayers import write_layer

    write_layer(tmp_path / "aoi.gpkg", geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 6, 20)]))
    frame = read_layer(vectorize(source, out=tmp_path / "part.gpkg", aoi=tmp_path / "aoi.gpkg"))
    assert frame.total_bounds.tolist() == [3, 2, 6, 8]
    assert frame["area_m2"].sum() == 18


def test_scores_are_mean_probabilities_of_the_class(tmp_path: Path) -> None:
    labels = _labels()
    source = _map(tmp_path / "map.tif", labels)
    planes = np.zeros((3, 20, 30), np.uint8)
    planes[1][labels == 1] = 127
    planes[2][labels == 2] = np.where(np.arange((labels == 2).sum()) % 2, 254, 0)
    names = CLASSES.names
    write_geotiff(
        tmp_path / "p.tif",
        planes,
        PixelGrid(UTM, ROTATED, 20, 30),
        descriptions=names,
        scales=[1 / 254] * 3,
        nodata=255,
    )
    frame = read_layer(vectorize(source, out=tmp_path / "map.gpkg", probabilities=tmp_path / "p.tif"))
    assert frame[frame["class_name"] == "wood"]["score"].tolist() == [0.5]
    assert frame[frame["class_name"] == "water"]["score"].tolist() == [0.5, 0.5]


def test_simplified_neighbours_still_share_their_border(tmp_path: Path) -> None:
    rows, cols = np.mgrid[:60, :60]
    labels = np.where(rows > 0.7 * cols + 8 + 3 * np.sin(cols / 4), 1, 2).astype(np.uint8)
    source = _map(tmp_path / "map.tif", labels, Affine.identity(), None)
    exact = read_layer(vectorize(source, out=tmp_path / "exact.gpkg"))
    simple = read_layer(vectorize(source, out=tmp_path / "simple.gpkg", cleanup=Cleanup(simplify_px=2)))
    assert (
        shapely.get_num_coordinates(simple.geometry.values).sum()
        < shapely.get_num_coordinates(exact.geometry.values).sum() / 3
    )
    assert shapely.coverage_is_valid(simple.geometry.values)
    assert simple.geometry.area.sum() == pytest.approx(60 * 60, rel=1e-3)


def test_a_map_of_background_gives_an_empty_layer(tmp_path: Path) -> None:
    assert (
        len(
            read_layer(
                vectorize(_map(tmp_path / "map.tif", np.zeros((5, 5), np.uint8)), out=tmp_path / "map.gpkg")
            )
        )
        == 0
    )


def test_a_raster_without_class_names_gets_ids_as_names(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "plain.tif", np.full((1, 4, 4), 7, np.int16), PixelGrid(UTM, ROTATED, 4, 4))
    frame = read_layer(vectorize(tmp_path / "plain.tif", out=tmp_path / "plain.gpkg"))
    assert frame["class_name"].tolist() == ["7"] and frame["class_id"].tolist() == [7]


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    source = _map(tmp_path / "map.tif", _labels(), Affine.identity(), None)
    with pytest.raises(ConfigError, match="no CRS"):
        vectorize(source, out=tmp_path / "x.gpkg", cleanup=Cleanup(min_area_m2=3))
    with pytest.raises(ConfigError, match="suffix"):
        vectorize(source, out=tmp_path / "x.shp")
    with pytest.raises(SceneError, match=r"missing\.tif"):
        vectorize(tmp_path / "missing.tif", out=tmp_path / "x.gpkg")
    write_geotiff(tmp_path / "float.tif", np.full((1, 4, 4), 0.5, np.float32), PixelGrid(UTM, ROTATED, 4, 4))
    with pytest.raises(SceneError, match=r"value 0\.5.*class ids"):
        vectorize(tmp_path / "float.tif", out=tmp_path / "x.gpkg")
    write_geotiff(tmp_path / "rgb.tif", np.zeros((3, 4, 4), np.uint8), PixelGrid(UTM, ROTATED, 4, 4))
    with pytest.raises(SceneError, match="one band"):
        vectorize(tmp_path / "rgb.tif", out=tmp_path / "x.gpkg")
    (tmp_path / "there.gpkg").write_text("mine")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        vectorize(source, out=tmp_path / "there.gpkg")
    assert not (tmp_path / "x.gpkg").exists()
