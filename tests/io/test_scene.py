"""A scene and its reader: selecting, remembering the file, one handle a thread."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.env import get_gdal_config

from eo_dl.core.bands import Band
from eo_dl.core.window import Window
from eo_dl.errors import BandError, SceneError
from eo_dl.io.gdal import limit_cache, small_cache
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.validity import measured, measured_bands

PIXELS = np.random.default_rng(3).integers(1, 60_000, (4, 300, 200)).astype("uint16")
NAMES = ("blue", "green", "red", "nir")


@pytest.fixture
def path(make_tiff):
    return make_tiff(
        PIXELS, names=NAMES, nodata=0, tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )


def test_scene_says_what_the_file_is(path):
    scene = open_scene(path)
    assert (scene.name, scene.stem, scene.file.driver, scene.dtype, scene.file.block_px) == (
        "scene.tif",
        "scene",
        "GTiff",
        "uint16",
        (64, 64),
    )
    assert (
        scene.bands.names,
        scene.bands[0].nodata,
        scene.file.compressed,
        scene.file.striped,
        scene.remote,
    ) == (
        NAMES,
        0,
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("asked", "numbers"), [("nir,red", [4, 3]), (["2"], [2]), ("red=1,x=4", [1, 4]), (["nir", "1"], [4, 1])]
)
def test_bands_are_chosen_by_name_number_or_both(path, asked, numbers):
    scene = open_scene(path, bands=asked)
    assert [band.number for band in scene.bands] == numbers
    with SceneReader(scene) as reader:
        assert np.array_equal(
            reader.read(Window(10, 20, 30, 40)).pixels, PIXELS[[n - 1 for n in numbers], 20:60, 10:40]
        )


def test_unknown_band_is_refused_with_those_there(path):
    with pytest.raises(BandError, match=r"has no band 'swir'; it has blue, green, red, nir"):
        open_scene(path, bands="swir")


def test_reordered_scene_reads_in_the_new_order(path):
    scene = open_scene(path).reordered((3, 0))
    assert scene.bands.names == ("nir", "blue")
    with SceneReader(scene) as reader:
        assert np.array_equal(reader.read_rows(5, 9)[0], PIXELS[[3, 0], 5:9])


def test_valid_mask_alone_equals_the_one_with_pixels(path, make_tiff):
    for scene in (open_scene(path), open_scene(make_tiff(PIXELS, "b.tif"))):
        with SceneReader(scene) as reader:
            for window in (Window(-4, -4, 20, 20), Window(190, 290, 20, 20), Window(500, 0, 3, 3)):
                assert np.array_equal(reader.read_valid(window), reader.read(window).valid)


def test_fingerprint_tells_a_changed_file(path):
    before = open_scene(path).fingerprint()
    assert before == open_scene(path).fingerprint()
    with open(path, "r+b") as file:
        file.seek(200)
        file.write(b"x")
    assert open_scene(path).fingerprint()["header_sha256"] != before["header_sha256"]


def test_fingerprint_of_a_vrt_tells_a_changed_source(path, tmp_path):
    band = (
        '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        '<SourceFilename relativeToVRT="1">scene.tif</SourceFilename></SimpleSource></VRTRasterBand>'
    )
    (tmp_path / "m.vrt").write_text(f'<VRTDataset rasterXSize="200" rasterYSize="300">{band}</VRTDataset>')
    scene = open_scene(tmp_path / "m.vrt")
    before = scene.fingerprint()
    os.utime(path, ns=(1, 1))
    assert scene.fingerprint() != before


def test_replaced_file_is_noticed_on_reading(path, make_tiff):
    scene = open_scene(path)
    make_tiff(PIXELS[:, :100, :100])
    with pytest.raises(SceneError, match="changed since it was opened"):
        SceneReader(scene)


def test_readers_of_many_threads_read_right_pixels(path):
    scene = open_scene(path)

    def check(seed):
        random = np.random.default_rng(seed)
        with SceneReader(scene) as reader:
            for _ in range(40):
                col, row = int(random.integers(0, 150)), int(random.integers(0, 250))
                if not np.array_equal(
                    reader.read(Window(col, row, 50, 50)).pixels, PIXELS[:, row : row + 50, col : col + 50]
                ):
                    return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(8)))


def test_plain_images_open_in_many_threads_without_a_warning(make_tiff):
    """rasterio warns of every image without georeference; warnings are errors here, and filters are shared by
    threads.
    """
    path = make_tiff(PIXELS, "plain.tif", crs=None, transform=None)

    def read(_):
        scene = open_scene(path)
        with SceneReader(scene) as reader:
            return int(reader.read(scene.grid.window).pixels.sum())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(40))) == {int(PIXELS.sum())}


def test_closed_reader_says_so(path):
    reader = SceneReader(open_scene(path))
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="is closed"):
        reader.read(Window(0, 0, 1, 1))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_reader_refuses_to_work_after_a_fork(path, monkeypatch):
    with SceneReader(open_scene(path)) as reader:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ValueError, match="before a fork"):
            reader.read(Window(0, 0, 1, 1))


def test_scenes_of_one_file_are_equal(path):
    assert open_scene(path) == open_scene(path)
    assert open_scene(path) != open_scene(path, bands="red")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 0, 9, 255]),
            st.lists(st.sampled_from([0, 1, 9, 255]), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_valid_pixels_follow_the_rules_pixel_by_pixel(bands):
    """0 and 255 are also measurements of light in uint8 and count only together; 9 counts alone."""
    pixels = np.array([values for _, values in bands], "uint8")[:, None]
    names = ("red", "green", "blue", "nir")
    described = tuple(Band(names[i], i, dtype="uint8", nodata=nodata) for i, (nodata, _) in enumerate(bands))
    wanted = []
    for column in zip(*(values for _, values in bands), strict=True):
        alone = any(nodata == 9 and value == 9 for (nodata, _), value in zip(bands, column, strict=True))
        together = [
            value == nodata for (nodata, _), value in zip(bands, column, strict=True) if nodata in (0, 255)
        ]
        wanted.append(not alone and not (together and all(together)))
    assert measured(pixels, described)[0].tolist() == wanted
    of_bands = measured_bands(pixels, described)
    assert [bool(column.all()) for column in of_bands[:, 0].T] == wanted


def test_cache_is_small_while_a_map_is_made_and_restored_after():
    limit_cache()
    before = int(get_gdal_config("GDAL_CACHEMAX"))
    with small_cache(), small_cache():
        assert int(get_gdal_config("GDAL_CACHEMAX")) <= 64 * 2**20
        with small_cache(2**20):
            assert int(get_gdal_config("GDAL_CACHEMAX")) == 2**20
        assert int(get_gdal_config("GDAL_CACHEMAX")) > 2**20
    assert int(get_gdal_config("GDAL_CACHEMAX")) == before
