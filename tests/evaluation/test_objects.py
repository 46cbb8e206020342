"""`evaluate` on objects: on whichever grid and in whichever file they come."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import InputError, LabelError
from eo_dl.evaluation.evaluate import evaluate
from eo_dl.io.outputtags import GRID_TAG, grid_tag
from eo_dl.io.vectorlayers import write_layer
from eo_dl.labels.reading import read_labels
from tests.making import write_geotiff

UTM = CRS.from_epsg(32633)
GRID = PixelGrid(
    UTM, Affine.translation(500_000, 5_000_000) @ Affine.rotation(20) @ Affine.scale(0.5, -0.5), 200, 300
)

Box = tuple[float, float, float, float]


def _layer(
    path: Path,
    boxes: list[Box],
    names: list[str],
    scores: list[float] | None = None,
    grid: PixelGrid = GRID,
    tags: bool = False,
    field: str = "class_name",
) -> Path:
    shapes = np.array([shapely.box(*box) for box in boxes], dtype=object)
    columns: dict[str, list[str] | list[float]] = {field: names} | ({"score": scores} if scores else {})
    crs = None if grid.crs is None else grid.crs.to_wkt()
    frame = geopandas.GeoDataFrame(columns, geometry=grid.geometries_to_map(shapes), crs=crs)
    write_layer(path, frame, metadata={GRID_TAG: grid_tag(grid), "scene": "scene.tif"} if tags else {})
    return path


TRUE: list[Box] = [(10, 10, 30, 30), (50, 50, 70, 70), (100, 20, 140, 60), (200, 100, 220, 120)]
FOUND: list[Box] = [(11, 10, 31, 30), (50, 52, 70, 72), (150, 150, 170, 170), (200, 100, 220, 120)]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
@pytest.mark.parametrize("tags", [True, False])
def test_boxes_score_the_same_in_every_file(tmp_path: Path, suffix: str, tags: bool) -> None:
    prediction = _layer(tmp_path / f"found{suffix}", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6], tags=tags)
    truth = read_labels(_layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4))
    report = evaluate(prediction, truth)
    assert report.counts["tree"] == {"truth": 4, "predicted": 4, "found": 3, "missed": 1, "false": 1}
    assert report.score("recall").value == 0.75
    # 26 recalls at precision 1, 25 more; then the third hit comes at the fourth place
    assert report.score("ap50").value == pytest.approx((51 + 25 * 0.75) / 101, abs=1e-9)
    assert "boxes are compared" in report.notes


def test_boxes_around_true_polygons_are_what_boxes_are_compared_with(tmp_path: Path) -> None:
    """A detector of boxes cannot do better than the box around an L-shaped house."""
    house = shapely.Polygon([(10, 10), (30, 10), (30, 14), (14, 14), (14, 30), (10, 30)])
    frame = geopandas.GeoDataFrame(
        {"class_name": ["house"]},
        geometry=GRID.geometries_to_map(np.array([house], object)),
        crs=UTM.to_wkt(),
    )
    write_layer(tmp_path / "truth.gpkg", frame)
    box = _layer(tmp_path / "box.gpkg", [(10, 10, 30, 30)], ["house"], [0.9], tags=True)
    assert evaluate(box, read_labels(tmp_path / "truth.gpkg")).score("recall").value == 1.0
    write_layer(tmp_path / "outline.gpkg", frame.assign(score=0.9))
    report = evaluate(tmp_path / "outline.gpkg", read_labels(tmp_path / "truth.gpkg"))
    assert report.score("recall").value == 1.0 and "outlines are compared" in report.notes


def test_only_objects_centred_on_the_scored_ground_count(tmp_path: Path) -> None:
    prediction = _layer(tmp_path / "found.gpkg", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6], tags=True)
    truth = _layer(tmp_path / "truth.gpkg", [*TRUE, (400, 400, 420, 420)], ["tree"] * 5)
    annotated = _layer(tmp_path / "annotated.gpkg", [(0, 0, 180, 200)], ["x"])
    aoi = _layer(tmp_path / "aoi.gpkg", [(0, 0, 300, 65)], ["x"])
    report = evaluate(prediction, read_labels(truth, annotated=annotated), aoi=aoi)
    assert report.counts["tree"] == {"truth": 3, "predicted": 2, "found": 2, "missed": 1, "false": 0}
    assert any(
        "true objects with their centre outside" in note and note.endswith(": 1 left out")
        for note in report.notes
    )
    everywhere = evaluate(prediction, read_labels(truth))
    assert everywhere.counts["tree"]["truth"] == 4  # the fifth lies beyond the scene


def test_truth_on_ground_that_was_not_measured_is_left_out(tmp_path: Path) -> None:
    pixels = np.ones((1, 200, 300), np.int16)
    pixels[:, 90:130, 190:230] = -9999
    write_geotiff(tmp_path / "scene.tif", pixels, GRID, nodata=-9999)
    prediction = _layer(tmp_path / "found.gpkg", FOUND[:2], ["tree"] * 2, [0.9, 0.8], tags=True)
    report = evaluate(
        prediction,
        read_labels(_layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)),
        scene=tmp_path / "scene.tif",
    )
    assert report.counts["tree"]["truth"] == 3
    assert any("true objects with their centre on nodata: 1 left out" in note for note in report.notes)


def test_labels_in_pixels_need_the_scene(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "scene.tif", np.ones((1, 200, 300), np.uint8), GRID)
    coco = {
        "images": [{"id": 1, "file_name": "scene.tif", "width": 300, "height": 200}],
        "categories": [{"id": 1, "name": "tree"}],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": 1,
                "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                "area": 1,
                "iscrowd": 0,
            }
            for i, b in enumerate(TRUE)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(coco))
    labels = read_labels(tmp_path / "truth.json")
    prediction = _layer(tmp_path / "found.fgb", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6])
    with pytest.raises(LabelError, match="`scene"):
        evaluate(prediction, labels)
    assert evaluate(prediction, labels, scene=tmp_path / "scene.tif").counts["tree"]["found"] == 3
    tagged = _layer(tmp_path / "found.gpkg", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6], tags=True)
    assert evaluate(tagged, labels).counts["tree"]["found"] == 3


def test_without_scores_there_is_no_average_precision(tmp_path: Path) -> None:
    prediction = _layer(tmp_path / "found.gpkg", FOUND, ["tree"] * 4)
    report = evaluate(
        prediction, read_labels(_layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)), out=tmp_path / "report"
    )
    assert "ap50" not in {score.name for score in report.scores} and report.headline[0].name == "f1"
    assert any("no scores" in note for note in report.notes)


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    prediction = _layer(tmp_path / "found.gpkg", FOUND, ["oak", "pine", "oak", "oak"], [0.9, 0.8, 0.7, 0.6])
    truth = _layer(tmp_path / "truth.gpkg", TRUE, ["oak", "oak", "pine", "oak"])
    report = evaluate(prediction, read_labels(truth))
    assert report.counts["oak"] == {"truth": 3, "predicted": 3, "found": 2, "missed": 1, "false": 1}
    assert report.counts["pine"] == {"truth": 1, "predicted": 1, "found": 0, "missed": 1, "false": 1}
    other = read_labels(_layer(tmp_path / "other.gpkg", TRUE, ["beech", "beech", "fir", "fir"]))
    with pytest.raises(LabelError, match=r"'beech', 'fir'.*'oak', 'pine'.*`class_map`"):
        evaluate(prediction, other)
    single = read_labels(_layer(tmp_path / "single.gpkg", TRUE, ["crown"] * 4))
    trees = _layer(tmp_path / "trees.gpkg", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6])
    assert any("only class" in note for note in evaluate(trees, single).notes)


def test_nothing_found_is_a_recall_of_zero(tmp_path: Path) -> None:
    prediction = _layer(tmp_path / "found.gpkg", [], [], [], tags=True)
    report = evaluate(
        prediction, read_labels(_layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)), out=tmp_path / "report"
    )
    assert report.score("recall").value == 0 and report.counts["tree"]["missed"] == 4


def test_bad_input_is_one_clear_line(tmp_path: Path) -> None:
    prediction = _layer(tmp_path / "found.gpkg", FOUND, ["tree"] * 4, [0.9, 0.8, 0.7, 0.6], tags=True)
    write_geotiff(tmp_path / "truth.tif", np.ones((1, 200, 300), np.uint8), GRID)
    with pytest.raises(LabelError, match="truth is a raster"):
        evaluate(prediction, read_labels(tmp_path / "truth.tif"))
    away = PixelGrid(UTM, Affine.translation(700_000, 5_500_000) @ Affine.scale(2, -2), 80, 120)
    with pytest.raises(LabelError, match="same place"):
        evaluate(prediction, read_labels(_layer(tmp_path / "away.gpkg", TRUE, ["tree"] * 4, grid=away)))
    nameless = _layer(tmp_path / "nameless.gpkg", FOUND, ["tree"] * 4, field="what")
    with pytest.raises(LabelError, match=r"'class_name'.*'what'"):
        evaluate(nameless, read_labels(_layer(tmp_path / "two.gpkg", TRUE, ["a", "b", "a", "b"])))
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(InputError, match="neither rasters nor vector"):
        evaluate(folder, read_labels(_layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)))


def test_objects_left_out_by_the_prediction_are_said(tmp_path: Path) -> None:
    truth = _layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)
    shapes = np.array([shapely.box(*box) for box in FOUND], dtype=object)
    columns = {"class_name": ["tree"] * 4, "score": [0.9] * 4}
    frame = geopandas.GeoDataFrame(columns, geometry=GRID.geometries_to_map(shapes), crs=GRID.crs)
    notes = {}
    for least in ("0.42", "0"):
        path = tmp_path / f"map{least}.gpkg"
        write_layer(path, frame, metadata={GRID_TAG: grid_tag(GRID), "min_score": least})
        report = evaluate(path, truth, out=tmp_path / f"report{least}")
        notes[least] = " ".join(report.notes)
    assert "score below 0.42 are not in the prediction" in notes["0.42"]
    assert "predict with `min_score=0`" in notes["0.42"]
    assert "not in the prediction" not in notes["0"]


def test_a_report_beside_its_prediction_names_it_without_its_folder(tmp_path: Path) -> None:
    """The folder of both may get another name, as that of `eo-dl demo` does when it is complete."""
    (tmp_path / "demo.part.d").mkdir()
    found = _layer(tmp_path / "demo.part.d" / "map.gpkg", FOUND, ["tree"] * 4)
    truth = _layer(tmp_path / "truth.gpkg", TRUE, ["tree"] * 4)
    evaluate(found, truth, out=tmp_path / "demo.part.d" / "report")
    folder = (tmp_path / "demo.part.d").rename(tmp_path / "demo")
    assert json.loads((folder / "report/report.json").read_text())["prediction"] == "../map.gpkg"
    assert "part.d" not in (folder / "report/report.html").read_text()
