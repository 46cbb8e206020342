from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from eo_dl.errors import LabelError
from eo_dl.labels.vector.fields import class_column, matching_rows


def frame(**columns: list[object]) -> geopandas.GeoDataFrame:
    count = len(next(iter(columns.values())))
    return geopandas.GeoDataFrame(
        columns, geometry=[shapely.box(i, 0, i + 1, 1) for i in range(count)], crs=4326
    )


def test_the_only_field_that_qualifies_is_the_class_and_that_is_noted() -> None:
    found = class_column(
        frame(
            id=[1, 2, 2], height=[1.5, 2.5, 3.0], osm_id=[7, 8, 9], kind=["a", "b", "a"], area_m2=[5, 5, 6]
        ),
        None,
        "t",
    )
    assert found.name == "kind" and found.values == ("a", "b", "a")
    assert found.note is not None and "detected" in found.note


def test_a_constant_field_and_three_different_classes_are_candidates_too() -> None:
    assert class_column(frame(fid=[1, 2, 3], klass=["x", "x", "x"]), None, "t").name == "klass"
    assert class_column(frame(klass=["water", "wood", "road"]), None, "t").name == "klass"
    assert class_column(frame(label=[1, 2, 3]), None, "t").name == "label"


def test_several_candidates_are_listed_and_not_chosen_from() -> None:
    with pytest.raises(LabelError, match=r"roof, use.*`class_field`"):
        class_column(frame(roof=["a", "b", "a"], use=["x", "x", "y"]), None, "t")


def test_a_name_and_its_number_are_one_candidate() -> None:
    found = class_column(
        frame(class_name=["wood", "lake", "wood"], class_id=[4, 9, 4], score=[1.0, 1.0, 0.5]), None, "t"
    )
    assert found.name == "class_name" and found.ids == {"wood": 4, "lake": 9}


def test_names_and_numbers_that_disagree_are_two() -> None:
    with pytest.raises(LabelError, match="several fields"):
        class_column(frame(cover=["wood", "lake", "wood", "urban"], code=[4, 9, 4, 4]), None, "t")


def test_without_any_candidate_all_are_objects() -> None:
    found = class_column(frame(HEIGHT=[1.5, 2.0, 2.5], SQMETERS=[3.0, 4.0, 4.0]), None, "t")
    assert found.name is None and set(found.values) == {"object"}
    assert found.note is not None and "no field could be the class" in found.note


def test_a_missing_field_is_named_with_those_that_are_there() -> None:
    with pytest.raises(LabelError, match="has no field 'species'; set `class_field` to one of kind, id"):
        class_column(frame(kind=["a", "b"], id=[1, 2]), "species", "t")


def test_lists_of_one_count_as_their_element_and_longer_ones_name_their_feature() -> None:
    found = class_column(frame(labels=[np.array(["water"]), ["wood"], '["water"]', None]), "labels", "t")
    assert found.values == ("water", "wood", "water", None)
    with pytest.raises(LabelError, match="feature 1 has several values"):
        class_column(frame(labels=[["water"], ["wood", "water"]]), "labels", "t")


def test_a_number_with_gaps_stays_a_number() -> None:
    assert class_column(frame(label=[1.0, float("nan"), 2.0]), None, "t").values == ("1", None, "2")


def test_a_filter_matches_texts_numbers_and_lists() -> None:
    table = frame(tasks=[["segmentation"], ["prompts"], ["a", "segmentation"], None], n=[1, 2, 3, 2])
    assert matching_rows(table, "tasks=segmentation", "t")[0].tolist() == [True, False, True, False]
    assert matching_rows(table, "n=2|3", "t")[0].tolist() == [False, True, True, True]
    for wrong, text in [
        ("tasks=nothing", "holds a, prompts, segmentation"),
        ("nowhere=1", "has no field"),
        ("n", "expected `where` as FIELD=VALUE"),
        ("n=", "expected `where` as FIELD=VALUE"),
    ]:
        with pytest.raises(LabelError, match=text):
            matching_rows(table, wrong, "t")
