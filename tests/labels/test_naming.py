from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eo_dl.errors import LabelError
from eo_dl.labels.classnames import Known, Naming, lookalikes, name_classes
from eo_dl.labels.classrequest import parse_classes, value_text


def naming(
    counts: dict[str, int], classes: str | list[str] | None = None, known: Known | None = None
) -> Naming:
    request = None if classes is None else parse_classes(classes)
    return name_classes(counts, request, "labels", known)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  Tree ", "Tree"),
        (3.0, "3"),
        ("003", "003"),
        ("1.0", "1.0"),
        ("Gru\u0308n", "Gr\u00fcn"),
        ("", None),
        ("  ", None),
        (None, None),
        (float("nan"), None),
        ("#3C1098", "#3c1098"),
        (1.5, "1.5"),
    ],
)
def test_values_become_text(value: object, text: str | None) -> None:
    assert value_text(value) == text


def test_texts_are_numbered_in_sorted_order() -> None:
    found = naming({"water": 1, "forest": 2})
    assert [(c.id, c.name) for c in found.classes] == [(1, "forest"), (2, "water")]
    assert found.class_ids(["water", None, "forest"]).tolist() == [2, 255, 1]


@given(st.sets(st.integers(1, 255), min_size=2, max_size=30).filter(lambda s: s != {255}))
def test_numbers_that_fit_keep_their_value(numbers: set[int]) -> None:
    found = naming({str(n): 1 for n in numbers})
    assert dict(found.ids) == {str(n): n for n in numbers}
    assert set(found.classes.ids) == numbers - {255}


def test_numbers_that_do_not_fit_are_counted_through_and_that_is_said() -> None:
    found = naming({"1000": 1, "7": 2, "255": 1})
    assert dict(found.ids) == {"7": 1, "255": 2, "1000": 3}
    assert "do not fit" in found.notes[0]


def test_a_class_called_background_is_the_background() -> None:
    assert dict(naming({"Background": 1, "a": 1}).ids) == {"Background": 0, "a": 1}
    assert dict(naming({"_background_": 1, "a": 1}).ids) == {"_background_": 0, "a": 1}


@pytest.mark.parametrize("classes", [None, "building,road"])
def test_objects_of_the_class_0_are_a_question(classes: str | None) -> None:
    """Zero is the first class to some programs, and the background to others."""
    with pytest.raises(
        LabelError, match=r"4 of 13 labels have the class 0.*class_0=0,class_1=1.*background=0"
    ):
        naming({"1": 9, "0": 4}, classes)
    assert dict(naming({"1": 9, "0": 4}, "field=0,roof=1").ids) == {"0": 1, "1": 2}
    assert dict(naming({"1": 9, "0": 4}, "background=0,roof=1").ids) == {"0": 0, "1": 1}
    assert dict(naming({"1": 9, "0": 4}, "background,roof").ids) == {"0": 0, "1": 1}


def test_codes_with_zeros_in_front_are_texts() -> None:
    assert dict(naming({"01": 1, "1": 1, "010": 1}).ids) == {"01": 1, "010": 2, "1": 3}


def test_what_labelme_ignores_is_ignored() -> None:
    assert dict(naming({"roof": 1, "__ignore__": 2}).ids) == {"roof": 1, "__ignore__": 255}
    assert dict(naming({"roof": 1, "__ignore__": 2}, "roof").ids) == {"roof": 1, "__ignore__": 255}


def test_a_list_gives_order_and_a_mapping_merges() -> None:
    found = naming({"Tree": 5, "Tree\\": 2, "shrub": 1, "junk": 1}, ["wood=Tree|Tree\\", "shrub", "-junk"])
    assert [(c.id, c.name) for c in found.classes] == [(1, "wood"), (2, "shrub")]
    assert dict(found.ids) == {"Tree": 1, "Tree\\": 1, "shrub": 2, "junk": 255}


def test_values_left_out_are_an_error_that_names_them() -> None:
    with pytest.raises(LabelError, match=r"leaves out: 'road' \(3 times\).*NAME=road"):
        naming({"water": 1, "road": 3}, "water")


def test_a_star_takes_the_rest() -> None:
    assert dict(naming({"water": 1, "road": 3, "x": 1}, "water,other=*").ids) == {
        "water": 1,
        "road": 2,
        "x": 2,
    }
    assert dict(naming({"water": 1, "road": 3}, "water,-*").ids) == {"water": 1, "road": 255}


def test_plain_names_for_numbers_count_from_one() -> None:
    found = naming({"1": 9, "3": 1}, "building,road,tree")
    assert [(c.id, c.name) for c in found.classes] == [
        (1, "building"),
        (2, "road"),
        (3, "tree"),
    ]
    with pytest.raises(LabelError, match="'4'"):
        naming({"1": 9, "4": 1}, "building,road,tree")


def test_colours_given_become_the_colours_of_the_classes() -> None:
    assert naming({"#3c1098": 1}, "Building=#3C1098").classes.classes[0].color == "#3c1098"


def test_known_ids_stay_where_they_can() -> None:
    assert dict(naming({"b": 1}, known=Known(("a", "b"), {"a": 7, "b": 3})).ids) == {"a": 7, "b": 3}
    assert dict(naming({"b": 1}, known=Known(("a", "b"), {"b": 3})).ids) == {"a": 1, "b": 2}, (
        "COCO's id 0 is renumbered"
    )


@pytest.mark.parametrize("classes", ["", "a=1,b=1", "=1", "a=", "-a"])
def test_senseless_classes_are_refused(classes: str) -> None:
    with pytest.raises(LabelError):
        naming({"1": 1}, classes)


def test_classes_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("# what we map\nBuilding=#3C1098\n\nroad, paved=#6EC1E4\n")
    found = naming({"#3c1098": 1, "#6ec1e4": 1}, str(file))
    assert found.classes.names == ("Building", "road, paved")
    with pytest.raises(LabelError, match="cannot be read"):
        parse_classes(tmp_path / "missing.txt")


def test_names_written_nearly_alike_are_told_and_not_merged() -> None:
    assert "looks like 'Tree' (371)" in lookalikes({"Tree": 371, "Tree\\": 3})[0]
    assert lookalikes({"concrete": 746, "concerte": 22, "tin": 530}) and not lookalikes(
        {"water": 10, "forest": 3, "class 1": 50, "class 2": 2}
    )


def test_too_many_classes_ask_for_another_field() -> None:
    with pytest.raises(LabelError, match="at most 254"):
        naming({f"name {i:03d}": 1 for i in range(300)})


def test_nothing_but_ignored_is_an_error() -> None:
    with pytest.raises(LabelError, match="every label is ignored"):
        naming({"255": 4})
