"""Traced polygons are those of GDAL."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio import features

from eo_dl.core.pixelpolygons import polygonize

Outlines = list[tuple[bytes, int]]


def _of_gdal(array: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> Outlines:
    """Outlines by GDAL, polygon by polygon."""
    shapes = features.shapes(array, mask=valid, connectivity=4)
    return sorted(
        (shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:]).normalize().wkb, int(value))
        for shape, value in shapes
    )


@settings(deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 2)),
    st.floats(0.3, 1),
    st.integers(0, 2**31),
)
def test_outlines_are_those_of_gdal(array: npt.NDArray[np.uint8], share: float, seed: int) -> None:
    valid = np.random.default_rng(seed).random(array.shape) < share
    polygons, values = polygonize(array, valid)
    assert shapely.is_valid(polygons).all()
    found = zip(shapely.to_wkb(shapely.normalize(polygons)).tolist(), values.tolist(), strict=True)
    assert sorted(found) == _of_gdal(array, valid)


def test_holes_that_touch_at_a_corner_stay_apart() -> None:
    array = np.ones((4, 4), np.uint8)
    array[1, 1] = array[2, 2] = 0
    polygon = polygonize(array, array > 0)[0][0]
    assert polygon.is_valid and len(polygon.interiors) == 2
    array[0, 0] = 0  # the outer ring touches a hole at a corner
    polygon = polygonize(array, array > 0)[0][0]
    assert polygon.is_valid and len(polygon.interiors) == 2 and polygon.area == 13


def test_polygons_come_in_the_order_of_their_first_pixels() -> None:
    array = np.array([[3, 3, 1], [2, 3, 1], [2, 2, 2]], np.uint8)
    polygons, values = polygonize(array)
    assert values.tolist() == [3, 1, 2]
    assert polygons[1].wkt == "POLYGON ((2 0, 2 2, 3 2, 3 0, 2 0))"
    assert [len(part) for part in polygonize(array, np.zeros((3, 3), np.bool_))] == [0, 0]
