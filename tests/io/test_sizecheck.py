"""Rasters that say they hold more than their bytes can are one line; sparse and compressed ones are read.

Before, a file of 200 kB was opened as 2^31 x 2^31 pixels, and `tile` began to list its chips.
"""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from eo_dl.errors import SceneError
from eo_dl.io.gdal import quietly
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl_cli.main import run
from tests.making import CommandOutput, refused

MOST = 2**31 - 1


def tiff(path, width, height, *, tags, bands=1, blocks=1):
    """A BigTIFF by hand: its tags say what they like, of 200 kB of zeros."""
    entries = {256: (4, [width]), 257: (4, [height]), 258: (3, [8]), 262: (3, [1]), 277: (3, [bands])}
    for tag, value in tags.items():
        entries[tag] = (4, [value])
    places = (324, 325) if 322 in tags else (273, 279)
    entries |= {places[0]: (16, [16] * blocks), places[1]: (16, [100] * blocks)}
    body = bytes(200_000)
    directory = struct.pack("<Q", len(entries))
    behind, behind_at = b"", 16 + len(body) + 8 + 20 * len(entries) + 8
    for tag, (kind, values) in sorted(entries.items()):
        data = b"".join(struct.pack({3: "<H", 4: "<I", 16: "<Q"}[kind], value) for value in values)
        if len(data) > 8:
            place = struct.pack("<Q", behind_at + len(behind))
            behind, data = behind + data, place
        directory += struct.pack("<HHQ", tag, kind, len(values)) + data.ljust(8, b"\0")
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16 + len(body))
    path.write_bytes(head + body + directory + struct.pack("<Q", 0) + behind)


@pytest.mark.parametrize(
    ("width", "height", "tags", "bands"),
    [
        (MOST, MOST, {259: 1, 278: MOST}, 1),
        (MOST, MOST, {259: 1, 278: 1}, 1),
        (MOST, MOST, {259: 8, 278: 1}, 1),
        (2**20, 2**20, {259: 8, 322: 256, 323: 256}, 1),
        (2**24, 2**24, {259: 8, 322: 2**14, 323: 2**14}, 1),
        (50_000, 50_000, {259: 1, 278: 1000}, 1),
        (1000, 1000, {259: 1, 278: 1000}, 65535),
    ],
)
def test_tiff_that_lies_about_its_size_is_one_line(tmp_path, width, height, tags, bands):
    tiff(tmp_path / "a.tif", width, height, tags=tags, bands=bands, blocks=50 if width == 50_000 else 1)
    with pytest.raises(SceneError, match=r"cannot hold; it is damaged|cannot be opened") as caught:
        open_scene(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not say how much memory was used")
def test_no_memory_is_taken_for_a_lie(tmp_path, capfd):
    import resource  # not on Windows

    tiff(tmp_path / "a.tif", MOST, MOST, tags={259: 1, 278: MOST})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for command in (
        ["inspect"],
        ["tile", "--labels", str(tmp_path / "none.gpkg"), "-o", str(tmp_path / "c")],
    ):
        code = run([command[0], str(tmp_path / "a.tif"), *command[1:]])
        refused(CommandOutput(code, *capfd.readouterr()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_vrt_that_lies_about_its_size_is_one_line(tmp_path):
    with (
        quietly(),
        rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8"
        ) as dataset,
    ):
        dataset.write(np.ones((1, 8, 8), np.uint8))
    (tmp_path / "m.vrt").write_text(
        f'<VRTDataset rasterXSize="{MOST}" rasterYSize="{MOST}"><VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(SceneError, match="cannot hold"):
        open_scene(tmp_path / "m.vrt")


@pytest.mark.parametrize(
    "options",
    [
        {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True},
        {"sparse_ok": True},
        {"sparse_ok": True, "compress": "deflate", "blockysize": 64},
        {"sparse_ok": True, "bigtiff": "yes", "interleave": "pixel", "count": 5},
    ],
    ids=["tiles", "strips", "deflate", "five bands"],
)
def test_sparse_files_are_read(tmp_path, options):
    profile = {"driver": "GTiff", "height": 60_000, "width": 60_000, "count": 1, "dtype": "uint8"} | options
    with (
        quietly(),
        rasterio.open(
            tmp_path / "a.tif", "w", crs="EPSG:32633", transform=Affine(1, 0, 0, 0, -1, 0), **profile
        ) as dataset,
    ):
        dataset.write(np.full((dataset.count, 1, 10), 7, np.uint8), window=((59_999, 60_000), (0, 10)))
    scene = open_scene(tmp_path / "a.tif")
    with SceneReader(scene) as reader:
        assert (reader.read_rows(59_999, 60_000)[0][:, :, :10] == 7).all()


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "lerc", "packbits"])
def test_constant_images_are_read(tmp_path, compress):
    profile = {"driver": "GTiff", "height": 6000, "width": 6000, "count": 1, "dtype": "uint8"}
    with (
        quietly(),
        rasterio.open(
            tmp_path / "a.tif",
            "w",
            compress=compress,
            tiled=True,
            blockxsize=2048,
            blockysize=2048,
            **profile,
        ) as dataset,
    ):
        dataset.write(np.zeros((1, 6000, 6000), np.uint8))
    assert open_scene(tmp_path / "a.tif").grid.width == 6000


@pytest.mark.parametrize(("height", "width"), [(20_000, 1), (1, 20_000), (3, 3)])
def test_narrow_images_are_read(tmp_path, height, width):
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    with quietly(), rasterio.open(tmp_path / "a.tif", "w", blockysize=height, **profile) as dataset:
        dataset.write(np.zeros((1, height, width), np.uint8))
    assert open_scene(tmp_path / "a.tif").grid.height == height
