"""A chip set of somebody else: it decides neither what it may do, nor where files are read and written.

Each of these opened a connection, wrote elsewhere or ended in a traceback before it was refused.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3

import numpy as np
import pytest

import eo_dl as eo
from eo_dl.chips.chipset import open_chip_set
from eo_dl.errors import ChipSetError, SceneError
from eo_dl.exchange.exporting import export_labels
from eo_dl.io.discover import host_of, refuse_unnamed_hosts
from eo_dl.labels.formats.safefile import put
from eo_dl_cli.main import run
from tests.making import CommandOutput, noise, refused, square, write_polygons, write_raster


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A chip set with written chips, and its scene."""
    folder = tmp_path_factory.mktemp("chips")
    write_raster(folder / "scene.tif", noise(3, 128, 128))
    write_polygons(folder / "labels.gpkg", [square(10, 10, 70)], kind=["a"])
    eo.tile(folder / "scene.tif", folder / "labels.gpkg", out=folder / "chips", size_px=32, write_chips=True)
    return folder


@pytest.fixture
def refused_line(capfd):
    """Runs a command that must be refused; returns its error line."""

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        output = CommandOutput(code, *capfd.readouterr())
        refused(output)
        return output.lines[-1]

    return call


@pytest.fixture
def chips(made, tmp_path):
    """A copy of it that a test may harm."""
    shutil.copytree(made / "chips", tmp_path / "chips")
    return tmp_path / "chips"


def edit_manifest(chips, change):
    values = json.loads((chips / "chips.json").read_text())
    change(values)
    (chips / "chips.json").write_text(json.dumps(values))


def edit_index(chips, sql, *values):
    with contextlib.closing(sqlite3.connect(chips / "chips.gpkg")) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(sql, values)
        database.commit()


# Trust


def test_chip_set_does_not_trust_its_own_vrt(made, chips, tmp_path):
    scene = tmp_path / "v" / "scene.vrt"
    scene.parent.mkdir()
    scene.write_text(
        '<VRTDataset rasterXSize="128" rasterYSize="128"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000, 1, 0, 5200000, 0, -1</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{made / 'scene.tif'}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )

    def change(values):
        values["scenes"][0] |= {"path": str(scene), "relative": None}
        values["scenes"][0]["options"]["trust_vrt"] = True

    edit_manifest(chips, change)
    with pytest.raises(ChipSetError, match="outside its own folder"):
        open_chip_set(chips)
    with pytest.raises(ChipSetError, match="has no band"):
        open_chip_set(chips, trust_vrt=True)  # opened, and found to be another
    assert "trust_vrt" not in (made / "chips" / "chips.json").read_text()


def test_remote_scene_of_a_chip_set_is_named_and_asked_for(chips, listener, refused_line):
    url = f"http://127.0.0.1:{listener.port}/scene.tif"
    edit_manifest(chips, lambda values: values["scenes"][0].update(path=url))
    for command in (
        ["inspect", str(chips)],
        ["train", str(chips), "--task", "segmentation"],
        ["labels", "export", str(chips), "--format", "coco", "-o", str(chips.parent / "out")],
    ):
        line = refused_line(*command)
        assert f"127.0.0.1:{listener.port}" in line and "--allow-remote" in line
    assert listener.count == 0
    with pytest.raises(ChipSetError, match="can no longer be opened"):
        open_chip_set(chips, allow_remote=[f"127.0.0.1:{listener.port}"])
    assert listener.count > 0


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("https://a.example/x.tif", "a.example"),
        ("/vsicurl/https://user:word@B.example:8080/x.tif?y=z", "b.example:8080"),
        ("/vsizip//vsicurl/https://a.example/x.zip/y.tif", "a.example"),
        ("/vsis3/bucket/key.tif", "/vsis3/bucket"),
        ("s3://bucket/key.tif", "bucket"),
        ("/vsicurl?url=https://a.example/x.tif", "a.example"),
    ],
)
def test_host_of_a_path(path, host):
    assert host_of(path) == host
    refuse_unnamed_hosts([path, "local.tif"], "x", "", [host])
    with pytest.raises(SceneError, match="on another machine"):
        refuse_unnamed_hosts(["local.tif", path], "x", "", ["other.example"])


# Names


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a.b", "", "a b", "x" * 300, "a\nb"])
def test_chip_id_that_is_no_file_name_is_refused(chips, name):
    edit_index(chips, "UPDATE chips SET chip_id = ? WHERE fid = 1", name)
    with pytest.raises(ChipSetError, match="the chip id") as caught:
        export_labels(chips, out_format="coco", out=chips.parent / "out")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in chips.parent.iterdir()) == ["chips"]


@pytest.mark.parametrize("file", ["../scene.tif", "/etc/passwd", "images/other.tif", "chips.gpkg"])
def test_file_of_a_chip_lies_in_its_folder(chips, file):
    edit_index(chips, "UPDATE chips SET file = ? WHERE fid = 1", file)
    with pytest.raises(ChipSetError, match=r"has the file .* expected images/"):
        open_chip_set(chips)


def test_writer_of_exports_stays_in_its_folder(tmp_path):
    for name in ("../x.txt", "/tmp/x.txt", "a/../../x.txt", "..\\x.txt"):
        with pytest.raises(eo.errors.InputError, match="leads out of this folder"):
            put(tmp_path / "out", name, "x")
    assert list(tmp_path.iterdir()) == []


def test_written_chip_of_another_size_is_refused_before_it_is_read(chips):
    opened = open_chip_set(chips)
    record = opened.records[0]
    write_raster(chips / record.file, np.zeros((3, 64, 64), np.uint8))
    with pytest.raises(SceneError, match="is not the chip that was cut"):
        export_labels(chips, out_format="coco", out=chips.parent / "out")


# Counts and kinds


@pytest.mark.parametrize(
    "change",
    [
        {"chip_px": 10**9},
        {"chip_px": "32"},
        {"chip_px": -1},
        {"folds": 10**12},
        {"guard_px": "wide"},
        {"guard_px": float("nan")},
        {"gsd_m": 0.0},
        {"seed": None},
        {"scenes": []},
        {"scenes": "all"},
        {"scenes": [{}]},
        {"classes": [1]},
        {"classes": []},
        {"statistics": [{"count": 1}]},
        {"statistics": {}},
        {"notes": 5},
        {"labels": {}},
        {"format_version": "x"},
        {"format_version": None},
        {"shared_ground": {"train/val": "0"}},
    ],
    ids=str,
)
def test_manifest_that_holds_anything_else_is_one_line(chips, change, refused_line):
    edit_manifest(chips, lambda values: values.update(change))
    line = refused_line("inspect", str(chips))
    assert "chips.json" in line


@pytest.mark.parametrize("key", ["native", "size", "bands", "options", "fingerprint"])
@pytest.mark.parametrize("value", [None, [], {}, "x", 7, [1e308, 1e308], {"crs": 5}], ids=str)
def test_scene_of_a_manifest_that_holds_anything_else_is_one_line(chips, key, value):
    if (key, value) == ("options", {}):
        return  # nothing was stated
    edit_manifest(chips, lambda values: values["scenes"][0].update({key: value}))
    with pytest.raises(ChipSetError) as caught:
        open_chip_set(chips)
    assert "\n" not in str(caught.value)


def test_manifest_of_endless_depth_or_numbers_is_one_line(chips, refused_line):
    for text in ("[" * 100_000, '{"format": ' + "9" * 10_000 + "}", "7"):
        (chips / "chips.json").write_text(text)
        assert "chips.json" in refused_line("inspect", str(chips))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fold", 10**12),
        ("fold", -1),
        ("valid_share", 1e308),
        ("valid_share", None),
        ("class_shares", "[" * 100_000),
        ("class_shares", '{"a": 1e999}'),
        ("class_shares", '{"a": "NaN"}'),
        ("class_shares", "7"),
        ("object_counts", f'{{"a": {10**30}}}'),
        ("object_counts", '{"a": -1}'),
        ("object_counts", None),
        ("scene_index", 10**12),
        ("scene_index", -1),
        ("col", 2**62),
        ("width", 2**31),
        ("split", "../../x"),
    ],
)
def test_chip_that_holds_anything_else_is_one_line(chips, column, value):
    edit_index(chips, f"UPDATE chips SET {column} = ? WHERE fid = 1", value)
    with pytest.raises(ChipSetError) as caught:
        open_chip_set(chips)
    assert "\n" not in str(caught.value) and "chips" in str(caught.value)
