"""A GeoPackage of several layers that are put together by SQLite is what GDAL would have written."""

from __future__ import annotations

import contextlib
import sqlite3

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from eo_dl.io.vectorlayers import layer_names, read_layer, read_metadata, write_layers

LAEA = "+proj=laea +lat_0={} +lon_0=11 +x_0=0 +y_0=0 +ellps=WGS84 +units=m +no_defs"


def squares(count, crs):
    xs = np.arange(count) * 10.0
    outlines = shapely.box(xs, 0, xs + 5, 7).tolist()
    if count:
        outlines[0] = None
    names = [f"n{number}" for number in range(count)]
    columns = {"name": names, "yes": [number % 2 == 0 for number in range(count)], "x": xs}
    return geopandas.GeoDataFrame(columns, geometry=outlines, crs=crs)


LAYERS = {
    "a": squares(300, "EPSG:32633"),
    'of "another"': squares(40, LAEA.format(47)),
    "empty": squares(0, "EPSG:32633"),
    "third": squares(60, LAEA.format(48)),
    "fourth": squares(5, LAEA.format(47)),
}


def content(path):
    """All definitions and all rows, except times."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        schema = set(database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
        tables = [name for kind, name, _, sql in schema if kind == "table" and "VIRTUAL" not in (sql or "")]
        rows = {}
        for name in tables:
            quoted = name.replace('"', '""')
            found = database.execute(f'SELECT * FROM "{quoted}"').fetchall()
            rows[name] = sorted(repr(tuple(map(without_time, row))) for row in found)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return schema, rows


def without_time(value):
    is_time = isinstance(value, str) and value.startswith("20") and value.endswith("Z")
    return "time" if is_time else value


def test_merged_layers_are_those_that_gdal_writes(tmp_path):
    write_layers(tmp_path / "merged.gpkg", LAYERS, metadata={"key": "value"})
    for number, (name, features) in enumerate(LAYERS.items()):
        pyogrio.write_dataframe(
            features,
            tmp_path / "gdal.gpkg",
            layer=name,
            append=number > 0,
            geometry_type="Polygon",
            dataset_options={"VERSION": "1.3"},
            layer_options={"GEOMETRY_NAME": "geom", "FID": "fid"},
            dataset_metadata={"key": "value"} if number == 0 else None,
        )
    merged, expected = content(tmp_path / "merged.gpkg"), content(tmp_path / "gdal.gpkg")
    assert merged[0] == expected[0]
    assert merged[1].keys() == expected[1].keys()
    for table, rows in expected[1].items():
        assert merged[1][table] == rows, table


@pytest.mark.parametrize("name", LAYERS)
def test_merged_layers_lie_where_they_lay_and_are_found_by_place(tmp_path, name):
    path = tmp_path / "merged.gpkg"
    write_layers(path, {"first": squares(3, LAEA.format(50)), **LAYERS}, metadata={"key": "value"})
    assert layer_names(path) == ("first", *LAYERS) and read_metadata(path, name) == {"key": "value"}
    features, read = LAYERS[name], read_layer(path, layer=name)
    assert read.crs == features.crs and len(read) == len(features)
    assert list(read["x"]) == list(features["x"])
    if len(features):
        here = features.geometry.iloc[2]
        assert read.geometry.iloc[2].equals(here)
        nearby = pyogrio.read_dataframe(path, layer=name, bbox=here.bounds)
        assert list(nearby["x"]) == [20.0]
