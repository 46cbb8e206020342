"""Regular outlines stay within their bound, keep shared walls, and are what the buildings are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapely import affinity

from eo_dl.core.pixelpolygons import polygonize
from eo_dl.errors import ConfigError
from eo_dl.io.rasterize import burn
from eo_dl.io.vectorlayers import read_layer
from eo_dl.postprocessing.cleanup import Cleanup
from eo_dl.postprocessing.outlineediting import edited_coverage
from eo_dl.postprocessing.regularoutlines import CIRCLE, KEPT, REGULAR, regular_outlines
from eo_dl.postprocessing.vectorize import vectorize
from tests.making import write_raster

HOUSE = shapely.Polygon([(20, 20), (70, 20), (70, 40), (45, 40), (45, 70), (20, 70)])
ROW = [shapely.box(20 + 14 * number, 30, 34 + 14 * number, 62) for number in range(4)]


def regular(labels: npt.NDArray[np.uint8], most_px: float = 2.5):
    """Outlines of pixels, and what becomes of them."""
    polygons, _ = polygonize(labels, labels > 0)
    made = edited_coverage(polygons, Cleanup(regularize_px=most_px))
    return polygons, made.polygons, made.status


def burnt(shapes: list[shapely.Geometry], angle: float = 0, side: int = 100) -> npt.NDArray[np.uint8]:
    turned = [affinity.rotate(shape, angle, origin=(50, 50)) for shape in shapes]
    return burn(turned, list(range(1, len(turned) + 1)), side, side).astype(np.uint8)


def farthest(one: shapely.Geometry, other: shapely.Geometry) -> float:
    lines = [shapely.segmentize(shape.boundary, 0.1) for shape in (one, other)]
    return shapely.hausdorff_distance(*lines)


@settings(max_examples=25)
@given(
    hnp.arrays(np.uint8, (5, 5), elements=st.sampled_from([0, 1, 1, 2])),
    st.integers(2, 5),
    st.floats(0.5, 4),
    st.integers(0, 3),
)
def test_no_outline_leaves_the_bound(
    blocks: npt.NDArray[np.uint8], side: int, most_px: float, ripple: int
) -> None:
    labels = np.kron(blocks, np.ones((side, side), np.uint8))
    labels[np.random.default_rng(ripple).random(labels.shape) < 0.03 * ripple] = 0
    polygons, made, status = regular(labels, most_px)
    assert shapely.is_valid(made).all()
    assert np.isclose(shapely.area(made).sum(), shapely.union_all(made, grid_size=1e-9).area, rtol=1e-5)
    for before, after, kind in zip(polygons, made, status, strict=True):
        assert farthest(before, after) <= most_px + 0.01
        assert kind in (REGULAR, CIRCLE, KEPT) and (kind != KEPT or before.equals(after))


@pytest.mark.parametrize("angle", [0, 11, 27, 45, 63, 80])
def test_a_house_gets_its_corners_back_at_any_angle(angle: float) -> None:
    true = affinity.rotate(HOUSE, angle, origin=(50, 50))
    _, (made,), (status,) = regular(burnt([HOUSE], angle), 3)
    assert status == REGULAR
    assert shapely.get_num_coordinates(made) - 1 <= 7
    assert made.intersection(true).area / made.union(true).area > 0.975
    corners = shapely.get_coordinates(made)[:-1]
    steps = np.diff(np.vstack([corners, corners[:1]]), axis=0)
    long = np.hypot(*steps.T) > 8
    turns = np.rad2deg(np.arctan2(steps[:, 1], steps[:, 0]))[long] % 90
    apart = (turns - turns[0] + 45) % 90 - 45
    assert np.abs(apart).max() < 0.02  # degrees: parallel or perpendicular, to a thousandth of a pixel


@pytest.mark.parametrize("angle", [0, 17, 45])
def test_row_houses_still_share_their_walls(angle: float) -> None:
    _, made, status = regular(burnt(ROW, angle))
    assert set(status) == {REGULAR} and shapely.coverage_is_valid(made)
    assert (shapely.get_num_coordinates(made) - 1 <= 6).all()
    shared = shapely.length(shapely.intersection(made[:-1], made[1:]))
    assert (shared > 28).all() and shapely.area(made).sum() == pytest.approx(4 * 14 * 32, rel=0.03)


def test_round_things_become_circles_and_free_angles_stay_free() -> None:
    _, (made,), (status,) = regular(burnt([shapely.Point(50, 50).buffer(20)]), 1.5)
    assert status == CIRCLE and made.area == pytest.approx(np.pi * 400, rel=0.01)
    bevelled = shapely.Polygon([(20, 20), (80, 20), (80, 50), (50, 80), (20, 80)])
    _, (made,), (status,) = regular(burnt([bevelled]))
    assert status == REGULAR and shapely.get_num_coordinates(made) - 1 == 5
    assert made.intersection(bevelled).area / made.union(bevelled).area > 0.98


def test_what_cannot_be_made_regular_stays_as_it_was_found() -> None:
    ring = shapely.Point(50, 50).buffer(30).difference(shapely.Point(50, 50).buffer(22))
    half = ring.intersection(shapely.box(0, 0, 100, 50))
    polygons, made, _ = regular(burnt([half]), 0.3)
    assert farthest(polygons[0], made[0]) <= 0.31
    nothing = regular_outlines(np.empty(0, dtype=object), 2)
    assert not len(nothing.polygons) and not len(nothing.status)


def test_the_layer_says_what_became_of_each_outline(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "map.tif", burnt([HOUSE], 20))
    frame = read_layer(vectorize(source, out=tmp_path / "map.gpkg", cleanup=Cleanup(regularize_px=3)))
    assert frame["outline"].tolist() == [REGULAR]
    with pytest.raises(ConfigError, match="takes the place of"):
        Cleanup(regularize_px=2, smooth_px=1)
