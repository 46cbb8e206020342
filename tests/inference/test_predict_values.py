"""Maps of values, with an engine that says the numbers it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.classes import ClassSet
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.errors import ConfigError
from eo_dl.inference.backends.backend import Scaling
from eo_dl.inference.backends.choice import make_engine
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.inference.shards import assemble_shards, predict_shard
from eo_dl.io.outputtags import VALUES_TAG, read_values_tag
from eo_dl.networks.compute import Compute
from eo_dl.postprocessing.cleanup import Cleanup
from tests.inference.conftest import Echo

HEIGHT = ClassSet.of_values({"height": ValueInfo("m", 0, 60)})
Make = Callable[..., Bundle]
Write = Callable[..., Path]


class Numbers(Echo):
    """Gives the first band as the value of each pixel."""

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        return {"values": np.array(pixels[:, :1], np.float32)}


class Intervals(Echo):
    """The first band, and intervals of 1 below and 2 above."""

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        value = np.array(pixels[:, :1], np.float32)
        return {"values": np.concatenate([value, value - 1, value + 2], axis=1)}


def _heights(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 50, (height, width)).astype(np.float32)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


@pytest.fixture
def model(make_bundle: Make, use_engine: Callable) -> Bundle:
    bundle = make_bundle("regression", classes=HEIGHT)
    use_engine(Numbers, bundle)
    return bundle


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 32), (101, 97)])
@pytest.mark.parametrize("blend", ["clip", "hann"])
def test_the_identity_gives_the_numbers_back(
    height: int, width: int, blend: str, tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    truth = _heights(height, width)
    scene = write_scene(tmp_path / "scene.tif", truth, block_px=16)
    options = ChipOptions(blend=blend)  # type: ignore[arg-type]  # one of the two
    result = predict(model, scene, out=tmp_path / "map.tif", chip_options=options)
    assert result.kind == "values"
    np.testing.assert_allclose(_read(result.path)[0], truth, rtol=1e-6)


def test_the_map_says_what_it_measures(tmp_path: Path, model: Bundle, write_scene: Write) -> None:
    truth = _heights(70, 60)
    truth[10:20, 10:20] = -1
    scene = write_scene(tmp_path / "scene.tif", truth, nodata=-1)
    result = predict(model, scene, out=tmp_path / "map.tif")
    measured = truth[truth > 0]
    with rasterio.open(result.path) as file:
        assert (file.dtypes, file.units, file.descriptions) == (("float32",), ("m",), ("height",))
        assert file.nodata is not None and math.isnan(file.nodata)
        assert np.array_equal(np.isnan(file.read(1)), truth < 0)
        statistics = {name: float(value) for name, value in file.tags(1).items()}
        assert read_values_tag(file.tags()[VALUES_TAG]) == HEIGHT
    assert statistics["STATISTICS_MEAN"] == pytest.approx(measured.mean(dtype=float))
    assert statistics["STATISTICS_MAXIMUM"] == pytest.approx(measured.max())
    assert statistics["STATISTICS_STDDEV"] == pytest.approx(measured.std(dtype=float), rel=1e-6)
    style = (tmp_path / "map.qml").read_text()
    assert "singlebandpseudocolor" in style and style.count("<item ") == 6


def test_intervals_are_further_bands(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable
) -> None:
    bundle = make_bundle("regression", classes=HEIGHT)
    config = {**bundle.spec.config, "loss": "quantiles"}
    bundle = type(bundle)(bundle.path, bundle.spec.model_copy(update={"config": config}))
    use_engine(Intervals, bundle)
    truth = _heights(40, 45)
    result = predict(bundle, write_scene(tmp_path / "s.tif", truth), out=tmp_path / "map.tif")
    with rasterio.open(result.path) as file:
        assert file.descriptions == ("height", "height low", "height high")
        np.testing.assert_allclose(file.read(), np.stack([truth, truth - 1, truth + 2]), rtol=1e-6)


def test_a_resampled_scene_gets_the_number_of_the_pixel_around(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable
) -> None:
    bundle = make_bundle("regression", classes=HEIGHT, gsd_m=2.0)
    use_engine(Numbers, bundle)
    coarse = _heights(30, 25)
    stored = np.kron(coarse, np.ones((2, 2), np.float32))
    stored[:4, :4] = -1
    scene = write_scene(tmp_path / "scene.tif", stored, gsd_m=1.0, nodata=-1)
    found = _read(predict(bundle, scene, out=tmp_path / "map.tif").path)[0]
    np.testing.assert_allclose(found[stored > 0], stored[stored > 0], rtol=1e-5)
    assert np.isnan(found[stored < 0]).all()


@pytest.mark.parametrize("blend", ["clip", "hann"])
def test_shards_give_the_bytes_of_one_run(
    blend: str, tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", _heights(150, 70))
    options = ChipOptions(blend=blend)  # type: ignore[arg-type]  # one of the two
    compute = Compute(batch_size=2)
    whole = predict(model, scene, out=tmp_path / "map.tif", chip_options=options, compute=compute)
    (tmp_path / "parts").mkdir()
    out = tmp_path / "parts" / "map.tif"
    for number in (2, 1, 3):
        predict_shard(model, scene, shard=f"{number}/3", out=out, chip_options=options, compute=compute)
    assemble_shards(model, scene, out=out, chip_options=options, compute=compute)
    assert out.read_bytes() == whole.path.read_bytes()


def test_views_and_models_are_averaged_as_they_are(make_bundle: Make, use_engine: Callable) -> None:
    bundle = make_bundle("regression", classes=HEIGHT)
    use_engine(Numbers, bundle)
    engine = make_engine("auto", [bundle, bundle], compute=Compute(), labels_only=False, views=4)
    pixels = _heights(32, 32)[None, None]
    valid = np.ones((1, 32, 32), np.bool_)
    scaling = Scaling(np.ones(1, np.float32), np.zeros(1, np.float32))
    found = np.asarray(engine.run(pixels, valid, scaling)["values"], np.float32)
    np.testing.assert_allclose(found, pixels, rtol=1e-6)


@pytest.mark.parametrize(
    ("out", "wanted", "words"),
    [
        ("map.gpkg", False, "maps of values, written as .tif"),
        ("map.tif", True, "not rasters of probabilities"),
    ],
)
def test_what_values_do_not_have_is_refused(
    out: str, wanted: bool, words: str, tmp_path: Path, model: Bundle, write_scene: Write
) -> None:
    scene = write_scene(tmp_path / "scene.tif", _heights(40, 40))
    with pytest.raises(ConfigError, match=words):
        predict(model, scene, out=tmp_path / out, extras=MapExtras(probabilities=wanted))


def test_there_is_nothing_to_clean_up_in_values(tmp_path: Path, model: Bundle, write_scene: Write) -> None:
    scene = write_scene(tmp_path / "scene.tif", _heights(40, 40))
    with pytest.raises(ConfigError, match="leave `min_area_m2` out"):
        predict(model, scene, out=tmp_path / "map.tif", cleanup=Cleanup(min_area_m2=4))
