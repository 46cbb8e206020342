"""Rasters that reach beyond themselves: nothing of another file is shown, no connection is opened.

Each of these showed the secret or connected before it was closed.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio

from eo_dl.chips.writing import read_written
from eo_dl.errors import EoDlError, SceneError
from eo_dl.io.gdal import gdal_environment, quietly
from eo_dl.io.scene import SceneReader, open_scene

GDAL = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])
RAW = """\
<VRTDataset rasterXSize="8" rasterYSize="8">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">
<SourceFilename relativeToVRT="0">{secret}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>8</LineOffset>
</VRTRasterBand></VRTDataset>"""
BAND = (
    '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">{}</VRTRasterBand>'
    "</VRTDataset>"
)
GOOD = '<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>1</SourceBand>'


@pytest.fixture
def folder(tmp_path):
    """A folder with a scene, and a secret elsewhere that its `evil.vrt` shows."""
    (tmp_path / "secret.txt").write_bytes(b"TOPSECRET" * 40)
    path = tmp_path / "data"
    path.mkdir()
    write_tiff(path / "a.tif")
    (path / "evil.vrt").write_text(RAW.replace("{secret}", str(tmp_path / "secret.txt")))
    return path


def write_tiff(path, value=7, size=8):
    options = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    with rasterio.open(
        path, "w", driver="GTiff", height=size, width=size, count=1, dtype="uint8", **options
    ) as dataset:
        dataset.write(np.full((1, size, size), value, "uint8"))


def read(path, side=None):
    scene = open_scene(path)
    scene = scene if side is None else scene.resized(side, side)
    with SceneReader(scene) as reader:
        return bytes(reader.read(scene.grid.window).pixels.ravel())


@pytest.mark.parametrize(
    "inner",
    [
        '<SimpleSource SourceFilename="{evil}"><SourceBand>1</SourceBand></SimpleSource>',
        '<SimpleSource SourceFilename="{url}"><SourceBand>1</SourceBand></SimpleSource>',
        '<SimpleSource sourcefilename="{url}">{good}</SimpleSource>',
        "<SimpleSource><sourcefilename>{url}</sourcefilename></SimpleSource>",
        '<ComplexSource SourceFilename="{url}" SourceBand="1"/>',
        '<SimpleSource OpenOptions="x">{good}</SimpleSource>',
        '<SimpleSource>{good}</SimpleSource><Overview SourceFilename="{url}" SourceBand="1"/>',
        '<MaskBand><VRTRasterBand><SimpleSource SourceFilename="{url}"/></VRTRasterBand></MaskBand>',
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif </SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="1">a<!-- -->.tif</SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="1">a<![CDATA[.tif]]></SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="1">a.tif<x/></SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="yes">a.tif</SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="1" RelativeToVRT="0">a.tif</SourceFilename>'
        "</SimpleSource>",
        "<?x y?><SimpleSource>{good}</SimpleSource>",
        '<SimpleSource>{good}</SimpleSource><Metadata Domain="overviews"><MDI key="OVERVIEW_FILE">{url}</MDI>'
        "</Metadata>",
    ],
)
def test_sources_by_attribute_case_or_markup_are_refused(folder, listener, inner):
    if sys.platform != "win32":  # which has no such file names
        (folder / "a.tif ").write_bytes((folder / "evil.vrt").read_bytes())
    inner = inner.replace("{evil}", str(folder / "evil.vrt"))
    inner = inner.replace("{url}", listener.url(f"{abs(hash(inner))}.tif")).replace("{good}", GOOD)
    (folder / "m.vrt").write_text(BAND.format(inner))
    with pytest.raises(SceneError, match=r"m\.vrt: the VRT holds") as caught:
        read(folder / "m.vrt")
    assert "\n" not in str(caught.value)
    assert listener.count == 0


def test_vrt_in_gdals_own_spelling_and_with_comments_is_read(folder):
    inner = (
        '<!-- of today --><SimpleSource resampling="bilinear"><SourceFilename relativetoVRT="1" shared="0">'
        "a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    )
    (folder / "m.vrt").write_text('<?xml version="1.0"?>\n' + BAND.format(inner))
    assert read(folder / "m.vrt") == b"\x07" * 64


@pytest.mark.skipif(GDAL < (3, 12), reason="older versions of GDAL have no such setting")
def test_gdal_itself_refuses_raw_bands_of_vrts_that_are_not_trusted(folder):
    """The second lock, should the first one be picked."""
    evil = str(folder / "evil.vrt")
    with gdal_environment(evil), quietly(), pytest.raises(rasterio.errors.RasterioError):
        rasterio.open(evil, driver="VRT").read()


@pytest.mark.parametrize(
    "name",
    [
        "a.tif.OVR",
        "a.tif.Ovr",
        "A.TIF.ovr",
        "a.tif.Msk",
        "a.tif.MSK",
        "a.tif.msk.OVR",
        "a.tif.ovr.msk",
        "a.tif.msk.msk",
    ],
)
@pytest.mark.parametrize("files", [0, 1100])
@pytest.mark.skipif(sys.platform != "linux", reason="file systems of other systems do not tell cases apart")
def test_overviews_and_masks_in_any_spelling_must_be_tiffs(folder, listener, name, files):
    """In folders of many files GDAL asks for names instead of listing, and for fewer spellings."""
    for number in range(files):
        (folder / f"{number}.txt").touch()
    inner = name.lower()
    if inner.endswith(("msk.ovr", "msk.msk")):
        write_tiff(folder / "a.tif.msk", 255)
    if inner.endswith("ovr.msk"):
        write_tiff(folder / "a.tif.ovr", 3, 4)
    url = listener.url(f"{name}{files}.tif")
    xml = BAND.format(f"<SimpleSource><SourceFilename>{url}</SourceFilename></SimpleSource>")
    (folder / name).write_text(xml.replace('"8"', '"4"'))
    if files and name in ("a.tif.Ovr", "A.TIF.ovr", "a.tif.Msk"):
        assert read(folder / "a.tif", 4) == b"\x07" * 16  # GDAL does not find it either
    else:
        with pytest.raises(SceneError, match=r"must be a TIFF, this is none; remove it"):
            read(folder / "a.tif", 4)
    assert listener.count == 0


def test_pyramids_of_erdas_that_are_text_are_refused(folder, listener):
    xml = BAND.format(f"<SimpleSource><SourceFilename>{listener.url('x')}</SourceFilename></SimpleSource>")
    for name in ("a.aux", "a.tif.AUX"):
        (folder / name).write_text("EHFA_HEADER_TAG" + xml)
        with pytest.raises(SceneError, match="continues like text"):
            read(folder / "a.tif", 4)
        (folder / name).write_bytes(b"EHFA_HEADER_TAG\0" + bytes(100))
        assert read(folder / "a.tif") == b"\x07" * 64
        (folder / name).unlink()
    assert listener.count == 0


def test_overview_file_in_a_tag_of_any_case_is_refused(folder, listener):
    note = f'<MDI key="Overview_File">{listener.url("tag")}</MDI>'
    (folder / "a.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="Overviews">{note}</Metadata></PAMDataset>'
    )
    with pytest.raises(SceneError, match="names an overview file"):
        read(folder / "a.tif", 4)
    assert listener.count == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_name_of_a_file_is_not_read_as_an_address(folder, listener, monkeypatch):
    monkeypatch.chdir(folder)
    write_tiff(folder / "b.tif", 9)
    for name in (f"http:127.0.0.1:{listener.port}", "GTIFF_DIR:1:b.tif", "zip:a.tif"):
        write_tiff(folder / name, 5)
        assert read(name) == b"\x05" * 64
    assert listener.count == 0


def test_chips_are_opened_without_what_lies_beside_them(folder, listener):
    xml = BAND.format(f"<SimpleSource><SourceFilename>{listener.url('chip')}</SourceFilename></SimpleSource>")
    flags = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'  # one mask for all bands
    for suffix in (".msk", ".ovr", ".Msk"):
        (folder / f"a.tif{suffix}").write_text(xml.replace("<VRTRasterBand", f"{flags}<VRTRasterBand"))
    pixels, valid = read_written(folder / "a.tif", 1)
    assert (pixels == 7).all() and valid.all() and listener.count == 0


def test_every_refusal_is_an_error_of_the_library(folder):
    (folder / "a.tif.ovr").symlink_to("/dev/zero")
    with pytest.raises(EoDlError, match="not a regular file"):
        read(folder / "a.tif")
