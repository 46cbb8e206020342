"""GeoJSON: no CRS is guessed, nothing is lost."""

from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.errors import LabelError, WriteError
from eo_dl.io.geojson import geojson_bytes, plain_value, read_geojson
from eo_dl.io.vectorlayers import read_layer

SQUARE = {"type": "Polygon", "coordinates": [[[10, 50], [10.1, 50], [10.1, 50.1], [10, 50.1], [10, 50]]]}
UTM_SQUARE = {
    "type": "Polygon",
    "coordinates": [[[5e5, 5e6], [5e5 + 9, 5e6], [5e5 + 9, 5e6 + 9], [5e5, 5e6]]],
}


@pytest.fixture
def write(tmp_path):
    def make(*geometries, crs=None, properties=None, **members):
        features = [
            {"type": "Feature", "properties": properties or {"i": i}, "geometry": g}
            for i, g in enumerate(geometries)
        ]
        document = {"type": "FeatureCollection", **members, "features": features}
        if crs is not None:
            document["crs"] = {"type": "name", "properties": {"name": crs}}
        path = tmp_path / "labels.geojson"
        path.write_text(json.dumps(document))
        return str(path)

    return make


def test_geojson_without_crs_is_longitude_latitude(write):
    frame = read_layer(write(SQUARE))
    assert frame.crs == "EPSG:4326"
    assert frame.total_bounds.tolist() == [10, 50, 10.1, 50.1]


def test_projected_numbers_without_a_crs_are_refused(write):
    path = write(SQUARE, UTM_SQUARE)
    with pytest.raises(LabelError, match=r"names no CRS.*\(500000, 5000000\).*`label_crs`") as caught:
        read_layer(path)
    assert path in str(caught.value)
    assert read_layer(path, crs="EPSG:32633").crs == "EPSG:32633"


def test_projected_numbers_of_a_real_file_are_refused(real_data):
    with pytest.raises(LabelError, match="names no CRS"):
        read_layer(real_data / "spacenet-samples/custom_proj/geotiff_custom_proj_labels.geojson")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("urn:ogc:def:crs:EPSG::32633", 32633),
        ("EPSG:2056", 2056),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", 4326),
        ("urn:ogc:def:crs:OGC::CRS84", 4326),
    ],
)
def test_crs_member_is_obeyed(write, name, code):
    assert read_layer(write(UTM_SQUARE, crs=name)).crs.to_epsg() == code


def test_unknown_crs_member_is_refused(write):
    with pytest.raises(LabelError, match=r"'EPSG:999999' is not known.*`label_crs`"):
        read_layer(write(SQUARE, crs="EPSG:999999"))
    assert read_layer(write(SQUARE, crs="EPSG:999999"), crs="EPSG:4326").crs == "EPSG:4326"


def test_null_geometries_lists_and_mixtures_survive(write):
    point = {"type": "Point", "coordinates": [10, 50]}
    frame = read_layer(
        write(SQUARE, None, point, properties={"labels": ["a", "b"], "n": None, "deep": {"x": 1}})
    )
    assert [None if g is None else g.geom_type for g in frame.geometry] == ["Polygon", None, "Point"]
    assert frame["labels"].tolist() == [["a", "b"]] * 3
    assert frame["deep"].tolist() == [{"x": 1}] * 3


def test_lists_of_real_files_survive(real_data):
    frame = read_layer(next((real_data / "s2-ships").glob("*_labels.geojson")))
    assert isinstance(frame["labels"].iloc[0], list)


def test_features_are_known_by_their_id_or_their_place(tmp_path):
    for ids, wanted in (([7, 3], [7, 3]), (["a", "b"], ["a", "b"]), ([1, 1], [0, 1]), ([None, 2], [0, 1])):
        features = [{"type": "Feature", "id": i, "properties": {}, "geometry": SQUARE} for i in ids]
        (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        assert read_geojson(str(tmp_path / "a.geojson")).index.tolist() == wanted


def test_one_feature_one_geometry_and_none_are_read(tmp_path):
    path = tmp_path / "a.geojson"
    for document, count in (
        (SQUARE, 1),
        ({"type": "Feature", "properties": None, "geometry": SQUARE}, 1),
        ({"type": "FeatureCollection", "features": []}, 0),
    ):
        path.write_text("\ufeff" + json.dumps(document))
        assert len(read_geojson(str(path))) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [], "annotations": []}', "is JSON but no GeoJSON"),
        ('{"type": "Topology"}', "'Topology'"),
        ('{"type": "FeatureCollection", "features": 3}', "is not a list of features"),
        ('{"type": "FeatureCollection"', "is not valid JSON"),
        ('{"type": "Feature", "geometry": null}\n{"type": "Feature"}', "is not valid JSON"),
    ],
)
def test_json_that_is_no_geojson_is_refused(tmp_path, text, words):
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(LabelError, match=words):
        read_layer(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Blob"},
        {"type": "Point", "coordinates": ["x"]},
        [1],
    ],
)
def test_geometry_that_cannot_be_read_is_named(write, geometry):
    with pytest.raises(LabelError, match="feature 1: its geometry cannot be read"):
        read_layer(write(SQUARE, geometry))


# Writing


def test_written_geojson_is_rfc_7946(tmp_path):
    frame = geopandas.GeoDataFrame(
        {"score": np.array([0.1], "float32"), "n": [np.int64(3)]},
        geometry=[shapely.box(5e5, 5e6, 5e5 + 10, 5e6 + 10)],
        crs=32633,
    )
    document = json.loads(geojson_bytes(frame, "objects", {"model": "abc"}, "x.geojson"))
    assert "crs" not in document
    assert document["eo_dl"] == {"model": "abc"}
    (feature,) = document["features"]
    assert feature["properties"] == {"score": 0.1, "n": 3}
    ring = shapely.Polygon(feature["geometry"]["coordinates"][0])
    assert ring.exterior.is_ccw
    assert ring.centroid.x == pytest.approx(15, abs=0.001)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(166_100, 800_000), st.floats(1, 9_000_000), st.floats(1, 100)),
        min_size=1,
        max_size=5,
    )
)
def test_place_survives_within_a_tenth_of_a_millimetre(rows):
    boxes = [shapely.box(x, y, x + side, y + side) for x, y, side in rows]
    frame = geopandas.GeoDataFrame({"a": range(len(rows))}, geometry=boxes, crs=32633)
    features = json.loads(geojson_bytes(frame, "o", {}, "x"))["features"]
    back = geopandas.GeoSeries([shapely.geometry.shape(f["geometry"]) for f in features], crs=4326).to_crs(
        32633
    )
    for wanted, found in zip(boxes, back, strict=True):
        assert shapely.hausdorff_distance(wanted, found) < 2e-4


def test_points_without_longitude_are_refused_when_writing():
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(1e30, 1e30)], crs=32633)
    with pytest.raises(WriteError, match="no longitude and latitude"):
        geojson_bytes(frame, "o", {}, "x.geojson")


def test_cells_become_json():
    values = [
        np.float32(0.5),
        np.int8(3),
        np.bool_(True),
        np.array([1, 2]),
        float("nan"),
        None,
        np.datetime64("2020-01-02"),
        (1, "a"),
        {"k": np.int64(1)},
    ]
    assert [plain_value(v) for v in values] == [
        0.5,
        3,
        True,
        [1, 2],
        None,
        None,
        "2020-01-02",
        [1, "a"],
        {"k": 1},
    ]
