"""Vector layers: whole or not there, styled, and the same when they come back."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from xml.etree.ElementTree import fromstring

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.errors import ConfigError, LabelError, OutputExistsError, WriteError
from eo_dl.io.discover import VECTOR_SUFFIXES
from eo_dl.io.polygontable import PolygonTable
from eo_dl.io.vectorlayers import layer_names, read_layer, write_layer, write_layers

CLASSES = ClassSet.of_names(["roof", 'wood & "scrub"'])


def objects(count=50, crs=32633):
    random = np.random.default_rng(0)
    x, y = random.random((2, count)) * 1000
    columns = {
        "class_name": np.where(x > 500, "roof", 'wood & "scrub"'),
        "class_id": random.integers(1, 3, count),
        "score": random.random(count).astype("float32"),
        "reviewed": x > 900,
    }
    return geopandas.GeoDataFrame(
        columns, geometry=shapely.box(x + 5e5, y + 5e6, x + 5e5 + 9.5, y + 5e6 + 8.25), crs=crs
    )


def by_place(frame):
    bounds = frame.geometry.bounds
    return frame.iloc[np.lexsort((bounds.miny.round(3), bounds.minx.round(3)))].reset_index(drop=True)


@pytest.mark.parametrize("suffix", [*VECTOR_SUFFIXES, ".shp"])
def test_layers_come_back_as_they_were(tmp_path, suffix):
    frame, path = objects(), tmp_path / f"out{suffix}"
    if suffix == ".shp":
        frame.to_file(path)
    else:
        write_layer(path, frame, classes=CLASSES, metadata={"model": "abc"})
    back = by_place(read_layer(path).to_crs(32633))
    wanted = by_place(frame)
    assert shapely.hausdorff_distance(back.geometry.array, wanted.geometry.array).max() < 2e-4
    for name in ("class_name", "class_id"):
        assert back[name].tolist() == wanted[name].tolist()
    assert np.allclose(back["score"], wanted["score"], atol=1e-6)
    assert [bool(v) for v in back["reviewed"]] == wanted["reviewed"].tolist()


@pytest.mark.parametrize("crs", [CRS.from_epsg(32633), CRS("+proj=laea +lon_0=3"), None])
@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_polygons_as_wkb_give_the_bytes_of_a_frame(tmp_path, suffix, crs):
    frame = objects(crs=None if crs is None else crs.to_wkt())
    columns = {name: frame[name].to_numpy() for name in frame.columns if name != "geometry"}
    columns["class_name"] = columns["class_name"].astype(object)
    table = PolygonTable(np.asarray(shapely.to_wkb(frame.geometry.to_numpy()), object), columns, crs)
    first, second = tmp_path / "a" / f"out{suffix}", tmp_path / "b" / f"out{suffix}"
    for path, features in ((first, frame), (second, table)):
        path.parent.mkdir()
        if suffix == ".geojson" and crs is None:
            with pytest.raises(WriteError, match="no CRS"):
                write_layer(path, features, classes=CLASSES)
        else:
            write_layer(path, features, classes=CLASSES, metadata={"model": "abc"})
    written = {path.name: path.read_bytes() for path in first.parent.iterdir()}
    assert written == {path.name: path.read_bytes() for path in second.parent.iterdir()}


@pytest.mark.parametrize("suffix", VECTOR_SUFFIXES)
def test_nothing_found_is_a_layer_without_features(tmp_path, suffix):
    write_layer(tmp_path / f"none{suffix}", objects(0), classes=CLASSES)
    back = read_layer(tmp_path / f"none{suffix}")
    assert len(back) == 0


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_results_in_pixels_say_so(tmp_path, suffix):
    write_layer(tmp_path / f"p{suffix}", objects(crs=None))
    assert read_layer(tmp_path / f"p{suffix}").crs is None
    assert read_layer(tmp_path / f"p{suffix}", crs="EPSG:32633").crs == CRS.from_epsg(32633)


def test_geojson_of_pixels_is_refused(tmp_path):
    with pytest.raises(WriteError, match=r"no CRS; write \.gpkg"):
        write_layer(tmp_path / "p.geojson", objects(crs=None))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet"])
def test_same_result_gives_the_same_bytes(tmp_path, suffix, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_layer(tmp_path / name / f"o{suffix}", objects(), classes=CLASSES, metadata={"model": "abc"})
    assert (tmp_path / "a" / f"o{suffix}").read_bytes() == (tmp_path / "b" / f"o{suffix}").read_bytes()


def test_geopackage_carries_styles_that_qgis_applies(tmp_path):
    path = tmp_path / "o.gpkg"
    write_layers(
        path,
        {"chips": objects(), "aoi": objects(2)},
        {"chips": "<qgis>chips</qgis>", "aoi": "<qgis>aoi</qgis>"},
        metadata={"model": "abc"},
    )
    with sqlite3.connect(path) as database:
        rows = database.execute(
            "SELECT f_table_name, f_geometry_column, f_table_catalog, useAsDefault, styleQML FROM "
            "layer_styles ORDER BY 1"
        ).fetchall()
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
        version = database.execute("PRAGMA user_version").fetchone()[0]
        metadata = database.execute("SELECT metadata FROM gpkg_metadata").fetchone()[0]
    database.close()
    assert rows == [
        ("aoi", "geom", "", 1, "<qgis>aoi</qgis>"),
        ("chips", "geom", "", 1, "<qgis>chips</qgis>"),
    ]
    assert contents == {"chips": "features", "aoi": "features", "layer_styles": "attributes"}
    assert version == 10300
    assert "abc" in metadata
    assert layer_names(path) == ("chips", "aoi")


@pytest.mark.parametrize("suffix", [".geojson", ".fgb"])
def test_other_formats_have_their_style_beside_them(tmp_path, suffix):
    write_layer(tmp_path / f"o{suffix}", objects(), classes=CLASSES)
    style = fromstring((tmp_path / "o.qml").read_text())
    renderer = style.find("renderer-v2")
    assert renderer is not None
    assert renderer.get("attr") == "class_name"
    assert [c.get("value") for c in style.iter("category")] == ["roof", 'wood & "scrub"', ""]


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [
        (shapely.Point(0, 0), "marker"),
        (shapely.LineString([(0, 0), (1, 1)]), "line"),
        (shapely.box(0, 0, 1, 1), "fill"),
    ],
)
def test_style_fits_the_kind_of_geometry(tmp_path, geometry, kind):
    frame = geopandas.GeoDataFrame({"class_name": ["roof"]}, geometry=[geometry], crs=32633)
    write_layer(tmp_path / "o.fgb", frame, classes=CLASSES)
    assert {s.get("type") for s in fromstring((tmp_path / "o.qml").read_text()).iter("symbol")} == {kind}


def test_mixed_geometries_and_nulls_are_written(tmp_path):
    geometries = [
        shapely.box(0, 0, 1, 1),
        shapely.MultiPolygon([shapely.box(2, 2, 3, 3)]),
        None,
        shapely.Point(1, 1),
    ]
    frame = geopandas.GeoDataFrame(
        {"tags": [["a"], {"b": 1}, None, ["c", 2]]}, geometry=geometries, crs=32633
    )
    for suffix in (".gpkg", ".fgb", ".geojson"):
        write_layer(tmp_path / f"o{suffix}", frame)
        assert sorted(map(str, read_layer(tmp_path / f"o{suffix}").geometry.geom_type)) == sorted(
            map(str, frame.geometry.geom_type)
        )
    assert read_layer(tmp_path / "o.gpkg")["tags"].tolist()[:2] == ['["a"]', '{"b": 1}']


def test_layer_is_chosen_by_name_or_refused(tmp_path, real_data):
    path = tmp_path / "m.gpkg"
    write_layers(path, {"one": objects(3), "two": objects(4)}, {"one": "<qgis/>"})
    assert len(read_layer(path, layer="two")) == 4
    with pytest.raises(LabelError, match=r"it has 'one', 'two'; choose one with `layer`"):
        read_layer(path)
    with pytest.raises(LabelError, match=r"no layer 'three'"):
        read_layer(path, layer="three")
    with pytest.raises(LabelError, match=r"no layer 'layer_styles'"):
        read_layer(path, layer="layer_styles")
    assert len(read_layer(next((real_data / "orthoseg-fields").glob("*_polygons.gpkg")))) == 199


def test_file_without_any_geometry_layer_is_refused(tmp_path):
    pyogrio.write_dataframe(
        geopandas.GeoDataFrame({"a": [1]}).drop(columns=[]),
        tmp_path / "t.gpkg",
        layer="notes",
        dataset_options={"VERSION": "1.3"},
    )
    with pytest.raises(LabelError, match="it has none"):
        read_layer(tmp_path / "t.gpkg")


def test_index_is_the_features_id_in_the_file(tmp_path):
    write_layer(tmp_path / "o.gpkg", objects(5))
    frame = read_layer(tmp_path / "o.gpkg")
    assert (frame.index.name, frame.index.tolist()) == ("fid", [1, 2, 3, 4, 5])


def test_shapefile_without_prj_has_no_crs(tmp_path):
    objects(3).to_file(tmp_path / "o.shp")
    (tmp_path / "o.prj").unlink()
    assert read_layer(tmp_path / "o.shp").crs is None


def test_unknown_suffix_and_existing_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.kml' is no supported vector format"):
        write_layer(tmp_path / "o.kml", objects())
    (tmp_path / "o.gpkg").write_text("mine")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        write_layer(tmp_path / "o.gpkg", objects())
    write_layer(tmp_path / "o.gpkg", objects(), overwrite=True)
    assert len(read_layer(tmp_path / "o.gpkg")) == 50


def test_parquet_without_geometry_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    geopandas.pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(LabelError, match="GeoParquet"):
        read_layer(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".parquet"])
def test_lost_features_are_found_before_the_file_gets_its_name(tmp_path, monkeypatch, suffix):
    write, to_parquet = pyogrio.write_dataframe, geopandas.GeoDataFrame.to_parquet
    monkeypatch.setattr(
        pyogrio,
        "write_dataframe",
        lambda frame, *args, **options: write(frame.iloc[:-1], *args, **options),
    )
    monkeypatch.setattr(
        geopandas.GeoDataFrame,
        "to_parquet",
        lambda frame, *args, **options: to_parquet(frame.iloc[:-1], *args, **options),
    )
    with pytest.raises(WriteError, match="49 of 50 features"):
        write_layer(tmp_path / f"o{suffix}", objects())
    assert not list(tmp_path.iterdir())


DISK_FULL = """
import os, resource, sys
import geopandas, numpy as np, shapely
from eo_dl.errors import WriteError
from eo_dl.io import vectorlayers
from eo_dl.io.vectorlayers import write_layer
xy = np.random.default_rng(0).random((20000, 2)) * 1000
boxes = shapely.box(xy[:, 0], xy[:, 1], xy[:, 0] + 1, xy[:, 1] + 1)
frame = geopandas.GeoDataFrame({"class_name": ["a"] * 20000}, geometry=boxes, crs=32633)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
for suffix in sys.argv[2:]:
    try:
        write_layer(f"{sys.argv[1]}/o{suffix}", frame)
    except WriteError as error:
        sys.stdout.write(f"refused: {error}\\n")
    else:
        sys.stdout.write("written\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no RLIMIT_FSIZE on Windows")
def test_full_disk_leaves_no_vector_file(tmp_path):
    pytest.importorskip("pyarrow")
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(tmp_path), *VECTOR_SUFFIXES],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(VECTOR_SUFFIXES), done.stderr[-3000:]
    for suffix, line in zip(VECTOR_SUFFIXES, lines, strict=True):
        assert line.startswith(f"refused: {tmp_path}/o{suffix}: "), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "values"),
    [("FID", [7, 7, 9]), ("FID", ["a", "b", "c"]), ("fid", [1.5, 2.5, 3.5]), ("fid", ["a", "b", "c"])],
)
def test_a_field_called_fid_is_an_attribute_like_any_other(tmp_path, name, values):
    frame = objects(3).assign(**{name: values})
    write_layer(tmp_path / "a.gpkg", frame)
    assert sorted(read_layer(tmp_path / "a.gpkg")[name]) == values


def test_unique_whole_numbers_called_fid_are_the_ids(tmp_path):
    write_layer(tmp_path / "a.gpkg", objects(3).assign(fid=[5, 9, 2]))
    back = read_layer(tmp_path / "a.gpkg")
    assert sorted(back.index) == [2, 5, 9] and "fid" not in back.columns


@pytest.mark.parametrize("columns", [{"Name": "a", "name": "b"}, {"geom": "a"}, {"FID": "a", "fid": "b"}])
def test_columns_that_a_geopackage_cannot_tell_apart_are_named(tmp_path, columns):
    with pytest.raises(WriteError, match=r"cannot hold the columns .* at once; rename"):
        write_layer(tmp_path / "a.gpkg", objects(3).assign(**columns))
    write_layer(tmp_path / "a.fgb", objects(3).assign(**columns))
