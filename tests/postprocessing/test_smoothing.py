"""Rounded outlines: valid, within their bound, and still without gap or overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_dl.core.pixelpolygons import polygonize
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.outlineediting import edited_coverage, edited_outlines
from eo_dl.postprocessing.smoothing import smoothed

BLOCKS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 1, 2])
)


@settings(max_examples=40)
@given(BLOCKS, st.integers(1, 3), st.floats(0.1, 5))
def test_outlines_stay_valid_shared_and_within_the_bound(
    blocks: npt.NDArray[np.uint8], side: int, most_px: float
) -> None:
    labels = np.kron(blocks, np.ones((side, side), np.uint8))
    polygons, _ = polygonize(labels)
    made = edited_coverage(polygons, Cleanup(smooth_px=most_px)).polygons
    assert shapely.is_valid(made).all() and (shapely.get_type_id(made) == 3).all()
    assert shapely.coverage_is_valid(made)
    whole = shapely.union_all(made, grid_size=1e-9)
    assert np.isclose(shapely.area(made).sum(), whole.area) and shapely.get_num_interior_rings(whole) == 0
    for before, after in zip(polygons, made, strict=True):
        fine = shapely.segmentize(after.boundary, 0.1)
        assert shapely.hausdorff_distance(fine, before.boundary) <= most_px + 1e-9


def test_a_square_loses_its_corners_and_nothing_else() -> None:
    square = np.array([shapely.box(0, 0, 40, 40)], dtype=object)
    (made,) = smoothed(square, 4)
    assert made.covers(shapely.Point(20, 0)) and not made.covers(shapely.Point(0.2, 0.2))
    assert made.covers(shapely.box(4, 0, 36, 40)) and made.area > 1600 - 4 * 8
    assert shapely.get_num_coordinates(made) == 4 * 8 + 1


def test_objects_are_changed_each_for_itself() -> None:
    crossing = np.array([shapely.box(0, 0, 40, 40), shapely.box(1, 1, 41, 41)], dtype=object)
    one, other = edited_outlines(crossing, Cleanup(smooth_px=4)).polygons
    assert shapely.equals_exact(shapely.transform(one, lambda xy: xy + 1), other, 1e-9, normalize=True)
