"""Vector files that reach beyond themselves or lie about what they hold.

Each of these was opened as another file, or lost features without a word, before it was closed.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
import sys
import zipfile

import geopandas
import pytest
import shapely

from eo_dl.errors import LabelError
from eo_dl.io.gate import is_harmless
from eo_dl.io.vectorlayers import layer_names, read_layer

FOREIGN = (
    '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>CSV:{secret}</SrcDataSource></OGRVRTLayer>'
    "</OGRVRTDataSource>"
)


@pytest.fixture
def five():
    points = [shapely.Point(number, 0) for number in range(5)]
    return geopandas.GeoDataFrame({"a": range(5)}, geometry=points, crs="EPSG:32633")


def edit(path, sql, values=()):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(sql, values)
        database.commit()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_name_that_ogr_would_read_as_another_file_is_refused(tmp_path, five, monkeypatch):
    foreign = FOREIGN.replace("{secret}", str(tmp_path / "secret.csv"))
    (tmp_path / "secret.csv").write_text("a\nTOPSECRET\n")
    five.to_file(tmp_path / "good.gpkg", driver="GPKG")
    good = (tmp_path / "good.gpkg").read_bytes()
    (tmp_path / "a").write_text(foreign)
    for name in ("a;b.gpkg", "a!b.gpkg", "b.zip"):
        (tmp_path / name).write_bytes(good)
    with zipfile.ZipFile(tmp_path / "b.zip", "a") as archive:
        archive.writestr("x.vrt", foreign)
    for name in ("a;b.gpkg", "a!b.gpkg", "b.zip"):
        with pytest.raises(LabelError, match="rename it"):
            read_layer(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PG:dbname=x.gpkg").write_bytes(good)
    assert len(read_layer("PG:dbname=x.gpkg")) == 5


def test_flatgeobuf_that_goes_on_as_text_is_refused(tmp_path):
    (tmp_path / "a.fgb").write_bytes(b"fgb\x03fgb\x01" + FOREIGN.replace("{secret}", "/etc/passwd").encode())
    with pytest.raises(LabelError, match="not a supported vector file"):
        layer_names(tmp_path / "a.fgb")


@pytest.mark.parametrize("count", [2**40, 2, 0, -3, "many", None])
def test_geopackage_that_miscounts_its_features_is_read_whole(tmp_path, five, count):
    """OGR reads as many features as the table says: 2 of 5, or none at all."""
    five.to_file(tmp_path / "a.gpkg", driver="GPKG")
    edit(tmp_path / "a.gpkg", "UPDATE gpkg_ogr_contents SET feature_count = ?", (count,))
    frame = read_layer(tmp_path / "a.gpkg")
    assert list(frame["a"]) == list(range(5)) and list(frame.index) == list(range(1, 6))


@pytest.mark.parametrize("count", [2**33, 2**31 - 1, 2**40])
def test_flatgeobuf_that_states_more_features_than_fit_is_refused(tmp_path, five, count):
    five.to_file(tmp_path / "a.fgb", driver="FlatGeobuf")
    data = (tmp_path / "a.fgb").read_bytes()
    place = data.find(struct.pack("<Q", 5))
    (tmp_path / "a.fgb").write_bytes(data[:place] + struct.pack("<Q", count) + data[place + 8 :])
    with pytest.raises(LabelError) as caught:
        read_layer(tmp_path / "a.fgb")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIRTUAL TABLE x USING VirtualOGR('/etc/passwd')",
        "CREATE/**/VIRTUAL TABLE x USING VirtualOGR('/etc/passwd')",
        "create\tvirtual\ntable x using VirtualOGR('/etc/passwd')",
        "CREATE -- x\nVIRTUAL TABLE x USING VirtualOGR('/etc/passwd')",
        "CREATE VIRTUAL TABLE x USING VirtualOGR('/etc/passwd') -- USING rtree",
        "CREATE VIRTUAL TABLE x USING /* using rtree */ VirtualOGR('/etc/passwd')",
        "CREATE VIRTUAL TABLE \"x using rtree\" USING VirtualOGR('/etc/passwd')",
        "CREATE VIRTUAL TABLE 'using fts5' USING VirtualOGR('/etc/passwd')",
        "CREATE VIRTUAL TABLE [a] USING csv(filename='/etc/passwd')",
        "CREATE VIRTUAL TABLE x USING rtree_other(a)",
        "ATTACH '/etc/passwd' AS x",
        "",
    ],
)
def test_schema_is_read_as_sqlite_reads_it(sql):
    assert not is_harmless(sql)


@pytest.mark.parametrize(
    "sql",
    [
        'CREATE VIRTUAL TABLE "rtree_a_geom" USING rtree(id, minx, maxx, miny, maxy)',
        "CREATE VIRTUAL TABLE IF NOT EXISTS main.x USING fts5(a)",
        "CREATE VIRTUAL TABLE [virtual] USING [rtree](id, a, b)",
        'CREATE TABLE "virtual" (a)',
        "CREATE UNIQUE INDEX i ON t (a)",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
        "/* of today */ CREATE VIEW v AS SELECT * FROM t",
    ],
)
def test_usual_schemas_are_harmless(sql):
    assert is_harmless(sql)


def test_geopackage_with_a_disguised_virtual_table_is_refused(tmp_path, five):
    five.to_file(tmp_path / "a.gpkg", driver="GPKG", layer="l")
    edit(
        tmp_path / "a.gpkg",
        "INSERT INTO sqlite_master VALUES ('table', 'w', 'w', 0, ?)",
        ("CREATE/**/VIRTUAL TABLE w USING VirtualOGR('/etc/passwd') -- using rtree",),
    )
    with pytest.raises(LabelError, match="may read other files"):
        read_layer(tmp_path / "a.gpkg", layer="l")
