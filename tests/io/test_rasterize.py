"""Polygons to pixels and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eo_dl.core.pixelpolygons import polygonize
from eo_dl.io.rasterize import burn

small = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


@settings(deadline=None)
@given(small)
def test_polygons_of_an_array_burn_back_into_it(array):
    polygons, values = polygonize(array)
    assert all(p.is_valid for p in polygons)
    assert np.array_equal(burn(polygons, values, *array.shape, fill=9), array)
    assert sum(p.area for p in polygons) == array.size


@settings(deadline=None)
@given(small, st.integers(0, 2**31))
def test_polygons_leave_out_what_is_not_valid(array, seed):
    valid = np.random.default_rng(seed).random(array.shape) > 0.4
    polygons, values = polygonize(array, valid)
    assert np.array_equal(burn(polygons, values, *array.shape, fill=9), np.where(valid, array, 9))


def test_diagonal_pixels_are_two_polygons():
    polygons, values = polygonize(np.eye(2, dtype="uint8"))
    assert sorted(values.tolist()) == [0, 0, 1, 1]
    assert all(p.area == 1 for p in polygons)


@settings(deadline=None)
@given(st.tuples(*[st.floats(-3, 12, allow_nan=False)] * 4))
def test_pixel_is_burnt_where_the_polygon_holds_its_centre(box):
    col0, col1 = sorted(box[:2])
    row0, row1 = sorted(box[2:])
    centres = np.arange(9) + 0.5
    # Centres exactly on an edge may fall to either side; they are not asked for.
    if (
        col1 - col0 < 1e-6
        or row1 - row0 < 1e-6
        or min(np.abs(centres[:, None] - np.array([col0, col1, row0, row1])).ravel()) < 1e-6
    ):
        return
    wanted = ((centres > row0) & (centres < row1))[:, None] & ((centres > col0) & (centres < col1))[None]
    assert np.array_equal(burn([shapely.box(col0, row0, col1, row1)], [1], 9, 9), wanted)


def test_later_geometries_win_and_empty_ones_burn_nothing():
    shapes = np.array(
        [shapely.box(0, 0, 4, 4), None, shapely.Polygon(), shapely.box(2, 0, 4, 4)], dtype=object
    )
    assert burn(shapes, np.array([1, 2, 3, 4]), 4, 4)[0].tolist() == [1, 1, 4, 4]
    assert (burn([], [], 2, 3, fill=255) == 255).all()


def test_all_touched_takes_every_pixel_that_is_touched():
    assert burn([shapely.box(0.6, 0.6, 1.4, 1.4)], [1], 3, 3, all_touched=True)[:2, :2].all()
    assert not burn([shapely.box(0.6, 0.6, 1.4, 1.4)], [1], 3, 3).any()


def test_large_values_and_other_types_survive():
    array = np.array([[70_000, 70_000], [1, 2]], "int64")
    polygons, values = polygonize(array)
    assert sorted(values.tolist()) == [1, 2, 70_000]
    assert np.array_equal(burn(polygons, values, 2, 2, dtype="int32"), array)


def test_many_threads_polygonize_alike():
    array = np.random.default_rng(0).integers(0, 3, (60, 60)).astype("uint8")
    with ThreadPoolExecutor(4) as pool:
        counts = set(pool.map(lambda _: len(polygonize(array)[0]), range(16)))
    assert len(counts) == 1
