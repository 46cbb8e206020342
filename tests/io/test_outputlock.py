"""One writer per output: the second says who is writing, a dead one does not block, leftovers are cleared."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

import eo_dl
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import OutputExistsError, WriteError
from eo_dl.io.atomic import atomic_file, atomic_folder, part_name
from eo_dl.io.outputlock import locks_output, run_lock, writer_lock
from eo_dl.io.rasterwriter import RasterWriter
from eo_dl.io.vectorlayers import write_layer

GRID = PixelGrid(CRS.from_epsg(32633), Affine(1, 0, 500_000, 0, -1, 5_000_000), 4, 3)
HOLD = """
import os, sys, time
sys.argv = ["/usr/bin/eo-dl", "labels", "export", "chips/", "--token", "secret"]
from eo_dl.io.outputlock import run_lock
from contextlib import ExitStack
with ExitStack() as stack:
    for path in {paths!r}:
        stack.enter_context(run_lock(path))
    {then}
    print("locked", flush=True)
    sys.stdin.read()
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def held_by_another_process(*paths, then="pass"):
    code = HOLD.format(paths=[str(path) for path in paths], then=then)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.stdin.close()


def write_raster(path):
    with RasterWriter(path, GRID, nodata=255) as writer:
        writer.write(0, np.zeros((4, 3), np.uint8))


def write_vector(path):
    write_layer(path, geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(1, 2)], crs="EPSG:4326"))


def write_file(path):
    with atomic_file(path) as part:
        part.write_text("x")


def write_folder(path):
    with atomic_folder(path) as part:
        (part / "x").write_text("x")


@locks_output
def verb(first, *, out=None):
    """A verb of the package."""
    write_file(out)


def run_verb(path):
    verb(1, out=path)


WRITERS = {
    "map.tif": write_raster,
    "map.gpkg": write_vector,
    "map.geojson": write_vector,
    "map.fgb": write_vector,
    "model.eodl": write_file,
    "chips": write_folder,
    "report": run_verb,
}


def test_second_writer_says_who_is_writing_and_changes_nothing(tmp_path):
    outs = [tmp_path / name for name in WRITERS]
    with held_by_another_process(*outs) as process:
        before = names(tmp_path)
        for out in outs:
            with pytest.raises(WriteError) as caught:
                WRITERS[out.name](out)
            assert names(tmp_path) == before == sorted(f".{name}.lock" for name in WRITERS)
            text = str(caught.value)
            owner = f"eo-dl labels export (process {process.pid} on {socket.gethostname()}, since 20"
            assert text.startswith(f"{out}: is being written by {owner}")
            assert text.endswith("); wait for it, or choose another name")
            assert "secret" not in text and "\n" not in text and caught.value.exit_code == 2
    for out in outs:
        WRITERS[out.name](out)
    assert not {f".{name}.lock" for name in WRITERS} & set(names(tmp_path))


def test_verbs_hold_the_lock_of_their_output():
    """Shards are written by many machines at once; training has a lock of its own in its first process."""
    free = {"predict_shard", "assemble_shards", "predict_on_cluster", "train", "side_by_side"}
    without = {
        name
        for name in eo_dl.__all__
        if inspect.isfunction(function := getattr(eo_dl, name))
        and "out" in inspect.signature(function).parameters
        and not hasattr(function, "__wrapped__")
    }
    assert without <= free, without - free


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_lock_of_a_killed_process_does_not_block_nor_that_of_its_children(tmp_path):
    """A reader of chips may outlive the run that forked it."""
    then = "os.fork() or time.sleep(60)"
    with held_by_another_process(tmp_path / "map.gpkg", then=f"child = {then}") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert names(tmp_path) == [".map.gpkg.lock"]
        write_vector(tmp_path / "map.gpkg")
    assert names(tmp_path) == ["map.gpkg"]


def test_leftovers_of_a_killed_run_are_cleared_by_the_next(tmp_path):
    out = tmp_path / "map.gpkg"
    leftover = part_name(out)
    mine = [".map.gpkg.part", ".map.part.gpkg", ".map.xyz.part.gpkg", "map.part.gpkg", ".map2.ab.part.gpkg"]
    for name in (leftover.name, f"{leftover.name}-journal", ".map.4711.part.gpkg", *mine):
        (tmp_path / name).touch()
    (tmp_path / ".map.gpkg.0123456789abcdef.old.d").mkdir()
    write_vector(out)
    assert leftover.exists(), "without the lock of a killed run nothing is looked for"
    (tmp_path / ".map.gpkg.lock").write_text("eo_dl lock\neo-dl tile (process 1 on elsewhere, since then)\n")
    with pytest.raises(OutputExistsError):
        write_vector(out)
    assert names(tmp_path) == sorted(["map.gpkg", *mine])


def test_folder_that_was_being_replaced_gets_its_name_back(tmp_path):
    old = tmp_path / ".chips.0123456789abcdef.old.d"
    old.mkdir()
    (old / "chips.json").touch()
    (tmp_path / ".chips.lock").touch()
    with pytest.raises(OutputExistsError):
        write_folder(tmp_path / "chips")
    assert names(tmp_path) == ["chips"] and names(tmp_path / "chips") == ["chips.json"]


def test_mark_of_a_folder_that_had_just_got_its_name_is_removed(tmp_path):
    write_folder(tmp_path / "chips")
    (tmp_path / "chips" / ".eo_dl_work").touch()
    (tmp_path / ".chips.lock").touch()
    with run_lock(tmp_path / "chips"):
        assert names(tmp_path / "chips") == ["x"]


def test_work_folder_that_stays_beside_an_output_is_named(tmp_path):
    write_vector(tmp_path / "map.gpkg")
    (tmp_path / "map.gpkg.pieces.part.d").mkdir()
    with pytest.raises(OutputExistsError, match=r"\(map\.gpkg\.pieces\.part\.d beside it is left of"):
        write_vector(tmp_path / "map.gpkg")


def test_work_folder_of_which_only_a_probe_is_left_is_cleared(tmp_path):
    (tmp_path / "map.tif.part.d").mkdir()
    (tmp_path / "map.tif.part.d" / ".0123456789abcdef.probe").touch()
    write_raster(tmp_path / "map.tif")
    assert "map.tif.part.d" not in names(tmp_path)


def test_run_may_write_what_it_has_locked_but_another_thread_may_not(tmp_path):
    refused = []

    def elsewhere():
        try:
            write_file(tmp_path / "a.txt")
        except WriteError as error:
            refused.append(str(error))

    with run_lock(tmp_path / "a.txt"), run_lock(tmp_path / "x" / ".." / "a.txt"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert refused and "by this process already" in refused[0]
        write_file(tmp_path / "a.txt")
        assert names(tmp_path) == [".a.txt.lock", "a.txt"]
        with writer_lock(tmp_path / "a.txt"), pytest.raises(WriteError, match="by this process already"):
            write_file(tmp_path / "a.txt")
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="making links takes rights on Windows")
@pytest.mark.parametrize("plant", ["text", "link", "folder"])
def test_lock_that_is_not_ours_is_neither_written_nor_deleted(tmp_path, plant):
    lock, precious = tmp_path / ".a.txt.lock", tmp_path / "precious.txt"
    precious.write_text("years of work")
    if plant == "text":
        os.rename(precious, lock)
        precious = lock
    elif plant == "link":
        lock.symlink_to(precious)
    else:
        lock.mkdir()
    with pytest.raises(WriteError, match=r"\.a\.txt\.lock: ") as caught:
        write_file(tmp_path / "a.txt")
    assert "\n" not in str(caught.value)
    assert precious.read_text() == "years of work" and not (tmp_path / "a.txt").exists()


def test_lock_of_a_very_long_name(tmp_path):
    with run_lock(tmp_path / ("x" * 250)):
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_without_a_folder_the_verb_itself_refuses(tmp_path):
    with run_lock(tmp_path / "missing" / "a.txt"), run_lock("/"):
        pass
