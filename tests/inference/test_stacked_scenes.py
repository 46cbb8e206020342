"""Scenes of several rasters and scenes under a mask are predicted like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from eo_dl.bundle import Bundle
from eo_dl.errors import BandError
from eo_dl.evaluation.predictionfiles import measured_scene, parts_of
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.modelspec import MASK_KEY, Provenance, read_spec
from tests.making import NORTH_UP

Make = Callable[..., Bundle]
Write = Callable[..., Path]
HEIGHT, WIDTH = 90, 70


@pytest.fixture
def town(tmp_path: Path, write_scene: Write) -> str:
    """Classes in one raster, heights in another grid, and a coarse mask: 0 in one 8 m pixel."""
    noise = np.random.default_rng(3)
    classes = np.kron(noise.integers(0, 6, (30, 24)), np.ones((3, 3)))[:HEIGHT, :WIDTH].astype("uint8")
    write_scene(tmp_path / "scene.tif", classes, names=("gray",))
    heights = noise.normal(0, 1, (40, 40)).astype("float32")
    write_scene(tmp_path / "dsm.tif", heights, names=("height",), gsd_m=3.0)
    mask = np.ones((12, 10), "uint8")
    mask[3, 4] = 0
    write_scene(tmp_path / "mask.tif", mask, transform=NORTH_UP @ Affine.scale(8))
    return f"gray={tmp_path / 'scene.tif'}+{tmp_path / 'dsm.tif'}"


def _bundle(make_bundle: Make, **options: object) -> Bundle:
    return make_bundle(bands=("gray", "height"), trained_on=[(0, 3, 5), (-2, 0, 2)], **options)


def test_the_map_has_the_first_grid_and_holes_under_the_mask(
    town: str, tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    bundle = _bundle(make_bundle)
    use_engine(engines["echo"], bundle)
    scene = open_scene(town, mask=str(tmp_path / "mask.tif"))
    predict(bundle, scene, out=tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        found, tags = dataset.read(1), dataset.tags()
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        wanted = dataset.read(1)
    wanted[24:32, 32:40] = 255
    assert (found == wanted).all()
    assert tags["mask"] == "./mask.tif"
    assert tags["scene"] == "scene.tif+dsm.tif"


def test_shards_of_a_masked_stack_are_the_bytes_of_one_run(
    town: str, tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    bundle = _bundle(make_bundle)
    use_engine(engines["echo"], bundle)
    scene = open_scene(town, mask=str(tmp_path / "mask.tif"))
    predict(bundle, scene, out=tmp_path / "map.tif")
    for number in (2, 1):
        predict_shard(bundle, scene, shard=f"{number}/2", out=tmp_path / "shards.tif")
    assemble_shards(bundle, scene, out=tmp_path / "shards.tif")
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "shards.tif").read_bytes()


def test_another_mask_is_other_work(
    town: str, tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    """A folder of maps is finished only for the same mask."""
    bundle = _bundle(make_bundle)
    use_engine(engines["echo"], bundle)
    out = tmp_path / "maps"
    predict(bundle, [open_scene(town)], out=out)
    predict(bundle, [open_scene(town, mask=str(tmp_path / "mask.tif"))], out=out, overwrite=True)
    with rasterio.open(out / "scene.tif") as dataset:
        assert (dataset.read(1) == 255).sum() == 64


def test_evaluate_knows_the_ground_that_was_masked(
    town: str, tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    """Objects keep no pixels: what was not looked at comes from the scene, its mask and the map's folder."""
    bundle = _bundle(make_bundle, task="detection")
    use_engine(engines["blobs"], bundle)
    predict(bundle, open_scene(town, mask=str(tmp_path / "mask.tif")), out=tmp_path / "map.gpkg")
    (part,) = parts_of(tmp_path / "map.gpkg", scene=town)
    scene = measured_scene(part)
    with SceneReader(scene) as reader:
        valid = reader.read(scene.grid.window).valid
    assert (~valid).sum() == 64


def test_a_model_that_was_trained_under_a_mask_says_so(
    town: str, tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict
) -> None:
    bundle = _bundle(make_bundle, provenance=Provenance(training={MASK_KEY: ["SCL in 3,8"]}))
    use_engine(engines["echo"], bundle)
    prediction = predict(bundle, town, out=tmp_path / "map.tif")
    assert any("`mask='SCL in 3,8'`" in note for note in prediction.notes)


def test_bands_are_matched_by_sensor_and_wavelength_and_it_is_said(
    tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict, write_scene: Write
) -> None:
    bundle = make_bundle(bands=("red", "nir"), trained_on=[(0, 3, 5), (0, 3, 5)])
    use_engine(engines["echo"], bundle)
    pixels = np.stack([np.full((40, 40), value) for value in (5, 2, 3)]).astype("uint8")
    write_scene(tmp_path / "s2.tif", pixels, names=("B08", "B04", "B12"))
    by_sensor = predict(bundle, tmp_path / "s2.tif", out=tmp_path / "s2_map.tif")
    write_scene(tmp_path / "plain.tif", pixels, names=())
    with rasterio.open(tmp_path / "plain.tif", "r+") as dataset:
        for number, centre in enumerate(("0.83", "0.66", "2.2"), start=1):
            dataset.update_tags(number, wavelength_um=centre)
    by_wavelength = predict(bundle, tmp_path / "plain.tif", out=tmp_path / "plain_map.tif")
    for prediction, said in (
        (by_sensor, "red = b04 (of Sentinel-2)"),
        (by_wavelength, "nir = band_1 (0.83 um)"),
    ):
        with rasterio.open(prediction.path) as dataset:
            assert (dataset.read(1) == 2).all()
        assert any(said in note for note in prediction.notes)


def _deriving(make_bundle: Make) -> Bundle:
    """A model of one band that is made from others: the class is the near infrared, next to a slope."""
    bundle = make_bundle(bands=("rise", "slope"), trained_on=[(0, 3, 5), (0, 1, 90)])
    recipes = {"rise": "rise=nir - 0 * red", "slope": "slope=slope(elevation)"}
    bands = tuple(band.model_copy(update={"derived": recipes[band.name]}) for band in bundle.spec.bands)
    return replace(bundle, spec=bundle.spec.model_copy(update={"bands": bands}))


def test_predict_makes_the_bands_of_the_model(
    tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict, write_scene: Write
) -> None:
    """From names of a sensor and heights in another file, in one run and in shards."""
    bundle = _deriving(make_bundle)
    use_engine(engines["echo"], bundle)
    noise = np.random.default_rng(0)
    classes = np.kron(noise.integers(0, 6, (20, 20)), np.ones((4, 4))).astype("uint8")
    write_scene(tmp_path / "s2.tif", np.stack([classes, classes // 2, classes]), names=("B08", "B04", "B12"))
    heights = noise.normal(100, 1, (40, 40)).astype("float32")
    write_scene(tmp_path / "elevation.tif", heights, names=(), gsd_m=2.0)
    scene = f"{tmp_path / 's2.tif'}+{tmp_path / 'elevation.tif'}"
    prediction = predict(bundle, scene, out=tmp_path / "map.tif")
    with rasterio.open(prediction.path) as dataset:
        assert (dataset.read(1) == classes).all()
        assert dataset.tags()["derive"] == "rise=nir - 0 * red; slope=slope(elevation)"
    for number in (1, 2):
        predict_shard(bundle, scene, shard=f"{number}/2", out=tmp_path / "shards.tif")
    assemble_shards(bundle, scene, out=tmp_path / "shards.tif")
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "shards.tif").read_bytes()


def test_a_scene_without_the_inputs_is_refused_with_their_names(
    tmp_path: Path, make_bundle: Make, use_engine: Callable, engines: dict, write_scene: Write
) -> None:
    bundle = _deriving(make_bundle)
    use_engine(engines["echo"], bundle)
    write_scene(tmp_path / "s2.tif", np.ones((2, 40, 40), "uint8"), names=("B08", "B04"))
    with pytest.raises(BandError, match="the model needs band elevation"):
        predict(bundle, tmp_path / "s2.tif", out=tmp_path / "map.tif")


def test_recipes_are_kept_in_the_file_of_a_model(make_bundle: Make) -> None:
    spec = _deriving(make_bundle).spec
    again = read_spec(spec.to_json(), "model")
    assert [band.derived.text for band in again.band_set() if band.derived] == [
        "rise=nir - 0 * red",
        "slope=slope(elevation)",
    ]
    assert b"derived" not in make_bundle(bands=("red",)).spec.to_json()  # as models before it have it
