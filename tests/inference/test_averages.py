"""Several views of each chip, several models as one, and blended seams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.arraytypes import AnyArray, Float32Array
from eo_dl.core.chipviews import VIEWS
from eo_dl.core.classes import ClassSet
from eo_dl.errors import Cancelled, ConfigError
from eo_dl.inference.backends.averages import (
    EnsembleBackend,
    Member,
    ViewsBackend,
    to_logits,
    to_probabilities,
)
from eo_dl.inference.backends.backend import Scaling, numpy_buffer
from eo_dl.inference.backends.choice import check_alike
from eo_dl.inference.batches import Buffer
from eo_dl.inference.chipoptions import ChipOptions
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import load_models, predict
from eo_dl.modelspec import AnyChip

PROBABILITIES = MapExtras(probabilities=True)

SCALING = Scaling(np.ones(1, np.float32), np.zeros(1, np.float32))


class Columns:
    """A network that is not symmetric: the logits are the first band, and that of the pixel to the left."""

    takes_stored = False
    shares_batches = False
    batch_px, chip_px = 2**12, 32
    identity: Mapping[str, str] = {"engine": "columns"}

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        return numpy_buffer(count, bands, size, dtype)

    def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
        first = np.asarray(pixels[:, 0], np.float32)
        return {"logits": np.stack([first, np.roll(first, 1, axis=-1)], axis=1)}


@pytest.mark.parametrize("views", [2, 4, 8])
def test_views_are_undone_and_averaged(views: int) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 1, 8, 8)).astype(np.float32)
    valid = np.ones((3, 8, 8), np.bool_)
    network = Columns()
    found = ViewsBackend(network, views, multi_label=False).run(pixels, valid, SCALING)["logits"]
    expected = np.zeros((3, 2, 8, 8))
    for view in VIEWS[:views]:
        turned = np.stack([view.apply(chip) for chip in pixels])
        logits = np.asarray(network.run(turned, valid, SCALING)["logits"], np.float64)
        powers = np.exp(logits)
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        expected += np.asarray(view.undo(probabilities), np.float64) / views
    np.testing.assert_allclose(to_probabilities(found, False), expected, atol=1e-5)
    assert len({view.apply(np.arange(4).reshape(2, 2)).tobytes() for view in VIEWS[:views]}) == views


@given(st.integers(0, 2**31), st.booleans())
def test_logits_give_back_their_probabilities(seed: int, multi_label: bool) -> None:
    logits = np.random.default_rng(seed).normal(0, 4, (2, 3, 4, 4)).astype(np.float32)
    probabilities = to_probabilities(logits, multi_label)
    again = to_probabilities(to_logits(probabilities, multi_label), multi_label)
    np.testing.assert_allclose(again, probabilities, atol=2e-6)


def test_models_of_an_ensemble_see_their_own_normalization() -> None:
    seen: list[Float32Array] = []

    class Seeing(Columns):
        def run(self, pixels: AnyArray, valid: np.ndarray, scaling: Scaling) -> Mapping[str, AnyArray]:
            seen.append(np.array(pixels, np.float32))
            return super().run(pixels, valid, scaling)

    physical = np.random.default_rng(0).uniform(0, 100, (2, 1, 4, 4)).astype(np.float32)
    valid = np.random.default_rng(1).random((2, 4, 4)) < 0.7
    first = np.where(valid[:, None], (physical - 40) / 10, 0)
    second = np.where(valid[:, None], (physical - 20) / 5, 0)
    members = [
        Member(Seeing(), mean=np.full(1, mean, np.float32), std=np.full(1, std, np.float32), name=name)
        for mean, std, name in ((40, 10, "a"), (20, 5, "b"))
    ]
    found = EnsembleBackend(members, multi_label=False).run(first, valid, SCALING)["logits"]
    np.testing.assert_allclose(seen[0], first, atol=1e-5)
    np.testing.assert_allclose(seen[1], second, atol=1e-4)
    network = Columns()
    expected = [to_probabilities(network.run(s, valid, SCALING)["logits"], False) for s in (first, second)]
    np.testing.assert_allclose(to_probabilities(found, False), np.mean(expected, axis=0), atol=1e-4)


@pytest.mark.parametrize(
    "options", [ChipOptions(blend="hann"), ChipOptions(views=8), ChipOptions(None, 0, "hann", 4)]
)
def test_a_network_that_knows_the_answer_still_gives_it(
    options: ChipOptions,
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
    write_scene: Callable[..., Path],
    use_engine: Callable[..., object],
    engines: Mapping[str, type],
) -> None:
    bundle = make_bundle()
    use_engine(engines["echo"], bundle)
    truth = np.random.default_rng(2).integers(0, 6, (1, 83, 71)).astype(np.uint8)
    truth[:, :20, 30:] = 255
    scene = write_scene(tmp_path / "scene.tif", truth, nodata=255)
    result = predict(bundle, scene, out=tmp_path / "map.tif", chip_options=options, extras=PROBABILITIES)
    with rasterio.open(result.path) as found:
        np.testing.assert_array_equal(found.read(1), truth[0])


def test_a_stopped_blended_run_continues_to_the_same_bytes(
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
    write_scene: Callable[..., Path],
    use_engine: Callable[..., object],
    engines: Mapping[str, type],
) -> None:
    certain = np.random.default_rng(4).random((1, 300, 60)).astype(np.float32)
    two = make_bundle(classes=ClassSet.of_names(["c1"], background=True))
    use_engine(engines["certainty"], two)
    scene = write_scene(tmp_path / "scene.tif", certain)
    options = ChipOptions(blend="hann")
    whole = predict(two, scene, out=tmp_path / "whole.tif", chip_options=options, extras=PROBABILITIES)

    def stop(done: int, total: int, what: str) -> None:
        if done > total // 2:
            raise Cancelled("enough")

    part = tmp_path / "part.tif"
    with pytest.raises(Cancelled):
        predict(two, scene, out=part, chip_options=options, extras=PROBABILITIES, on_progress=stop)
    result = predict(two, scene, out=part, chip_options=options, extras=PROBABILITIES)
    assert result.kept > 0
    for name in ("", "_prob"):
        with (
            rasterio.open(tmp_path / f"part{name}.tif") as found,
            rasterio.open(tmp_path / f"whole{name}.tif") as expected,
        ):
            np.testing.assert_array_equal(found.read(), expected.read())
    assert whole.chips > result.chips


def test_an_ensemble_takes_only_chips_that_all_models_take(make_bundle: Callable[..., Bundle]) -> None:
    free, fixed = make_bundle(), make_bundle()
    wide = replace(free, spec=free.spec.model_copy(update={"any_chip": AnyChip(field_px=50, step_px=32)}))
    wider = replace(free, spec=free.spec.model_copy(update={"any_chip": AnyChip(field_px=90, step_px=48)}))
    assert load_models([wide, fixed])[0].spec.any_chip is None
    assert load_models([wide, wider])[0].spec.any_chip == AnyChip(field_px=90, step_px=96)
    assert load_models(wide)[0].spec.any_chip == wide.spec.any_chip


def test_a_table_of_images_refuses_what_it_would_not_do(
    tmp_path: Path, make_bundle: Callable[..., Bundle], write_scene: Callable[..., Path]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((1, 40, 40), np.uint8))
    model = make_bundle("classification", classes=ClassSet.of_names(["a", "b"]), margin_px=0)
    for options, message in (
        (ChipOptions(blend="hann"), "not blended"),
        (ChipOptions(chip_px=64), "predicts with the chips that it was trained with"),
    ):
        with pytest.raises(ConfigError, match=message):
            predict(model, [scene], out=tmp_path / "images.csv", chip_options=options)


def test_what_cannot_be_averaged_is_refused(
    tmp_path: Path, make_bundle: Callable[..., Bundle], write_scene: Callable[..., Path]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.zeros((1, 40, 40), np.uint8))
    detector = make_bundle("detection", classes=ClassSet.of_names(["ship"]))
    with pytest.raises(ConfigError, match="cannot be averaged"):
        predict(detector, scene, out=tmp_path / "o.gpkg", chip_options=ChipOptions(views=2))
    with pytest.raises(ConfigError, match="not blended"):
        predict(detector, scene, out=tmp_path / "o.gpkg", chip_options=ChipOptions(blend="hann"))
    with pytest.raises(ConfigError, match=r"`views`: expected 1, 2, 4 or 8, found 3"):
        ChipOptions(views=3)
    with pytest.raises(ConfigError, match=r"GSD 2\.0, but stand_in\.eodl has 1\.0"):
        check_alike([make_bundle(gsd_m=1.0), make_bundle(gsd_m=2.0)])
    with pytest.raises(ConfigError, match="expected one model or several"):
        predict([], "no.tif", out=tmp_path / "o.tif")
