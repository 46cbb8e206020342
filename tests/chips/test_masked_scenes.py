"""Masks and several rasters go through a chip set: cut, counted, kept, found again and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.chipsource import ChipSource
from eo_dl.chips.tile import tile
from eo_dl.errors import ChipSetError, ConfigError
from eo_dl.io.scene import Scene, SceneReader, open_scene
from eo_dl.labels.reading import LabelSet, read_labels
from tests.making import square, write_raster
from tests.makingproducts import CORNER, make_sentinel2

from .conftest import NORTH_UP, UTM

Writer = Callable[..., Path]
CLOUD = 9
SAFE_PLACE = Affine(10, 0, CORNER[0], 0, -10, CORNER[1])


@pytest.fixture
def labels(write_labels: Writer) -> LabelSet:
    return read_labels(write_labels("l.gpkg"), class_field="kind")


def _cloudy() -> np.ndarray:
    """Two bands and SCL; the right half is cloud, which is far brighter than the ground."""
    pixels = np.random.default_rng(0).integers(100, 200, (3, 96, 160))
    pixels[2] = 4
    pixels[:2, :, 80:] = 9000
    pixels[2, :, 80:] = CLOUD
    return pixels


@pytest.mark.parametrize("written", [False, True])
def test_clouds_are_in_no_statistic_and_in_no_chip(
    write_scene: Writer, labels: LabelSet, tmp_path: Path, written: bool
) -> None:
    scene = write_scene("scene.tif", pixels=_cloudy(), bands=("red", "nir", "scl"))
    chips = tile(
        open_scene(scene, mask="SCL in 8,9"), labels, out=tmp_path / "c", size_px=32, write_chips=written
    )
    assert chips.bands.names == ("red", "nir")
    assert max(band.mean for band in chips.statistics) < 200
    assert all(record.window.col < 80 for record in chips.records)
    with ChipSource(chips.path, chips.scenes) as source:
        for record in chips.records:
            chip = source.read(record)
            assert chip.pixels.max() < 200
            assert (chip.valid == (np.arange(record.window.col, record.window.col1) < 80)).all()


def test_a_project_that_moves_takes_its_masks_along(
    write_labels: Writer, labels: LabelSet, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    pixels = _cloudy()
    write_raster(project / "scene.tif", pixels[:1].astype("uint16"), crs=UTM, transform=NORTH_UP)
    write_raster(project / "dem.tif", pixels[1:2].astype("uint16"), crs=UTM, transform=NORTH_UP)
    coarse = pixels[2, ::4, ::4].astype("uint8")[None]
    write_raster(project / "scl.tif", coarse, crs=UTM, transform=NORTH_UP @ Affine.scale(4))
    scene = open_scene(f"{project / 'scene.tif'}+{project / 'dem.tif'}", mask=f"{project / 'scl.tif'} in 9")
    cut = tile(scene, labels, out=project / "chips", size_px=32)
    moved = tmp_path / "moved"
    shutil.move(project, moved)
    found = open_chip_set(moved / "chips")
    assert found.scenes[0].path == f"{moved / 'scene.tif'}+{moved / 'dem.tif'}"
    with ChipSource(found.path, found.scenes) as source:
        assert all(source.read(record).pixels.max() < 200 for record in found.records)
    assert len(found.records) == len(cut.records)
    (moved / "scl.tif").unlink()
    with pytest.raises(ChipSetError, match=r"scl\.tif"):
        open_chip_set(moved / "chips")


def test_a_mask_that_changed_is_noticed(write_scene: Writer, labels: LabelSet, tmp_path: Path) -> None:
    scene = write_scene("scene.tif")
    mask = np.ones((1, 96, 160), "uint8")
    path = write_raster(tmp_path / "mask.tif", mask, crs=UTM, transform=NORTH_UP)
    tile(open_scene(scene, mask=str(path)), labels, out=tmp_path / "c", size_px=32)
    mask[0, :50] = 0
    write_raster(tmp_path / "mask.tif", mask, crs=UTM, transform=NORTH_UP)
    with pytest.raises(ChipSetError, match="is not the file that was tiled"):
        open_chip_set(tmp_path / "c")


def test_a_chip_set_does_not_lead_to_other_machines(
    write_scene: Writer, labels: LabelSet, tmp_path: Path
) -> None:
    scene = write_scene("scene.tif", pixels=_cloudy(), bands=("red", "nir", "scl"))
    tile(open_scene(scene, mask="SCL in 9"), labels, out=tmp_path / "c", size_px=32)
    file = tmp_path / "c" / "chips.json"
    manifest = json.loads(file.read_text())
    manifest["scenes"][0]["options"]["mask"] = ["https://example.org/mask.tif in 9"]
    file.write_text(json.dumps(manifest))
    with pytest.raises(ChipSetError, match="on another machine, which was not asked for"):
        open_chip_set(tmp_path / "c")
    manifest["scenes"][0]["options"]["mask"] = []
    file.write_text(json.dumps(manifest))
    with pytest.raises(ChipSetError, match="expected a relative path for every mask"):
        open_chip_set(tmp_path / "c")


def test_a_product_is_cut_and_found_again(write_labels: Writer, tmp_path: Path) -> None:
    """Bands on request, units and clouds come back with the chip set, also when the folder moved."""
    project = tmp_path / "project"
    safe = make_sentinel2(project, side_px=120)
    shapes = [square(col, row, 8, SAFE_PLACE) for col in range(20, 110, 12) for row in range(4, 110, 12)]
    labels = read_labels(write_labels("crops.gpkg", shapes, ["crop"] * len(shapes)), class_field="kind")
    scene = open_scene(safe, mask="clouds", bands="B08,red,SCL")
    cut = tile(scene, labels, out=project / "chips", size_px=32)
    moved = tmp_path / "moved"
    shutil.move(project, moved)
    found = open_chip_set(moved / "chips")
    assert found.bands.names == ("nir", "red", "scl")
    assert [band.offset for band in found.bands] == [-0.1, -0.1, 0.0]
    assert found.bands[0].sensor_band == "sentinel2:B08"
    with SceneReader(scene_at(moved, found.scenes[0])) as reader:
        again = reader.read(found.records[0].window)
    with ChipSource(found.path, found.scenes) as source:
        chip = source.read(found.records[0])
    assert (chip.pixels == again.pixels).all()
    assert not np.isin(chip.pixels[2][chip.valid], (3, 8, 9, 10)).any()
    assert len(cut.records) == len(found.records)


def scene_at(folder: Path, scene: Scene) -> Scene:
    (safe,) = folder.glob("*.SAFE")
    assert scene.path == str(safe)
    return open_scene(safe, mask="clouds", bands="nir,red,scl")


def test_derived_bands_come_back_with_the_chip_set(
    write_scene: Writer, labels: LabelSet, tmp_path: Path
) -> None:
    """Recipe and inputs are kept; a chip is the same from the scene, from its file and after reopening."""
    heights = np.random.default_rng(0).normal(300, 20, (3, 96, 160))
    path = write_scene("dtm.tif", pixels=heights, bands=("nir", "red", "elevation"), dtype="float32")
    scene = open_scene(path, derive="ndvi, relief(40m)", bands="relief_40m,nir,ndvi")
    from_scene = tile(scene, labels, out=tmp_path / "a", size_px=32, write_chips=False)
    written = tile(scene, labels, out=tmp_path / "b", size_px=32, write_chips=True)
    found = open_chip_set(tmp_path / "a")
    assert found.bands.names == ("relief_40m", "nir", "ndvi")
    assert [band.derived.text if band.derived else "" for band in found.bands] == [
        "relief_40m=relief(elevation, 40m)",
        "",
        "ndvi=(nir - red) / (nir + red)",
    ]
    assert abs(found.statistics[0].mean) < 1
    with ChipSource(found.path, found.scenes) as one, ChipSource(written.path, written.scenes) as other:
        for record, in_file in zip(found.records, written.records, strict=True):
            assert (one.read(record).pixels == other.read(in_file).pixels).all()
    assert len(from_scene.records) == len(found.records)


def test_a_recipe_of_a_chip_set_is_no_code(write_scene: Writer, labels: LabelSet, tmp_path: Path) -> None:
    scene = write_scene("scene.tif")
    tile(open_scene(scene, derive="ndvi"), labels, out=tmp_path / "c", size_px=32)
    file = tmp_path / "c" / "chips.json"
    manifest = json.loads(file.read_text())
    manifest["scenes"][0]["bands"][-1]["derived"]["text"] = "ndvi=__import__('os').system('true')"
    file.write_text(json.dumps(manifest))
    found = open_chip_set(tmp_path / "c")
    with pytest.raises(ConfigError, match="not allowed in formulas"):
        SceneReader(found.scenes[0])
