"""Corrected labels to a new model.

The same ground is held out, and the same code scores both models on it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.curation.retrain import retrain
from eo_dl.errors import BundleError, Cancelled, ChipSetError, ConfigError, LabelError, OutputExistsError
from eo_dl.io.vectorlayers import write_layer
from eo_dl.training.judging.compare import score_model
from eo_dl.training.record.results import TrainingResult
from eo_dl.training.train import train
from eo_dl.training.trainconfig import TrainConfig
from tests.making import write_geotiff, write_polygons

GRID = PixelGrid(CRS.from_epsg(32633), Affine.translation(500_000, 5_000_000) @ Affine.scale(2, -2), 256, 256)
QUICK = {
    "task": "segmentation",
    "epochs": 2,
    "min_steps": 4,
    "batch_size": 4,
    "baselines": False,
    "lr": 0.005,
    "task_options": {"backbone": "test_resnet", "decoder_channels": [16, 16, 16, 16, 16]},
}


def draw(path: Path, boxes: list[tuple[int, int, int, int]]) -> Path:
    outlines = GRID.geometries_to_map(np.array([shapely.box(*box) for box in boxes], dtype=object))
    return write_polygons(path, outlines.tolist(), layer="objects", class_name=["pond"] * len(boxes))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path, Path]:
    """A scene with dark ponds; the first labels miss every second one, the corrected ones have them all."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    pixels = rng.integers(120, 200, (2, 256, 256)).astype(np.uint8)
    boxes = [(c, r, c + 20, r + 20) for r in range(6, 240, 32) for c in range(6, 240, 32)]
    for col0, row0, col1, row1 in boxes:
        pixels[:, row0:row1, col0:col1] //= 4
    write_geotiff(folder / "scene.tif", pixels, GRID)
    chips = tile(
        [folder / "scene.tif"],
        draw(folder / "first.gpkg", boxes[::2]),
        out=folder / "chips",
        size_px=32,
        seed=1,
        split=Split((0.5, 0.2, 0.3), guard_px=0),
    )
    run = train(chips, config=TrainConfig.model_validate(QUICK), out=folder / "first.eodl")
    return run, folder / "chips", draw(folder / "corrected.gpkg", boxes)


def test_both_models_stand_beside_each_other_on_ground_that_neither_saw(
    world: tuple[TrainingResult, Path, Path], tmp_path: Path
) -> None:
    run, chips, corrected = world
    done = retrain(run.model, chips, labels=corrected, out=tmp_path / "second.eodl", epochs=3)
    ours, theirs = done.after.overall("mean_iou"), done.before.overall("mean_iou")
    assert done.lead.value == pytest.approx(ours.value - theirs.value)
    assert ours.value > theirs.value, "the first model was taught to miss every second pond"
    assert b"first.eodl" in done.run.model.read("config.yaml"), "it starts from the old model"
    assert "matched\thead.weight" in (done.run.folder / "weights.txt").read_text().splitlines(), (
        "from all of it: the classes are the same"
    )
    assert score_model(done.run.model, done.chips).overall("mean_iou").value == pytest.approx(
        ours.value, abs=1e-6
    ), "one scoring for both"
    assert done.values()["primary"] == "mean_iou"
    assert done.rows()[0][0] == "mean_iou"
    (tmp_path / "none.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(LabelError):
        retrain(
            run.model, chips, labels=tmp_path / "none.geojson", out=tmp_path / "second.eodl", overwrite=True
        )
    assert (tmp_path / "second.chips" / "chips.json").is_file() and (tmp_path / "second.run").is_dir(), (
        "bad labels cost nothing of what was there"
    )


def test_both_models_are_scored_in_the_precision_of_the_run(
    world: tuple[TrainingResult, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 against float32 would be a difference that no label made."""
    run, chips, _ = world
    used = []

    def noted(network: object, batches: object, codec: object, device: object, precision: str) -> list[Any]:
        used.append(precision)
        return []

    monkeypatch.setattr("eo_dl.training.judging.compare.predict_chips", noted)
    monkeypatch.setattr("eo_dl.networks.device.computes_bf16", lambda device: True)
    for precision in ("32", "bf16", "auto"):
        score_model(run.model, open_chip_set(chips), precision=precision)
    assert used == ["32", "bf16", "bf16"]


def test_corrections_are_merged_first_and_a_new_scene_is_learned_from(
    world: tuple[TrainingResult, Path, Path], tmp_path: Path
) -> None:
    """A reviewed prediction and a scene that the chip set has not: in the labels, and in the chips for
    training only.
    """
    run, chips, _ = world
    beside = replace(GRID, transform=GRID.transform @ Affine.translation(256, 0))
    pixels = np.random.default_rng(1).integers(120, 200, (2, 256, 256)).astype(np.uint8)
    write_geotiff(tmp_path / "next.tif", pixels, beside)
    found = beside.geometries_to_map(
        np.array(
            [shapely.box(*box) for box in ((10, 10, 30, 30), (100, 90, 120, 110), (60, 180, 80, 200))],
            dtype=object,
        )
    )
    write_polygons(
        tmp_path / "seen.gpkg",
        found.tolist(),
        layer="objects",
        class_name=["pond"] * 3,
        score=[0.9, 0.5, 0.4],
        status=["accepted", "rejected", None],
        reviewed=[True, True, False],
    )
    first = chips.parent / "first.gpkg"
    done = retrain(
        run.model,
        chips,
        labels=first,
        corrected=tmp_path / "seen.gpkg",
        scenes=[tmp_path / "next.tif"],
        out=tmp_path / "second.eodl",
        epochs=1,
    )
    assert done.labels == tmp_path / "second.labels.gpkg" and done.labels.exists()
    assert any("1 accepted" in note and "1 rejected" in note and "1 proposed" in note for note in done.notes)
    new = [
        record
        for record in done.chips.records
        if done.chips.scenes[record.scene_index].name == "next.tif" and record.split != "none"
    ]
    assert new and {record.split for record in new} == {"train"}
    assert {r.scene_index for r in done.chips.split("test")} == {0}, "the held-out ground is the old one"
    with pytest.raises(ConfigError, match="there are no labels"):
        retrain(run.model, chips, labels=None, out=tmp_path / "third.eodl")


def test_a_failed_run_leaves_no_merged_labels(
    world: tuple[TrainingResult, Path, Path], tmp_path: Path
) -> None:
    run, chips, corrected = world
    seen = geopandas.read_file(corrected, layer="objects").assign(
        class_name="lake", status="changed", reviewed=True
    )
    write_layer(tmp_path / "seen.gpkg", seen)
    with pytest.raises(ConfigError, match="classes differ"):
        retrain(run.model, chips, labels=None, corrected=tmp_path / "seen.gpkg", out=tmp_path / "second.eodl")
    assert not (tmp_path / "second.labels.gpkg").exists() and not (tmp_path / "second.eodl").exists()


class Stop(Exception):
    """Raised by `on_progress`, as a person's cancel is."""


@pytest.mark.slow
def test_a_stopped_retraining_goes_on_to_the_same_weights(
    world: tuple[TrainingResult, Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, chips, corrected = world
    whole = retrain(run.model, chips, labels=corrected, out=tmp_path / "whole.eodl", epochs=3)
    out, seen = tmp_path / "second.eodl", []

    def stop_in_the_second_round(done: int, total: int, what: str) -> None:
        seen.append(what)
        if what == "steps" and done > total // 2:
            raise Cancelled("enough")

    caplog.set_level("INFO", logger="eo_dl")
    with pytest.raises(Cancelled):
        retrain(run.model, chips, labels=corrected, out=out, epochs=3, on_progress=stop_in_the_second_round)
    assert (tmp_path / "second.chips").is_dir() and (tmp_path / "second.run").is_dir() and not out.exists()
    assert any(
        "second.run" in text and "second.chips are kept" in text and "`resume=True`" in text
        for text in caplog.messages
    )
    with pytest.raises(
        OutputExistsError,
        match=r"second\.chips and .*second\.run.*`resume=True` continues.*`overwrite=True` starts over",
    ):
        retrain(run.model, chips, labels=corrected, out=out, epochs=3)
    with pytest.raises(ConfigError, match="cannot be resumed"):
        retrain(run.model, chips, labels=chips.parent / "first.gpkg", out=out, epochs=3, resume=True)
    assert (tmp_path / "second.run").is_dir(), (
        "what could not be continued with other labels still can be with the same"
    )
    done = retrain(run.model, chips, labels=corrected, out=out, epochs=3, resume=True)
    for name, tensor in whole.run.model.state().items():
        assert np.array_equal(np.asarray(tensor), np.asarray(done.run.model.state()[name])), name
    assert done.rows() == whole.rows()


def test_what_was_stopped_before_a_checkpoint_leaves_nothing(
    world: tuple[TrainingResult, Path, Path], tmp_path: Path
) -> None:
    run, chips, corrected = world

    def stop(done: int, total: int, what: str) -> None:
        if what == at:
            raise Stop

    before = sorted(tmp_path.iterdir())
    for at in ("chips", "steps"):
        with pytest.raises(Stop):
            retrain(
                run.model, chips, labels=corrected, out=tmp_path / "second.eodl", epochs=3, on_progress=stop
            )
        assert sorted(tmp_path.iterdir()) == before, at


def test_what_cannot_be_compared_is_refused(world: tuple[TrainingResult, Path, Path], tmp_path: Path) -> None:
    run, chips, corrected = world
    bare = tile(
        [chips.parent / "scene.tif"],
        corrected,
        out=tmp_path / "bare",
        size_px=32,
        split=Split((1.0, 0.0, 0.0)),
    )
    with pytest.raises(ChipSetError, match="no test chips"):
        retrain(run.model, bare, labels=corrected, out=tmp_path / "a.eodl")
    other = draw(tmp_path / "other.gpkg", [(6, 6, 26, 26), (40, 40, 60, 60)])
    frame = geopandas.read_file(other, layer="objects").assign(class_name="lake")
    write_layer(tmp_path / "lakes.gpkg", frame)
    lakes = tile(
        [chips.parent / "scene.tif"],
        tmp_path / "lakes.gpkg",
        out=tmp_path / "lakes",
        size_px=32,
        split=Split((0.5, 0.2, 0.3), guard_px=0),
    )
    with pytest.raises(ConfigError, match=r"classes differ .*lake, pond"):
        score_model(run.model, lakes)
    coarse = tile(
        [chips.parent / "scene.tif"],
        corrected,
        out=tmp_path / "coarse",
        size_px=32,
        gsd_m=4.0,
        split=Split((0.5, 0.2, 0.3), guard_px=0),
    )
    with pytest.raises(ConfigError, match=r"its chips have a GSD of 4 m, .* was trained at 2\.001 m"):
        score_model(run.model, coarse)
    silent = replace(
        run.model,
        spec=run.model.spec.model_copy(
            update={"members": {k: v for k, v in run.model.spec.members.items() if k != "config.yaml"}}
        ),
    )
    with pytest.raises(BundleError, match="does not say how it was trained"):
        retrain(silent, chips, labels=corrected, out=tmp_path / "b.eodl")
