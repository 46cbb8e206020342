from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import CRS

from eo_dl.errors import LabelError
from eo_dl.labels.reading import read_labels
from tests.making import write_polygons

BOXES = [shapely.box(500_000 + 20 * i, 5_600_000, 500_010 + 20 * i, 5_600_010) for i in range(4)]


def table(**columns: list[object]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns or {"kind": ["a", "b", "a", "b"]}, geometry=BOXES, crs=32631)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".fgb", ".parquet"])
def test_every_vector_format_gives_the_same_labels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"labels{suffix}"
    if suffix == ".parquet":
        table().to_parquet(path)
    else:
        table().to_file(path)
    labels = read_labels(path)
    order = np.argsort(shapely.bounds(labels.features.geometries)[:, 0])
    assert np.asarray(labels.features.class_ids)[order].tolist() == [1, 2, 1, 2]
    assert labels.class_field == "kind"
    assert shapely.equals_exact(
        shapely.normalize(labels.features.geometries[order]),
        shapely.normalize(np.array(BOXES)),
        tolerance=1e-6,
    ).all()
    assert labels.crs == CRS(32631) or (
        labels.crs is not None and labels.crs.equals(CRS(32631), ignore_axis_order=True)
    )


def test_features_without_a_class_are_ignored_and_counted(tmp_path: Path) -> None:
    table(kind=["a", None, "", "a"]).to_file(tmp_path / "l.gpkg")
    labels = read_labels(tmp_path / "l.gpkg", class_field="kind")
    assert labels.features.ignore.tolist() == [False, True, True, False]
    assert labels.features.class_ids.tolist() == [1, 255, 255, 1]
    assert any(note.startswith("2 of 4 features have no class") for note in labels.notes)


def test_text_ids_keep_their_number_and_255_is_ignored(tmp_path: Path) -> None:
    table(code=["3", "1", "255", "3"]).to_file(tmp_path / "l.gpkg")
    labels = read_labels(tmp_path / "l.gpkg")
    assert labels.features.class_ids.tolist() == [3, 1, 255, 3] and labels.classes.ids == (1, 3)
    assert labels.features.ignore.tolist() == [False, False, True, False]


def test_points_need_a_radius_and_get_it_on_the_ground(tmp_path: Path) -> None:
    points = [shapely.Point(10, 60), shapely.Point(10.1, 60)]
    write_polygons(tmp_path / "p.gpkg", points, crs="EPSG:4326", kind=["tree", "tree"])
    with pytest.raises(LabelError, match=r"2 of 2 features are points or lines.*`buffer_m`"):
        read_labels(tmp_path / "p.gpkg")
    labels = read_labels(tmp_path / "p.gpkg", buffer_m=5)
    metres = geopandas.GeoSeries(labels.features.geometries, crs=4326).to_crs(32632).area
    assert metres.to_numpy() == pytest.approx(np.pi * 25, rel=0.01)


def test_broken_geometries_are_repaired_counted_and_named(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    shapes = [bow, None, shapely.Polygon(), shapely.box(0, 0, 1, 1)]
    write_polygons(tmp_path / "l.gpkg", shapes, kind=["a"] * 4)
    labels = read_labels(tmp_path / "l.gpkg")
    assert len(labels) == 2 and labels.features.feature_ids.tolist() == ["#1", "#4"]
    assert "2 missing or empty geometries dropped: #2, #3" in labels.notes
    assert any("area of #1 changed" in note for note in labels.notes)


def test_several_files_come_to_the_first_crs(tmp_path: Path) -> None:
    table().to_file(tmp_path / "a.gpkg")
    table(kind=["c"] * 4, more=[1, 2, 3, 4]).to_crs(4326).to_file(tmp_path / "b.gpkg")
    labels = read_labels([tmp_path / "a.gpkg", tmp_path / "b.gpkg"], class_field="kind")
    assert labels.crs == CRS(32631) and labels.classes.names == ("a", "b", "c")
    assert shapely.equals_exact(
        shapely.normalize(labels.features.geometries[4:]), shapely.normalize(np.array(BOXES)), tolerance=1e-3
    ).all()
    assert (
        labels.features.feature_ids[0] == "a.gpkg#1"
        and labels.features.files is not None
        and labels.features.files[7] == str(tmp_path / "b.gpkg")
    )
    named = read_labels(tmp_path, class_field="file")
    assert named.classes.names == ("a", "b")


def test_one_name_for_labels_without_class_field(tmp_path: Path) -> None:
    table(height=[1.5, 2.5, 3.5, 4.5]).to_file(tmp_path / "l.gpkg")
    assert read_labels(tmp_path / "l.gpkg", classes="building").classes.names == ("building",)


def test_annotated_areas_come_to_the_crs_of_the_labels(tmp_path: Path) -> None:
    table().to_file(tmp_path / "l.gpkg")
    area = geopandas.GeoDataFrame(geometry=[shapely.box(499_000, 5_599_000, 501_000, 5_601_000)], crs=32631)
    area.to_crs(4326).to_file(tmp_path / "a.geojson")
    labels = read_labels(tmp_path / "l.gpkg", annotated=tmp_path / "a.geojson")
    assert labels.annotated is not None
    assert labels.annotated.geometries[0].area == pytest.approx(4e6, rel=1e-4)


def test_unlabelled_ground_can_be_ignored(tmp_path: Path) -> None:
    table().to_file(tmp_path / "l.gpkg")
    labels = read_labels(tmp_path / "l.gpkg", unlabelled="ignore")
    assert labels.annotated is not None and len(labels.annotated.geometries) == 4
    assert read_labels(tmp_path / "l.gpkg").annotated is None


def test_no_features_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "l.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(LabelError, match="holds no features"):
        read_labels(tmp_path / "l.geojson")
    with pytest.raises(LabelError, match="no such file"):
        read_labels(tmp_path / "missing.gpkg")


def test_labels_without_a_crs_are_not_guessed_at(tmp_path: Path) -> None:
    geopandas.GeoDataFrame({"kind": ["a"] * 4}, geometry=BOXES).to_parquet(tmp_path / "l.parquet")
    with pytest.raises(LabelError, match=r"no CRS.*`label_crs`"):
        read_labels(tmp_path / "l.parquet")
    assert read_labels(tmp_path / "l.parquet", label_crs="EPSG:32631").crs == CRS(32631)
