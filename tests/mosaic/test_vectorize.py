"""Polygons made band by band are those of the whole raster."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eo_dl.core.pixelpolygons import RowPolygonizer, polygonize
from eo_dl.io.rasterize import burn

Labels = npt.NDArray[np.uint8]


def _bands(labels: Labels, heights: list[int], skip: tuple[int, ...]) -> list[tuple[bytes, int]]:
    polygonizer = RowPolygonizer(labels.shape[1], skip)
    parts: list[tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]] = []
    row = 0
    while row < len(labels):
        height = heights[len(parts) % len(heights)]
        parts.append(polygonizer.add(row, labels[row : row + height]))
        row += height
    parts.append(polygonizer.close())
    return _canonical(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))


def _canonical(
    polygons: npt.NDArray[np.object_], class_ids: npt.NDArray[np.int64]
) -> list[tuple[bytes, int]]:
    assert shapely.is_valid(polygons).all()
    same = shapely.normalize(shapely.simplify(shapely.normalize(polygons), 0))
    return sorted(zip(shapely.to_wkb(same).tolist(), class_ids.tolist(), strict=True))


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 1, 2, 255])
    ),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
)
def test_bands_give_the_polygons_of_the_whole_raster(labels: Labels, heights: list[int]) -> None:
    whole = polygonize(labels, labels != 255)
    assert _bands(labels, heights, (255,)) == _canonical(*whole)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0.2, 0.8))
def test_mazes_with_holes_across_seams(seed: int, height: int, share: float) -> None:
    labels = (np.random.default_rng(seed).random((40, 33)) < share).astype(np.uint8)
    whole = polygonize(labels, labels != 0)
    found = _bands(labels, [height], (0, 255))
    assert found == _canonical(*whole)
    burnt = (
        burn(shapely.from_wkb([wkb for wkb, _ in found]), [1] * len(found), 40, 33)
        if found
        else np.zeros((40, 33))
    )
    assert np.array_equal(burnt, labels)


def test_a_ring_over_many_bands_is_one_polygon_with_one_hole() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[2:28, 2:28] = 3
    labels[5:25, 5:25] = 0
    polygonizer = RowPolygonizer(30, skip=(0,))
    found = [polygonizer.add(row, labels[row : row + 4]) for row in range(0, 30, 4)]
    polygons = np.concatenate([part[0] for part in found])
    assert polygonizer.close()[0].size == 0
    assert len(polygons) == 1 and len(polygons[0].interiors) == 1
    assert len(polygons[0].exterior.coords) == 5 and polygons[0].area == 26**2 - 20**2


def test_finished_polygons_do_not_wait() -> None:
    labels = np.zeros((400, 40), np.uint8)
    labels[::2, ::2] = 1
    labels[:, -1] = 2
    polygonizer = RowPolygonizer(40, skip=(0,))
    most, count = 0, 0
    for row in range(0, 400, 5):
        count += len(polygonizer.add(row, labels[row : row + 5])[0])
        most = max(most, polygonizer.waiting)
    assert count == 200 * 20 and most <= 20 + 80
    assert polygonizer.close()[1].tolist() == [2]


def test_rows_out_of_order_are_refused() -> None:
    polygonizer = RowPolygonizer(4)
    polygonizer.add(0, np.zeros((2, 4), np.uint8))
    with pytest.raises(ValueError, match="from row 2"):
        polygonizer.add(3, np.zeros((2, 4), np.uint8))
