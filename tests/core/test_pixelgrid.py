"""Georeferencing agrees with independent arithmetic, whatever way the grid lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod

from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import GridError

UTM, WGS84, MERCATOR, POLAR = CRS(32633), CRS(4326), CRS(3857), CRS(3413)

GRIDS = {
    "north-up": PixelGrid(UTM, Affine(0.5, 0, 500000, 0, -0.5, 5_200_000), 700, 900),
    "south-up": PixelGrid(UTM, Affine(2, 0, 400000, 0, 2, 5_000_000), 333, 77),
    "mirrored": PixelGrid(UTM, Affine(-2, 0, 400000, 0, -2, 5_000_000), 333, 77),
    "rotated": PixelGrid(
        UTM,
        Affine.translation(600000.3, 5_100_000.7) @ Affine.rotation(31) @ Affine.scale(0.7, -0.7),
        512,
        640,
    ),
    "sheared": PixelGrid(UTM, Affine(1, 0.3, 500000, 0.2, -1.4, 5_200_000), 100, 90),
    "sub-pixel origin": PixelGrid(UTM, Affine(10, 0, 499_980.123456, 0, -10, 4_000_020.654321), 1098, 1098),
    "degrees": PixelGrid(WGS84, Affine(9e-5, 0, 12.34567, 0, -6e-5, 47.7), 400, 380),
    "web mercator": PixelGrid(MERCATOR, Affine(0.149, 0, 9_500_000, 0, -0.149, 3_200_000), 4096, 3072),
    "polar": PixelGrid(POLAR, Affine(25, 0, -1_000_000, 0, -25, 500_000), 64, 96),
}


@pytest.mark.parametrize("name", GRIDS)
@given(col=st.floats(-5000, 5000), row=st.floats(-5000, 5000))
def test_pixels_go_to_the_map_and_back(name: str, col: float, row: float) -> None:
    grid = GRIDS[name]
    x, y = grid.to_map(col, row)
    t = grid.transform
    assert math.isclose(float(x), t.a * col + t.b * row + t.c, rel_tol=1e-14)
    assert math.isclose(float(y), t.d * col + t.e * row + t.f, rel_tol=1e-14)
    back = grid.to_pixel(x, y)
    assert abs(float(back[0]) - col) < 1e-6 and abs(float(back[1]) - row) < 1e-6


@pytest.mark.parametrize("name", GRIDS)
def test_a_crop_lies_where_its_window_lies(name: str) -> None:
    grid, window = GRIDS[name], Window(13, 29, 31, 17)
    crop = grid.crop(window)
    for col, row in [(0, 0), (31, 0), (31, 17), (0, 17), (7.25, 3.5)]:
        expected = grid.to_map(window.col + col, window.row + row)
        np.testing.assert_allclose(grid.to_pixel(*crop.to_map(col, row)), grid.to_pixel(*expected), atol=1e-6)
    corners = shapely.get_coordinates(grid.footprint(window))[:4]
    np.testing.assert_allclose(
        np.column_stack(grid.to_pixel(*corners.T)), [(13, 29), (44, 29), (44, 46), (13, 46)], atol=1e-6
    )


@pytest.mark.parametrize("name", GRIDS)
def test_resizing_keeps_the_extent(name: str) -> None:
    grid = GRIDS[name]
    half = grid.resized(50, 45)
    np.testing.assert_allclose(
        half.to_map([0, 45], [0, 50]), grid.to_map([0, grid.width], [0, grid.height]), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("north-up", 0.5), ("south-up", 2), ("rotated", 0.7), ("sub-pixel origin", 10)]
)
def test_gsd_of_metric_grids(name: str, expected: float) -> None:
    assert GRIDS[name].gsd_m == pytest.approx(expected, rel=0.001)  # UTM's own scale error is below 1 in 1000


def test_gsd_is_measured_on_the_ground() -> None:
    x, y = 1_000_000.0, 8_399_737.9  # 60 N
    mercator = PixelGrid(MERCATOR, Affine(1, 0, x - 50, 0, -1, y + 50), 100, 100)
    assert mercator.gsd_m == pytest.approx(0.5, rel=0.005)
    lon0, lat0, step = 12.0, 47.0, 1e-4
    degrees = PixelGrid(WGS84, Affine(step, 0, lon0 - step / 2, 0, -step, lat0 + step / 2), 1, 1)
    geod = Geod(ellps="WGS84")
    east = geod.inv(lon0 - step / 2, lat0, lon0 + step / 2, lat0)[2]
    north = geod.inv(lon0, lat0 - step / 2, lon0, lat0 + step / 2)[2]
    assert degrees.pixel_size_m == pytest.approx((east, north), rel=1e-6)


def test_no_crs_means_no_metres() -> None:
    grid = PixelGrid(None, Affine.identity(), 10, 10)
    assert grid.gsd_m is None
    with pytest.raises(GridError, match="needs a CRS"):
        _ = grid.pixel_size_m
    assert grid.areas_m2(np.array([shapely.box(0, 0, 2, 3)], object)).tolist() == [6.0]


def test_areas_are_ground_areas() -> None:
    grid = GRIDS["web mercator"]
    window = Window(100, 100, 200, 300)
    along, across = grid.pixel_size_m
    area = grid.areas_m2(np.array([grid.footprint(window)], object))[0]
    assert area == pytest.approx(200 * along * 300 * across, rel=0.002)


def test_a_hole_is_not_area() -> None:
    grid = GRIDS["north-up"]
    ring = shapely.difference(
        shapely.box(500000, 5199900, 500100, 5200000), shapely.box(500040, 5199940, 500060, 5199960)
    )
    assert grid.areas_m2(np.array([ring], object))[0] == pytest.approx(10000 - 400, rel=0.002)


def test_a_transform_without_inverse_is_refused() -> None:
    with pytest.raises(GridError, match="cannot be inverted"):
        PixelGrid(UTM, Affine(0, 0, 1, 0, 0, 1), 5, 5)


@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        ("EPSG:4326", Affine(1, 0, 500_000, 0, -1, 5_200_000), r"\(500004, 5.2e\+06\) are no degrees"),
        ("EPSG:4326", Affine(1e-4, 0, 16, 0, -1e-4, 95), "no degrees"),
        ("EPSG:32633", Affine(1e-30, 0, 500_000, 0, -1e-30, 5_200_000), "has no size on the ground"),
        ("EPSG:32633", Affine(1e30, 0, 500_000, 0, -1e30, 5_200_000), "outside the area of its CRS"),
    ],
)
def test_a_grid_that_cannot_lie_on_earth_is_refused(crs: str, transform: Affine, message: str) -> None:
    with pytest.raises(GridError, match=message):
        _ = PixelGrid(CRS.from_user_input(crs), transform, 8, 8).gsd_m


def test_a_global_grid_may_reach_a_little_beyond_the_poles() -> None:
    grid = PixelGrid(CRS.from_epsg(4326), Affine(1, 0, -180.5, 0, -1, 90.5), 181, 361)
    assert grid.gsd_m is not None and 1e5 < grid.gsd_m < 1.2e5
