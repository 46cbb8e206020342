"""Styles are well-formed whatever classes are called, and say what QGIS needs."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.classes import ClassInfo, ClassSet
from eo_dl.io.qgisstyles import (
    MARK,
    categories_qml,
    class_raster_aux_xml,
    class_raster_qml,
    outline_qml,
    probability_raster_qml,
)

names = st.lists(st.text(max_size=12), min_size=1, max_size=5, unique=True)


@settings(max_examples=30, deadline=None)
@given(names)
def test_any_class_name_gives_well_formed_styles(texts):
    classes = ClassSet.of_names(texts)
    for style in (
        class_raster_qml(classes),
        class_raster_aux_xml(classes),
        categories_qml("class_name", {c.name: c.color for c in classes}),
    ):
        fromstring(style)


def test_side_file_has_a_name_and_colour_for_each_id_up_to_the_largest():
    classes = ClassSet((ClassInfo(1, "a", "#102030"), ClassInfo(4, "b", "#ff0000")))
    notes = fromstring(class_raster_aux_xml(classes))
    assert [c.text for c in notes.iter("Category")] == [None, "a", None, None, "b"]
    entries = [tuple(int(e.get(f"c{i}", "-1")) for i in range(1, 5)) for e in notes.iter("Entry")]
    assert entries == [(0, 0, 0, 0), (16, 32, 48, 255), (0, 0, 0, 0), (0, 0, 0, 0), (255, 0, 0, 255)]


def test_every_style_says_that_it_is_ours():
    classes = ClassSet.of_names(["a"])
    for style in (
        class_raster_qml(classes),
        probability_raster_qml(),
        categories_qml("f", {"a": "#000000"}),
        outline_qml("#ff0000"),
    ):
        assert style.startswith(MARK)


@pytest.mark.parametrize("geometry", ["polygon", "line", "point"])
def test_each_category_has_its_symbol(geometry):
    style = fromstring(categories_qml("split", {"train": "#0000ff", "test": "#ff0000"}, geometry))
    symbols = {s.get("name") for s in style.iter("symbol")}
    assert {c.get("symbol") for c in style.iter("category")} == symbols
    assert len(symbols) == 3


def test_objects_may_be_styled_as_outlines_that_leave_the_image_visible() -> None:
    assert 'name="style" value="solid"' in categories_qml("class_name", {"tree": "#1f7a3a"})
    outlines = categories_qml("class_name", {"tree": "#1f7a3a"}, filled=False)
    assert 'name="style" value="no"' in outlines
    assert 'name="style" value="solid"' not in outlines
