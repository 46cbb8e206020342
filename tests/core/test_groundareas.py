"""Areas through one projection are the geodesic ones."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from pyproj import Geod

from eo_dl.core import groundareas
from eo_dl.core.groundareas import MOST_ERROR, ground_areas

GEOD = Geod(ellps="WGS84")


def _areas(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Areas of shapes in degrees."""
    return ground_areas(shapes, GEOD, lambda lon, lat: (lon, lat))


def _shapes(seed: int, lon: float, lat: float, spread: float, side: float) -> npt.NDArray[np.object_]:
    """Turned triangles to octagons around a place, some with a hole; sizes in degrees, shorter up north."""
    rng = np.random.default_rng(seed)
    shapes: list[shapely.Polygon] = []
    for _ in range(60):
        col, row = lon + rng.uniform(-spread, spread), np.clip(lat + rng.uniform(-spread, spread), -80, 80)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        around = np.column_stack([np.cos(angles), np.sin(angles)]) * side
        outer = around + np.array([col, row])
        inner = [around[::-1] * 0.3 + outer.mean(axis=0)]
        shape = shapely.Polygon(outer, inner)
        shapes.append(shape if shape.is_valid else shapely.Polygon(outer))
    return np.array([shape for shape in shapes if shape.area > 0.05 * side**2], dtype=object)


def _geodesic(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    return np.array(
        [abs(GEOD.geometry_area_perimeter(shapely.orient_polygons(shape))[0]) for shape in shapes]
    )


@pytest.mark.parametrize("side", [1e-4, 1e-2, 1, 8])
@pytest.mark.parametrize("spread", [0.01, 1, 20])
@pytest.mark.parametrize("place", [(0, 0), (13, 52), (-70, -33), (20, 78), (180, 10)])
def test_areas_are_geodesic_within_the_stated_error(
    place: tuple[float, float], spread: float, side: float
) -> None:
    shapes = _shapes(7, *place, spread, side)
    found, expected = _areas(shapes), _geodesic(shapes)
    # Geodesic areas of PROJ are themselves rounded at about a square centimetre.
    assert found == pytest.approx(expected, rel=MOST_ERROR, abs=0.05)


def test_small_polygons_take_no_step_each(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Mock(return_value=1.0)
    monkeypatch.setattr(groundareas, "_geodesic_area", steps)
    _areas(_shapes(1, 13, 52, 0.5, 1e-3))
    assert not steps.called
    _areas(np.array([shapely.box(0, 0, 20, 20)], dtype=object))
    assert steps.call_count == 1


def test_parts_count_together_and_nothing_has_no_area() -> None:
    box, hole = shapely.box(10, 50, 10.01, 50.01), shapely.box(10.002, 50.002, 10.004, 50.004)
    ring = shapely.difference(box, hole)
    far = shapely.box(10.1, 50, 10.11, 50.01)
    shapes = np.array(
        [box, hole, ring, far, shapely.union(ring, far), shapely.Polygon(), shapely.Point(10, 50)],
        dtype=object,
    )
    areas = _areas(shapes)
    assert areas[2] == pytest.approx(areas[0] - areas[1], rel=1e-9)
    assert areas[4] == pytest.approx(areas[2] + areas[3], rel=1e-9)
    assert areas[5:].tolist() == [0, 0] and _areas(shapes[:0]).shape == (0,)
