"""Whole chips: a cell a chip where it lies, a pixel a chip, a row an image; and what `evaluate` makes of
each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from eo_dl.bundle import Bundle
from eo_dl.core.classes import ClassSet
from eo_dl.core.progress import OnProgress
from eo_dl.errors import Cancelled, ConfigError, LabelError, WriteError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.inference.backends.backend import Scaling, numpy_buffer
from eo_dl.inference.batches import Buffer
from eo_dl.inference.mapextras import MapExtras
from eo_dl.inference.predict import predict
from eo_dl.io.classmap import open_class_map
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.vectorlayers import read_layer
from tests.making import write_polygons

PROBABILITIES = MapExtras(probabilities=True)

Make = Callable[..., Bundle]
Write = Callable[..., Path]
CLASSES = ClassSet.of_names(["dark", "Bright side", "white"])
CHIP = 16


class Mean:
    """Says of a chip which class id its mean comes next to; counts its chips."""

    takes_stored = False
    shares_batches = False
    batch_px = 5 * CHIP**2
    chip_px = 32

    def __init__(self) -> None:
        self.chips = 0

    @property
    def identity(self) -> Mapping[str, str]:
        return {"engine": "mean"}

    def buffer(self, count: int, bands: int, size: int, dtype: str) -> Buffer:
        return numpy_buffer(count, bands, size, dtype)

    def run(
        self, pixels: np.ndarray[Any, Any], valid: np.ndarray[Any, Any], scaling: Scaling
    ) -> Mapping[str, np.ndarray[Any, Any]]:
        self.chips += len(pixels)
        means = pixels[:, 0].sum((1, 2)) / np.maximum(valid.sum((1, 2)), 1)
        return {"logits": -np.abs(means[:, None] - np.array(CLASSES.ids)).astype(np.float32) * 4}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Mean:
    made = Mean()
    monkeypatch.setattr("eo_dl.inference.backends.choice.make_backend", lambda *args, **kwargs: made)
    return made


@pytest.fixture
def bundle(make_bundle: Make) -> Bundle:
    return make_bundle("classification", classes=CLASSES, chip_px=CHIP, margin_px=0)


def _several(bundle: Bundle) -> Bundle:
    return replace(
        bundle, spec=bundle.spec.model_copy(update={"config": {**bundle.spec.config, "multi_label": True}})
    )


def _blocks(rows: int, cols: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Class ids, one a chip."""
    return np.random.default_rng(seed).integers(1, 4, (rows, cols)).astype(np.uint8)


def _scene(ids: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    return np.kron(ids, np.ones((CHIP, CHIP), np.uint8))[:height, :width]


def test_every_chip_is_a_cell_at_its_place(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    ids = _blocks(3, 4)
    scene = write_scene(tmp_path / "scene.tif", _scene(ids, 48, 64), gsd_m=2.0)
    made = predict(bundle, scene, out=tmp_path / "cells.gpkg")
    assert (made.kind, made.count, engine.chips) == ("chips", 12, 12)
    frame = read_layer(tmp_path / "cells.gpkg")
    for number, row in enumerate(frame.itertuples()):
        assert row.class_id == ids.ravel()[number]
        assert row.class_name == CLASSES.by_id(row.class_id).name
        x, y = 500000 + number % 4 * 32, 5200000 - number // 4 * 32
        assert row.geometry.equals(shapely.box(x, y - 32, x + 32, y))
    columns = ["p_dark", "p_Bright side", "p_white"]
    np.testing.assert_allclose(frame[columns].sum(axis=1), 1, atol=2e-4)
    np.testing.assert_allclose(frame["score"], frame[columns].max(axis=1))
    assert frame["area_m2"].to_numpy() == pytest.approx(1024, rel=2e-3)


@pytest.mark.parametrize("suffix", [".geojson", ".fgb", ".parquet", ".tif"])
def test_every_format_says_the_same_and_is_evaluated_alike(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean, suffix: str
) -> None:
    ids = _blocks(3, 4)
    path = write_scene(tmp_path / "scene.tif", _scene(ids, 48, 64))
    made = predict(bundle, path, out=tmp_path / f"cells{suffix}")
    wrong = ids.copy()
    wrong[0, 0] = wrong[0, 0] % 3 + 1
    grid = open_scene(path).grid
    boxes = [
        shapely.box(c * CHIP, r * CHIP, (c + 1) * CHIP, (r + 1) * CHIP) for r in range(3) for c in range(4)
    ]
    names = [CLASSES.by_id(int(i)).name for i in wrong.ravel()]
    cells = grid.geometries_to_map(np.array(boxes, object))
    write_polygons(tmp_path / "truth.gpkg", cells.tolist(), class_name=names)
    report = evaluate(made, tmp_path / "truth.gpkg", out=tmp_path / "report")
    assert report.kind == "chips"
    assert report.score("overall_accuracy").value == pytest.approx(11 / 12)
    assert report.confusion is not None and report.confusion.sum() == 12
    assert (tmp_path / "report" / "errors.png").is_file()


def test_the_last_squares_are_cut_and_the_raster_keeps_its_place(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    ids = _blocks(3, 3)
    scene = write_scene(tmp_path / "scene.tif", _scene(ids, 40, 42), gsd_m=1.0)
    made = predict(bundle, scene, out=tmp_path / "cells.tif", extras=PROBABILITIES)
    assert any("6 x 8 px" in note for note in made.notes)
    found = open_class_map(tmp_path / "cells.tif")
    assert found.grid.transform == Affine(16, 0, 500000, 0, -16, 5200000)
    ((_, labels),) = found.row_strips()
    np.testing.assert_array_equal(labels[:2, :2], ids[:2, :2])
    assert labels.shape == (3, 3)
    assert len(open_scene(tmp_path / "cells_prob.tif").bands) == 3
    frame = read_layer(predict(bundle, scene, out=tmp_path / "cells.gpkg").path)
    outlines = frame.geometry.to_numpy()
    assert shapely.union_all(outlines).equals(open_scene(scene).grid.footprint())
    assert shapely.area(outlines).sum() == pytest.approx(40 * 42)


def test_ground_that_was_not_measured_has_no_cell(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    pixels = _scene(_blocks(2, 2), 32, 32)
    pixels[:16, :16], pixels[16:24, 16:] = 0, 0
    scene = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    frame = read_layer(predict(bundle, scene, out=tmp_path / "cells.gpkg").path)
    assert frame["valid_share"].tolist() == [1.0, 1.0, 0.5]
    ((_, labels),) = open_class_map(predict(bundle, scene, out=tmp_path / "cells.tif").path).row_strips()
    assert labels[0, 0] == 255
    assert (labels != 255).sum() == 3


def test_a_stopped_run_goes_on_with_the_same_bytes(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    scene = write_scene(tmp_path / "scene.tif", _scene(_blocks(6, 4), 96, 64))
    predict(bundle, scene, out=tmp_path / "whole.gpkg")

    def stop(done: int, total: int, what: str) -> None:
        if done >= 12:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        predict(bundle, scene, out=tmp_path / "cells.gpkg", on_progress=stop)
    made = predict(bundle, scene, out=tmp_path / "cells.gpkg")
    assert made.kept >= 8
    assert read_layer(made.path).equals(read_layer(tmp_path / "whole.gpkg"))


def test_several_classes_are_all_named(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    scene = write_scene(tmp_path / "scene.tif", _scene(_blocks(2, 2), 32, 32))
    frame = read_layer(predict(_several(bundle), scene, out=tmp_path / "cells.gpkg").path)
    yes = frame[["p_dark", "p_Bright side", "p_white"]].to_numpy() >= 0.5
    assert [set(filter(None, text.split("; "))) for text in frame["class_names"]] == [
        {n for n, y in zip(CLASSES.names, row, strict=True) if y} for row in yes
    ]
    predict(_several(bundle), scene, out=tmp_path / "cells.tif")
    footprint = open_scene(scene).grid.footprint()
    write_polygons(tmp_path / "truth.gpkg", [footprint] * 3, class_name=list(CLASSES.names))
    report = evaluate(tmp_path / "cells.gpkg", tmp_path / "truth.gpkg")
    assert report.score("recall", "white").value == pytest.approx(yes[:, 2].mean())
    with pytest.raises(LabelError, match="most likely of several"):
        evaluate(tmp_path / "cells.tif", tmp_path / "truth.gpkg")


def _images(folder: Path, write_scene: Write, crs: str | None = None) -> dict[str, int]:
    """Seventy images, most as large as a chip, in a folder for each class."""
    truth = {}
    for number, class_id in enumerate(_blocks(1, 70, seed=3).ravel().tolist()):
        path = folder / CLASSES.by_id(class_id).name / f"image_{number:02d}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = (CHIP, CHIP - 4, 2 * CHIP + 3)[number % 3]
        write_scene(path, np.full((side, side), class_id, np.uint8), crs=crs)
        truth[path.name] = class_id
    return truth


def test_a_table_has_a_row_an_image(tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean) -> None:
    truth = _images(tmp_path / "root", write_scene)
    paths = sorted(map(str, (tmp_path / "root").rglob("*.tif")))
    made = predict(bundle, paths, out=tmp_path / "table.csv")
    table = pd.read_csv(made.path)
    assert (made.kind, made.count, len(table)) == ("images", 70, 70)
    assert dict(zip(table["image"], table["class_id"], strict=True)) == truth
    assert set(table["chips"]) == {1, 9}
    assert table["valid_share"].to_list() == [1.0] * 70
    report = evaluate(made.path, tmp_path / "root")
    assert (report.score("overall_accuracy").value, report.score("overall_accuracy").count) == (1, 70)
    first = paths[0]
    with SceneReader(open_scene(first)) as reader:
        assert int(reader.read(open_scene(first).grid.window).pixels.max()) == table["class_id"][0]


def test_a_stopped_table_goes_on_and_options_of_maps_are_refused(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean
) -> None:
    _images(tmp_path / "root", write_scene)
    paths = sorted(map(str, (tmp_path / "root").rglob("*.tif")))

    def stop(done: int, total: int, what: str) -> None:
        raise Cancelled("stopped")

    stopping: OnProgress = stop
    with pytest.raises(Cancelled):
        predict(bundle, paths, out=tmp_path / "table.csv", on_progress=stopping)
    before = engine.chips
    made = predict(bundle, paths, out=tmp_path / "table.csv")
    assert made.kept == 64
    assert engine.chips - before < before
    with pytest.raises(ConfigError, match="are not georeferenced"):
        predict(bundle, paths, out=tmp_path / "table.gpkg")
    with pytest.raises(ConfigError, match="`probabilities`"):
        predict(bundle, paths, out=tmp_path / "other.csv", extras=PROBABILITIES)
    with pytest.raises(ConfigError, match="`aoi`"):
        predict(bundle, paths, out=tmp_path / "other.csv", aoi=tmp_path / "aoi.gpkg")


def test_chips_are_kept_when_their_raster_cannot_be_written(
    tmp_path: Path, write_scene: Write, bundle: Bundle, engine: Mean, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces of the run and the rows of the raster lie in folders of different names."""
    scene = write_scene(tmp_path / "scene.tif", _scene(_blocks(3, 4), 48, 64), gsd_m=2.0)

    def disk_is_full(writer: RasterWriter) -> None:
        raise WriteError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(RasterWriter, "_finish", disk_is_full)
        with pytest.raises(WriteError, match="disk full"):
            predict(bundle, scene, out=tmp_path / "cells.tif")
    made = predict(bundle, scene, out=tmp_path / "cells.tif")
    assert (made.kept, engine.chips) == (12, 12)
    assert sorted(path.name for path in tmp_path.glob("cells*")) == [
        "cells.qml",
        "cells.tif",
        "cells.tif.aux.xml",
    ]


def test_a_csv_is_for_whole_images_only(tmp_path: Path, write_scene: Write, make_bundle: Make) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.ones((32, 32), np.uint8))
    with pytest.raises(ConfigError, match="one row per image"):
        predict(make_bundle("segmentation"), scene, out=tmp_path / "table.csv")
