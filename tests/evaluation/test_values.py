from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eo_dl.core.classes import ClassSet
from eo_dl.core.valueinfo import ValueInfo
from eo_dl.errors import InputError, LabelError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.io.outputtags import KIND_TAG, VALUES_TAG, values_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.scene import open_scene
from eo_dl.labels.reading import read_labels, read_values
from tests.making import noise, square, write_polygons, write_raster

HEIGHT = ClassSet.of_values({"height": ValueInfo("m", 0, 60)})
TRUTH = np.random.default_rng(0).uniform(0, 40, (96, 80)).astype(np.float32)


def _map(folder: Path, planes: np.ndarray, classes: ClassSet = HEIGHT) -> Path:
    """A map as `predict` writes it."""
    scene = open_scene(write_raster(folder / "scene.tif", noise(1, *planes.shape[1:])))
    tags = {KIND_TAG: "values", VALUES_TAG: values_tag(classes), "model": "m.eodl"}
    out = folder / "map.tif"
    with RasterWriter(
        out,
        scene.grid,
        dtype="float32",
        count=len(planes),
        nodata=float("nan"),
        tags=tags,
        units=[""] * len(planes),
    ) as writer:
        writer.write(0, planes)
    return out


def test_errors_are_those_of_the_pixels_that_both_know(tmp_path: Path) -> None:
    predicted = TRUTH + np.float32(2)
    predicted[:10] = np.nan
    truth = TRUTH.copy()
    truth[:, :5] = -9999
    reference = write_raster(tmp_path / "truth.tif", truth)
    report = evaluate(_map(tmp_path, predicted[None]), reference)
    assert report.score("bias").value == pytest.approx(2, abs=1e-5)
    assert report.score("rmse").value == pytest.approx(2, abs=1e-5)
    assert report.score("r2").value == pytest.approx(1 - 4 / TRUTH[10:, 5:].var(dtype=float), rel=1e-3)
    assert report.counts == {"height": {"pixels": 86 * 75}}
    notes = " ".join(report.notes)
    assert f"{86 * 5} pixels without a number in the truth are left out" in notes
    assert f"{10 * 75} numbers of the truth without a prediction are left out" in notes


def test_the_truth_is_read_as_what_the_map_holds(tmp_path: Path) -> None:
    """Whole numbers in a raster, and a field of a layer, would be classes otherwise."""
    whole = np.rint(TRUTH)
    report = evaluate(
        _map(tmp_path, whole[None]), write_raster(tmp_path / "whole.tif", whole.astype(np.int16))
    )
    assert report.score("r2").value == 1
    fields = write_polygons(tmp_path / "plots.gpkg", [square(0, 0, 8), square(20, 20, 10)], height=[5.0, 9.0])
    report = evaluate(tmp_path / "map.tif", fields)
    assert report.counts == {"height": {"pixels": 64 + 100}}


def test_the_report_shows_ranges_pictures_and_intervals(tmp_path: Path) -> None:
    planes = np.stack([TRUTH, TRUTH - 1, TRUTH + 1])
    report = evaluate(
        _map(tmp_path, planes), write_raster(tmp_path / "t.tif", TRUTH), out=tmp_path / "report"
    )
    assert report.score("coverage").value == 1
    assert report.score("interval_width", "height").value == pytest.approx(2, abs=1e-5)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "By range" in page and "height from" in page and "<h2>Values</h2>" in page
    assert {"scatter.png", "residuals.png"} <= {path.name for path in (tmp_path / "report").iterdir()}
    values = json.loads((tmp_path / "report" / "report.json").read_text())
    assert values["classes"][0] == {
        "id": 1,
        "name": "height",
        "color": HEIGHT.classes[0].color,
        "unit": "m",
        "low": 0,
        "high": 60,
    }
    ranges = [score["class"] for score in values["scores"] if score["name"] == "mae"][2:]
    assert len(ranges) == 4 and ranges[0].startswith("height below")


def test_a_raster_of_another_program_is_compared_band_by_band(tmp_path: Path) -> None:
    truth = read_values(write_raster(tmp_path / "truth.tif", TRUTH), "height:m")
    report = evaluate(write_raster(tmp_path / "other.tif", TRUTH + 1), truth)
    assert report.score("bias").value == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="has 2 bands, and the truth has 1 values"):
        evaluate(write_raster(tmp_path / "two.tif", np.stack([TRUTH, TRUTH])), truth)


def test_units_and_kinds_that_differ_are_refused(tmp_path: Path) -> None:
    path = _map(tmp_path, TRUTH[None])
    reference = write_raster(tmp_path / "truth.tif", TRUTH)
    with pytest.raises(LabelError, match="height is in 'ft', and height of the prediction in 'm'"):
        evaluate(path, read_values(reference, "height:ft"))
    classes = read_labels(write_raster(tmp_path / "ids.tif", noise(1, 96, 80, high=4)))
    with pytest.raises(LabelError, match="name the numbers of the truth with `values`"):
        evaluate(path, classes)


def test_values_are_matched_by_name(tmp_path: Path) -> None:
    two = ClassSet.of_values({"height": ValueInfo("m"), "cover": ValueInfo("%")})
    path = _map(tmp_path, np.stack([TRUTH, TRUTH * 2]), two)
    reference = write_raster(tmp_path / "truth.tif", np.stack([TRUTH * 2, TRUTH * 7]))
    report = evaluate(path, read_values(reference, ["cover", "biomass"]))
    assert report.classes.names == ("cover",)
    assert report.score("r2").value == 1
    assert "values of the truth that the prediction does not have: biomass" in report.notes
