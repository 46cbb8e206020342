"""Arrays of geometries are moved, scaled and reprojected vertex by vertex."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from eo_dl.core.geometries import missing_or_empty, polygons_in, reproject, scaled, shifted
from eo_dl.errors import LabelError

UTM, LONLAT = CRS(32633), CRS(4326)


def test_reprojecting_to_the_same_crs_gives_back_the_argument() -> None:
    boxes = np.array([shapely.box(500_000, 5_200_000, 500_100, 5_200_100)], dtype=object)
    assert reproject(boxes, UTM, CRS.from_wkt(UTM.to_wkt()), "labels.gpkg") is boxes


def test_every_vertex_is_reprojected() -> None:
    xs, ys = [500_000.0, 500_100.0, 500_100.0], [5_200_000.0, 5_200_000.0, 5_200_100.0]
    triangle = np.array([shapely.Polygon(np.column_stack([xs, ys]))], dtype=object)
    moved = reproject(triangle, UTM, LONLAT, "labels.gpkg")
    expected = np.column_stack(Transformer.from_crs(UTM, LONLAT, always_xy=True).transform(xs, ys))
    np.testing.assert_allclose(shapely.get_coordinates(moved[0])[:3], expected)


def test_a_point_outside_the_target_crs_is_named() -> None:
    beyond = np.array([shapely.box(0, 95, 1, 96)], dtype=object)
    with pytest.raises(LabelError, match=r"labels\.gpkg: the point \(1, 95\) cannot be transformed"):
        reproject(beyond, LONLAT, CRS(3857), "labels.gpkg")


def test_a_single_geometry_and_an_array_are_moved_alike() -> None:
    box = shapely.box(0, 0, 2, 4)
    assert shifted(box, 10, -1).bounds == (10, -1, 12, 3)
    assert shifted(np.array([box], dtype=object), 10, -1)[0].bounds == (10, -1, 12, 3)
    assert scaled(box, 2, 0.5).bounds == (0, 0, 4, 2)


def test_none_and_geometries_without_points_are_missing_or_empty() -> None:
    geometries = np.array([None, shapely.Polygon(), shapely.box(0, 0, 1, 1)], dtype=object)
    assert missing_or_empty(geometries).tolist() == [True, True, False]


def test_only_parts_with_an_area_are_polygons() -> None:
    box = shapely.box(0, 0, 1, 1)
    mixed = shapely.GeometryCollection([box, shapely.Point(3, 3), shapely.LineString([(0, 0), (5, 5)])])
    assert list(polygons_in(mixed)) == [box]
    assert len(polygons_in(shapely.Polygon())) == 0
