"""Odd but legitimate rasters: the tests that docs/reference/inputs.md names, one for each of its lines."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from PIL import Image
from pyproj import CRS
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from eo_dl.core.arrays import Chip
from eo_dl.core.window import Window
from eo_dl.errors import BandError, ConfigError, EoDlError, SceneError
from eo_dl.io.scene import Scene, SceneReader, open_scene

RED_GREEN_BLUE = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def read(scene: Scene) -> Chip:
    with SceneReader(scene) as reader:
        return reader.read(scene.grid.window)


def noise(count=1, height=24, width=20, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(1, 100, (count, height, width)).astype(dtype)


# Place


@pytest.mark.parametrize(
    "transform",
    [
        Affine(2, 0, 500_000, 0, -2, 5_000_000),
        Affine(2, 0, 500_000, 0, 2, 4_999_000),
        Affine(-2, 0, 500_040, 0, -2, 5_000_000),
        Affine(1.7, 0.6, 500_000, 0.6, -1.7, 5_000_000),
        Affine(2, 0.5, 500_000.123456789, 0, -3, 5_000_000.987654321),
    ],
    ids=["north-up", "south-up", "east-left", "rotated", "sheared and off by fractions"],
)
def test_transform_and_pixel_order_stay_those_of_the_file(make_tiff, transform):
    pixels = noise()
    scene = open_scene(make_tiff(pixels, transform=transform))
    assert np.allclose(tuple(scene.grid.transform)[:6], tuple(transform)[:6], rtol=0, atol=1e-9)
    assert np.array_equal(read(scene).pixels, pixels)


def test_pixel_is_point_has_its_half_pixel_once(make_tiff):
    path = make_tiff(noise())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(AREA_OR_POINT="Point")
    # GDAL wrote the tie point at the pixel's centre and takes the half pixel back on reading: the outer
    # corner stays.
    assert tuple(open_scene(path).grid.transform)[:6] == (2, 0, 500_000, 0, -2, 5_000_000)


def gcps(transform, shift=0.0):
    corners = [(0, 0), (0, 20), (24, 0), (24, 20), (12, 10)]
    places = [
        (
            row,
            col,
            transform.c + transform.a * col + transform.b * row,
            transform.f + transform.d * col + transform.e * row,
        )
        for row, col in corners
    ]
    return [
        GroundControlPoint(row, col, x + (shift if i == 4 else 0), y)
        for i, (row, col, x, y) in enumerate(places)
    ]


def write_gcps(path, points):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "r+") as dataset:
            dataset.gcps = (points, rasterio.crs.CRS.from_epsg(32633))


def test_control_points_on_a_plain_grid_become_its_transform(make_tiff):
    path = make_tiff(noise(), crs=None, transform=None)
    wanted = Affine(1.9, 0.3, 500_000, 0.2, -2.1, 5_000_000)
    write_gcps(path, gcps(wanted))
    scene = open_scene(path)
    assert scene.grid.crs == CRS.from_epsg(32633)
    assert np.allclose(tuple(scene.grid.transform)[:6], tuple(wanted)[:6], atol=1e-6)
    assert "5 ground control points" in scene.notes[0]


def test_control_points_that_bend_are_refused_naming_gdalwarp(make_tiff):
    path = make_tiff(noise(), crs=None, transform=None)
    write_gcps(path, gcps(Affine(2, 0, 500_000, 0, -2, 5_000_000), shift=30))
    with pytest.raises(SceneError, match=r"5 ground control points that no affine transform fits.*gdalwarp"):
        open_scene(path)


def test_rational_polynomials_alone_are_no_place(make_tiff):
    path = make_tiff(noise(), crs=None, transform=None)
    one = [1.0, *[0.0] * 19]
    rpc = RPC(0, 1, 10, 1, [0, *one[:-1]], one, 0, 1, 45, 1, [0, 0, *one[:-2]], one, 0, 1, 0, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "r+") as dataset:
            dataset.rpcs = rpc
    scene = open_scene(path)
    assert scene.grid.crs is None
    assert any("RPC" in note for note in scene.notes)


def test_plain_image_without_crs_lies_in_pixels(make_tiff):
    scene = open_scene(make_tiff(noise(), crs=None, transform=None))
    assert (scene.grid.crs, scene.grid.transform) == (None, Affine.identity())


def test_crs_without_geotransform_is_a_plain_image(make_tiff):
    scene = open_scene(make_tiff(noise(), transform=None))
    assert scene.grid.crs is None
    assert any("no geotransform" in note for note in scene.notes)


def test_geotransform_without_crs_is_kept(make_tiff):
    scene = open_scene(make_tiff(noise(), crs=None))
    assert scene.grid.crs is None
    assert scene.grid.transform.a == 2


def test_local_crs_counts_as_none(make_tiff):
    scene = open_scene(make_tiff(noise(), crs='LOCAL_CS["site grid",UNIT["metre",1]]'))
    assert scene.grid.crs is None
    assert any("local one" in note and "`crs`" in note for note in scene.notes)
    assert open_scene(scene.path, crs="EPSG:2056").grid.crs == CRS.from_epsg(2056)


def test_given_crs_replaces_the_files_own_and_says_so(make_tiff):
    scene = open_scene(make_tiff(noise()), crs="EPSG:32634")
    assert scene.grid.crs == CRS.from_epsg(32634)
    assert any("replaced" in note for note in scene.notes)


def test_given_crs_needs_a_geotransform_and_must_be_known(make_tiff):
    path = make_tiff(noise(), crs=None, transform=None)
    with pytest.raises(SceneError, match="a CRS alone does not georeference it"):
        open_scene(path, crs="EPSG:32633")
    with pytest.raises(SceneError, match=r"CRS 'EPSG:999999' is not known"):
        open_scene(path, crs="EPSG:999999")


def test_crs_of_an_aux_xml_and_transform_of_a_world_file_are_read(make_tiff, tmp_path):
    source = make_tiff(noise(3), crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rasterio.shutil.copy(source, str(tmp_path / "photo.png"), driver="PNG")
    (tmp_path / "photo.pgw").write_text("2\n0\n0\n-2\n500001\n4999999\n")
    assert open_scene(tmp_path / "photo.png").grid.crs is None
    (tmp_path / "photo.png.aux.xml").write_text("<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>")
    scene = open_scene(tmp_path / "photo.png")
    assert (scene.grid.crs, scene.grid.transform) == (
        CRS.from_epsg(32633),
        Affine(2, 0, 500_000, 0, -2, 5_000_000),
    )


def test_place_in_the_file_name_alone_is_no_place(real_data):
    image = sorted((real_data / "fair-xyz-regions").rglob("OAM-*.png"))[0]
    assert open_scene(image).grid.crs is None


def test_transform_of_no_area_is_refused(tmp_path, make_tiff):
    make_tiff(noise(), "flat.tif", crs=None, transform=None)
    (tmp_path / "flat.tfw").write_text("2\n2\n2\n2\n0\n0\n")
    with pytest.raises(SceneError, match="on a line"):
        open_scene(tmp_path / "flat.tif")


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_m"),
    [
        ("EPSG:4326", Affine(1e-5, 0, 10, 0, -1e-5, 60), 0.79),
        ("EPSG:3857", Affine(1, 0, 1_000_000, 0, -1, 8_399_738), 0.5),
        ("EPSG:3031", Affine(10, 0, -1_000_000, 0, -10, 1_000_000), 10),
        ("EPSG:32660", Affine(10, 0, 830_000, 0, -10, 5_800_000), 10),
    ],
    ids=["degrees", "Web Mercator at 60 N", "polar", "over the date line"],
)
def test_ground_size_is_geodesic_in_every_kind_of_crs(make_tiff, crs, transform, gsd_m):
    scene = open_scene(make_tiff(noise(), crs=crs, transform=transform))
    assert scene.grid.gsd_m == pytest.approx(gsd_m, rel=0.03)


# Values


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_every_real_type_keeps_its_values(make_tiff, dtype):
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    pixels = np.array([[limits.min, limits.max], [0, 1]], dtype)
    scene = open_scene(make_tiff(pixels))
    assert scene.dtype == dtype
    assert np.array_equal(read(scene).pixels[0], pixels)


def test_complex_values_are_refused(make_tiff):
    with pytest.raises(SceneError, match=r"complex64.*amplitude"):
        open_scene(make_tiff(np.ones((4, 4), "complex64")))


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_values_of_few_bits_are_widened_unchanged(make_tiff, bits):
    pixels = (np.arange(64).reshape(8, 8) % 2**bits).astype("uint8" if bits <= 8 else "uint16")
    assert np.array_equal(read(open_scene(make_tiff(pixels, nbits=bits))).pixels[0], pixels)


def test_big_endian_and_bigtiff_read_alike(make_tiff):
    pixels = noise(dtype="uint16")
    for name, options in {"big.tif": {"ENDIANNESS": "BIG"}, "huge.tif": {"BIGTIFF": "YES"}}.items():
        assert np.array_equal(read(open_scene(make_tiff(pixels, name, **options))).pixels, pixels)


def test_scale_and_offset_are_told_and_not_applied(make_tiff):
    path = make_tiff(noise(2, dtype="uint16"))
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4, 2e-4), (-0.1, 0)
    scene = open_scene(path)
    assert [(band.scale, band.offset) for band in scene.bands] == [(1e-4, -0.1), (2e-4, 0)]
    assert read(scene).pixels.dtype == np.uint16


def test_scale_of_zero_is_refused(make_tiff):
    path = make_tiff(noise())
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (0.0,)
    with pytest.raises(SceneError, match=r"scale 0 .*lose its values"):
        open_scene(path)


def test_colour_table_entries_are_read_as_they_are_and_said(make_tiff):
    path = make_tiff(noise(), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, 2 * i, 0, 255) for i in range(100)})
    scene = open_scene(path)
    assert scene.bands.names == ("palette",)
    assert scene.file.color_table is not None
    assert dict(scene.file.color_table)[7] == (7, 14, 0, 255)
    assert any("not measurements" in note for note in scene.notes)
    assert np.array_equal(read(scene).pixels, noise())
    small = read(scene.resized(6, 5))
    assert set(np.unique(small.pixels)) <= set(np.unique(noise()))  # no means between categories


def test_three_hundred_bands_work(make_tiff):
    pixels = noise(300, 5, 4, "int16")
    scene = open_scene(make_tiff(pixels))
    assert len(scene.bands) == 300
    assert np.array_equal(read(scene.select(["300", "1"])).pixels, pixels[[299, 0]])


def test_one_pixel_works(make_tiff):
    assert read(open_scene(make_tiff(np.array([[7]], "uint8")))).pixels.tolist() == [[[7]]]


def test_first_page_of_several_is_used_and_said(real_data):
    scene = open_scene(real_data / "weird-geotiffs/image-tiff/seq-1c-8b-multipage-adeefdcc.tiff")
    assert scene.notes == ("has 3 pages; the first is used",)


def test_sparse_blocks_read_as_nodata_or_zero(make_tiff):
    pixels = np.zeros((64, 64), "uint8")
    pixels[:16, :16] = 9
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": True}
    chip = read(open_scene(make_tiff(pixels, "a.tif", nodata=0, **options)))
    assert (chip.pixels[0] == pixels).all()
    assert (chip.valid == (pixels == 9)).all()
    assert read(open_scene(make_tiff(pixels, "b.tif", **options))).valid.all()


@pytest.mark.parametrize("name", ["cmyk-3c-8b.tiff", "tiled-jpeg-ycbcr.tif"])
def test_cmyk_and_ycbcr_come_as_red_green_blue(real_data, name):
    scene = open_scene(real_data / "weird-geotiffs/image-tiff" / name)
    assert scene.bands.names == ("red", "green", "blue")
    assert read(scene).valid.all()


def test_half_floats_come_as_float32(real_data):
    scene = open_scene(real_data / "weird-geotiffs/image-tiff/random-fp16-pred2.tiff")
    assert scene.dtype == read(scene).pixels.dtype == "float32"


def test_bands_of_several_types_come_as_the_type_that_holds_all(make_tiff, tmp_path):
    make_tiff(np.full((4, 4), 200, "uint8"), "a.tif")
    make_tiff(np.full((4, 4), -5, "int16"), "b.tif")
    bands = "".join(
        (
            f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{name}</SourceFilename></SimpleSource></VRTRasterBand>'
        )
        for i, (kind, name) in enumerate([("Byte", "a.tif"), ("Int16", "b.tif")], start=1)
    )
    (tmp_path / "both.vrt").write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4">{bands}</VRTDataset>')
    scene = open_scene(tmp_path / "both.vrt")
    assert scene.dtype == "int16"
    assert scene.select(["1"]).dtype == "uint8"
    assert read(scene).pixels[:, 0, 0].tolist() == [200, -5]


# Valid pixels


def test_nan_and_infinity_are_not_measured(make_tiff):
    pixels = np.array([[1, np.nan], [np.inf, -np.inf]], "float32")
    chip = read(open_scene(make_tiff(pixels)))
    assert chip.valid.tolist() == [[True, False], [False, False]]
    assert chip.pixels.tolist() == [[[1, 0], [0, 0]]]


def test_nodata_that_no_measurement_takes_in_any_band_invalidates(make_tiff):
    pixels = np.array([[[1, -9999, 3]], [[4, 5, -9999]]], "int16")
    assert read(open_scene(make_tiff(pixels, "a.tif", nodata=-9999))).valid.tolist() == [[True, False, False]]
    assert read(open_scene(make_tiff(pixels.astype("float32"), "b.tif", nodata=-9999))).valid.tolist() == [
        [True, False, False]
    ]


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("uint16", 0), ("int16", 0)])
def test_nodata_that_light_also_takes_invalidates_only_in_all_bands(make_tiff, dtype, nodata):
    pixels = np.array([[[nodata, nodata, 7]], [[nodata, 7, 7]], [[nodata, 7, 7]]], dtype)
    path = make_tiff(pixels, nodata=nodata, names=("red", "nir", "swir16"))
    assert read(open_scene(path)).valid.tolist() == [[False, True, True]]
    with rasterio.open(path) as dataset:
        assert (dataset.dataset_mask() > 0).tolist() == [[False, True, True]]


def test_saturated_ground_of_real_scenes_is_kept(real_data):
    """neon-trees TEAK_043: nodata 255 in any band would lose 20 % of the picture, in all bands 1 %."""
    assert read(open_scene(real_data / "neon-trees/TEAK/TEAK_043.tif")).valid.mean() == pytest.approx(
        0.990, abs=0.001
    )


def test_nodata_of_a_float_survives_its_rounding(make_tiff):
    pixels = np.array([[-3.4e38, 1]], "float32")
    assert read(open_scene(make_tiff(pixels, nodata=-3.4e38))).valid.tolist() == [[False, True]]


def test_nodata_that_the_type_cannot_hold_marks_nothing(tmp_path):
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="2" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1">'
        "<NoDataValue>-9999</NoDataValue></VRTRasterBand></VRTDataset>"
    )
    scene = open_scene(tmp_path / "a.vrt")
    assert scene.bands[0].nodata is None


def test_given_nodata_replaces_the_files_own(make_tiff):
    path = make_tiff(np.array([[0, 5, 9]], "uint8"), nodata=0)
    assert read(open_scene(path)).valid.tolist() == [[False, True, True]]
    assert read(open_scene(path, nodata=5)).valid.tolist() == [[True, False, True]]
    assert read(open_scene(path, nodata="none")).valid.all()
    assert read(open_scene(path, nodata="9")).valid.tolist() == [[True, True, False]]


def test_given_nodata_must_be_a_value_of_the_type(make_tiff):
    path = make_tiff(noise())
    with pytest.raises(SceneError, match=r"-9999 is no value of band 1 \(uint8\)"):
        open_scene(path, nodata=-9999)
    with pytest.raises(ConfigError, match=r"expected a number or 'none'.*found 'white'"):
        open_scene(path, nodata="white")


def test_white_and_black_collars_without_nodata_are_pixels(make_tiff):
    pixels = np.full((3, 4, 4), 255, "uint8")
    pixels[:, 2:] = 0
    assert read(open_scene(make_tiff(pixels))).valid.all()


def test_alpha_is_a_mask_and_never_a_band(make_tiff):
    pixels = noise(4)
    pixels[3] = 255
    pixels[3, 0], pixels[3, 1] = 0, 1
    scene = open_scene(make_tiff(pixels, colors=(*RED_GREEN_BLUE, ColorInterp.alpha), photometric="RGB"))
    assert scene.bands.names == ("red", "green", "blue")
    valid = read(scene).valid
    assert not valid[0].any()
    assert valid[1:].all()  # half transparent is measured


def test_a_band_that_is_tagged_as_alpha_but_is_none_stays_a_band(make_tiff):
    """GDAL tags the fourth of four 8-bit bands so by default, also where it is infrared, or classes."""
    for values in (noise(1)[0], np.arange(noise(1).size).reshape(noise(1).shape[1:]) % 2):
        pixels = noise(4)
        pixels[3] = values
        pixels[3, :5] = 0
        scene = open_scene(make_tiff(pixels, colors=(*RED_GREEN_BLUE, ColorInterp.alpha), photometric="RGB"))
        assert scene.bands.names == ("red", "green", "blue", "band_4")
        assert read(scene).valid.all()
        assert any("transparency (alpha), but holds other values" in note for note in scene.notes)


def test_a_transparency_is_said_and_may_be_had_as_a_band(make_tiff):
    pixels = noise(4)
    pixels[3] = 255
    pixels[3, 0] = 0
    path = make_tiff(pixels, colors=(*RED_GREEN_BLUE, ColorInterp.alpha), photometric="RGB")
    assert any("band 4 is transparency" in note and "`bands`" in note for note in open_scene(path).notes)
    scene = open_scene(path, bands="red=1,nir=4")
    assert scene.bands.names == ("red", "nir") and not scene.file.alpha
    assert read(scene).valid.all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_an_exif_orientation_is_said_and_pixels_stay_as_stored(tmp_path, suffix):
    exif, pixels = Image.Exif(), noise(3)[0]
    exif[274] = 6
    tags = {"tiffinfo": {274: 6}} if suffix == ".tif" else {"exif": exif}
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **tags)
    scene = open_scene(tmp_path / f"a{suffix}")
    assert (scene.native.height, scene.native.width) == pixels.shape and scene.file.orientation == 6
    assert any("EXIF orientation 6" in note for note in scene.notes)
    Image.fromarray(pixels).save(tmp_path / f"b{suffix}")
    plain = open_scene(tmp_path / f"b{suffix}")
    assert plain.file.orientation == 1 and not any("EXIF" in note for note in plain.notes)


def test_alpha_alone_is_no_scene(make_tiff):
    path = make_tiff(noise(), colors=(ColorInterp.alpha,))
    with pytest.raises(BandError, match="needs at least one band"):
        open_scene(path)


def test_internal_mask_and_nodata_both_count(make_tiff):
    pixels = noise(3)
    pixels[:, 5] = 0
    mask = np.full(pixels.shape[1:], 255, "uint8")
    mask[:, 3] = 0
    chip = read(open_scene(make_tiff(pixels, nodata=0, mask=mask)))
    wanted = np.ones(mask.shape, bool)
    wanted[5], wanted[:, 3] = False, False
    assert np.array_equal(chip.valid, wanted)


def test_mask_file_beside_the_image_counts(make_tiff, tmp_path):
    path = make_tiff(noise(3))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        mask = np.full(dataset.shape, 255, "uint8")
        mask[:4] = 0
        dataset.write_mask(mask)
    assert (tmp_path / "scene.tif.msk").is_file()
    assert np.array_equal(read(open_scene(path)).valid, mask > 0)


def test_scene_without_any_valid_pixel_reads_as_such(real_data):
    chip = read(open_scene(real_data / "weird-geotiffs/rasterio/all-nodata.tif"))
    assert not chip.valid.any()
    assert not chip.pixels.any()


# Bands


def test_bands_are_called_by_description_then_colour_then_number(make_tiff):
    path = make_tiff(
        noise(4),
        names=("NIR", "", "", ""),
        colors=(ColorInterp.gray, ColorInterp.red, ColorInterp.undefined, ColorInterp.undefined),
    )
    bands = open_scene(path).bands
    assert bands.names == ("nir", "red", "band_3", "band_4")
    assert [band.named for band in bands] == [True, True, False, False]


def test_single_band_without_a_name_is_gray(make_tiff):
    assert open_scene(make_tiff(noise())).bands.names == ("gray",)


def test_bands_of_one_name_go_by_number_and_are_said(make_tiff):
    scene = open_scene(make_tiff(noise(3), names=("red", "Red", "blue"), colors=(ColorInterp.undefined,) * 3))
    assert scene.bands.names == ("band_1", "band_2", "blue")
    assert "several bands are called red" in scene.notes[0]


def test_descriptions_that_only_count_are_no_names(make_tiff):
    assert not open_scene(make_tiff(noise(2), names=("Band 1", "band_2"))).bands.named


# Files


def test_content_decides_the_driver_not_the_name(make_tiff, tmp_path):
    source = make_tiff(noise(3), crs=None, transform=None, colors=RED_GREEN_BLUE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for driver in ("JPEG", "PNG", "JP2OpenJPEG"):
            rasterio.shutil.copy(source, str(tmp_path / f"{driver}.x"), driver=driver)
            shutil.move(tmp_path / f"{driver}.x", tmp_path / f"{driver}.tif")
            scene = open_scene(tmp_path / f"{driver}.tif")
            assert (scene.file.driver, read(scene).pixels.shape) == (driver, (3, 24, 20))


@pytest.mark.parametrize("compress", ["lzw", "deflate", "zstd", "packbits", "lerc", "webp", "lzma"])
def test_every_lossless_compression_of_the_wheel_reads(make_tiff, compress):
    pixels = noise(3)
    options = {"webp_lossless": True} if compress == "webp" else {}
    assert np.array_equal(
        read(open_scene(make_tiff(pixels, compress=compress, interleave="pixel", **options))).pixels, pixels
    )


def test_truncated_file_is_one_line_on_reading(make_tiff, tmp_path):
    path = Path(make_tiff(noise(1, 512, 512), tiled=True))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError, match="damaged or incomplete") as caught:
        read(open_scene(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cut_header_is_one_line_on_opening(make_tiff):
    path = Path(make_tiff(noise()))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(SceneError, match="damaged or incomplete"):
        open_scene(path)


def test_missing_empty_and_folder_are_named(tmp_path):
    (tmp_path / "empty.tif").touch()
    for name, words in {"none.tif": "no such file", "empty.tif": "0 bytes", ".": "is a folder"}.items():
        with pytest.raises(SceneError, match=words):
            open_scene(tmp_path / name)


def test_striped_scenes_are_told(make_tiff):
    assert open_scene(make_tiff(noise(1, 64, 64), "a.tif", blockysize=8)).file.striped
    assert not open_scene(
        make_tiff(noise(1, 64, 64), "b.tif", tiled=True, blockxsize=16, blockysize=16)
    ).file.striped


@pytest.mark.parametrize(
    "window", [Window(-3, -2, 8, 8), Window(15, 20, 9, 9), Window(100, 100, 4, 4), Window(-5, -5, 50, 50)]
)
def test_windows_over_the_edge_are_padded_and_not_valid(make_tiff, window):
    pixels = noise()
    scene = open_scene(make_tiff(pixels))
    with SceneReader(scene) as reader:
        chip = reader.read(window)
    wanted = np.pad(pixels[0], 150)[150 + window.row :, 150 + window.col :][: window.height, : window.width]
    assert np.array_equal(chip.pixels[0], wanted)
    assert np.array_equal(chip.valid, wanted > 0)
    assert chip.grid.to_map(0, 0) == scene.grid.to_map(window.col, window.row)


# All odd files there are


ODD = Path("weird-geotiffs")
REFUSED = {
    "solaris_sar_hh_complex64.tif": "complex64",
    "RGB.byte.gcp.vrt": "ground control points",
    "cog_gcps_ovr.tif": "ground control points",
    "corrupt.tif": "cannot be read at row",
}


def test_every_odd_file_works_or_is_refused_in_one_line(real_data):
    files = sorted(p for p in (real_data / ODD).rglob("*") if p.suffix in {".tif", ".tiff", ".vrt"})
    refused = {}
    for path in files:
        try:
            scene = open_scene(path)
            chip = read(scene)
            assert chip.pixels.shape == (len(scene.bands), scene.grid.height, scene.grid.width)
        except EoDlError as error:
            refused[path.name] = str(error)
    assert len(files) >= 36
    assert {name: text in refused.get(name, "") for name, text in REFUSED.items()} == dict.fromkeys(
        REFUSED, True
    )
    assert refused.keys() == REFUSED.keys()
    assert all("\n" not in line and name in line for name, line in refused.items())


def test_every_line_of_the_document_names_a_test_that_is_there():
    here = Path(__file__)
    root = here.parents[2]
    text = (root / "docs/reference/inputs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    there = {
        name
        for path in (root / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= there, f"docs/reference/inputs.md names tests that are not there: {sorted(named - there)}"
    ours = set(re.findall(r"^def (test_\w+)", here.read_text(encoding="utf-8"), re.MULTILINE)) - {
        "test_every_line_of_the_document_names_a_test_that_is_there"
    }
    assert ours <= named, f"docs/reference/inputs.md does not mention {sorted(ours - named)}"
