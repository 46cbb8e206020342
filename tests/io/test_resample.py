"""A working grid of another pixel size: the same numbers whatever window cuts them, and the right ones."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.window import Window
from eo_dl.errors import GridError
from eo_dl.io.resample import Axis, Resampling, choose_overview
from eo_dl.io.scene import Scene, SceneReader, open_scene


def _overview(scene: Scene) -> int | None:
    return choose_overview(scene.file, scene.grid, scene.own_nodata)


@given(count=st.integers(1, 40), source=st.integers(1, 40))
def test_weights_are_shares_of_covered_ground(count, source):
    """Against exact fractions: an output pixel weighs each source pixel by the length they share."""
    index, weight = Axis(count, source).taps(0, count)
    assert np.allclose(weight.sum(axis=1), 1)
    assert index.min() >= 0
    assert index.max() < source
    if source < count:
        return
    for i in range(count):
        low, high = Fraction(i * source, count), Fraction((i + 1) * source, count)
        wanted = np.array(
            [
                float(max(Fraction(0), min(high, Fraction(j + 1)) - max(low, Fraction(j))) / (high - low))
                for j in range(source)
            ]
        )
        assert np.allclose(np.bincount(index[i], weight[i], minlength=source), wanted)


@given(count=st.integers(2, 60), source=st.integers(1, 59))
def test_finer_pixels_lie_on_the_line_between_centres(count, source):
    if source >= count:
        return
    index, weight = Axis(count, source).taps(0, count)
    centres = (np.arange(count) + 0.5) * source / count - 0.5
    assert np.allclose((index * weight).sum(axis=1), np.clip(centres, 0, source - 1))


windows = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    out=st.tuples(st.integers(1, 45), st.integers(1, 45)),
    cut=windows,
    dtype=st.sampled_from(["uint8", "int16", "float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_window_holds_bit_for_bit_what_the_whole_holds(shape, out, cut, dtype, seed):
    random = np.random.default_rng(seed)
    pixels = (random.normal(60, 30, (2, *shape))).clip(0, 255).astype(dtype)
    valid = random.random(shape) > 0.3
    pixels[:, ~valid] = 0
    grid = Resampling(Axis(out[0], shape[0]), Axis(out[1], shape[1]))
    whole, whole_valid = resampled(grid, pixels, valid, Window(0, 0, out[1], out[0]))
    row0, row1 = sorted((int(cut[0] * (out[0] - 1)), int(cut[1] * (out[0] - 1))))
    col0, col1 = sorted((int(cut[2] * (out[1] - 1)), int(cut[3] * (out[1] - 1))))
    window = Window.from_box(col0, row0, col1 + 1, row1 + 1)
    part, part_valid = resampled(grid, pixels, valid, window)
    assert np.array_equal(part, whole[(slice(None), *window.slices)])
    assert np.array_equal(part_valid, whole_valid[window.slices])


def resampled(grid, pixels, valid, window):
    source = grid.source_window(window)
    return grid.apply(pixels[(slice(None), *source.slices)], valid[source.slices], window, source)


def test_a_window_without_a_hole_is_the_same_in_a_scene_with_one():
    """Weights of 1/3 and 1/7 do not add up to 1 in float32; a whole window must not differ by that."""
    pixels = np.random.default_rng(0).random((1, 70, 70)).astype(np.float32)
    valid = np.ones((70, 70), bool)
    valid[:9, :9] = False
    for out in range(20, 70):
        grid = Resampling(Axis(out, 70), Axis(out, 70))
        whole, _ = resampled(grid, pixels, valid, Window(0, 0, out, out))
        part, _ = resampled(grid, pixels, valid, Window(out // 2, out // 2, out // 3, out // 3))
        cut = slice(out // 2, out // 2 + out // 3)
        assert np.array_equal(part, whole[:, cut, cut])


def test_whole_factor_is_the_mean_of_valid_pixels():
    random = np.random.default_rng(1)
    pixels = random.normal(0, 1, (1, 12, 8)).astype("float32")
    valid = random.random((12, 8)) > 0.4
    pixels[:, ~valid] = 0
    grid = Resampling(Axis(6, 12), Axis(4, 8))
    got, got_valid = resampled(grid, pixels, valid, Window(0, 0, 4, 6))
    count = valid.reshape(6, 2, 4, 2).sum(axis=(1, 3))
    total = pixels[0].reshape(6, 2, 4, 2).sum(axis=(1, 3))
    assert np.array_equal(got_valid, count >= 2)
    assert np.allclose(got[0][got_valid], (total / np.maximum(count, 1))[got_valid], atol=1e-6)
    assert not got[0][~got_valid].any()


def test_constant_ground_stays_constant_next_to_nodata():
    pixels = np.full((1, 20, 20), 200, "uint8")
    valid = np.ones((20, 20), bool)
    valid[:, 11:] = False
    pixels[:, ~valid] = 0
    for side in (7, 33):
        got, got_valid = resampled(
            Resampling(Axis(side, 20), Axis(side, 20)), pixels, valid, Window(0, 0, side, side)
        )
        assert set(np.unique(got[0][got_valid])) == {200}


@pytest.mark.parametrize("gsd_m", [0.9, 1.7, 2.0, 3.1, 16.0])
def test_reader_cuts_a_resampled_scene_anywhere_alike(make_tiff, gsd_m):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 90, 70)).astype("uint8")
    scene = open_scene(make_tiff(pixels, nodata=0)).at_gsd(gsd_m)
    assert scene.grid.gsd_m == pytest.approx(gsd_m, rel=0.1)
    assert scene.grid.footprint().equals_exact(scene.native.footprint(), 1e-6)
    with SceneReader(scene) as reader:
        whole = reader.read(scene.grid.window)
        rows, valid = reader.read_rows(1, scene.grid.height)
        assert np.array_equal(rows, whole.pixels[:, 1:])
        assert np.array_equal(valid, whole.valid[1:])
        for window in (Window(1, 2, 3, 2), Window(-2, 1, 5, 9), Window(2, 0, 4, 5)):
            inside = window.intersection(scene.grid.window)
            assert inside is not None
            part = reader.read(window)
            cut = part.pixels[(slice(None), *inside.relative_to(window).slices)]
            assert np.array_equal(cut, whole.pixels[(slice(None), *inside.slices)])
            assert part.valid.sum() == whole.valid[inside.slices].sum()


def test_overview_is_used_when_coarser(make_tiff):
    pixels = np.full((1, 128, 128), 10, "uint8")
    path = make_tiff(pixels)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    scene = open_scene(path)
    assert scene.file.overviews == (2, 4, 8)
    levels = [_overview(scene.at_gsd(2.0 * factor)) for factor in (1.5, 2, 3.9, 4, 7.5, 8, 20)]
    assert levels == [None, 0, 0, 1, 1, 2, 2]
    with rasterio.open(path, "r+") as dataset:
        # the full image alone: overviews stay, so that it shows which of the two is read
        dataset.write(pixels * 9)
    for factor, value in ((1.5, 90), (4, 10)):
        working = open_scene(path).at_gsd(2.0 * factor)
        with SceneReader(working) as reader:
            assert (reader.read(working.grid.window).pixels == value).all()
    assert _overview(open_scene(path, nodata=3).at_gsd(8.0)) is None


def test_overview_gives_nearly_the_mean_of_the_full_image(real_data):
    scene = open_scene(real_data / "weird-geotiffs/rio-tiler/cog_dateline.tif").resized(200, 200)
    assert _overview(scene) is not None
    with SceneReader(scene) as reader:
        by_overview = reader.read(scene.grid.window).pixels.astype(float)
    full = open_scene(scene.path, nodata="none").resized(200, 200)
    assert _overview(full) is None
    with SceneReader(full) as reader:
        by_mean = reader.read(full.grid.window).pixels.astype(float)
    assert np.corrcoef(by_overview.ravel(), by_mean.ravel())[0, 1] > 0.99


def test_pixels_come_out_square_on_the_ground(make_tiff):
    scene = open_scene(
        make_tiff(
            np.ones((200, 200), "uint8"),
            crs="EPSG:4326",
            transform=rasterio.Affine(1e-4, 0, 10, 0, -1e-4, 60),
        )
    )
    along_row, along_col = scene.at_gsd(10).grid.pixel_size_m
    assert along_row == pytest.approx(10, rel=0.05)
    assert along_col == pytest.approx(10, rel=0.05)
    assert (
        scene.at_gsd(10).at_gsd(math.sqrt(scene.native.pixel_size_m[0] * scene.native.pixel_size_m[1])).native
        == scene.grid
    )


def test_pixel_size_needs_a_crs_and_a_positive_number(make_tiff):
    with pytest.raises(GridError, match="no CRS"):
        open_scene(make_tiff(np.ones((4, 4), "uint8"), "a.tif", crs=None)).at_gsd(1)
    with pytest.raises(GridError, match="above 0 m"):
        open_scene(make_tiff(np.ones((4, 4), "uint8"), "b.tif")).at_gsd(0)
