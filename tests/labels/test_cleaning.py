from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.errors import LabelError
from eo_dl.labels.cleaning import Cleaned, clean_polygons


def cleaned(*geometries: shapely.Geometry | None) -> Cleaned:
    array = np.empty(len(geometries), dtype=object)
    array[:] = geometries
    return clean_polygons(
        array, np.array([f"#{i}" for i in range(len(geometries))], dtype=object), "labels.gpkg"
    )


def test_what_holds_nothing_is_dropped_and_counted_by_id() -> None:
    found = cleaned(
        None, shapely.box(0, 0, 1, 1), shapely.Polygon(), shapely.Polygon([(0, 0), (1, 1), (2, 2)])
    )
    assert found.index.tolist() == [1]
    assert found.notes[0] == "2 missing or empty geometries dropped: #0, #2"
    assert "#3" in " ".join(found.notes[1:]) and "without area" in " ".join(found.notes)


def test_a_bow_tie_keeps_both_wings_and_its_change_of_area_is_named() -> None:
    found = cleaned(shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), shapely.box(5, 5, 6, 6))
    assert found.geometries[0].area == pytest.approx(2)
    assert shapely.is_valid(found.geometries).all()
    assert found.notes == ("1 invalid geometry repaired; the area of #0 changed by more than 1%",)


def test_a_repair_that_changes_little_names_nothing() -> None:
    spike = shapely.Polygon([(0, 0), (100, 0), (100, 100), (50, 100), (50, 120), (50, 100), (0, 100)])
    assert cleaned(spike).notes == ("1 invalid geometry repaired",)


def test_heights_are_flattened_and_counted() -> None:
    found = cleaned(shapely.Polygon([(0, 0, 9), (1, 0, 9), (1, 1, 9)]))
    assert not shapely.has_z(found.geometries).any()
    assert found.notes == ("1 geometry with heights (Z) flattened",)


def test_of_a_collection_the_polygons_stay() -> None:
    found = cleaned(
        shapely.GeometryCollection(
            [
                shapely.Point(0, 0),
                shapely.GeometryCollection([shapely.box(0, 0, 1, 1)]),
                shapely.box(2, 0, 3, 1),
            ]
        )
    )
    assert found.geometries[0].geom_type == "MultiPolygon" and found.geometries[0].area == 2
    assert found.notes == ("1 mixed geometry reduced to the polygons in them: #0",)


def test_a_coordinate_that_is_no_number_names_its_feature() -> None:
    with pytest.raises(LabelError, match="feature #1 has a coordinate"):
        cleaned(shapely.box(0, 0, 1, 1), shapely.Polygon([(0, 0), (np.inf, 0), (1, 1)]))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=4, max_size=12))
def test_whatever_the_ring_the_result_is_valid_and_polygonal(ring: list[tuple[int, int]]) -> None:
    found = cleaned(shapely.Polygon(ring))
    assert shapely.is_valid(found.geometries).all()
    assert {g.geom_type for g in found.geometries} <= {"Polygon", "MultiPolygon"}
    assert (shapely.area(found.geometries) > 0).all()
    assert len(found.geometries) or found.notes
