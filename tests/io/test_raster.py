"""Rasters are whole under their name or not there, read back as written, and resume by rows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS

from eo_dl.core.classes import ClassSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import InputError, OutputExistsError, WriteError
from eo_dl.io.gdal import quietly
from eo_dl.io.rasterwriter import RasterWriter, encode_geotiff
from eo_dl.io.scene import SceneReader, open_scene
from tests.making import write_geotiff

UTM = CRS.from_epsg(32633)
CLASSES = ClassSet.of_names(["open water", 'wood & "scrub"'], background=True)
NORTH_UP = Affine(1, 0, 500_000, 0, -1, 5_000_000)


def grid(height=700, width=530, transform=NORTH_UP, crs=UTM):
    return PixelGrid(crs, transform, height, width)


def class_map(height=700, width=530):
    return np.random.default_rng(0).integers(0, 3, (1, height, width)).astype("uint8")


def write_rows(writer, pixels, step=128, until=None):
    for row in range(writer.done_rows, pixels.shape[1] if until is None else until, step):
        writer.write(row, pixels[:, row : row + step])


def stop_after(path, rows, error, step=128, **options):
    """A run that ends with an error after some rows."""
    with RasterWriter(path, grid(), nodata=255, **options) as writer:
        write_rows(writer, class_map(), step, until=rows)
        raise error


def files(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (NORTH_UP, UTM),
        (Affine(1, 0, 500_000, 0, 1, 5_000_000), UTM),
        (Affine(1, 0.5, 500_000.123456789, 0.5, -1, 5_000_000.987654321), UTM),
        (Affine(1e-5, 0, 179.999, 0, -1e-5, 50), CRS.from_epsg(4326)),
        (Affine(25, 0, 5, 0, -25, 5), CRS.from_epsg(3412)),
        (
            Affine(1, 0, 0, 0, -1, 0),
            CRS.from_proj4("+proj=omerc +lat_0=40 +lonc=10 +alpha=30 +gamma=20 +k=1 +ellps=WGS84 +units=m"),
        ),
        (Affine(1, 0, 5, 0, -1, 5), None),
        (Affine.identity(), None),
    ],
    ids=["north-up", "south-up", "rotated", "degrees", "polar", "custom CRS", "no CRS", "plain image"],
)
def test_every_grid_comes_back_as_it_was(tmp_path, transform, crs):
    pixels, path = class_map(), tmp_path / "map.tif"
    with RasterWriter(
        path,
        grid(transform=transform, crs=crs),
        nodata=255,
        classes=CLASSES,
        descriptions=["class"],
        tags={"EO_DL_MODEL": 'a<b>&"c"'},
    ) as writer:
        write_rows(writer, pixels)
    scene = open_scene(path)
    assert np.allclose(tuple(scene.grid.transform)[:6], tuple(transform)[:6], rtol=1e-14, atol=0)
    assert (scene.grid.crs is None) == (crs is None)
    with quietly(), rasterio.open(path) as dataset:
        assert (dataset.nodata, dataset.descriptions, dataset.tags()["EO_DL_MODEL"]) == (
            255,
            ("class",),
            'a<b>&"c"',
        )
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert np.array_equal(dataset.read(), pixels)
    assert files(tmp_path) == ["map.qml", "map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 1031), (1031, 1), (513, 511), (1024, 512)])
def test_awkward_sizes_come_back(tmp_path, height, width):
    pixels = class_map(height, width)
    with RasterWriter(tmp_path / "map.tif", grid(height, width), nodata=255) as writer:
        write_rows(writer, pixels, step=7 if height < 600 else 300)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert np.array_equal(dataset.read(), pixels)


@pytest.mark.parametrize(
    ("dtype", "count", "nodata"),
    [
        ("uint8", 5, 255),
        ("uint16", 2, 0),
        ("int16", 1, -1),
        ("float32", 3, float("nan")),
        ("float64", 1, None),
    ],
)
def test_every_type_and_number_of_bands_comes_back(tmp_path, dtype, count, nodata):
    pixels = np.random.default_rng(1).normal(50, 20, (count, 600, 300)).astype(dtype)
    scales = [1 / 254] * count if dtype == "uint8" else None
    names = [f"share of {i}" for i in range(count)]
    with RasterWriter(
        tmp_path / "p.tif",
        grid(600, 300),
        dtype=dtype,
        count=count,
        nodata=nodata,
        descriptions=names,
        scales=scales,
    ) as writer:
        write_rows(writer, pixels)
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert np.array_equal(dataset.read(), pixels)
        assert list(dataset.descriptions) == names
        assert dataset.scales == (tuple(scales) if scales else (1.0,) * count)
        assert dataset.nodata == nodata or np.isnan(nodata)


def test_class_map_is_a_cog_with_names_and_colours_beside_it(tmp_path):
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255, classes=CLASSES) as writer:
        write_rows(writer, class_map())
    notes = fromstring((tmp_path / "map.tif.aux.xml").read_text())
    assert [c.text for c in notes.iter("Category")] == ["background", "open water", 'wood & "scrub"']
    assert len(list(notes.iter("Entry"))) == 3
    style = fromstring((tmp_path / "map.qml").read_text())
    assert [(e.get("value"), e.get("label")) for e in style.iter("paletteEntry")] == [
        ("0", "background"),
        ("1", "open water"),
        ("2", 'wood & "scrub"'),
    ]
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.overviews(1)
        assert dataset.block_shapes == [(512, 512)]


def test_overviews_of_a_class_map_hold_only_its_classes(tmp_path):
    pixels = class_map() * 2
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255) as writer:
        write_rows(writer, pixels)
    with rasterio.open(tmp_path / "map.tif", overview_level=0) as dataset:
        assert set(np.unique(dataset.read())) == {0, 2, 4}


def test_same_rows_give_the_same_bytes_however_they_are_cut(tmp_path):
    pixels = class_map()
    for name, step in (("a.tif", 100), ("b.tif", 333)):
        with RasterWriter(tmp_path / name, grid(), nodata=255, job_key="k") as writer:
            write_rows(writer, pixels, step)
    with RasterWriter(tmp_path / "c.tif", grid(), nodata=255, job_key="k") as writer:
        for row0 in range(0, 700, 300):
            for col0 in range(0, 530, 200):
                assert writer.done_rows == row0  # rows count when their last piece is there
                writer.write(row0, pixels[:, row0 : row0 + 300, col0 : col0 + 200], col0)
    assert len({(tmp_path / name).read_bytes() for name in ("a.tif", "b.tif", "c.tif")}) == 1


def test_a_run_stopped_between_pieces_begins_these_rows_again(tmp_path):
    planes = np.concatenate([class_map(), class_map() + 1])
    with RasterWriter(tmp_path / "whole.tif", grid(), count=2, nodata=255) as writer:
        writer.write(0, planes)
    path = tmp_path / "map.tif"

    def stopped():
        with RasterWriter(path, grid(), count=2, nodata=255, job_key="k") as writer:
            writer.write(0, planes[:, :100])
            writer.write(100, planes[:, 100:150, :300])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with RasterWriter(path, grid(), count=2, nodata=255, job_key="k") as writer:
        assert writer.done_rows == 100
        writer.write(100, planes[:, 100:, :300])
        with pytest.raises(ValueError, match="column 300"):
            writer.write(100, planes[:, 100:200, 300:], 300)
        writer.write(100, planes[:, 100:, 300:], 300)
    assert path.read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_error_in_the_block_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        stop_after(tmp_path / "map.tif", 200, ZeroDivisionError)
    assert files(tmp_path) == []


def test_error_with_a_job_key_keeps_the_rows_and_the_next_run_goes_on(tmp_path):
    pixels, path = class_map(), tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        stop_after(path, 300, KeyboardInterrupt, job_key="k")
    assert files(tmp_path) == ["map.tif.part.d"]
    with RasterWriter(path, grid(), nodata=255, job_key="k") as writer:
        assert writer.done_rows == 384
        write_rows(writer, pixels)
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), pixels)
    assert files(tmp_path) == ["map.tif"]


@pytest.mark.parametrize(
    "other", [{"job_key": "other"}, {"job_key": "k", "count": 2}, {"job_key": "k", "dtype": "int16"}]
)
def test_rows_of_another_job_are_not_taken(tmp_path, other):
    with pytest.raises(KeyboardInterrupt):
        stop_after(tmp_path / "map.tif", 300, KeyboardInterrupt, job_key="k")
    writer = RasterWriter(tmp_path / "map.tif", grid(), nodata=255, **other)
    assert writer.done_rows == 0
    assert writer.discarded_rows == 384 or len(other) == 2
    writer._spill.close()


KILLED = """
import os, signal, sys
import numpy as np
from affine import Affine
from pyproj import CRS
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.io.gdal import quietly
from eo_dl.io.rasterwriter import RasterWriter
pixels = np.random.default_rng(0).integers(0, 3, (1, 700, 530)).astype("uint8")
grid = PixelGrid(CRS.from_epsg(32633), Affine(1, 0, 500000, 0, -1, 5000000), 700, 530)
with RasterWriter(sys.argv[1], grid, nodata=255, job_key="k") as writer:
    for row in range(0, 700, 100):
        if row == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        writer.write(row, pixels[:, row : row + 100])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("row", [0, 400])
def test_killed_run_leaves_no_map_and_is_continued(tmp_path, row):
    path = tmp_path / "map.tif"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(row)], check=False)
    assert done.returncode == -9
    assert not path.exists()
    with RasterWriter(path, grid(), nodata=255, job_key="k") as writer:
        assert writer.done_rows == row
        write_rows(writer, class_map(), 100)
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), class_map())


def interrupted(path):
    with pytest.raises(KeyboardInterrupt):
        stop_after(path, 300, KeyboardInterrupt, 100, job_key="k")
    return path.with_name("map.tif.part.d")


@pytest.mark.parametrize("cut", range(1, 22, 4))
def test_torn_last_line_of_the_journal_is_not_believed(tmp_path, cut):
    folder = interrupted(tmp_path / "map.tif")
    journal = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(journal[:-cut])
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255, job_key="k") as writer:
        assert writer.done_rows == 200
        write_rows(writer, class_map(), 50)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert np.array_equal(dataset.read(), class_map())


@pytest.mark.parametrize("what", ["changed byte", "short rows", "changed line", "no journal", "no rows"])
def test_rows_that_changed_on_disk_are_computed_again(tmp_path, what):
    folder = interrupted(tmp_path / "map.tif")
    rows, journal = folder / "rows.bin", folder / "journal"
    if what == "changed byte":
        data = bytearray(rows.read_bytes())
        data[530 * 150] ^= 1
        rows.write_bytes(data)
    elif what == "short rows":
        rows.write_bytes(rows.read_bytes()[: 530 * 150])
    elif what == "changed line":
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(lines[0] + lines[1].replace(b"100", b"101", 1) + lines[2])
    else:
        (journal if what == "no journal" else rows).unlink()
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255, job_key="k") as writer:
        assert writer.done_rows == (0 if what.startswith("no ") else 100)
        write_rows(writer, class_map(), 100)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert np.array_equal(dataset.read(), class_map())


DISK_FULL = """
import os, resource, sys
import numpy as np
from affine import Affine
from pyproj import CRS
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.errors import WriteError
from eo_dl.io.gdal import quietly
from eo_dl.io.rasterwriter import RasterWriter
pixels = np.random.default_rng(0).integers(0, 255, (1, 700, 530)).astype("uint8")
grid = PixelGrid(CRS.from_epsg(32633), Affine(1, 0, 500000, 0, -1, 5000000), 700, 530)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with RasterWriter(sys.argv[1], grid, nodata=255, job_key="k") as writer:
            for row in range(writer.done_rows, 700, 100):
                writer.write(row, pixels[:, row : row + 100])
    except WriteError as error:
        output = "there" if os.path.exists(sys.argv[1]) else "nothing"
        sys.stdout.write(f"{limit} refused, {output}: {error}\\n")
    else:
        sys.stdout.write(f"{limit} written\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no RLIMIT_FSIZE on Windows")
def test_full_disk_is_one_line_and_nothing_has_the_maps_name(tmp_path):
    """Rows are 371 000 bytes, the map (noise does not compress) and its overviews about 500 000: every stage
    is hit.
    """
    path = tmp_path / "map.tif"
    limits = (100, 100_000, 370_999, 371_001, 380_000, 450_000)
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(path), *map(str, limits), "9000000"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["9000000 written"], done.stderr[-2000:]
    assert done.stderr == ""  # libtiff's own words are caught, and are a failure
    for limit, line in zip(limits, lines, strict=False):
        assert line.startswith(f"{limit} refused, nothing: {path}: "), line
    assert len(lines) == len(limits) + 1
    assert files(tmp_path) == ["map.tif"]


def spoiled(path, how):
    """A write that went wrong without a word, as rasterio's close does on a full disk."""
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) * 3 // 4])
    elif how == "zeros":
        data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
        path.write_bytes(data)
    else:
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            if how == "pixel":
                dataset.write(dataset.read(window=((5, 6), (5, 6))) ^ 1, window=((5, 6), (5, 6)))
            elif how == "nodata":
                dataset.nodata = 0
            elif how == "transform":
                dataset.transform = Affine(1, 0, 500_001, 0, -1, 5_000_000)
            elif how == "tags":
                dataset.update_tags(MODEL="other")
            else:
                dataset.crs = CRS.from_epsg(32634).to_wkt()


@pytest.mark.parametrize("how", ["cut", "zeros", "pixel", "nodata", "transform", "tags", "crs"])
def test_silent_damage_is_found_before_the_map_gets_its_name(tmp_path, monkeypatch, how):
    copy = rasterio.shutil.copy

    def damaging(source, target, **options):
        copy(source, target, **options)
        spoiled(Path(target), how)

    monkeypatch.setattr(rasterio.shutil, "copy", damaging)
    with (
        pytest.raises(WriteError, match="read back") as caught,
        RasterWriter(tmp_path / "map.tif", grid(), nodata=255, tags={"MODEL": "this"}) as writer,
    ):
        write_rows(writer, class_map())
    assert str(tmp_path / "map.tif") in str(caught.value)
    assert files(tmp_path) == []


def test_existing_map_is_refused_and_survives_a_failed_overwrite(tmp_path):
    path = tmp_path / "map.tif"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        RasterWriter(path, grid(), nodata=255)
    with pytest.raises(ZeroDivisionError):
        stop_after(path, 100, ZeroDivisionError, overwrite=True)
    assert path.read_bytes() == b"precious"


def test_overwritten_map_loses_the_side_files_of_the_old(tmp_path):
    path = tmp_path / "map.tif"
    path.touch()
    for name in ("map.tif.aux.xml", "map.tif.ovr"):
        (tmp_path / name).write_text("old")
    with RasterWriter(path, grid(), nodata=255, overwrite=True) as writer:
        write_rows(writer, class_map())
    assert files(tmp_path) == ["map.tif"]


def test_somebodys_own_style_is_left_alone(tmp_path):
    (tmp_path / "map.qml").write_text("<qgis>mine</qgis>")
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255, classes=CLASSES) as writer:
        write_rows(writer, class_map())
    assert "mine" in (tmp_path / "map.qml").read_text()
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255, classes=CLASSES, overwrite=True) as writer:
        write_rows(writer, class_map())
    assert "mine" not in (tmp_path / "map.qml").read_text()


def test_folder_must_be_there_and_writable(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        RasterWriter(tmp_path / "no" / "map.tif", grid(), nodata=255)
    if os.getuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="cannot be written to"):
        RasterWriter(tmp_path / "closed" / "map.tif", grid(), nodata=255)


def test_two_writers_of_one_map_do_not_mix(tmp_path):
    with RasterWriter(tmp_path / "map.tif", grid(), nodata=255) as writer:
        with pytest.raises(WriteError, match=r"map\.tif: is being written by this process already"):
            RasterWriter(tmp_path / "map.tif", grid(), nodata=255)
        write_rows(writer, class_map())


def test_too_large_for_the_disk_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(WriteError, match="GB free"):
        RasterWriter(tmp_path / "map.tif", grid(), nodata=255)


@pytest.mark.parametrize(
    ("row", "shape", "dtype"),
    [
        (1, (1, 5, 530), "uint8"),
        (0, (2, 5, 530), "uint8"),
        (0, (1, 5, 531), "uint8"),
        (0, (1, 5, 530), "int64"),
        (0, (1, 701, 530), "uint8"),
    ],
)
def test_rows_that_do_not_follow_or_fit_are_refused(tmp_path, row, shape, dtype):
    with (
        pytest.raises(ValueError, match="expected row"),
        RasterWriter(tmp_path / "map.tif", grid(), nodata=255) as writer,
    ):
        writer.write(row, np.zeros(shape, dtype))


def test_stopped_before_the_first_row_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stop_after(tmp_path / "map.tif", 0, KeyboardInterrupt, job_key="k")
    assert files(tmp_path) == []


def test_missing_rows_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="expected 700 rows, 128 were written"),
        RasterWriter(tmp_path / "map.tif", grid(), nodata=255) as writer,
    ):
        write_rows(writer, class_map(), until=100)
    assert files(tmp_path) == []


# Small rasters


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
def test_chip_comes_back_with_its_exact_mask(tmp_path, dtype):
    random = np.random.default_rng(2)
    pixels = random.normal(0, 50, (3, 40, 30)).astype(dtype)
    valid = random.random((40, 30)) > 0.3
    write_geotiff(
        tmp_path / "chip.tif",
        pixels,
        grid(40, 30),
        descriptions=("red", "green", "nir"),
        valid=valid,
        tags={"A": "b"},
        scales=(0.1, 0.2, 0.3),
        offsets=(1, 2, 3),
    )
    scene = open_scene(tmp_path / "chip.tif")
    with SceneReader(scene) as reader:
        chip = reader.read(scene.grid.window)
    assert np.array_equal(chip.valid, valid)
    assert np.array_equal(chip.pixels, np.where(valid, pixels, 0))
    assert scene.grid == grid(40, 30)
    assert [(b.name, b.scale, b.offset) for b in scene.bands] == [
        ("red", 0.1, 1),
        ("green", 0.2, 2),
        ("nir", 0.3, 3),
    ]
    assert files(tmp_path) == ["chip.tif"]


def test_chip_without_place_is_written_and_its_bytes_are_the_same_every_time():
    pixels = np.arange(24, dtype="uint8").reshape(1, 4, 6)
    plain = grid(4, 6, Affine.identity(), None)
    assert encode_geotiff(pixels, plain) == encode_geotiff(pixels, plain)
