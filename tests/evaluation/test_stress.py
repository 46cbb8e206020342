"""`stress`: a network that follows the ground scores 1.0 wherever the chip grid begins; another does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.bundle import Bundle
from eo_dl.core.arrays import Chip
from eo_dl.core.arraytypes import AnyArray
from eo_dl.core.bands import Band, BandSet
from eo_dl.core.classes import ClassSet
from eo_dl.core.normalization import Normalization
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import ConfigError
from eo_dl.evaluation.robustness.alterations import KINDS, lattice_of_patches, patched, pixel_alterations
from eo_dl.evaluation.robustness.stressing import plan_stress, stress
from eo_dl.inference.backends.backend import Scaling
from tests.inference.conftest import Echo, _make_bundle
from tests.making import NORTH_UP, rectangle, write_polygons, write_raster

SIDE = 120


class Bright(Echo):
    """Ground above half a standard deviation in the first band is class 1, whatever lies around it."""

    def run(self, pixels: AnyArray, valid: npt.NDArray[np.bool_], scaling: Scaling) -> Mapping[str, AnyArray]:
        logits = np.stack([np.zeros_like(pixels[:, 0]), np.subtract(pixels[:, 0], 0.5)], axis=1)
        return {"logits": logits.astype(np.float32)}


class Placed(Echo):
    """Says the class by the place in the chip."""

    def run(self, pixels: AnyArray, valid: npt.NDArray[np.bool_], scaling: Scaling) -> Mapping[str, AnyArray]:
        rows = np.arange(pixels.shape[2]) % 16 < 8
        wave = np.where(rows[:, None], 5.0, -5.0) * np.ones_like(pixels[:, 0])
        return {"logits": np.stack([np.zeros_like(wave), wave], axis=1).astype(np.float32)}


@pytest.fixture(name="place")
def scene_and_truth(tmp_path: Path) -> tuple[Path, Path]:
    """Two bright fields; the second band knows nothing."""
    pixels = np.zeros((2, SIDE, SIDE), np.float32)
    pixels[0, 20:60, 20:70] = pixels[0, 80:110, 50:110] = 6
    pixels[1] = np.random.default_rng(0).random((SIDE, SIDE))
    scene = write_raster(tmp_path / "scene.tif", pixels, names=("gray", "other"))
    fields = [rectangle(20, 20, 70, 60), rectangle(50, 80, 110, 110)]
    return scene, write_polygons(tmp_path / "truth.gpkg", fields, class_name=["field"] * 2)


def _bundle() -> Bundle:
    classes = ClassSet.of_names(["field"], background=True)
    return _make_bundle(bands=("gray", "other"), classes=classes, mean=2.0, std=2.0, margin_px=4)


def _use(monkeypatch: pytest.MonkeyPatch, kind: type[Echo], bundle: Bundle) -> None:
    engine = kind(bundle.classes)
    monkeypatch.setattr("eo_dl.inference.backends.choice.make_backend", lambda *_, **__: engine)
    monkeypatch.setattr("eo_dl.evaluation.robustness.stressing.load_model", lambda model: model)


def test_a_network_that_follows_the_ground_scores_one_under_shift(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle()
    _use(monkeypatch, Bright, bundle)
    report = stress(bundle, place[0], truth=place[1], kinds=["shift of the chip grid"])
    assert report.base.value == pytest.approx(1)
    assert len(report.rows) == 6
    for row in report.rows:
        assert row.agreement == 1
        assert row.score.value == pytest.approx(1)
        assert row.drop.value == pytest.approx(0)


def test_a_network_that_goes_by_the_place_does_not(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle()
    _use(monkeypatch, Placed, bundle)
    report = stress(bundle, place[0], truth=place[1], kinds=["shift of the chip grid"])
    assert min(row.agreement for row in report.rows) < 0.6


def test_only_the_band_that_the_network_looks_at_costs(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle()
    _use(monkeypatch, Bright, bundle)
    lost = {row.text: row for row in stress(bundle, place[0], truth=place[1], kinds=["band lost"]).rows}
    assert lost["without other"].agreement == 1 and lost["without other"].drop.value == 0
    assert lost["without gray"].score.value < 0.1


@pytest.mark.slow  # 50 predictions; the quick tests above have a kind each
def test_all_kinds_make_one_report(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = _bundle()
    _use(monkeypatch, Bright, bundle)
    report = stress(bundle, place[0], truth=place[1], out=tmp_path / "out")
    assert set(report.kinds) == set(KINDS)
    by_text = {(row.kind, row.text): row for row in report.rows}
    assert by_text["noise", "0.1 std"].score.value > by_text["noise", "1 std"].score.value
    assert by_text["GSD", "x 1.4"].score.value > 0.9
    for row in report.of_kind("occluding patch"):
        assert row.score.value == pytest.approx(1), "a pixel hides itself only"
    written = json.loads((tmp_path / "out/stress.json").read_text())
    assert len(written["rows"]) == len(report.rows)
    assert (tmp_path / "out/stress.png").stat().st_size > 10_000
    assert "haze" in (tmp_path / "out/stress.html").read_text()
    again = stress(bundle, place[0], truth=place[1], kinds=["noise"])
    assert [row.score.value for row in again.rows] == [row.score.value for row in report.of_kind("noise")]


def test_a_dry_run_counts_the_predictions(place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = _bundle()
    _use(monkeypatch, Bright, bundle)
    plan = plan_stress(bundle, place[0], truth=place[1], kinds=["haze", "shift of the chip grid"])
    assert plan.predictions == 1 + 3 + 6
    assert plan.piece == (0, 0, SIDE, SIDE)
    with pytest.raises(ConfigError, match="hail is none of shift of the chip grid"):
        plan_stress(bundle, place[0], truth=place[1], kinds=["hail"])
    with pytest.raises(ConfigError, match="must hold a chip of the model"):
        plan_stress(bundle, place[0], truth=place[1], most_px=8)


@settings(max_examples=15)
@given(st.data())
def test_alterations_stay_within_the_type_and_never_make_nodata(data: st.DataObject) -> None:
    bands = BandSet((Band("red", 1, dtype="uint8", nodata=0.0), Band("nir", 2, dtype="uint8", scale=0.1)))
    pixels = data.draw(st.integers(0, 2**32 - 1).map(lambda s: np.random.default_rng(s)))
    values = pixels.integers(1, 256, (2, 12, 10)).astype(np.uint8)
    valid = pixels.random((12, 10)) < 0.9
    values[0][~valid] = 0
    grid = PixelGrid(None, NORTH_UP, 12, 10)
    chip = Chip(values, valid, grid, bands, Window(0, 0, 10, 12))
    normalization = Normalization((90.0, 12.0), (60.0, 6.0))
    places = np.zeros((12, 10), np.bool_)
    places[2:6, 3:7] = True
    alterations = pixel_alterations(bands.names, normalization, 0)
    alterations += [patched(4, fill, places, normalization, 0) for fill in ("dark", "bright", "noise")]
    for alteration in alterations:
        altered = alteration.apply(chip)
        assert altered.pixels.dtype == np.uint8
        assert (altered.pixels[:, ~valid] == values[:, ~valid]).all()
        assert (altered.pixels[0][valid] != 0).all()
    patch = alterations[-1].apply(chip).pixels
    assert (patch[:, ~places] == values[:, ~places]).all()


def test_patches_do_not_touch() -> None:
    boxes = lattice_of_patches(100, 130, 8)
    assert len(boxes) == 3 * 4
    assert all(box[2] - box[0] == 8 and box[2] <= 130 and box[3] <= 100 for box in boxes)
    assert lattice_of_patches(20, 20, 64) == []
