"""Nothing is written, emptied or deleted that is not ours, whatever lies where we want to write.

Each of the planted things below cost another file before it was refused.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import InputError, OutputExistsError, WriteError
from eo_dl.inference.rowpieces import RowPieces, read_job, rows_folder
from eo_dl.inference.spool import Spool
from eo_dl.io.arrayfiles import load_arrays
from eo_dl.io.atomic import atomic_folder, write_bytes
from eo_dl.io.confined import inside, is_safe_id, open_to_write
from eo_dl.io.journal import Journal
from eo_dl.io.mapfolder import FinishedMap, FolderJournal
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.spill import WrittenRows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="making links takes rights on Windows")
GRID = PixelGrid(CRS.from_epsg(32633), Affine(1, 0, 500_000, 0, -1, 5_000_000), 40, 30)


@pytest.fixture
def precious(tmp_path):
    path = tmp_path / "precious.txt"
    path.write_text("years of work")
    return path


def write_map(path, **options):
    with RasterWriter(path, GRID, nodata=255, **options) as writer:
        writer.write(0, np.zeros((40, 30), np.uint8))


@pytest.mark.parametrize("name", ["lock", "rows.bin", "journal", "job.json", "rows.vrt", "assembled.tif"])
@pytest.mark.parametrize("kind", ["link", "second name"])
def test_link_in_a_work_folder_costs_no_other_file(tmp_path, precious, name, kind):
    folder = tmp_path / "map.tif.part.d"
    folder.mkdir()
    planted = folder / name
    if kind == "link":
        planted.symlink_to(precious)
    else:
        os.link(precious, planted)
    refused = ""
    try:
        write_map(tmp_path / "map.tif", job_key="k")
    except WriteError as error:
        refused = str(error)
    assert not refused or (str(planted) in refused and "\n" not in refused)
    assert precious.read_text() == "years of work"


def test_data_set_in_a_work_folder_is_refused_with_the_files_that_it_names(tmp_path, precious):
    """GDAL deletes all files of a data set that it overwrites."""
    folder = tmp_path / "map.tif.part.d"
    folder.mkdir()
    (folder / "assembled.tif").write_text(
        '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{precious}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    (folder / "mine.txt").write_text("notes")
    with pytest.raises(WriteError, match=r"mine\.txt: was not written by eo_dl"):
        write_map(tmp_path / "map.tif")
    (folder / "mine.txt").unlink()
    write_map(tmp_path / "map.tif")
    assert precious.read_text() == "years of work"
    assert (tmp_path / "map.tif").is_file() and not folder.exists()


def test_folder_in_a_work_folder_is_refused(tmp_path):
    (tmp_path / "map.tif.part.d" / "lock").mkdir(parents=True)
    with pytest.raises(WriteError, match="was not written by eo_dl"):
        write_map(tmp_path / "map.tif")


def test_work_folder_that_is_a_link_is_refused(tmp_path, precious):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows.bin").write_text("mine")
    for name in ("map.tif.part.d", "map.gpkg.pieces.part.d", "chips.part.d"):
        (tmp_path / name).symlink_to(elsewhere)
    with pytest.raises(WriteError, match="move it away"):
        write_map(tmp_path / "map.tif")
    with pytest.raises(WriteError, match="move it away"), Spool(tmp_path / "map.gpkg", "a"):
        pass
    with pytest.raises(WriteError, match="move it away"), atomic_folder(tmp_path / "chips"):
        pass
    assert (elsewhere / "rows.bin").read_text() == "mine"


def test_folder_of_somebody_else_is_not_emptied(tmp_path):
    (tmp_path / "chips.part.d").mkdir()
    (tmp_path / "chips.part.d" / "photos").mkdir()
    with pytest.raises(WriteError, match="was not written by eo_dl"), atomic_folder(tmp_path / "chips"):
        pass
    assert (tmp_path / "chips.part.d" / "photos").is_dir()


@pytest.mark.skipif(not hasattr(os, "chown") or os.getuid() != 0, reason="only root may give files away")
def test_work_folder_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "map.tif.part.d"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(WriteError, match="was made by another user"):
        write_map(tmp_path / "map.tif")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("plant", ["link", "hard link", "pipe", "device"])
def test_nothing_is_opened_for_writing_but_a_file_of_our_own(tmp_path, precious, plant):
    path = tmp_path / "out.txt"
    if plant == "link":
        path.symlink_to(precious)
    elif plant == "hard link":
        os.link(precious, path)
    elif plant == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    for write in (lambda: write_bytes(path, b"x"), lambda: open_to_write(path), lambda: Journal(path)):
        with pytest.raises(WriteError, match="nothing is written to it"):
            write()
    assert precious.read_text() == "years of work"


def test_overviews_that_wait_for_a_map_are_refused_before_any_work(tmp_path):
    for name in ("map.tif.ovr", "MAP.tif.MSK"):
        (tmp_path / name).write_text("x")
        with pytest.raises(OutputExistsError, match=r"would be taken for a part of map\.tif"):
            write_map(tmp_path / "map.tif")
        write_map(tmp_path / "map.tif", overwrite=True)
        assert not (tmp_path / name).exists()
        (tmp_path / "map.tif").unlink()


def test_style_that_is_a_link_is_left_alone(tmp_path, precious):
    (tmp_path / "map.qml").symlink_to(precious)
    write_map(tmp_path / "map.tif", scales=[1.0])
    assert precious.read_text() == "years of work" and (tmp_path / "map.qml").is_symlink()


@given(st.text(max_size=40))
def test_names_stay_inside_their_folder(text):
    base = os.path.abspath("/data/out")
    try:
        path = inside(Path(base), text)
    except InputError:
        return
    assert os.path.abspath(path).startswith(base + os.sep)


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/x", "C:x", "C:\\x", "..\\x", "", ".", "a\0b", "a\nb"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out of this folder"):
        inside(tmp_path, name)
    assert not is_safe_id(name)


# What a journal or a stored piece says


@pytest.mark.parametrize(
    "entry", ["", "x", "0 -5 00000000", "0 0 00000000", "1 2", f"{10**30} 1 00000000", "{}"]
)
def test_entry_of_rows_that_is_none_is_an_error(entry):
    with pytest.raises(ValueError, match="is no entry"):
        WrittenRows.parse(entry)


def test_planted_journals_are_not_believed(tmp_path):
    folder = tmp_path / "map.tif.part.d"
    folder.mkdir()
    (folder / "rows.bin").write_bytes(bytes(2000))
    (folder / "job.json").write_text("[" * 5000)
    journal = Journal(folder / "journal")
    journal.append("0 -1 00000000")
    write_map(tmp_path / "map.tif", job_key="k")
    assert (tmp_path / "map.tif").is_file()


@pytest.mark.parametrize(
    "entry",
    [
        "[1]",
        "{}",
        '{"key": "a", "files": [], "count": 1, "chips": 1}',
        '{"key": "a", "files": [{"name": "../x", "size": 1, "mtime_ns": 1}], "count": 1, "chips": 1}',
        "[" * 5000,
    ],
)
def test_entry_of_a_finished_map_that_is_none_is_not_believed(tmp_path, entry):
    with pytest.raises(ValueError):  # noqa: PT011
        FinishedMap.parse(entry)
    Journal(tmp_path / ".finished.part").append(entry)
    journal = FolderJournal(tmp_path, True)
    assert not journal.knows(tmp_path / "x")


def test_rows_of_other_machines_that_say_nothing_are_one_line(tmp_path):
    folder = rows_folder(tmp_path / "map.tif")
    folder.mkdir()
    for text in ("x", "[]", "{}", "[" * 5000, '{"key": 1}', "9" * 3_000_000):
        (folder / "job.json").write_text(text)
        with pytest.raises(InputError, match="delete the folder"):
            read_job(tmp_path / "map.tif")
    for name in ("shards_x", f"shards_{10**12}", "shards_3"):
        (folder / name).touch()
    assert RowPieces(tmp_path / "map.tif", "k", 3).noted_shards() == {3}


def test_piece_that_unpacks_to_more_than_it_may_is_refused_before_it_does(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10_000_000, np.uint8))
    with pytest.raises(ValueError, match="more than"):
        load_arrays(tmp_path / "a.npz", most_bytes=1_000_000)
    header = str({"descr": "|u1", "fortran_order": False, "shape": (2**50,)}).encode().ljust(117) + b"\n"
    lie = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(10)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", lie)
    with pytest.raises(ValueError, match="is to hold"):
        load_arrays(tmp_path / "b.npz")
