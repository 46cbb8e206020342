"""`evaluate` on class maps: the numbers are those of the arrays, wherever truth and map come from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import ChipSetError, InputError, LabelError, OutputExistsError, SceneError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.io import classmap
from eo_dl.io.outputtags import EXTRA_TAG, SET_COVERAGE_TAG
from eo_dl.io.qgisstyles import PROBABILITIES_TAG, classes_tag
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import write_layer
from eo_dl.labels.reading import read_labels
from eo_dl.postprocessing.vectorize import vectorize
from eo_dl.scores.reliability import ERROR
from eo_dl.scores.riskcoverage import RiskCoverage, certainty_counts, kept_at
from tests.making import write_geotiff

UTM = CRS.from_epsg(32633)
GRID = PixelGrid(
    UTM, Affine.translation(500_000, 5_000_000) @ Affine.rotation(12) @ Affine.scale(2, -2), 80, 120
)
CLASSES = ClassSet.of_names(["wood", "water"], background=True)

Ids = npt.NDArray[np.uint8]


def _map(
    path: Path, ids: Ids, grid: PixelGrid = GRID, classes: ClassSet | None = CLASSES, scene: str = ""
) -> Path:
    with RasterWriter(
        path, grid, nodata=255, classes=classes, tags={"scene": scene} if scene else {}
    ) as writer:
        writer.write(0, ids)
    return path


def _truth(
    path: Path,
    boxes: list[tuple[str, tuple[float, float, float, float]]],
    grid: PixelGrid = GRID,
    crs: CRS | None = None,
) -> Path:
    """A vector layer of boxes given in pixels of `grid`, written in `crs`."""
    shapes = grid.geometries_to_map(np.array([shapely.box(*box) for _, box in boxes], dtype=object))
    frame = geopandas.GeoDataFrame(
        {"kind": [name for name, _ in boxes]},
        geometry=shapes,
        crs=None if grid.crs is None else grid.crs.to_wkt(),
    )
    write_layer(path, frame if crs is None else frame.to_crs(crs.to_wkt()))
    return path


def _ids(*boxes: tuple[int, tuple[int, int, int, int]]) -> Ids:
    ids = np.zeros((80, 120), np.uint8)
    for value, (col0, row0, col1, row1) in boxes:
        ids[row0:row1, col0:col1] = value
    return ids


WOOD, WATER = (10, 10, 40, 30), (60, 20, 100, 60)


@pytest.mark.parametrize("epsg", [None, 4326, 3857])
def test_scores_are_those_of_the_arrays(tmp_path: Path, epsg: int | None) -> None:
    predicted = _ids((1, (15, 10, 45, 30)), (2, WATER))
    prediction = _map(tmp_path / "map.tif", predicted)
    truth = _truth(
        tmp_path / "truth.gpkg",
        [("wood", WOOD), ("water", WATER)],
        crs=None if epsg is None else CRS.from_epsg(epsg),
    )
    report = evaluate(prediction, read_labels(truth, class_field="kind"))
    assert report.kind == "pixels" and report.confusion is not None and report.confusion.sum() == 80 * 120
    assert report.score("iou", "wood").value == pytest.approx(25 / 35, abs=1e-12)
    assert report.score("iou", "water").value == 1.0
    assert report.score("mean_iou").value == pytest.approx((25 / 35 + 1) / 2, abs=1e-12)
    assert report.counts["wood"] == {"truth": 600, "predicted": 600}


def test_only_annotated_measured_ground_inside_the_aoi_counts(tmp_path: Path) -> None:
    predicted = _ids((1, WOOD))
    predicted[:, 30:34] = 255  # not measured
    prediction = _map(tmp_path / "map.tif", predicted)
    truth = _truth(tmp_path / "truth.gpkg", [("wood", WOOD)])
    annotated = _truth(tmp_path / "annotated.gpkg", [("x", (0, 0, 60, 80))])
    aoi = _truth(tmp_path / "aoi.gpkg", [("x", (20, 0, 120, 80))])
    labels = read_labels(truth, class_field="kind", annotated=annotated)
    report = evaluate(prediction, labels, aoi=aoi)
    assert report.confusion is not None and report.confusion.sum() == (60 - 20 - 4) * 80
    assert report.counts["wood"]["truth"] == (40 - 20 - 4) * 20
    text = " ".join(report.notes)
    assert f"{20 * 80} pixels outside the AOI" in text and f"{60 * 80} pixels without a known class" in text


def test_a_truth_raster_counts_as_its_polygons_do(tmp_path: Path) -> None:
    prediction = _map(tmp_path / "map.tif", _ids((1, (15, 10, 45, 30)), (2, WATER)))
    vector = evaluate(
        prediction,
        read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD), ("water", WATER)]), class_field="kind"),
    )
    raster = evaluate(prediction, read_labels(_map(tmp_path / "truth.tif", _ids((1, WOOD), (2, WATER)))))
    assert raster.score("mean_iou").value == pytest.approx(vector.score("mean_iou").value)


def test_intervals_come_from_blocks_and_do_not_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((80, 120)) < 0.5).astype(np.uint8)
    predicted = np.where(rng.random((80, 120)) < 0.1, 1 - truth, truth).astype(np.uint8)
    one = ClassSet.of_names(["wood"], background=True)
    prediction = _map(tmp_path / "map.tif", predicted, classes=one)
    labels = read_labels(_map(tmp_path / "truth.tif", truth, classes=one))
    score, again = (evaluate(prediction, labels).score("mean_iou") for _ in range(2))
    assert score == again
    assert (
        score.low is not None
        and score.high is not None
        and score.low < score.value < score.high < score.low + 0.1
    )


def test_a_raster_of_another_tool_without_names(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "other.tif", _ids((1, WOOD))[None].astype(np.int16), GRID)
    report = evaluate(
        tmp_path / "other.tif",
        read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD)]), class_field="kind"),
    )
    assert report.score("mean_iou").value == 1.0
    assert any("id 1 is taken as 'wood'" in note for note in report.notes)
    several = read_labels(
        _truth(tmp_path / "two.gpkg", [("wood", WOOD), ("water", WATER)]), class_field="kind"
    )
    with pytest.raises(LabelError, match="names no classes"):
        evaluate(tmp_path / "other.tif", several)


def test_classes_are_matched_by_name_not_by_number(tmp_path: Path) -> None:
    swapped = ClassSet.of_names(["water", "wood"], background=True)
    prediction = _map(tmp_path / "map.tif", _ids((2, WOOD), (1, WATER)), classes=swapped)
    labels = read_labels(
        _truth(tmp_path / "truth.gpkg", [("Wood", WOOD), ("water", WATER)]), class_field="kind"
    )
    assert evaluate(prediction, labels).score("mean_iou").value == 1.0
    other = read_labels(
        _truth(tmp_path / "other.gpkg", [("forest", WOOD), ("lake", WATER)]), class_field="kind"
    )
    with pytest.raises(LabelError, match=r"'forest', 'lake'.*'water', 'wood'.*`class_map`"):
        evaluate(prediction, other)
    mapped = evaluate(prediction, other, class_map={"forest": "wood", "lake": "ignore"})
    assert mapped.score("iou", "wood").value == 1.0 and math.isnan(mapped.score("iou", "water").value)
    with pytest.raises(LabelError, match=r"'pond'.*no class of the prediction"):
        evaluate(prediction, other, class_map={"forest": "pond"})


def test_probabilities_beside_the_maps_of_a_folder_are_no_maps(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    ids = _ids((1, WOOD))
    tags = {PROBABILITIES_TAG: classes_tag(CLASSES)}
    with RasterWriter(maps / "a_prob.tif", GRID, count=3, nodata=255, tags=tags) as writer:
        writer.write(0, np.stack([ids] * 3))
    truth = read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD)]), class_field="kind")
    alone = evaluate(_map(tmp_path / "a.tif", ids), truth)
    found = evaluate(_map(maps / "a.tif", ids).parent, truth).scores
    assert repr(tuple(score for score in found if score.name != ERROR)) == repr(alone.scores)


def test_probabilities_beside_a_map_are_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth_ids = rng.integers(0, 2, (80, 120)).astype(np.uint8)
    claimed = rng.integers(128, 255, truth_ids.shape)
    # Right as often as claimed in the left half, never wrong in the right half.
    right = rng.random(truth_ids.shape) < claimed / 254
    right[:, 60:] = True
    two = ClassSet.of_names(["wood"], background=True)
    ids = np.where(right, truth_ids, 1 - truth_ids).astype(np.uint8)
    path = _map(tmp_path / "map.tif", ids, classes=two)
    planes = np.where(ids == np.arange(2)[:, None, None], claimed, 254 - claimed).astype(np.uint8)
    tags = {PROBABILITIES_TAG: classes_tag(two)}
    with RasterWriter(tmp_path / "map_prob.tif", GRID, count=2, nodata=255, tags=tags) as writer:
        writer.write(0, planes)
    truth = read_labels(_map(tmp_path / "truth.tif", truth_ids, classes=two))
    report = evaluate(path, truth, out=tmp_path / "report")
    error = report.score(ERROR)
    assert error.value == pytest.approx(0.125, abs=0.02)  # 0, and a quarter where all is right
    assert error.low is not None and error.low < error.value
    assert {"reliability", "coverage"} <= set(report.pictures)
    assert any("least certain ground is left to a person" in note for note in report.notes)
    # Without the least certain half of the ground the rest is better.
    curve = RiskCoverage(two)
    curve.add(certainty_counts(claimed.ravel().astype(np.uint8), truth_ids.ravel(), ids.ravel(), 2))
    half = kept_at(curve.curve(), 0.5)
    certain = claimed >= np.sort(claimed.ravel())[-int(half.kept * claimed.size)]
    assert half.overall_accuracy == pytest.approx(right[certain].mean(), abs=1e-9)
    assert half.overall_accuracy > curve.curve()[0].overall_accuracy == pytest.approx(right.mean())


def test_sets_beside_a_map_are_compared_with_the_truth(tmp_path: Path) -> None:
    truth_ids = np.random.default_rng(1).integers(0, 2, (80, 120)).astype(np.uint8)
    two = ClassSet.of_names(["wood"], background=True)
    path = _map(tmp_path / "map.tif", truth_ids, classes=two)
    sets = np.stack([np.full_like(truth_ids, 2), *np.ones((2, 80, 120), np.uint8)])
    sets[:, :, :30] = np.array([1, 1, 0])[:, None, None]  # wood is left out in a quarter
    tags = {EXTRA_TAG: "sets", SET_COVERAGE_TAG: "0.9"}
    with RasterWriter(tmp_path / "map_sets.tif", GRID, count=3, nodata=255, tags=tags) as writer:
        writer.write(0, sets)
    report = evaluate(path, read_labels(_map(tmp_path / "truth.tif", truth_ids, classes=two)))
    left_out = (truth_ids[:, :30] == 1).sum() / (truth_ids == 1).sum()
    assert report.score("set_coverage", "background").value == 1
    assert report.score("set_coverage", "wood").value == pytest.approx(1 - left_out)
    assert report.score("set_size").value == pytest.approx(1.75)
    assert any("90% of the ground of each class" in note for note in report.notes)


def test_probabilities_of_another_map_are_left_out_and_named(tmp_path: Path) -> None:
    ids = _ids((1, WOOD))
    path = _map(tmp_path / "map.tif", ids)
    tags = {PROBABILITIES_TAG: classes_tag(CLASSES), "model_sha256": "other"}
    with RasterWriter(tmp_path / "map_prob.tif", GRID, count=3, nodata=255, tags=tags) as writer:
        writer.write(0, np.stack([ids] * 3))
    truth = read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD)]), class_field="kind")
    report = evaluate(path, truth)
    assert any("map_prob.tif: left out, it was made by another model" in note for note in report.notes)
    assert not any(score.name == ERROR for score in report.scores)


def test_images_without_crs_are_compared_in_pixels(tmp_path: Path) -> None:
    plain = PixelGrid(None, Affine.identity(), 80, 120)
    folder = tmp_path / "maps"
    folder.mkdir()
    for name, shift in (("a", 0), ("b", 5)):
        _map(
            folder / f"map_of_{name}.tif",
            _ids((1, (10 + shift, 10, 40 + shift, 30))),
            plain,
            scene=f"{name}.png",
        )
        _map(tmp_path / f"{name}.tif", _ids((1, WOOD)), plain)
    labels = read_labels([tmp_path / "a.tif", tmp_path / "b.tif"])
    report = evaluate(folder, labels)
    assert report.confusion is not None and report.confusion.sum() == 2 * 80 * 120
    assert report.score("iou", "wood").value == pytest.approx((600 + 500) / (600 + 700))


def test_the_report_is_written_whole_and_read_back(tmp_path: Path) -> None:
    prediction = _map(tmp_path / "map.tif", _ids((1, WOOD)))
    truth = _truth(tmp_path / "truth.gpkg", [("wood", WOOD), ("water", WATER)])
    labels = read_labels(truth, class_field="kind")
    report = evaluate(prediction, labels, out=tmp_path / "report")
    assert report.path == tmp_path / "report" / "report.html" and report.path.is_file()
    values = json.loads((tmp_path / "report" / "report.json").read_text())
    assert values["schema_version"] == 1 and values["kind"] == "pixels"
    found = {(score["name"], score["class"]): score["value"] for score in values["scores"]}
    assert found["iou", "wood"] == 1.0 and found["precision", "water"] is None
    assert values["confusion"]["pixels"] == report.confusion.tolist()
    with pytest.raises(OutputExistsError):
        evaluate(prediction, labels, out=tmp_path / "report")
    evaluate(prediction, labels, out=tmp_path / "report", overwrite=True)
    header, *rows = report.table()
    assert header == ("score", "class", "value", "95 %", "count") and rows[0][0] == "mean_iou"
    assert "mean_iou" in report._repr_html_()


def test_names_from_files_are_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    classes = ClassSet.of_names([evil], background=True)
    prediction = _map(tmp_path / "map.tif", _ids((1, WOOD)), classes=classes)
    report = evaluate(
        prediction,
        read_labels(_truth(tmp_path / "truth.gpkg", [(evil, WOOD)]), class_field="kind"),
        out=tmp_path / "report",
    )
    for text in ((tmp_path / "report" / "report.html").read_text(), report._repr_html_()):
        assert evil not in text and "&lt;script&gt;" in text


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    prediction = _map(tmp_path / "map.tif", _ids((1, WOOD)))
    labels = read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD)]), class_field="kind")
    with pytest.raises(InputError, match="does not exist"):
        evaluate(tmp_path / "missing.tif", labels)
    with pytest.raises(InputError, match="no kind of prediction"):
        evaluate(_touched(tmp_path / "notes.txt"), labels)
    away = PixelGrid(UTM, Affine.translation(700_000, 5_500_000) @ Affine.scale(2, -2), 80, 120)
    with pytest.raises(InputError, match="does not overlap"):
        evaluate(prediction, labels, aoi=_truth(tmp_path / "away.gpkg", [("x", WOOD)], away))
    for unlabelled in ("ignore", "background"):
        nowhere = read_labels(
            _truth(tmp_path / f"{unlabelled}.gpkg", [("wood", WOOD)], away),
            class_field="kind",
            unlabelled=unlabelled,
        )
        with pytest.raises(LabelError, match="same place"):
            evaluate(prediction, nowhere)
    bare = _map(tmp_path / "bare.tif", _ids((1, WOOD)), PixelGrid(None, Affine.identity(), 80, 120))
    with pytest.raises(LabelError, match="no CRS"):
        evaluate(bare, labels)
    strange = _map(tmp_path / "strange.tif", _ids((9, WOOD)))
    with pytest.raises(SceneError, match="class id 9"):
        evaluate(strange, labels)
    with pytest.raises(ChipSetError):
        evaluate(prediction, labels, chips=tmp_path)
    assert not (tmp_path / "report").exists()


def _touched(path: Path) -> Path:
    path.write_text("x")
    return path


def test_any_number_of_threads_gives_the_same_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = PixelGrid(UTM, Affine(1, 0, 500_000, 0, -1, 5_000_000), 2100, 90)
    ids = np.random.default_rng(0).integers(0, 3, (2100, 90)).astype(np.uint8)
    ids[700:720] = 255
    prediction = _map(tmp_path / "map.tif", ids, grid)
    boxes: list[tuple[str, tuple[float, float, float, float]]] = [
        ("wood" if row % 200 else "water", (5, row, 60, row + 60)) for row in range(0, 2000, 100)
    ]
    truth = read_labels(_truth(tmp_path / "truth.gpkg", boxes, grid))
    monkeypatch.setattr(classmap, "_STRIP_PIXELS", 1)  # a strip for each row of blocks
    reports = []
    for threads in (1, 5):
        monkeypatch.setattr("os.cpu_count", lambda count=threads: count)
        evaluate(prediction, truth, out=tmp_path / f"report{threads}")
        reports.append(
            {
                file.name: file.read_bytes()
                for file in (tmp_path / f"report{threads}").iterdir()
                if file.suffix in (".json", ".png", ".csv")
            }
        )
    assert reports[0] == reports[1] and reports[0]


def test_a_class_that_the_map_does_not_name_is_refused(tmp_path: Path) -> None:
    prediction = _map(tmp_path / "map.tif", _ids((1, WOOD), (7, WATER)))
    truth = read_labels(_truth(tmp_path / "truth.gpkg", [("wood", WOOD)]))
    with pytest.raises(SceneError, match="holds the class id 7, but its classes are"):
        evaluate(prediction, truth, out=tmp_path / "report")


def _foreign(path: Path, ids: Ids, nodata: float | None) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=80,
        width=120,
        count=1,
        dtype=ids.dtype.name,
        nodata=nodata,
        crs=UTM.to_wkt(),
        transform=GRID.transform,
    ) as file:
        file.write(ids[None])
    return path


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("nodata", [None, 0])
def test_the_background_of_a_map_of_another_program_is_scored(
    value: int, nodata: float | None, tmp_path: Path
) -> None:
    """Half of the objects are missed, whatever the map calls its background and its class."""
    truth, half = _ids((1, (20, 20, 60, 60))), _ids((value, (20, 20, 60, 40)))
    report = evaluate(
        _foreign(tmp_path / "map.tif", half, nodata), _foreign(tmp_path / "truth.tif", truth, None)
    )
    assert report.score("iou", "1").value == 0.5
    notes = " ".join(report.notes)
    assert ("counts as background" in notes) == (nodata == 0)
    assert ("255 is the only value besides 0" in notes) == (value == 255)
    out = vectorize(tmp_path / "map.tif", out=tmp_path / f"{value}{nodata}.gpkg")
    assert len(geopandas.read_file(out, layer="objects")) == 1


def test_a_map_of_nothing_but_background_and_a_nodata_of_255_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where 255 is the class in truth, the tag makes its objects "not predicted"."""
    truth, found = _ids((1, (20, 20, 60, 60))), _ids((255, (20, 20, 60, 40)))
    report = evaluate(
        _foreign(tmp_path / "map.tif", found, 255), _foreign(tmp_path / "truth.tif", truth, None)
    )
    assert any("holds nothing but 0 and its nodata value 255" in note for note in report.notes)
    with caplog.at_level("INFO"):
        vectorize(tmp_path / "map.tif", out=tmp_path / "map.gpkg")
    assert "gdal_edit.py -unsetnodata" in caplog.text


def test_a_nodata_of_0_is_no_prediction_where_nothing_true_is_background(tmp_path: Path) -> None:
    truth, found = _ids((1, (0, 0, 120, 40)), (2, (0, 40, 120, 80))), _ids((1, (0, 0, 120, 40)))
    report = evaluate(_foreign(tmp_path / "map.tif", found, 0), _foreign(tmp_path / "truth.tif", truth, None))
    assert report.score("iou", "1").value == 1.0
    assert any("without a prediction" in note for note in report.notes)
