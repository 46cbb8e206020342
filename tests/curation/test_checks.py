"""Every kind of problem is found, named by feature, and nothing is found where nothing is wrong; what is
mended is mended and listed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from eo_dl.curation import check_labels, fix_labels, labels_status, start_labels
from eo_dl.curation.checks.checkreport import CheckReport
from eo_dl.curation.checks.registration import estimate_shift
from eo_dl.errors import ConfigError, LabelError, OutputExistsError
from eo_dl.io.scene import open_scene
from eo_dl.labels import read_labels
from eo_dl.labels.labeloptions import LabelOptions
from tests.making import CRS, NORTH_UP, add_features, square, write_polygons, write_raster

SIDE = 256


def bow(col: float, row: float) -> shapely.Polygon:
    """An outline that crosses itself, of unequal halves."""
    corners = ((0, 0), (10, 6), (10, 0), (0, 10))
    return shapely.Polygon([NORTH_UP @ (col + right, row + down) for right, down in corners])


def write(path: Path, geometries: list[shapely.Geometry | None], names: Sequence[str | None]) -> Path:
    return write_polygons(path, geometries, layer="drawn", class_name=names)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Noise with a bright square at every tenth of 25 px; the last columns were not measured."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(60, 100, (3, SIDE, SIDE)).astype(np.uint8)
    for row in range(5, SIDE - 20, 25):
        for col in range(5, SIDE - 20, 25):
            pixels[:, row : row + 10, col : col + 10] += 90
    pixels[:, :, 240:] = 0
    return write_raster(tmp_path / "scene.tif", pixels, nodata=0)


def squares(shift: tuple[float, float] = (0, 0)) -> list[shapely.Geometry]:
    return [
        square(col + shift[0], row + shift[1])
        for row in range(5, SIDE - 20, 25)
        for col in range(5, SIDE - 20, 25)
    ]


def kinds(report: CheckReport) -> dict[str, set[str]]:
    """Feature ids by kind."""
    found: dict[str, set[str]] = {}
    for one in report.findings:
        found.setdefault(one.kind, set()).update(one.feature_ids)
    return found


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, scene: Path) -> None:
    report = check_labels(write(tmp_path / "good.gpkg", squares(), ["roof"] * 100), scene)
    assert report.findings == ()
    assert report.classes == {"roof": 100}
    assert report.registration["scene.tif"].known and not report.registration["scene.tif"].significant


def test_overlapping_boxes_are_no_problem_but_twins_are(tmp_path: Path) -> None:
    boxes = {
        "images": [{"id": 1, "file_name": "a.tif", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": 100, "iscrowd": 0}
            for i, box in enumerate([[10, 10, 20, 20], [20, 20, 20, 20], [20, 20, 20, 20]], start=1)
        ],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(boxes))
    found = kinds(check_labels(path))
    assert "overlap" not in found
    assert len(found["duplicate"]) == 2


def test_labels_elsewhere_are_a_finding_and_not_the_end(tmp_path: Path, scene: Path) -> None:
    report = check_labels(
        write(tmp_path / "far.gpkg", [square(90_000, 0), bow(90_100, 0)], ["roof", "roof"]), scene
    )
    assert {"unreadable", "invalid geometry"} <= set(kinds(report))
    assert "no label lies on the scenes" in report.findings[0].text


def test_a_project_knows_its_classes_scenes_and_annotated_ground(tmp_path: Path, scene: Path) -> None:
    path = tmp_path / "labels.gpkg"
    start_labels(scene, classes="roof,tree", out=path)
    add_features(path, "labels", [*squares(), square(40, 230)], class_name=["roof"] * 100 + ["shed"])
    add_features(path, "annotated", [square(0, 0, 120)])
    report = check_labels(path)
    found = kinds(report)
    assert len(found["outside annotated"]) == 101 - 25
    assert found["unknown class"] == {"#101"}
    assert [one.class_name for one in report.findings if one.kind == "empty class"] == ["tree"]
    assert report.registration["scene.tif"].known


@pytest.mark.parametrize("shift", [(5, 0), (0, -5), (-3, 4)])
def test_shifted_labels_are_told_by_how_much(scene: Path, tmp_path: Path, shift: tuple[int, int]) -> None:
    report = check_labels(write(tmp_path / "moved.gpkg", squares(shift), ["roof"] * 100), scene)
    found = report.registration["scene.tif"]
    assert abs(found.cols - shift[0]) <= 1 and abs(found.rows - shift[1]) <= 1
    assert "misregistration" in kinds(report)


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize("layer", ["buildings", "landcover"])
def test_five_pixels_are_reported_as_five_on_the_sample_scenes(
    sample_data: Path, name: str, layer: str
) -> None:
    opened = open_scene(sample_data / f"{name}.tif")
    labels = read_labels(sample_data / f"{name}_labels.gpkg", layer=layer, class_field="none").for_grid(
        opened.grid, opened.name
    )
    for shift in ((0.0, 0.0), (5.0, 0.0), (0.0, -5.0)):
        found = estimate_shift(
            opened, shapely.transform(labels.geometries, lambda xy, by=shift: np.add(xy, by))
        )
        assert abs(found.cols - shift[0]) <= 1 and abs(found.rows - shift[1]) <= 1, (shift, found)


REAL = {
    "mass-buildings": ("22978945_15.tif", "22978945_15.gpkg"),
    "orthoseg-fields": (
        "BEFL-TEST-s2_2023-05-01_2023-07-01_B08-B04-B03_min_byte.tif",
        "fields_BEFL-s2-fields-2023_polygons.gpkg",
    ),
    "baker-landcover": ("23322E759967N_clipped_1m_1of2.tif", "BakerLake_2017_clipped.gpkg"),
}


@pytest.mark.parametrize("folder", REAL)
def test_five_pixels_more_are_reported_as_five_more_on_real_scenes(real_data: Path, folder: str) -> None:
    image, labels = REAL[folder]
    opened = open_scene(real_data / folder / image)
    outlines = (
        read_labels(real_data / folder / labels, class_field="none")
        .for_grid(opened.grid, opened.name)
        .geometries
    )
    before, after = (
        estimate_shift(opened, outlines),
        estimate_shift(opened, shapely.transform(outlines, lambda xy: np.add(xy, (5, -5)))),
    )
    assert before.known and after.known
    assert abs(after.cols - before.cols - 5) <= 1 and abs(after.rows - before.rows + 5) <= 1


def test_it_says_when_it_cannot_tell(scene: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(10, 200, (60, 2))
    noise = write_raster(tmp_path / "noise.tif", rng.integers(0, 255, (3, SIDE, SIDE)).astype(np.uint8))
    report = check_labels(
        write(tmp_path / "any.gpkg", [square(c, r, 12) for c, r in places], ["roof"] * 60), noise
    )
    found = report.registration["noise.tif"]
    assert not found.known and found.reason
    few = check_labels(write(tmp_path / "few.gpkg", [square(5, 5)], ["roof"]), scene).registration[
        "scene.tif"
    ]
    assert "places" in few.reason


def test_a_label_raster_is_checked_too(tmp_path: Path, scene: Path) -> None:
    ids = np.zeros((SIDE, SIDE), np.uint8)
    for row in range(5, SIDE - 20, 25):
        for col in range(5, SIDE - 20, 25):
            ids[row : row + 10, col + 5 : col + 15] = 1
    ids[200, 2:4] = 2
    report = check_labels(write_raster(tmp_path / "scene_mask.tif", ids), scene)
    assert report.unit == "px"
    assert report.classes["2"] == 2
    assert abs(report.registration["scene.tif"].cols - 5) <= 1
    assert {"too small", "imbalance", "misregistration"} <= set(kinds(report))


def test_findings_are_a_layer_to_step_through(tmp_path: Path, scene: Path) -> None:
    report = check_labels(
        write(tmp_path / "bad.gpkg", [square(5, 5), bow(40, 40), None], ["roof", "roof", "roof"]), scene
    )
    report.write(tmp_path / "findings.gpkg")
    frame = gpd.read_file(tmp_path / "findings.gpkg", layer="findings")
    assert frame["kind"].tolist() == [one.kind for one in report.findings]
    assert frame.crs == CRS
    where = frame[frame["kind"] == "invalid geometry"].geometry.iloc[0]
    assert where.intersects(shapely.box(*bow(40, 40).bounds))
    with pytest.raises(OutputExistsError):
        report.write(tmp_path / "findings.gpkg")
    with pytest.raises(ConfigError):
        report.write(tmp_path / "findings.shp")


def test_what_is_safe_is_mended_and_every_change_is_listed(tmp_path: Path) -> None:
    shapes = [
        square(0, 0),
        square(20, 0),
        square(20, 0),
        bow(40, 0),
        None,
        square(60, 0),
        square(80, 0),
        square(20, 0),
    ]
    names = ["roof", "roof", "roof", "roof", "roof", "Roof ", "rof", "tree"]
    source = write(tmp_path / "bad.gpkg", shapes, names)
    before = source.read_bytes()
    fixed = fix_labels(source, out=tmp_path / "good.gpkg")
    assert {(c.feature_id, c.kind) for c in fixed.changes} == {
        ("#3", "duplicate"),
        ("#4", "invalid geometry"),
        ("#5", "no geometry"),
        ("#6", "class spelling"),
    }
    assert source.read_bytes() == before
    frame = pyogrio.read_dataframe(tmp_path / "good.gpkg", fid_as_index=True)
    assert frame.index.tolist() == [1, 2, 4, 6, 7, 8], "features that stay keep their ids"
    assert frame["class_name"].tolist() == ["roof", "roof", "roof", "roof", "rof", "tree"]
    assert shapely.is_valid(frame.geometry.values).all()
    assert not {"invalid geometry", "no geometry"} & set(kinds(check_labels(tmp_path / "good.gpkg")))
    assert fix_labels(tmp_path / "good.gpkg", out=tmp_path / "again.gpkg").changes == ()


def test_a_mended_project_is_still_one(tmp_path: Path, scene: Path) -> None:
    path = tmp_path / "labels.gpkg"
    start_labels(scene, classes="roof,tree", out=path)
    add_features(path, "labels", [square(0, 0)] * 2, class_name=["roof"] * 2)
    fix_labels(path, out=tmp_path / "fixed.gpkg")
    report = check_labels(tmp_path / "fixed.gpkg")
    assert set(report.classes) == {"roof", "tree"}
    assert "duplicate" not in kinds(report)


def test_what_cannot_be_mended_is_refused(tmp_path: Path, sample_data: Path) -> None:
    source = write(tmp_path / "labels.gpkg", [square(0, 0)], ["roof"])
    with pytest.raises(ConfigError, match="is the input"):
        fix_labels(source, out=source)
    (tmp_path / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax,label\na.tif,1,1,5,5,ship\n")
    with pytest.raises(LabelError, match="labels convert"):
        fix_labels(tmp_path / "boxes.csv", out=tmp_path / "fixed.gpkg")
    with pytest.raises(LabelError, match=r"missing\.gpkg"):
        check_labels(tmp_path / "missing.gpkg")


def test_a_mistake_of_the_caller_is_no_finding(tmp_path: Path) -> None:
    source = write(tmp_path / "labels.gpkg", [square(0, 0)], ["roof"])
    with pytest.raises(LabelError, match=r"nowhere\.gpkg"):
        check_labels(source, label_options=LabelOptions(annotated=tmp_path / "nowhere.gpkg"))
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    status = labels_status(tmp_path / "empty.geojson")
    assert not status.ready and "nothing has been drawn" in status.advice[0]


def test_a_file_with_a_field_called_fid_can_be_fixed(tmp_path: Path) -> None:
    outlines = [shapely.box(5e5 + 20 * i, 5.2e6, 5e5 + 20 * i + 9, 5.2e6 + 9) for i in range(3)]
    table = gpd.GeoDataFrame({"kind": ["a"] * 3, "FID": ["x", "y", "z"]}, geometry=outlines, crs=32633)
    table.to_file(tmp_path / "l.geojson")
    fix_labels(
        tmp_path / "l.geojson", label_options=LabelOptions(class_field="kind"), out=tmp_path / "fixed.gpkg"
    )
    assert list(gpd.read_file(tmp_path / "fixed.gpkg")["FID"]) == ["x", "y", "z"]
