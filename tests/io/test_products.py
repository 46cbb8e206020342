"""Sentinel-2 and Landsat products and folders of band files are scenes, as they come."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from eo_dl.core.normalization import to_physical
from eo_dl.errors import BandError, SceneError
from eo_dl.io.scene import Scene, SceneReader, open_scene, open_scenes
from tests.making import write_raster
from tests.makingproducts import (
    CLOUD,
    SHADOW,
    coarser,
    ground,
    make_landsat,
    make_sentinel2,
    reflectance,
    zipped,
)

SIDE = 60


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A product of each kind, made once; tests that change one copy it."""
    folder = tmp_path_factory.mktemp("products")
    made = {
        "l2a": make_sentinel2(folder, side_px=SIDE),
        "old": make_sentinel2(folder, baseline="03.01", side_px=SIDE),
        "l1c": make_sentinel2(folder, "L1C", side_px=SIDE),
        "landsat": make_landsat(folder, side_px=SIDE),
        "landsat1": make_landsat(folder, "L1TP", side_px=SIDE),
    }
    return made | {"zip": zipped(made["l2a"])}


def _read(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Physical values and the valid mask."""
    with SceneReader(scene) as reader:
        chip = reader.read(scene.grid.window)
    return to_physical(chip.pixels, scene.bands), chip.valid


KINDS, SCL = ground(SIDE)


@pytest.mark.parametrize("name", ["l2a", "old"])
def test_sentinel2_is_reflectance_whatever_its_baseline(products: dict[str, Path], name: str) -> None:
    scene = open_scene(products[name])
    assert (scene.grid.height, scene.grid.width, round(scene.grid.gsd_m or 0)) == (SIDE, SIDE, 10)
    assert scene.bands.names == (
        "coastal", "blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08",
        "nir09", "swir16", "swir22",
    )  # fmt: skip
    values, valid = _read(scene)
    assert np.abs(values[3] - reflectance("B04", KINDS, SCL))[valid].max() < 1e-4
    # 0 west of 60 m in every band; the interpolated edge of coarse bands reaches no further
    assert not valid[:, :6].any()
    assert valid[:, 7:].all()


def test_bands_of_20_m_keep_their_means(products: dict[str, Path]) -> None:
    scene = open_scene(products["l2a"], bands="B11")
    values, valid = _read(scene)
    own = coarser(reflectance("B11", KINDS, SCL), 2)
    assert np.abs(coarser(values[0], 2) - own)[valid[::2, ::2]].mean() < 0.01
    at_20_m, _ = _read(open_scene(products["l2a"], bands="B11").at_gsd(scene.grid.gsd_m * 2))  # type: ignore[operator]
    assert np.abs(at_20_m[0] - own)[:, 3:].max() < 1e-4


def test_l1c_has_thirteen_bands(products: dict[str, Path]) -> None:
    scene = open_scene(products["l1c"])
    assert len(scene.bands) == 13
    values, valid = _read(open_scene(products["l1c"], bands="red,cirrus"))
    assert np.abs(values[0] - reflectance("B04", KINDS, SCL))[valid].max() < 1e-4
    with pytest.raises(BandError, match="no quality band is known"):
        open_scene(products["l1c"], mask="clouds")


def test_an_archive_holds_the_scene_of_its_folder(products: dict[str, Path]) -> None:
    folder, archive = open_scene(products["l2a"]), open_scene(products["zip"])
    (pixels, valid), (zip_pixels, zip_valid) = _read(folder), _read(archive)
    assert (pixels == zip_pixels).all()
    assert (valid == zip_valid).all()
    assert not archive.remote
    assert folder.file.acquired == archive.file.acquired == "2023-06-01T10:06:01.024Z"


def test_clouds_are_the_scene_classification(products: dict[str, Path]) -> None:
    scene = open_scene(products["l2a"], mask="clouds")
    _, valid = _read(scene)
    blocks = np.kron(np.isin(SCL[::2, ::2], (CLOUD, SHADOW)), np.ones((2, 2), bool))
    assert (valid[:, 8:] == ~blocks[:, 8:]).all()
    likely = open_scene(products["l2a"], mask="CLDPRB > 40")
    assert _read(likely)[1].sum() > valid.sum()


def test_a_product_is_named_by_its_metadata_or_a_folder_of_products(products: dict[str, Path]) -> None:
    by_file = open_scene(products["l2a"] / "MTD_MSIL2A.xml")
    assert (_read(by_file)[0] == _read(open_scene(products["l2a"]))[0]).all()
    found = open_scenes(products["l2a"].parent)
    assert {Path(scene.path) for scene in found} == set(products.values())


@pytest.mark.parametrize(("name", "tolerance"), [("landsat", 1.4e-5), ("landsat1", 1.2e-5)])
def test_landsat_is_reflectance(products: dict[str, Path], name: str, tolerance: float) -> None:
    scene = open_scene(products[name])
    assert scene.bands.names == ("coastal", "blue", "green", "red", "nir", "swir16", "swir22")
    values, valid = _read(scene)
    assert np.abs(values[3] - reflectance("B04", KINDS, SCL))[valid].max() < tolerance
    assert (valid == (np.arange(SIDE) >= 2)).all()
    assert scene.file.acquired == "2023-06-01T10:03:42.7Z"


def test_landsats_other_bands_come_where_they_are_named(products: dict[str, Path]) -> None:
    heat, _ = _read(open_scene(products["landsat"], bands="B10"))
    assert sorted(set(np.round(heat[0]).ravel())) == [270, 300]
    pan = open_scene(products["landsat1"], bands="red,pan")
    assert pan.grid.width == SIDE  # the grid of the other bands, not that of pan
    values, seen = _read(pan)
    assert np.abs(values[1] - reflectance("B03", KINDS, SCL))[seen].max() < 1e-4
    quality = open_scene(products["landsat"], mask="clouds")
    _, valid = _read(quality)
    assert (valid[:, 2:] == (SCL == 4)[:, 2:]).all()


def test_names_of_the_sensor_are_names_of_bands(products: dict[str, Path]) -> None:
    assert open_scene(products["l2a"], bands="B04,B8A").bands.names == ("red", "nir08")
    assert open_scene(products["landsat"], bands="B4,SR_B5").bands.names == ("red", "nir")
    assert open_scene(products["landsat"], bands="r=B4").bands.names == ("red",)
    assert [band.wavelength_um for band in open_scene(products["l2a"], bands="B04").bands] == [0.6646]


def test_a_folder_of_band_files_is_one_scene(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    noise = np.random.default_rng(1)
    for name, side in (("B02", 40), ("B04", 40), ("B8A", 20)):
        place = Affine(400 / side, 0, 500_000, 0, -400 / side, 5_000_000)
        pixels = noise.integers(1, 3000, (1, side, side)).astype("uint16")
        write_raster(folder / f"T33_{name}.tif", pixels, transform=place)
    scene = open_scene(folder)
    assert scene.bands.names == ("blue", "red", "nir08")  # B8A is Sentinel-2's alone
    assert scene.grid.width == 40
    assert "its 3 files are the bands of one scene" in scene.notes[0]
    (listed,) = open_scenes(folder)
    assert listed.path == str(folder)
    write_raster(folder / "other.tif", np.ones((1, 8, 8), "uint8"))
    assert len(open_scenes(folder)) == 4  # now a folder of scenes


def test_scenes_that_are_called_like_nothing_else_stay_scenes(tmp_path: Path) -> None:
    for name in ("north_red.tif", "south_red.tif"):
        write_raster(tmp_path / name, np.ones((1, 8, 8), "uint8"))
    assert len(open_scenes(tmp_path)) == 2


def _copy(product: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(product, tmp_path / product.name))


def test_a_product_cannot_lead_out_of_its_folder(products: dict[str, Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    write_raster(secret, np.ones((1, 8, 8), "uint16"))
    landsat = _copy(products["landsat"], tmp_path)
    (mtl,) = landsat.glob("*_MTL.txt")
    text = mtl.read_text()
    mtl.write_text(text.replace(f"{landsat.name}_SR_B4.TIF", "../secret.tif"))
    with pytest.raises(SceneError, match="leads out of the product"):
        open_scene(landsat)
    mtl.write_text(text)
    (landsat / f"{landsat.name}_SR_B4.TIF").unlink()
    (landsat / f"{landsat.name}_SR_B4.TIF").symlink_to(secret)
    with pytest.raises(SceneError, match="is a link to another place"):
        open_scene(landsat)


def test_hostile_metadata_is_one_line(products: dict[str, Path], tmp_path: Path) -> None:
    safe = _copy(products["l2a"], tmp_path)
    metadata = safe / "MTD_MSIL2A.xml"
    text = metadata.read_text()
    bomb = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    for changed, message in (
        (text.replace("?>", f"?>{bomb}", 1), "is not well-formed XML"),
        (text[:200], "is not well-formed XML"),
        (text.replace(">10000<", ">ten<"), "no number for QUANTIFICATION_VALUE"),
        (text.replace(">10000<", ">0<"), "quantification value 0"),
        (text.replace(">-1000<", ">nan<"), "no number for BOA_ADD_OFFSET"),
    ):
        metadata.write_text(changed)
        with pytest.raises(SceneError, match=message):
            open_scene(safe)


def test_incomplete_products_say_what_is_missing(products: dict[str, Path], tmp_path: Path) -> None:
    landsat = _copy(products["landsat"], tmp_path)
    (landsat / f"{landsat.name}_SR_B4.TIF").unlink()
    scene = open_scene(landsat)
    assert "red" not in scene.bands.names
    assert any("_SR_B4.TIF" in note for note in scene.notes)
    safe = _copy(products["l2a"], tmp_path)
    shutil.rmtree(safe / "GRANULE")
    with pytest.raises(SceneError, match="holds no image of a band"):
        open_scene(safe)


def test_products_of_two_tiles_and_damaged_archives_are_refused(
    products: dict[str, Path], tmp_path: Path
) -> None:
    safe = _copy(products["l2a"], tmp_path)
    (granule,) = (safe / "GRANULE").iterdir()
    shutil.copytree(granule, granule.with_name("L2A_T33UVP_A041483_20230601T100604"))
    with pytest.raises(SceneError, match="holds 2 tiles"):
        open_scene(safe)
    archive = tmp_path / "cut.zip"
    archive.write_bytes(products["zip"].read_bytes()[:-2000])
    with pytest.raises(SceneError, match="a zip archive"):
        open_scene(archive)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("../MTD_MSIL2A.xml", "<a/>")
    with pytest.raises(SceneError, match="a zip archive"):
        open_scene(tmp_path / "other.zip")


def test_a_product_beside_a_height_model_is_one_scene(products: dict[str, Path], tmp_path: Path) -> None:
    place = Affine(30, 0, 399_960, 0, -30, 5_400_000)
    write_raster(tmp_path / "dem.tif", np.full((1, 20, 20), 250.0, "float32"), transform=place)
    scene = open_scene(f"{products['l2a']}+{tmp_path / 'dem.tif'}", mask="clouds", bands="red,nir,dem")
    values, valid = _read(scene)
    assert (values[2, valid] == 250).all()
    assert scene.name == f"{products['l2a'].name}+dem.tif"
