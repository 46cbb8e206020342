from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from eo_dl.core.gridwindow import GridWindow, between_grids, require_grid, window_outlines
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import GridError

UTM = CRS.from_epsg(32633)
FINE = PixelGrid(UTM, Affine(1, 0, 400_000, 0, -1, 5_400_000), 128, 160)
COARSE = FINE.resized(64, 80)


@given(
    st.tuples(st.integers(-9, 90), st.integers(-9, 90), st.integers(1, 64), st.integers(1, 64)),
    st.tuples(st.integers(20, 300), st.integers(20, 300)),
)
def test_a_moved_window_covers_the_same_ground_to_a_pixel(
    window: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    here = GridWindow(*window, FINE)
    there = here.on(FINE.resized(*size))
    moved = shapely.bounds(there.grid.footprint(there))
    pixel = np.array([there.grid.transform.a, -there.grid.transform.e])
    assert (np.abs(moved - shapely.bounds(FINE.footprint(here))) <= np.tile(pixel, 2) + 1e-6).all()
    same_size = GridWindow(here.col + 7, here.row + 3, here.width, here.height, FINE).on(there.grid)
    assert (same_size.width, same_size.height) == (there.width, there.height)


def test_a_grid_of_half_the_gsd_has_twice_the_pixels() -> None:
    moved = GridWindow(16, 32, 16, 16, COARSE).on(FINE)
    assert moved.box == (32, 64, 64, 96) and moved.grid is FINE
    assert GridWindow(16, 32, 16, 16, FINE).on(FINE).box == (16, 32, 32, 48)


def test_windows_are_not_moved_to_grids_of_other_scenes() -> None:
    window = GridWindow(0, 0, 8, 8, FINE)
    west = PixelGrid(CRS.from_epsg(32632), FINE.transform, 128, 160)
    turned = PixelGrid(UTM, FINE.transform @ Affine.rotation(10), 128, 160)
    for grid in (west, turned):
        with pytest.raises(GridError, match="cannot be moved"):
            window.on(grid)


def test_a_window_is_refused_on_any_grid_but_its_own() -> None:
    window = GridWindow(0, 0, 8, 8, COARSE)
    require_grid(window, FINE.resized(64, 80), "ortho.tif")
    require_grid(Window(0, 0, 8, 8), FINE, "ortho.tif")
    with pytest.raises(GridError, match=r"ortho\.tif: has a grid of 160x128 px at 1 m.*80x64 px at 2\.001 m"):
        require_grid(window, FINE, "ortho.tif")


def test_outlines_pass_through_the_map_or_through_the_size_of_the_image() -> None:
    outlines = window_outlines([Window(16, 32, 16, 16), Window(0, 0, 8, 8)])
    plain = PixelGrid(None, Affine.identity(), 128, 160)
    for target in (FINE, plain):
        moved = between_grids(outlines, COARSE, target, "chips")
        expected = [(32, 64, 64, 96), (0, 0, 16, 16)]
        assert np.allclose(shapely.bounds(moved), expected, atol=1e-6)
    assert len(window_outlines([])) == 0
