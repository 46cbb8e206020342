"""A temperature changes probabilities as it says, in every way to predict, and no label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray, Float32Array
from eo_dl.core.classes import ClassSet
from eo_dl.errors import BundleError
from eo_dl.inference.backends.averages import EnsembleBackend, Member, ViewsBackend
from eo_dl.inference.backends.backend import Scaling
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.io.outputtags import TEMPERATURE_TAG
from eo_dl.io.vectorlayers import read_layer
from eo_dl.modelspec import CalibrationSpec
from eo_dl.tasks import CHIPS, OBJECTS, RASTER

PROBABILITIES = MapExtras(probabilities=True)

Make = Callable[..., Bundle]
Write = Callable[..., Path]
TWO = ClassSet.of_names(["water"], background=True)
SCALING = Scaling(np.ones(1, np.float32), np.zeros(1, np.float32))


def calibration(*temperature: float) -> CalibrationSpec:
    return CalibrationSpec(temperature=temperature, samples=100, blocks=5)


def softened(p: Float32Array, temperature: float) -> np.ndarray:
    """The probability of the second of two classes at a temperature."""
    powers = np.stack([(1 - p) ** (1 / temperature), p ** (1 / temperature)])
    return np.asarray(powers[1] / powers.sum(axis=0))


@pytest.mark.parametrize("options", [ChipOptions(), ChipOptions(views=2), ChipOptions(blend="hann")])
def test_probabilities_are_softened_and_no_label_changes(
    options: ChipOptions,
    tmp_path: Path,
    make_bundle: Make,
    write_scene: Write,
    use_engine: Callable,
    engines: dict,
) -> None:
    certain = np.random.default_rng(5).uniform(0.01, 0.99, (61, 45)).astype(np.float32)
    scene = write_scene(tmp_path / "scene.tif", certain)
    found = {}
    for name, spec in (("plain", None), ("soft", calibration(3.0))):
        bundle = make_bundle(classes=TWO, calibration=spec)
        use_engine(engines["certainty"], bundle)
        predict(
            bundle,
            scene,
            out=tmp_path / f"{name}.tif",
            chip_options=options,
            extras=PROBABILITIES,
        )
        with (
            rasterio.open(tmp_path / f"{name}.tif") as labels,
            rasterio.open(tmp_path / f"{name}_prob.tif") as probabilities,
        ):
            found[name] = labels.read(1), probabilities.read(2) / 254
            assert (TEMPERATURE_TAG in probabilities.tags()) == (spec is not None)
    np.testing.assert_array_equal(found["soft"][0], found["plain"][0])
    np.testing.assert_allclose(found["soft"][1], softened(certain, 3.0), atol=0.01)


class Fixed:
    """An engine that gives the same logits for every chip."""

    takes_stored = False
    shares_batches = False
    batch_px = chip_px = 8
    identity: Mapping[str, str] = {}

    def __init__(self, *logits: float) -> None:
        self.logits = np.array(logits, np.float32)[None, :, None, None]

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        return {"logits": self.logits * np.ones((len(pixels), 1, 2, 2), np.float32)}


def test_each_model_of_an_ensemble_is_calibrated_before_the_mean(make_bundle: Make) -> None:
    one = np.ones(1, np.float32)
    members = [
        Member(ViewsBackend(Fixed(0.0, 4.0), 2, multi_label=False), one, one, "a", (2.0,)),  # type: ignore[arg-type]
        Member(Fixed(3.0, 0.0), one, one, "b", (1.0,)),  # type: ignore[arg-type]
    ]
    ensemble = EnsembleBackend(members, multi_label=False)
    raw = ensemble.run(np.zeros((1, 1, 2, 2), np.float32), np.ones((1, 2, 2), np.bool_), SCALING)
    # The codec of the first model divides by its temperature.
    codec = make_bundle(classes=TWO, calibration=calibration(2.0)).codec_for(RASTER)
    expected = (1 / (1 + np.exp(-2)) + 1 / (1 + np.exp(3))) / 2
    decoded = codec.decode({"logits": raw["logits"][0]})
    np.testing.assert_allclose(decoded[1], np.full((2, 2), expected), atol=1e-5)


def test_whole_chips_and_classes_of_their_own(make_bundle: Make) -> None:
    logits = {"logits": np.array([0.0, 2.0], np.float32)}
    classes = ClassSet.of_names(["wood", "water"])
    plain = make_bundle("classification", classes=classes)
    soft = make_bundle("classification", classes=classes, calibration=calibration(2.0))
    assert plain.codec_for(CHIPS).decode(logits)[1] == pytest.approx(1 / (1 + np.exp(-2)))
    assert soft.codec_for(CHIPS).decode(logits)[1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert soft.codec_for(CHIPS).answer(logits).argmax() == plain.codec_for(CHIPS).answer(logits).argmax()


def test_objects_have_the_precision_of_their_score(
    tmp_path: Path, make_bundle: Make, write_scene: Write, use_engine: Callable, engines: dict
) -> None:
    pixels = np.zeros((40, 40), np.float32)
    pixels[4:12, 6:14] = 1
    scene = write_scene(tmp_path / "scene.tif", pixels)
    spec = CalibrationSpec(scores=(0.8, 1.0), precisions=(0.5, 0.7), samples=50, blocks=4)
    for name, known in (("plain", None), ("calibrated", spec)):
        bundle = make_bundle("detection", classes=ClassSet.of_names(["roof"]), calibration=known)
        use_engine(engines["blobs"], bundle)
        predict(bundle, scene, out=tmp_path / f"{name}.gpkg")
    found = read_layer(tmp_path / "calibrated.gpkg")
    assert found["precision"].tolist() == [0.6] and found["score"].tolist() == [0.9]
    assert "precision" not in read_layer(tmp_path / "plain.gpkg").columns


def test_an_edited_model_is_refused(make_bundle: Make) -> None:
    edited = make_bundle("detection", classes=ClassSet.of_names(["roof"]), calibration=calibration(2.0))
    with pytest.raises(BundleError, match="has a temperature, but predicts objects"):
        edited.codec_for(OBJECTS)
    with pytest.raises(ValueError, match="either a temperature, or scores"):
        CalibrationSpec(samples=1, blocks=1)
