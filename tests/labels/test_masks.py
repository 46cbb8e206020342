from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyproj import CRS, Transformer

from eo_dl.chips.truth import SceneTruth
from eo_dl.core.rasterlabels import RasterLabels
from eo_dl.core.window import Window
from eo_dl.errors import LabelError
from eo_dl.io.scene import Scene, open_scene
from eo_dl.labels.classcover import class_mask
from eo_dl.labels.coverage import match_labels
from eo_dl.labels.labeloptions import LabelOptions
from eo_dl.labels.placement import PlacedLabels
from eo_dl.labels.raster.masks import read_mask
from eo_dl.labels.raster.rasterchoice import raster_of
from eo_dl.labels.reading import labels_of, read_labels
from tests.making import CRS as UTM
from tests.making import NORTH_UP, square, write_polygons, write_raster

RNG = np.random.default_rng(0)
TWO_METRES = NORTH_UP @ Affine.scale(2)
WEST, NORTH = NORTH_UP.c, NORTH_UP.f


def geotiff(path: Path, pixels: np.ndarray, transform: Affine = TWO_METRES, **options: Any) -> Path:
    """A raster of pixels that are no metres, so that the two are not confused."""
    return write_raster(path, pixels, transform=transform, **options)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return open_scene(geotiff(tmp_path / "scene_1.tif", RNG.integers(1, 9, (3, 60, 80), np.uint8)))


def ids(height: int = 60, width: int = 80) -> np.ndarray:
    return np.repeat(np.repeat(RNG.integers(0, 4, (height // 10, width // 10)), 10, 0), 10, 1).astype(
        np.uint8
    )


@settings(max_examples=25)
@given(st.integers(-20, 70), st.integers(-20, 50), st.integers(1, 60), st.integers(1, 60))
def test_any_window_of_a_mask_on_the_same_grid_is_the_mask_itself(
    tmp_path_factory: pytest.TempPathFactory, col: int, row: int, width: int, height: int
) -> None:
    folder = tmp_path_factory.mktemp("m")
    truth = ids()
    image = open_scene(geotiff(folder / "a.tif", truth))
    labels = read_labels(geotiff(folder / "a_mask.tif", truth))
    found = read_mask(labels.rasters[0], image, Window(col, row, width, height))
    padded = np.pad(truth, 60, constant_values=255)
    assert (found == padded[row + 60 : row + 60 + height, col + 60 : col + 60 + width]).all()


def test_ids_stay_zero_is_background_and_255_is_ignored(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    truth[0, :5] = 255
    labels = read_labels(geotiff(tmp_path / "m.tif", truth, nodata=255))
    assert labels.classes.ids == (0, 1, 2, 3) and labels.classes.names[0] == "background"
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == truth).all()
    assert "the nodata value 255 (5 px) is ignored" in labels.notes
    named = read_labels(tmp_path / "m.tif", classes="a,b,c")
    assert named.classes.names == ("background", "a", "b", "c")


def test_zero_as_nodata_is_background_and_said_or_ignored_when_asked(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    labels = read_labels(geotiff(tmp_path / "m.tif", truth, nodata=0))
    assert any("0 is the nodata value" in note for note in labels.notes)
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == truth).all()
    sparse = read_labels(tmp_path / "m.tif", unlabelled="ignore")
    assert (read_mask(sparse.rasters[0], scene, scene.grid.window) == np.where(truth == 0, 255, truth)).all()
    assert not sparse.classes.has_background


def test_a_mask_of_0_and_255_has_one_class(tmp_path: Path, scene: Scene) -> None:
    truth = np.where(ids() > 1, 255, 0).astype(np.uint8)
    labels = read_labels(geotiff(tmp_path / "m.tif", truth), classes="building=255")
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == (truth > 0)).all()
    unnamed = read_labels(tmp_path / "m.tif")
    assert [c.name for c in unnamed.classes.foreground] == ["255"]
    assert [c.name for c in read_labels(tmp_path / "m.tif", classes="roof").classes.foreground] == ["roof"]
    with pytest.raises(LabelError, match="every label is ignored"):
        read_labels(geotiff(tmp_path / "n.tif", truth, nodata=255))


def test_large_ids_are_renumbered(tmp_path: Path, scene: Scene) -> None:
    truth = ids().astype(np.uint16) * 1000
    labels = read_labels(geotiff(tmp_path / "m.tif", truth))
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == truth // 1000).all()


def colored(truth: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, 0], [60, 16, 152], [254, 221, 58], [155, 155, 155]], np.uint8)[truth].transpose(
        2, 0, 1
    )


def test_colours_become_classes(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    labels = read_labels(
        geotiff(tmp_path / "m.tif", colored(truth)), classes="Building=#3C1098,Plants=#FEDD3A,-#9B9B9B"
    )
    assert [(c.id, c.name, c.color) for c in labels.classes.foreground] == [
        (1, "Building", "#3c1098"),
        (2, "Plants", "#fedd3a"),
    ]
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == np.where(truth == 3, 255, truth)).all()
    with pytest.raises(LabelError, match="leaves out: '#9b9b9b'"):
        read_labels(tmp_path / "m.tif", classes="Building=#3C1098,Plants=#FEDD3A")
    assert [c.name for c in read_labels(tmp_path / "m.tif").classes] == [
        "background",
        "#3c1098",
        "#9b9b9b",
        "#fedd3a",
    ]


def test_a_palette_png_is_read_by_its_colours(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    image = Image.fromarray(truth, "P")
    image.putpalette([0, 0, 0, 60, 16, 152, 254, 221, 58, 155, 155, 155])
    image.save(tmp_path / "m.png")
    labels = read_labels(tmp_path / "m.png", classes="Building=#3C1098,Plants=#FEDD3A,-#9B9B9B")
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == np.where(truth == 3, 255, truth)).all()
    by_id = read_labels(tmp_path / "m.png", classes="Building=1,Plants=2|3")
    assert (read_mask(by_id.rasters[0], scene, scene.grid.window) == np.where(truth == 3, 2, truth)).all()


def test_transparent_pixels_are_ignored(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    alpha = np.full((1, 60, 80), 255, np.uint8)
    alpha[0, :10] = 0
    profile = {"driver": "GTiff", "count": 4, "height": 60, "width": 80, "dtype": "uint8", "crs": UTM}
    with rasterio.open(
        tmp_path / "m.tif", "w", **profile, transform=TWO_METRES, photometric="RGB", alpha="yes"
    ) as file:
        file.write(np.concatenate([colored(truth), alpha]))
    labels = read_labels(tmp_path / "m.tif")
    assert (read_mask(labels.rasters[0], scene, scene.grid.window)[:10] == 255).all()


def test_a_finer_mask_of_another_crs_is_read_by_place(tmp_path: Path, scene: Scene) -> None:
    to_lonlat = Transformer.from_crs(UTM, 4326, always_xy=True)
    west, north = to_lonlat.transform(WEST - 10, NORTH + 10)
    step = 8e-6
    place = Affine(step, 0, west, 0, -step, north)
    truth = RNG.integers(0, 4, (250, 400)).astype(np.uint8)
    labels = read_labels(geotiff(tmp_path / "m.tif", truth, place, crs="EPSG:4326"))
    found = read_mask(labels.rasters[0], scene, Window(5, 7, 30, 20))
    for row, col in [(0, 0), (3, 17), (19, 29)]:
        lon, lat = to_lonlat.transform(WEST + 2 * (col + 5.5), NORTH - 2 * (row + 7.5))
        expected = truth[int((north - lat) / step), int((lon - west) / step)]
        assert found[row, col] == expected


def test_a_coarser_mask_and_a_resampled_scene_agree_with_arithmetic(tmp_path: Path, scene: Scene) -> None:
    truth = ids(30, 40)
    labels = read_labels(geotiff(tmp_path / "m.tif", truth, TWO_METRES @ Affine.scale(2)))
    assert (
        read_mask(labels.rasters[0], scene, scene.grid.window) == np.repeat(np.repeat(truth, 2, 0), 2, 1)
    ).all()
    half = scene.resized(30, 40)
    assert (read_mask(labels.rasters[0], half, half.grid.window) == truth).all()


def test_a_mask_without_crs_needs_the_size_of_the_scene(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    Image.fromarray(truth).save(tmp_path / "m.png")
    labels = read_labels(tmp_path / "m.png", classes="a,b,c")
    assert (read_mask(labels.rasters[0], scene, scene.grid.window) == truth).all()
    half = scene.resized(30, 40)
    assert (read_mask(labels.rasters[0], half, half.grid.window) == truth[1::2, 1::2]).all(), (
        "the scene's file counts, not its working grid"
    )
    Image.fromarray(truth[:50]).save(tmp_path / "m.png")
    with pytest.raises(LabelError, match=r"is 80x50 px, its scene scene_1.tif 80x60 px"):
        read_mask(read_labels(tmp_path / "m.png").rasters[0], scene, scene.grid.window)


def test_masks_find_their_scenes_by_name_folder_and_place(tmp_path: Path) -> None:
    for folder in ("t1", "t2"):
        for kind in ("images", "masks"):
            (tmp_path / folder / kind).mkdir(parents=True)
        Image.fromarray(RNG.integers(0, 255, (20, 30, 3), np.uint8)).save(
            tmp_path / folder / "images" / "part_1.jpg"
        )
        Image.fromarray(np.full((20, 30), 1 if folder == "t1" else 2, np.uint8)).save(
            tmp_path / folder / "masks" / "part_1.png"
        )
    labels = read_labels(f"{tmp_path}/*/masks/*.png")
    scenes = [open_scene(tmp_path / folder / "images" / "part_1.jpg") for folder in ("t1", "t2")]
    assert isinstance(labels, RasterLabels)
    found = [raster_of(labels, scene) for scene in scenes]
    assert [
        read_mask(mask, scene, Window(0, 0, 2, 2))[0, 0]
        for mask, scene in zip(found, scenes, strict=True)
        if mask
    ] == [1, 2]
    match_labels(labels, scenes)


def test_a_scene_without_a_mask_is_unknown_and_not_background(tmp_path: Path, scene: Scene) -> None:
    far = TWO_METRES @ Affine.translation(1000, 0)
    labels = read_labels(geotiff(tmp_path / "other.tif", ids(), far))
    assert isinstance(labels, RasterLabels)
    assert raster_of(labels, scene) is None
    placed = PlacedLabels.of(labels, scene)
    assert placed.raster is None and placed.labels.annotated is not None and placed.labels.annotated.is_empty
    assert (class_mask(SceneTruth(placed).chip(Window(0, 0, 5, 5)), 5, 5) == 255).all()
    with pytest.raises(LabelError, match=r"no label raster \(other.tif\) fits"):
        match_labels(labels, [scene])


def test_one_mask_is_found_by_place_and_two_halves_are_refused(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    geotiff(tmp_path / "left.tif", truth[:, :40])
    labels = read_labels(tmp_path / "left.tif")
    assert isinstance(labels, RasterLabels)
    mask = raster_of(labels, scene)
    assert mask is not None
    found = read_mask(mask, scene, scene.grid.window)
    assert (found[:, :40] == truth[:, :40]).all() and (found[:, 40:] == 255).all()
    geotiff(tmp_path / "right.tif", truth[:, 40:], TWO_METRES @ Affine.translation(40, 0))
    halves = read_labels([tmp_path / "left.tif", tmp_path / "right.tif"])
    assert isinstance(halves, RasterLabels)
    with pytest.raises(LabelError, match="gdalbuildvrt"):
        raster_of(halves, scene)


def test_rasters_of_the_same_ground_are_not_chosen_by_chance(tmp_path: Path, scene: Scene) -> None:
    for year in ("2019", "2020"):
        geotiff(tmp_path / f"{year}.tif", ids())
    labels = read_labels([tmp_path / "2019.tif", tmp_path / "2020.tif"])
    assert isinstance(labels, RasterLabels)
    with pytest.raises(LabelError, match=r"several label rasters cover the same ground.*2019.tif, 2020.tif"):
        raster_of(labels, scene)


def test_images_are_not_taken_for_masks(tmp_path: Path) -> None:
    noise = RNG.integers(0, 255, (3, 60, 80), np.uint8)
    with pytest.raises(LabelError, match="more than 64 colours"):
        read_labels(geotiff(tmp_path / "rgb.tif", noise))
    with pytest.raises(LabelError, match="more than 256 different values"):
        read_labels(geotiff(tmp_path / "dem.tif", RNG.integers(0, 9999, (60, 80), np.uint16)))
    halves = geotiff(tmp_path / "f.tif", np.full((60, 80), 0.5, np.float32))
    with pytest.raises(LabelError, match=r"holds the value 0.5, a label raster has whole.*gdal_translate"):
        labels_of(halves, LabelOptions(values="none"))
    with pytest.raises(LabelError, match="or is an image"):
        read_labels(geotiff(tmp_path / "pan.tif", RNG.integers(0, 99, (60, 80), np.uint8)))
    Image.fromarray(ids()).save(tmp_path / "m.jpg")
    with pytest.raises(LabelError, match="JPEG file, which changes values"):
        read_labels(tmp_path / "m.jpg")


def test_a_value_that_appears_later_is_an_error(tmp_path: Path, scene: Scene) -> None:
    truth = ids()
    path = geotiff(tmp_path / "m.tif", truth)
    labels = read_labels(path)
    truth[5, 5] = 77
    geotiff(path, truth)
    with pytest.raises(LabelError, match=r"m.tif: holds the value 77"):
        read_mask(labels.rasters[0], scene, scene.grid.window)


def test_areas_of_completeness_go_with_masks(tmp_path: Path, scene: Scene) -> None:
    area_40_m = write_polygons(tmp_path / "a.gpkg", [square(0, 0, 40)])
    labels = read_labels(geotiff(tmp_path / "m.tif", ids()), annotated=area_40_m)
    assert labels.annotated.crs == CRS(UTM)
    area = labels.for_grid(scene.grid, scene.name).annotated
    assert area is not None and area.bounds == (0, 0, 20, 20)


@pytest.mark.parametrize("nodata", [None, -9999.0, float(np.finfo(np.float32).min)])
def test_whole_numbers_stored_as_floats_are_classes(
    tmp_path: Path, scene: Scene, nodata: float | None
) -> None:
    """As Rasterize of QGIS and gdal_rasterize write them."""
    truth = ids().astype(np.float32)
    if nodata is not None:
        truth[:10] = nodata
    labels = read_labels(geotiff(tmp_path / "scene_1_mask.tif", truth, nodata=nodata))
    assert isinstance(labels, RasterLabels)
    found = read_mask(labels.rasters[0], scene, Window(0, 0, 80, 60))
    assert (found == np.where(truth < 0, 255, truth)).all()


def soft_square(levels: int) -> np.ndarray:
    """A square of 255 on 0 whose edges fade over a few pixels, in steps."""
    hard = np.zeros((60, 80), np.uint8)
    hard[20:40, 20:60] = 255
    soft = np.asarray(Image.fromarray(hard).resize((61, 47), Image.Resampling.BILINEAR).resize((80, 60)))
    step = 255 // levels
    return (soft // step * step).astype(np.uint8)


def test_soft_edges_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="resampled"):
        read_labels(geotiff(tmp_path / "a.tif", soft_square(5)))
    named = read_labels(tmp_path / "a.tif", classes="roof=255,-*")
    assert isinstance(named, RasterLabels) and named.classes.names == ("background", "roof")
    colour = np.stack([soft_square(5), np.zeros((60, 80), np.uint8), 255 - soft_square(5)])
    with pytest.raises(LabelError, match="resampled"):
        read_labels(geotiff(tmp_path / "c.tif", colour))
    thin = np.zeros((60, 80), np.uint8)
    thin[10:12], thin[:, 30:33], thin[40:50, 50:70], thin[41:49, 51:69] = 2, 3, 1, 4
    labels = read_labels(geotiff(tmp_path / "thin.tif", thin))
    assert isinstance(labels, RasterLabels) and len(labels.classes) == 5, "thin classes stay classes"


def test_a_tiff_compressed_as_jpeg_is_refused_as_a_jpeg_is(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        height=64,
        width=64,
        count=1,
        dtype="uint8",
        compress="jpeg",
        crs=UTM,
        transform=NORTH_UP,
    ) as file:
        file.write(np.eye(64, dtype=np.uint8)[None])
    with pytest.raises(LabelError, match=r"JPEG-compressed TIFF.*lossy"):
        read_labels(tmp_path / "a.tif")


def test_the_void_of_voc_is_ignored(tmp_path: Path) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[10:30, 10:30], picture[10:12, 10:30] = (128, 0, 0), (224, 224, 192)
    Image.fromarray(picture).save(tmp_path / "a.png")
    labels = read_labels(tmp_path / "a.png")
    assert labels.classes.names == ("background", "#800000")
    assert any("void of Pascal VOC, is ignored" in note for note in labels.notes)


def test_what_is_transparent_in_a_colour_mask_is_its_background(tmp_path: Path) -> None:
    picture = np.zeros((60, 80, 4), np.uint8)
    picture[10:30, 10:30] = (255, 0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "m.png")
    scene = open_scene(write_raster(tmp_path / "m.tif", np.ones((60, 80), np.uint8), crs=None))
    labels = read_labels(tmp_path / "m.png")
    assert isinstance(labels, RasterLabels) and labels.classes.names == ("background", "#ff0000")
    assert any("`unlabelled=ignore`" in note for note in labels.notes)
    found = read_mask(labels.rasters[0], scene, Window(0, 0, 80, 60))
    assert set(np.unique(found)) == {0, 1} and (found == 1).sum() == 400
    ignored = read_labels(tmp_path / "m.png", unlabelled="ignore")
    assert isinstance(ignored, RasterLabels)
    assert set(np.unique(read_mask(ignored.rasters[0], scene, Window(0, 0, 80, 60)))) == {1, 255}
