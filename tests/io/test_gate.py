"""Nothing is opened that the content does not say, and nothing that reaches beyond its own folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from eo_dl.errors import LabelError, SceneError
from eo_dl.io import gate
from eo_dl.io.gate import driver_of_bytes, raster_driver, vector_driver
from eo_dl.io.scene import SceneReader, open_scene
from eo_dl.io.vectorlayers import read_layer

RAW_BAND = """\
<VRTDataset rasterXSize="8" rasterYSize="8">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">
<SourceFilename relativeToVRT="0">{secret}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>8</LineOffset>
</VRTRasterBand>
</VRTDataset>"""
MOSAIC = """\
<VRTDataset rasterXSize="8" rasterYSize="8">
<SRS>EPSG:32633</SRS><GeoTransform>0, 2, 0, 0, 0, -2</GeoTransform>
<VRTRasterBand dataType="Byte" band="1">
<SimpleSource>{source}<SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand>
</VRTDataset>"""


@pytest.fixture
def secret(tmp_path):
    """A file that nobody pointed us at; its text must never come out as pixels."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "secret.txt"
    path.write_bytes(b"TOPSECRET" * 40)
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    return path


def source(text, relative="1"):
    return f'<SourceFilename relativeToVRT="{relative}">{text}</SourceFilename>'


@pytest.mark.parametrize(
    "text",
    [
        RAW_BAND,
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://localhost:9/x</ServerUrl></Service></GDAL_WMS>",
        (
            "<MRF_META><Raster><Size x='8' y='8'/></Raster><CachedSource><Source>/etc/passwd</Source>"
            "</CachedSource></MRF_META>"
        ),
        '{"type": "gdal_streamed_alg"}',
        "ENVI\nsamples = 8",
        "GIF89a........",
    ],
    ids=["VRT", "WMS", "MRF", "JSON", "ENVI", "GIF"],
)
def test_text_under_a_rasters_name_is_refused(folder, secret, text):
    path = folder / "ortho.tif"
    path.write_text(text.replace("{secret}", str(secret)))
    with pytest.raises(SceneError, match="is not a supported raster"):
        open_scene(path)


def test_mosaic_of_local_files_is_opened(folder):
    write_tiff(folder / "sub" / "a.tif")
    (folder / "m.vrt").write_text(MOSAIC.format(source=source("sub/a.tif")))
    (folder / "nested.vrt").write_text(MOSAIC.format(source=source("m.vrt")))
    for name in ("m.vrt", "nested.vrt"):
        scene = open_scene(folder / name)
        with SceneReader(scene) as reader:
            assert (reader.read(scene.grid.window).pixels == 7).all()


def test_mosaics_of_real_scenes_are_opened(real_data):
    scene = open_scene(real_data / "banepa-buildings/banepa_oam_3072x4096.vrt")
    assert (scene.file.driver, scene.grid.width, scene.grid.height) == ("VRT", 3072, 4096)


@pytest.mark.parametrize(
    "inner",
    [
        source("../elsewhere/secret.txt"),
        source("{secret}", "0"),
        source("/vsicurl/http://localhost:9/a.tif", "0"),
        source("http://localhost:9/a.tif", "0"),
        source("NETCDF:a.nc:v", "0"),
        source("&lt;VRTDataset&gt;", "0"),
        source("a.tif") + "<OpenOptions><OOI key='X'>Y</OOI></OpenOptions>",
    ],
)
def test_vrt_that_reaches_out_is_refused(folder, secret, inner):
    write_tiff(folder / "a.tif")
    path = folder / "m.vrt"
    path.write_text(MOSAIC.format(source=inner.replace("{secret}", str(secret))))
    with pytest.raises(SceneError, match="`trust_vrt=True`"):
        open_scene(path)


@pytest.mark.parametrize(
    "text",
    [
        RAW_BAND,
        '<VRTDataset subClass="VRTWarpedDataset" rasterXSize="8" rasterYSize="8"></VRTDataset>',
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1" '
        'subClass="VRTDerivedRasterBand">'
        "<PixelFunctionType>mul</PixelFunctionType></VRTRasterBand></VRTDataset>",
        (
            '<VRTDataset rasterXSize="8" rasterYSize="8"><Metadata domain="OVERVIEWS">'
            '<MDI key="OVERVIEW_FILE">/etc/passwd</MDI></Metadata></VRTDataset>'
        ),
    ],
)
def test_vrt_of_another_kind_is_refused(folder, secret, text):
    path = folder / "m.vrt"
    path.write_text(text.replace("{secret}", str(secret)))
    with pytest.raises(SceneError, match="`trust_vrt=True`"):
        open_scene(path)


def test_trusted_vrt_is_opened(folder, secret):
    path = folder / "m.vrt"
    path.write_text(RAW_BAND.replace("{secret}", str(secret)))
    scene = open_scene(path, trust_vrt=True)
    with SceneReader(scene) as reader:
        assert bytes(reader.read(scene.grid.window).pixels.ravel())[:9] == b"TOPSECRET"


def test_source_of_a_vrt_is_checked_like_a_scene(folder, secret):
    (folder / "a.tif").write_text(RAW_BAND.replace("{secret}", str(secret)))
    (folder / "m.vrt").write_text(MOSAIC.format(source=source("a.tif")))
    with pytest.raises(SceneError, match="is named by a VRT but is not a supported raster"):
        open_scene(folder / "m.vrt")
    (folder / "m.vrt").write_text(MOSAIC.format(source=source("gone.tif")))
    with pytest.raises(SceneError, match=r"its source 'gone.tif' does not exist"):
        open_scene(folder / "m.vrt")


def test_image_that_goes_on_as_text_is_refused_inside_a_vrt(folder, secret):
    """GDAL's VRT driver looks for its root element anywhere before the first zero byte."""
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1AB" + RAW_BAND.replace("{secret}", str(secret)).encode())
    (folder / "m.vrt").write_text(MOSAIC.format(source=source("a.jpg")))
    with pytest.raises(SceneError, match="continues like text"):
        open_scene(folder / "m.vrt")


def test_link_out_of_the_folder_is_not_followed(folder, secret):
    (folder / "a.tif").symlink_to(secret)
    (folder / "m.vrt").write_text(MOSAIC.format(source=source("a.tif")))
    with pytest.raises(SceneError, match="outside its own folder"):
        open_scene(folder / "m.vrt")


def test_vrt_with_entities_or_without_end_is_one_line(folder):
    (folder / "bomb.vrt").write_text(
        '<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset rasterXSize="8" rasterYSize="8"><SRS>&a;</SRS>'
        "</VRTDataset>"
    )
    with pytest.raises(SceneError, match="XML declarations"):
        open_scene(folder / "bomb.vrt")
    (folder / "cut.vrt").write_text("<VRTDataset ")
    with pytest.raises(SceneError, match="not well-formed"):
        open_scene(folder / "cut.vrt")


@pytest.mark.parametrize(
    "way", ["ovr", "msk", "aux.xml", "entity in aux.xml", "tag", "tag of the ovr", "source of a vrt"]
)
def test_overviews_that_open_other_files_are_refused(folder, secret, way):
    """With `driver="GTiff"` alone, GDAL 3.10 shows the secret in every one of these."""
    evil = folder / "evil.vrt"
    evil.write_text(RAW_BAND.replace("{secret}", str(secret)))
    scene = folder / "a.tif"
    write_tiff(scene, ":::BASE:::evil.vrt" if way in ("tag", "source of a vrt") else None)
    notes = (
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{key}">:::BASE:::evil.vrt</MDI></Metadata>'
        "</PAMDataset>"
    )
    if way in ("ovr", "msk"):
        (folder / f"a.tif.{way}").write_bytes(evil.read_bytes())
    elif way == "tag of the ovr":
        write_tiff(folder / "a.tif.ovr", ":::BASE:::evil.vrt")
    elif way.endswith("aux.xml"):
        (folder / "a.tif.aux.xml").write_text(
            notes.replace("{key}", "OVERVIEW&#95;FILE" if "entity" in way else "OVERVIEW_FILE")
        )
    elif way == "source of a vrt":
        (folder / "m.vrt").write_text(MOSAIC.format(source=source("a.tif")))
        scene = folder / "m.vrt"
    with pytest.raises(SceneError, match=r"overview"):
        open_scene(scene)


def write_tiff(path: Path, overview_file: str | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    options = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 0, 0, -2, 0)}
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8", **options
    ) as dataset:
        dataset.write(np.full((1, 8, 8), 7, "uint8"))
        if overview_file:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=overview_file)


def test_remote_scenes_are_geotiffs_only():
    for path in (
        "https://host.invalid/a.vrt",
        "/vsicurl/https://host.invalid/a.tif",
        "s3://bucket/a.tif",
        "/vsizip/a.zip/a.vrt",
    ):
        assert raster_driver(path) == "GTiff"
    for path in (
        "/vsicurl?header_file=/etc/passwd&url=http://x",
        "/vsisubfile/0_100,/etc/passwd",
        "/vsistdin/",
    ):
        with pytest.raises(SceneError):
            raster_driver(path)


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_all_four_tiff_heads_are_geotiff(head):
    assert driver_of_bytes(head + b"rest") == "GTiff"


def test_format_that_this_gdal_lacks_is_named(folder, monkeypatch):
    (folder / "a.jp2").write_bytes(b"\xff\x4f\xff\x51" + bytes(100))
    monkeypatch.setattr(gate, "registered_drivers", lambda: frozenset({"GTiff"}))
    with pytest.raises(SceneError, match="was built without"):
        open_scene(folder / "a.jp2")


# Vectors


@pytest.mark.parametrize(
    "text",
    [
        (
            "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/etc/passwd</SrcDataSource>"
            "</OGRVRTLayer></OGRVRTDataSource>"
        ),
        "<kml></kml>",
        "x,y\n1,2\n",
        "PK\x03\x04zip",
        "[1, 2]",
    ],
    ids=["OGR VRT", "KML", "CSV", "zip", "JSON list"],
)
@pytest.mark.parametrize("name", ["labels.gpkg", "labels.geojson", "labels.shp"])
def test_other_vector_content_is_refused(folder, text, name):
    (folder / name).write_text(text)
    with pytest.raises(LabelError, match="is not a supported vector file"):
        read_layer(folder / name)


def test_sqlite_that_is_no_geopackage_is_refused(folder):
    with sqlite3.connect(folder / "notes.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    with pytest.raises(LabelError, match="no GeoPackage"):
        vector_driver(str(folder / "notes.db"))


def test_geopackage_with_foreign_virtual_tables_is_refused(folder):
    path = folder / "a.gpkg"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(0, 0)], crs=4326).to_file(path, VERSION="1.3")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 0, 'CREATE VIRTUAL TABLE x USING "
            "VirtualOGR(''/etc/passwd'')')"
        )
    database.close()
    with pytest.raises(LabelError, match="read other files"):
        read_layer(path)


def test_damaged_geopackage_is_one_line(folder):
    path = folder / "a.gpkg"
    geopandas.GeoDataFrame(
        {"a": range(2000)}, geometry=shapely.points(np.zeros((2000, 2))), crs=4326
    ).to_file(path, VERSION="1.3")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(LabelError) as caught:
        read_layer(path)
    assert "\n" not in str(caught.value)


def test_part_of_a_shapefile_is_answered_with_its_shp(folder):
    (folder / "a.dbf").write_bytes(b"\x03" + bytes(40))
    with pytest.raises(LabelError, match=r"open the \.shp"):
        read_layer(folder / "a.dbf")


def test_remote_vectors_are_refused():
    with pytest.raises(LabelError, match="download it first"):
        read_layer("https://host.invalid/a.geojson")
