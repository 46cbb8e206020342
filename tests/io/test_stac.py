"""STAC items are scenes: written by pystac, opened here."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from eo_dl.errors import SceneError
from eo_dl.io.scene import SceneReader, open_scene, open_scenes
from tests.making import NORTH_UP, write_raster

pystac = pytest.importorskip("pystac")  # comes with the development tools, not with the core install

DATE = datetime.datetime(2024, 5, 17, 10, 3, tzinfo=datetime.UTC)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"


def _rasters(folder: Path, seed: int = 0) -> None:
    """Red and infrared of 10 m, swir of 20 m, scene classes of 20 m."""
    noise = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    fine, coarse = NORTH_UP @ Affine.scale(10), NORTH_UP @ Affine.scale(20)
    for name in ("B04", "B08"):
        write_raster(
            folder / f"{name}.tif", noise.integers(1000, 5000, (1, 20, 20)).astype("uint16"), transform=fine
        )
    write_raster(
        folder / "B11.tif", noise.integers(1000, 5000, (1, 10, 10)).astype("uint16"), transform=coarse
    )
    classes = np.full((1, 10, 10), 4, "uint8")
    classes[0, 2, 3] = 9
    write_raster(folder / "SCL.tif", classes, transform=coarse)


def _item(name: str, href: str = "./", version: str = "eo:bands") -> Any:
    item = pystac.Item(name, None, None, DATE, {})
    common = {"B04": "red", "B08": "nir", "B11": "swir16"}
    for band, meaning in common.items():
        extra = {
            "eo:bands": [{"name": band, "common_name": meaning, "center_wavelength": 0.7}],
            "raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1}],
        }
        if version == "bands":
            extra = {
                "bands": [
                    {
                        "name": band,
                        "eo:common_name": meaning,
                        "raster:scale": 0.0001,
                        "raster:offset": -0.1,
                        "nodata": 0,
                    }
                ]
            }
        item.add_asset(
            band.lower(),
            pystac.Asset(f"{href}{band}.tif", media_type=COG, roles=["data"], extra_fields=extra),
        )
    item.add_asset("scl", pystac.Asset(f"{href}SCL.tif", media_type=COG, roles=["data"]))
    item.add_asset("thumbnail", pystac.Asset(f"{href}preview.jpg", roles=["thumbnail"]))
    item.add_asset("visual", pystac.Asset(f"{href}B04.tif", media_type=COG, roles=["visual"]))
    return item


def _write(item: Any, path: Path) -> Path:
    path.write_text(json.dumps(item.to_dict()))
    return path


@pytest.mark.parametrize("version", ["eo:bands", "bands"])
def test_an_item_is_a_scene_with_units_date_and_clouds(tmp_path: Path, version: str) -> None:
    _rasters(tmp_path)
    path = _write(_item("S2A_33", version=version), tmp_path / "item.json")
    scene = open_scene(path, mask="clouds")
    assert scene.bands.names == ("red", "nir", "swir16")
    assert {(band.scale, band.offset) for band in scene.bands} == {(0.0001, -0.1)}
    assert scene.file.acquired is not None and scene.file.acquired.startswith("2024-05-17T10:03")
    assert (scene.grid.width, scene.stem) == (20, "item")
    with SceneReader(scene) as reader:
        chip = reader.read(scene.grid.window)
    wanted = np.ones((20, 20), bool)
    wanted[4:6, 6:8] = False
    assert (chip.valid == wanted).all()
    with SceneReader(open_scene(tmp_path / "B08.tif")) as reader:
        own = reader.read(scene.grid.window).pixels[0]
    assert (chip.pixels[1][wanted] == own[wanted]).all()


def test_a_collection_of_items_is_as_many_scenes(tmp_path: Path) -> None:
    items = []
    for seed, name in enumerate(("S2A_33", "S2B_33")):
        _rasters(tmp_path / name, seed)
        items.append(_item(name, f"./{name}/"))
    path = _write(pystac.ItemCollection(items), tmp_path / "items.json")
    scenes = open_scenes(path)
    assert [scene.stem for scene in scenes] == ["S2A_33", "S2B_33"]
    assert [scene.path for scene in scenes] == [f"{path}#S2A_33", f"{path}#S2B_33"]
    one = open_scene(f"{path}#S2B_33", bands="nir")
    with SceneReader(one) as reader, SceneReader(open_scene(tmp_path / "S2B_33" / "B08.tif")) as other:
        assert (reader.read(one.grid.window).pixels == other.read(one.grid.window).pixels).all()
    with pytest.raises(SceneError, match="holds 2 items"):
        open_scene(path)
    with pytest.raises(SceneError, match="holds 2 items"):
        open_scene(f"{path}#S2C_33")


def test_an_asset_of_several_bands_has_their_names(tmp_path: Path) -> None:
    write_raster(tmp_path / "naip.tif", np.ones((4, 8, 8), "uint8"))
    item = pystac.Item("naip", None, None, DATE, {})
    bands = [{"name": name, "common_name": name} for name in ("red", "green", "blue", "nir")]
    item.add_asset(
        "image", pystac.Asset("naip.tif", media_type=COG, roles=["data"], extra_fields={"eo:bands": bands})
    )
    path = _write(item, tmp_path / "item.json")
    assert open_scene(path).bands.names == ("red", "green", "blue", "nir")
    write_raster(tmp_path / "naip.tif", np.ones((3, 8, 8), "uint8"))
    with pytest.raises(SceneError, match="but it has 3"):
        open_scene(path)


def test_an_item_opens_nothing_outside_its_folder_and_asks_no_host(tmp_path: Path) -> None:
    secret = write_raster(tmp_path / "secret.tif", np.ones((1, 8, 8), "uint8"))
    folder = tmp_path / "items"
    _rasters(folder)
    bands = [{"name": "red", "common_name": "red"}]
    for href, message in (
        ("../secret.tif", "outside its own folder"),
        (str(secret), "outside its own folder"),
        ("https://tiles.example.org/red.tif", "allow_remote=tiles.example.org"),
        ("s3://bucket/red.tif", r"allow_remote=/vsis3/bucket"),
        ("/vsicurl/https://tiles.example.org/red.tif", "outside|allow_remote"),
    ):
        item = pystac.Item("x", None, None, DATE, {})
        item.add_asset(
            "red", pystac.Asset(href, media_type=COG, roles=["data"], extra_fields={"eo:bands": bands})
        )
        path = _write(item, folder / "item.json")
        with pytest.raises(SceneError, match=message):
            open_scene(path)
    item.assets["red"].href = "../secret.tif"
    assert open_scene(_write(item, folder / "item.json"), trust_vrt=True).bands.names == ("red",)
    (folder / "link.tif").symlink_to(secret)
    item.assets["red"].href = "./link.tif"
    with pytest.raises(SceneError, match="outside its own folder"):
        open_scene(_write(item, folder / "item.json"))


def test_items_on_a_server_open_what_lies_there(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, host = served
    _rasters(folder)
    _write(_item("S2A_33"), folder / "item.json")
    scene = open_scene(f"http://{host}/item.json", bands="red")
    assert scene.remote
    with SceneReader(scene) as reader, SceneReader(open_scene(folder / "B04.tif")) as local:
        assert (reader.read(scene.grid.window).pixels == local.read(scene.grid.window).pixels).all()
    own = _write(_item("S2A_33", f"http://{host}/"), tmp_path / "own.json")
    with pytest.raises(SceneError, match="on another machine, which was not asked for"):
        open_scene(own)
    assert open_scene(own, allow_remote=[host]).bands.names == ("red", "nir", "swir16")
    with pytest.raises(SceneError, match="cannot be downloaded"):
        open_scene(f"http://{host}/none.json")


def test_what_is_no_item_is_one_line(tmp_path: Path) -> None:
    _rasters(tmp_path)
    item = _item("x").to_dict()
    for change, message in (
        ({"assets": {}}, "has no asset"),
        ({"assets": []}, "assets are not as STAC has them"),
        (
            {"assets": {"red": {**item["assets"]["b04"], "raster:bands": [{"scale": "x"}]}}},
            "expected a number",
        ),
        ({"properties": "2023"}, "properties are not as STAC has them"),
        (
            {"assets": {"red": {**item["assets"]["b04"], "raster:bands": 5, "bands": [{}, {}]}}},
            "has the bands red, red, but it has 1",
        ),
    ):
        path = tmp_path / "item.json"
        path.write_text(json.dumps({**item, **change}))
        with pytest.raises(SceneError, match=message):
            open_scene(path)
    (tmp_path / "labels.json").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(SceneError, match="is not a supported raster"):
        open_scene(tmp_path / "labels.json")
