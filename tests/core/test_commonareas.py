"""Common areas from edges are those of GEOS's intersections."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core import commonareas
from eo_dl.core.commonareas import common_areas


def shapes(random: np.random.Generator, count: int, whole: bool) -> list[shapely.Geometry]:
    """Stars, some with a hole, some of two parts; with whole coordinates edges fall on each other."""
    made: list[shapely.Geometry] = []
    while len(made) < count:
        corners = int(random.integers(3, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        radii = random.uniform(1, 6, corners)
        xy = np.column_stack([np.cos(angles), np.sin(angles)]) * radii[:, None] + random.uniform(0, 6, 2)
        star = shapely.Polygon(np.rint(xy) if whole else xy)
        if star.is_valid and random.random() < 0.3:
            star = star.difference(shapely.box(*(star.bounds + np.array([1, 1, -1, -1]))))
        if star.is_valid and star.area > 0:
            made.append(star.reverse() if random.random() < 0.5 else star)
    return made


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_areas_are_those_of_intersections(seed: int, whole: bool, far: bool) -> None:
    random = np.random.default_rng(seed)
    first, second = (np.array(shapes(random, 6, whole), dtype=object) for _ in range(2))
    one, other = (axis.reshape(-1) for axis in np.meshgrid(np.arange(6), np.arange(6)))
    expected = shapely.area(shapely.intersection(first[one], second[other]))
    if far:
        first, second = (
            shapely.transform(part, lambda xy: np.add(xy, (5e5, 5e6))) for part in (first, second)
        )
    assert np.allclose(common_areas(first, second, one, other), expected, atol=1e-6 if far else 1e-10)
    assert np.allclose(common_areas(first, first, one[:6], one[:6]), shapely.area(first), atol=1e-6)


def test_portions_and_large_polygons_do_not_matter(monkeypatch) -> None:
    random = np.random.default_rng(1)
    first, second = (np.array(shapes(random, 9, False), dtype=object) for _ in range(2))
    pairs = np.arange(9), np.arange(9)
    expected = common_areas(first, second, *pairs)
    monkeypatch.setattr(commonareas, "_PORTION", 40)
    assert np.array_equal(common_areas(first, second, *pairs), expected)
    monkeypatch.setattr(commonareas, "_MOST_EDGE_PAIRS", 30)
    assert np.allclose(common_areas(first, second, *pairs), expected, atol=1e-10)
    none = np.empty(0, np.int64)
    assert not len(common_areas(first, second, none, none))
