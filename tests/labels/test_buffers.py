from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from eo_dl.errors import LabelError
from eo_dl.labels.vector.buffers import buffered

WGS84 = Geod(ellps="WGS84")


def lonlat(geometry: shapely.Geometry, epsg: int) -> np.ndarray:
    xy = shapely.get_coordinates(geometry)
    return np.column_stack(Transformer.from_crs(epsg, 4326, always_xy=True).transform(xy[:, 0], xy[:, 1]))


@given(
    st.sampled_from([(3857, 1e6, 8.4e6), (32633, 5e5, 6.6e6), (4326, 15.0, 60.0), (2193, 1.6e6, 5.4e6)]),
    st.floats(0.5, 5000),
)
def test_every_corner_of_a_circle_is_as_far_as_asked_on_the_ground(
    place: tuple[int, float, float], radius_m: float
) -> None:
    epsg, x, y = place
    circle = buffered(np.array([shapely.Point(x, y)], dtype=object), CRS(epsg), radius_m, "t")[0]
    corners, centre = lonlat(circle, epsg), lonlat(shapely.Point(x, y), epsg)[0]
    away = WGS84.inv(
        np.full(len(corners), centre[0]), np.full(len(corners), centre[1]), corners[:, 0], corners[:, 1]
    )[2]
    assert np.abs(np.asarray(away) - radius_m).max() < 1e-3 + 1e-6 * radius_m


def test_web_mercator_at_60_north_is_not_taken_for_metres() -> None:
    circle = buffered(np.array([shapely.Point(0, 8399737.89)], dtype=object), CRS(3857), 100.0, "t")[0]
    width = circle.bounds[2] - circle.bounds[0]
    assert width == pytest.approx(400, rel=0.01)


def test_a_road_is_as_wide_as_asked_all_along_its_way() -> None:
    road = shapely.LineString([(500_000, 5_600_000), (540_000, 5_630_000)])
    area = buffered(np.array([road], dtype=object), CRS(32631), 6.0, "t")[0]
    # UTM's scale error is up to 4e-4, so a plain buffer in map units is a reference to some millimetres.
    plain = road.buffer(6.0)
    assert area.is_valid
    assert shapely.symmetric_difference(area, plain).area < 0.01 * plain.area


def test_many_points_are_one_area_each() -> None:
    found = buffered(
        np.array([shapely.MultiPoint([(0, 0), (1, 1)]), shapely.Point(5, 5)], dtype=object),
        CRS(4326),
        10.0,
        "t",
    )
    assert [g.geom_type for g in found] == ["MultiPolygon", "Polygon"]


def test_a_point_on_the_date_line_stays_one_small_circle() -> None:
    circle = buffered(np.array([shapely.Point(179.99999, 10)], dtype=object), CRS(4326), 50.0, "t")[0]
    assert circle.bounds[2] - circle.bounds[0] < 0.01


@pytest.mark.parametrize("radius_m", [0.0, -1.0, float("nan"), 1e9])
def test_a_senseless_radius_is_refused(radius_m: float) -> None:
    with pytest.raises(LabelError, match="`buffer_m`"):
        buffered(np.array([shapely.Point(0, 0)], dtype=object), CRS(4326), radius_m, "t")
