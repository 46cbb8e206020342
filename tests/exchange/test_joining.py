"""Objects that chips cut into pieces, or show twice, come back as the objects that they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely.affinity import rotate

from eo_dl.core.classes import ClassSet
from eo_dl.core.imagelabels import ImageLabels
from eo_dl.core.labelset import LabelSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.exchange.imageindex import ImageIndex, IndexedImage
from eo_dl.exchange.pixelset import label_set_of
from eo_dl.exchange.placing import place_labels
from eo_dl.labels.cleaning import polygonal_part
from eo_dl.labels.formats.annotations import Annotations, LabelledImage, LabelledObject

SIDE = 96
GRID = PixelGrid(CRS.from_epsg(32633), Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), SIDE, SIDE)
CLASSES = ClassSet.of_names(["roof", "pool"])
Truth = dict[str, tuple[shapely.Geometry, str, dict[str, object]]]


def shape_of(kind: str, col: float, row: float, wide: float, high: float) -> shapely.Geometry:
    """Inside a cell of 20 px, whatever the kind."""
    box = shapely.box(col, row, col + wide, row + high)
    if kind == "turned":
        return rotate(shapely.box(col + 4, row + 4, col + 4 + wide / 2, row + 4 + high / 2), 33)
    if kind == "hole":
        return box.difference(shapely.box(col + wide / 3, row + high / 3, col + wide / 2, row + high / 2))
    if kind == "u":
        return box.difference(shapely.box(col + wide / 3, row - 1, col + wide / 1.5, row + high * 0.75))
    if kind == "parts":
        return shapely.MultiPolygon(
            [
                shapely.box(col, row, col + wide / 3, row + high),
                shapely.box(col + wide / 2, row, col + wide, row + high),
            ]
        )
    return box


@st.composite
def scenes(draw: st.DrawFn, kinds: tuple[str, ...]) -> tuple[Truth, list[Window]]:
    """Objects in cells that do not touch, and chips over the whole scene that meet or overlap."""
    places = draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=10, unique=True)
    )
    truth: Truth = {}
    for number, (col, row) in enumerate(places):
        sides = draw(st.tuples(st.floats(3, 21), st.floats(3, 21)))
        outline = shape_of(draw(st.sampled_from(kinds)), col * 24 + 1.25, row * 24 + 1.5, *sides)
        truth[f"#{number}"] = (outline, draw(st.sampled_from(CLASSES.names)), {"height": number})
    size = draw(st.integers(18, 60))
    stride = draw(st.integers(size // 2, size))
    starts = sorted({min(start, SIDE - size) for start in range(0, SIDE - size + stride, stride)})
    return truth, [Window(col, row, size, size) for row in starts for col in starts]


def with_columns(labels: ImageLabels, **columns: Any) -> ImageLabels:
    return replace(labels, features=replace(labels.features, **columns))


def pieces_of(
    truth: Truth, windows: list[Window], *, one_ring: bool = False
) -> tuple[Annotations, ImageIndex]:
    """What an export makes of objects: those of each chip, cut at its edges."""
    images, places = [], []
    for number, window in enumerate(windows):
        frame = shapely.box(*window.box)
        found = []
        for name, (outline, class_name, attributes) in truth.items():
            cut = (
                outline
                if shapely.contains_properly(frame, outline)
                else polygonal_part(shapely.intersection(outline, frame))
            )
            for part in shapely.get_parts(cut) if one_ring else [cut]:
                if part.area > 1e-9:
                    found.append(
                        LabelledObject(
                            shapely.transform(part, lambda xy, w=window: xy - (w.col, w.row)),
                            class_name,
                            name,
                            None,
                            attributes,
                        )
                    )
        images.append(LabelledImage(f"chip_{number}.tif", window.width, window.height, tuple(found)))
        places.append(
            IndexedImage(f"chip_{number}.tif", GRID.crop(window), "scene.tif", "scene.tif", "train")
        )
    return Annotations(CLASSES, tuple(images), "test"), ImageIndex(
        tuple(places), CLASSES, "yolo-seg" if one_ring else "cvat"
    )


def check(labels: LabelSet, truth: Truth, names: Mapping[int, str]) -> None:
    assert len(labels) == len(truth)
    found = GRID.geometries_to_pixel(labels.features.geometries)
    for outline, class_name, _ in truth.values():
        place = int(np.argmin([shapely.hausdorff_distance(g, outline) for g in found]))
        assert shapely.hausdorff_distance(found[place], outline) < 1e-6
        assert shapely.symmetric_difference(found[place], outline).area < 1e-5
        assert names[int(labels.features.class_ids[place])] == class_name


@settings(max_examples=25)
@given(scenes(("box", "turned", "hole", "u", "parts")))
def test_objects_that_say_who_they_are_come_back(scene: tuple[Truth, list[Window]]) -> None:
    truth, windows = scene
    found, index = pieces_of(truth, windows)
    labels = place_labels(label_set_of(found), index)
    check(labels, truth, {info.id: info.name for info in CLASSES})
    for name, height in zip(
        labels.features.attributes["feature_id"], labels.features.attributes["height"], strict=True
    ):
        assert truth[str(name)][2]["height"] == height


@settings(max_examples=25)
@given(scenes(("box", "turned", "u")))
def test_objects_that_say_nothing_come_back_by_their_places(scene: tuple[Truth, list[Window]]) -> None:
    truth, windows = scene
    found, index = pieces_of(truth, windows, one_ring=True)
    check(
        place_labels(with_columns(label_set_of(found), attributes={}), index),
        truth,
        {info.id: info.name for info in CLASSES},
    )


def four_chips(truth: Truth) -> tuple[ImageLabels, ImageIndex]:
    found, index = pieces_of(truth, [Window(col, row, 48, 48) for row in (0, 48) for col in (0, 48)])
    return label_set_of(found), index


def test_an_object_over_four_corners_is_one() -> None:
    labels, index = four_chips({"#1": (shapely.box(40, 41, 57, 58.5), "roof", {})})
    assert len(labels) == 4
    assert place_labels(labels, index, join=False).features.geometries.size == 4
    placed = place_labels(labels, index)
    assert (
        GRID.geometries_to_pixel(placed.features.geometries)[0].equals(shapely.box(40, 41, 57, 58.5))
        and "4 pieces" in placed.notes[-1]
    )


def test_copies_of_an_object_stay_objects_of_their_own() -> None:
    """CVAT gives a copy the attributes of what was copied, and a new shape an empty text."""
    truth: Truth = {
        "#1": (shapely.box(2, 2, 9, 9), "roof", {}),
        "#2": (shapely.box(20, 2, 29, 9), "roof", {}),
        "#3": (shapely.box(60, 2, 69, 9), "roof", {}),
    }
    labels, index = four_chips(truth)
    for said in (["#1", "#1", "#1"], ["", "", ""], [None, "", "#3"]):
        ids = np.array(said, dtype=object)
        assert len(place_labels(with_columns(labels, attributes={"feature_id": ids}), index)) == 3


def test_touching_objects_of_two_images_are_not_one_unless_they_meet_at_the_same_place() -> None:
    truth: Truth = {
        "#1": (shapely.box(40, 2, 48, 12), "roof", {}),
        "#2": (shapely.box(48, 11, 55, 30), "roof", {}),
    }
    labels, index = four_chips(truth)
    assert len(place_labels(with_columns(labels, attributes={}), index)) == 2


def test_pieces_that_got_two_classes_stay_apart_and_are_counted() -> None:
    labels, index = four_chips({"#1": (shapely.box(40, 2, 60, 12), "roof", {"height": 3})})
    placed = place_labels(with_columns(labels, class_ids=np.array([1, 2])), index)
    assert len(placed) == 2 and any(
        note.startswith("1 objects have different classes in different images") for note in placed.notes
    )
    heights = np.array([3, 4], dtype=object)
    placed = place_labels(
        with_columns(labels, attributes={**labels.features.attributes, "height": heights}), index
    )
    assert (
        len(placed) == 1
        and placed.features.attributes["height"][0] == 3
        and any(note.startswith("1 objects have different attributes") for note in placed.notes)
    )


def test_boxes_become_a_box_only_where_the_images_show_one() -> None:
    corner = shapely.box(0, 0, 96, 48).union(shapely.box(0, 48, 48, 96))
    labels, index = four_chips({"#1": (corner, "pool", {})})
    placed = place_labels(labels, index)
    assert len(placed) == 1 and GRID.geometries_to_pixel(placed.features.geometries)[0].equals(corner)


def test_a_box_has_one_partner_in_another_image_the_one_that_fits_best() -> None:
    boxes = {
        "#1": shapely.box(30, 2, 48, 22),
        "#2": shapely.box(48, 2, 60, 15),
        "#3": shapely.box(48, 15, 60, 22),
        "#4": shapely.box(30, 22, 48, 29),
    }
    labels, index = four_chips({name: (box, "roof", {}) for name, box in boxes.items()})
    silent = with_columns(labels, attributes={})
    placed = place_labels(silent, replace(index, format="yolo"))
    found = {GRID.geometries_to_pixel(placed.features.geometries)[k].bounds for k in range(len(placed))}
    assert found == {(30, 2, 60, 22), (48, 15, 60, 22), (30, 22, 48, 29)}
    assert len(place_labels(silent, replace(index, format="yolo-seg"))) == 2, (
        "a part may have several on the other side"
    )
