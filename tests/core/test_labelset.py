"""Labels arrive in the right pixels of the right scene."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from eo_dl.core.classes import ClassSet
from eo_dl.core.labelset import LabelSet
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.window import Window
from eo_dl.errors import LabelError

UTM = CRS(32633)
GRID = PixelGrid(UTM, Affine(0.5, 0, 500000, 0, -0.5, 5_200_000), 200, 300)


def label_set(
    geometries: list[shapely.Geometry], crs: CRS | None, images: list[str] | None = None
) -> LabelSet:
    array = np.array(geometries, dtype=object)
    ids = np.array([str(i) for i in range(len(array))], dtype=object)
    names = None if images is None else np.array(images, dtype=object)
    return LabelSet(
        ClassSet.of_names(["a"]), array, np.ones(len(array), np.int64), crs, "labels", ids, images=names
    )


@pytest.mark.parametrize("epsg", [32633, 4326, 3857, 25833])
def test_any_crs_lands_on_the_same_pixels(epsg: int) -> None:
    pixels = [(10, 20), (30, 20), (30, 50), (10, 50)]
    xs, ys = GRID.to_map(*zip(*pixels, strict=True))
    moved = Transformer.from_crs(UTM, CRS(epsg), always_xy=True).transform(xs, ys)
    labels = label_set([shapely.Polygon(np.column_stack(moved))], CRS(epsg)).for_grid(GRID, "scene.tif")
    np.testing.assert_allclose(
        shapely.get_coordinates(labels.geometries[0])[:4], pixels, atol=1e-3 if epsg == 25833 else 1e-5
    )


def test_only_what_touches_the_scene_is_kept_with_its_place_in_the_set() -> None:
    outside = shapely.box(0, 0, 10, 10)
    inside = shapely.box(*GRID.footprint(Window(5, 5, 10, 10)).bounds)
    labels = label_set([outside, inside], UTM).for_grid(GRID, "scene.tif")
    assert labels.index.tolist() == [1]


def test_pixel_labels_belong_to_their_image() -> None:
    labels = label_set([shapely.box(0, 0, 5, 5), shapely.box(1, 1, 9, 9)], None, ["a.png", "b.png"])
    assert labels.for_grid(GRID, "b.png").index.tolist() == [1]
    assert labels.for_grid(GRID, "b.tif").index.tolist() == [1]
    assert len(labels.for_grid(GRID, "c.png")) == 0


def test_pixel_labels_follow_a_resampled_grid() -> None:
    half = GRID.resized(100, 150)
    labels = label_set([shapely.box(10, 20, 30, 40)], None, ["a.png"]).for_grid(half, "a.png", native=GRID)
    assert labels.bounds.tolist() == [[5, 10, 15, 20]]


def test_one_place_on_two_dates_keeps_its_own_labels() -> None:
    square = GRID.footprint(Window(5, 5, 10, 10))
    labels = label_set([square, square], UTM, ["june.tif", "july.tif"])
    assert labels.for_grid(GRID, "july.tif").index.tolist() == [1]


def test_map_labels_need_a_scene_with_a_crs() -> None:
    with pytest.raises(LabelError, match="scene has no CRS"):
        label_set([shapely.box(0, 0, 1, 1)], UTM).for_grid(
            PixelGrid(None, Affine.identity(), 10, 10), "plain.png"
        )


def test_a_window_sees_what_shares_area_with_it_in_its_own_pixels() -> None:
    labels = label_set(
        [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(100, 100, 110, 110)],
        None,
        ["s"] * 3,
    ).for_grid(GRID, "s")
    part = labels.within(Window(10, 5, 20, 20))
    assert part.index.tolist() == [1], "touching at an edge is not sharing area"
    assert part.bounds.tolist() == [[0, -5, 10, 5]]


def test_annotated_ground_is_cut_to_the_window() -> None:
    base = label_set([shapely.box(0, 0, 10, 10)], None, ["s"])
    area = LabelSet(
        base.classes,
        base.geometries,
        base.class_ids,
        None,
        "l",
        base.feature_ids,
        images=base.images,
        annotated=np.array([shapely.box(0, 0, 50, 50)], object),
        annotated_images=np.array(["s"], object),
    )
    part = area.for_grid(GRID, "s").within(Window(40, 40, 20, 20))
    assert part.annotated is not None
    assert part.annotated.bounds == (0, 0, 10, 10)
    empty = area.for_grid(GRID, "other").annotated
    assert empty is not None and empty.is_empty, "an image without annotated ground has none"


def test_an_image_that_labels_by_image_do_not_list_has_nothing_annotated() -> None:
    base = label_set([shapely.box(0, 0, 10, 10)], None, ["a.png"])
    listed = LabelSet(
        base.classes,
        base.geometries,
        base.class_ids,
        None,
        "l",
        base.feature_ids,
        images=base.images,
        image_names=("a.png", "b.png"),
    )
    assert listed.for_grid(GRID, "a.png").annotated is None
    assert listed.for_grid(GRID, "b.tif").annotated is None, "listed without objects: all background"
    unlisted = listed.for_grid(GRID, "c.png").annotated
    assert unlisted is not None and unlisted.is_empty
