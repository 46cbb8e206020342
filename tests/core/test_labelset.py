"""Labels arrive in the right pixels of the right scene."""

from __future__ import annotations

from dataclasses import fields, replace
from unittest.mock import Mock

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Transformer

from eo_dl.core import geometries as geometries_module
from eo_dl.core import labeloutlines
from eo_dl.core.classes import ClassSet
from eo_dl.core.features import Features, LabelRows
from eo_dl.core.imagelabels import CoveredImage, ImageLabels, WholeImageLabels
from eo_dl.core.labeloutlines import ImageOutlines, MapOutlines
from eo_dl.core.labelset import FeatureLabels, LabelSet
from eo_dl.core.maplabels import MapLabels
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.core.rasterlabels import LabelRaster, RasterLabels
from eo_dl.core.window import Window
from eo_dl.errors import LabelError

UTM = CRS(32633)
GRID = PixelGrid(UTM, Affine(0.5, 0, 500000, 0, -0.5, 5_200_000), 200, 300)
CLASSES = ClassSet.of_names(["a"])


def features(geometries: list[shapely.Geometry], images: list[str] | None = None) -> Features:
    count = len(geometries)
    return Features(
        geometries=np.array(geometries, dtype=object),
        class_ids=np.ones(count, np.int64),
        feature_ids=np.array([str(number) for number in range(count)], dtype=object),
        ignore=np.zeros(count, np.bool_),
        images=None if images is None else np.array(images, dtype=object),
    )


def map_labels(geometries: list[shapely.Geometry], crs: CRS, images: list[str] | None = None) -> MapLabels:
    return MapLabels(CLASSES, features(geometries, images), crs, "labels")


def image_labels(geometries: list[shapely.Geometry], images: list[str]) -> ImageLabels:
    return ImageLabels(CLASSES, features(geometries, images), "labels")


def whole_image_labels(images: list[str], class_ids: list[int]) -> WholeImageLabels:
    rows = LabelRows(
        class_ids=np.array(class_ids, np.int64),
        feature_ids=np.array(images, dtype=object),
        ignore=np.zeros(len(images), np.bool_),
        images=np.array(images, dtype=object),
    )
    covered = tuple(CoveredImage(name) for name in dict.fromkeys(images))
    return WholeImageLabels(ClassSet.of_names(["a", "b"]), rows, "labels", covered=covered)


@pytest.mark.parametrize("epsg", [32633, 4326, 3857, 25833])
def test_any_crs_lands_on_the_same_pixels(epsg: int) -> None:
    pixels = [(10, 20), (30, 20), (30, 50), (10, 50)]
    xs, ys = GRID.to_map(*zip(*pixels, strict=True))
    moved = Transformer.from_crs(UTM, CRS(epsg), always_xy=True).transform(xs, ys)
    labels = map_labels([shapely.Polygon(np.column_stack(moved))], CRS(epsg)).for_grid(GRID, "scene.tif")
    np.testing.assert_allclose(
        shapely.get_coordinates(labels.geometries[0])[:4], pixels, atol=1e-3 if epsg == 25833 else 1e-5
    )


def test_only_what_touches_the_scene_is_kept_with_its_place_in_the_set() -> None:
    outside = shapely.box(0, 0, 10, 10)
    inside = shapely.box(*GRID.footprint(Window(5, 5, 10, 10)).bounds)
    at_corner = shapely.box(*GRID.footprint(Window(300, 200, 10, 10)).bounds)
    labels = map_labels([outside, inside, at_corner], UTM).for_grid(GRID, "scene.tif")
    assert labels.index.tolist() == [1, 2]


def test_scenes_of_one_crs_reproject_labels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of them: the features, the areas, the rejected objects."""
    reprojected = []
    from_crs = geometries_module.Transformer.from_crs

    class Counted:
        @staticmethod
        def from_crs(source: CRS, target: CRS, always_xy: bool) -> Transformer:
            reprojected.append((source, target))
            return from_crs(source, target, always_xy=always_xy)

    monkeypatch.setattr(geometries_module, "Transformer", Counted)
    lonlat = CRS(4326)
    square = np.array([shapely.box(15.0, 46.9, 15.001, 46.901)], dtype=object)
    areas, rejected = MapOutlines(square, lonlat, "areas"), MapOutlines(square, lonlat, "labels")
    labels = replace(map_labels(list(square), lonlat), areas=areas, rejected=rejected)
    for grid in (GRID, GRID.crop(Window(100, 100, 50, 50)), GRID.resized(100, 150)):
        labels.for_grid(grid, "scene.tif")
        labels.rejected_on(grid, "scene.tif")
    assert len(reprojected) == 3


def test_pixel_labels_belong_to_their_image() -> None:
    labels = image_labels([shapely.box(0, 0, 5, 5), shapely.box(1, 1, 9, 9)], ["a.png", "b.png"])
    assert labels.for_grid(GRID, "b.png").index.tolist() == [1]
    assert labels.for_grid(GRID, "b.tif").index.tolist() == [1]
    assert len(labels.for_grid(GRID, "c.png")) == 0


def test_pixel_labels_follow_a_resampled_grid() -> None:
    half = GRID.resized(100, 150)
    labels = image_labels([shapely.box(10, 20, 30, 40)], ["a.png"]).for_grid(half, "a.png", native=GRID)
    assert labels.bounds.tolist() == [[5, 10, 15, 20]]


def test_one_place_on_two_dates_keeps_its_own_labels() -> None:
    square = GRID.footprint(Window(5, 5, 10, 10))
    labels = map_labels([square, square], UTM, ["june.tif", "july.tif"])
    assert labels.for_grid(GRID, "july.tif").index.tolist() == [1]


def test_map_labels_need_a_scene_with_a_crs() -> None:
    with pytest.raises(LabelError, match="scene has no CRS"):
        map_labels([shapely.box(0, 0, 1, 1)], UTM).for_grid(
            PixelGrid(None, Affine.identity(), 10, 10), "plain.png"
        )


def test_rejected_objects_are_annotated_ground_where_areas_are() -> None:
    """Somebody looked there; without areas the ground is annotated everywhere anyway."""
    near = GRID.footprint(Window(5, 5, 10, 10))
    far = GRID.footprint(Window(100, 100, 10, 10))
    rejected = MapOutlines(np.array([far], dtype=object), UTM, "labels")
    labels = replace(map_labels([near], UTM), rejected=rejected)
    assert labels.for_grid(GRID, "scene.tif").annotated is None
    assert labels.rejected_on(GRID, "scene.tif").bounds.tolist() == [[100, 100, 110, 110]]
    with_areas = replace(labels, areas=MapOutlines(np.array([near], dtype=object), UTM, "areas"))
    annotated = with_areas.for_grid(GRID, "scene.tif").annotated
    assert annotated is not None and annotated.area == pytest.approx(200)
    only_features = replace(labels, only_features=True)
    assert only_features.annotated is not None and len(only_features.annotated.geometries) == 2
    bound = replace(map_labels([near], UTM, ["june.tif"]), only_features=True, rejected=rejected)
    annotated = bound.for_grid(GRID, "july.tif").annotated
    assert annotated is not None and annotated.area == pytest.approx(100), "rejected on every date"


def test_a_window_sees_what_shares_area_with_it_in_its_own_pixels() -> None:
    labels = image_labels(
        [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(100, 100, 110, 110)], ["s"] * 3
    ).for_grid(GRID, "s")
    part = labels.within(Window(10, 5, 20, 20))
    assert part.index.tolist() == [1], "touching at an edge is not sharing area"
    assert part.bounds.tolist() == [[0, -5, 10, 5]]


def test_annotated_ground_is_cut_to_the_window() -> None:
    areas = ImageOutlines(np.array([shapely.box(0, 0, 50, 50)], object), np.array(["s"], object))
    labels = replace(image_labels([shapely.box(0, 0, 10, 10)], ["s"]), areas=areas)
    part = labels.for_grid(GRID, "s").within(Window(40, 40, 20, 20))
    assert part.annotated is not None
    assert part.annotated.bounds == (0, 0, 10, 10)
    empty = labels.for_grid(GRID, "other").annotated
    assert empty is not None and empty.is_empty, "an image without annotated ground has none"


def test_an_image_that_labels_by_image_do_not_list_has_nothing_annotated() -> None:
    base = image_labels([shapely.box(0, 0, 10, 10)], ["a.png"])
    listed = replace(base, covered=(CoveredImage("a.png"), CoveredImage("b.png")))
    assert listed.for_grid(GRID, "a.png").annotated is None
    assert listed.for_grid(GRID, "b.tif").annotated is None, "listed without objects: all background"
    unlisted = listed.for_grid(GRID, "c.png").annotated
    assert unlisted is not None and unlisted.is_empty


def test_labels_of_whole_images_are_the_frame_of_any_grid() -> None:
    labels = whole_image_labels(["a.png", "a.png", "b.png"], [1, 2, 1])
    placed = labels.for_grid(GRID, "a.png")
    assert placed.class_ids.tolist() == [1, 2] and placed.bounds.tolist() == [[0, 0, 300, 200]] * 2
    framed = labels.framed({"b.png": GRID})
    assert framed.images.tolist() == ["b.png"] and framed.features.geometries[0].bounds == (0, 0, 300, 200)


def test_label_rasters_have_no_features_but_may_have_areas() -> None:
    labels = RasterLabels(CLASSES, (LabelRaster("a.tif"),), "labels")
    placed = labels.for_grid(GRID, "a.tif")
    assert len(placed) == 0 and placed.annotated is None and labels.class_counts() == {"a": 0}
    areas = MapOutlines(np.array([GRID.footprint(Window(0, 0, 10, 10))], dtype=object), UTM, "areas")
    annotated = replace(labels, areas=areas).for_grid(GRID, "a.tif").annotated
    assert annotated is not None and annotated.area == pytest.approx(100)


def test_every_kind_is_a_label_set() -> None:
    square = shapely.box(0, 0, 1, 1)
    kinds: list[LabelSet] = [
        map_labels([square], UTM),
        image_labels([square], ["a.png"]),
        whole_image_labels(["a.png"], [1]),
        RasterLabels(CLASSES, (LabelRaster("a.tif"),), "labels"),
    ]
    for labels in kinds:
        assert isinstance(labels, LabelSet)
        assert labels.with_notes("one", "two").notes == ("one", "two")
        assert type(labels.with_notes()) is type(labels) and "labels" in labels._repr_html_()
    assert [isinstance(labels, FeatureLabels) for labels in kinds] == [True, True, False, False]


def test_taking_some_labels_takes_every_column() -> None:
    """By the fields of the class: a column that is added later is taken, too."""
    count = 4
    columns: dict[str, object] = {}
    for item in fields(Features):
        values = np.array([f"{item.name} {number}" for number in range(count)], dtype=object)
        columns[item.name] = {"height": values} if item.name == "attributes" else values
    taken = Features(**columns).take(np.array([2, 0]))  # type: ignore[arg-type]
    for item in fields(Features):
        column = getattr(taken, item.name)
        column = column["height"] if item.name == "attributes" else column
        assert column.tolist() == [f"{item.name} 2", f"{item.name} 0"]
    assert len(taken.take(np.array([True, False]))) == 1


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected scores for each of 1 labels, found 2"):
        replace(features([shapely.box(0, 0, 1, 1)]), scores=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="need the image of each feature"):
        ImageLabels(CLASSES, features([shapely.box(0, 0, 1, 1)]), "labels")


def test_labels_bound_to_scenes_are_sorted_once_for_all_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [shapely.box(x, 5_199_000, x + 5, 5_199_005) for x in range(500_000, 500_100, 10)]
    labels = map_labels(boxes, UTM)
    images = np.array([None, "a.tif", "b.tif", "a.tif", None, "a.tif", "b.tif", "c.tif", "a.tif", None])
    labels = replace(labels, features=replace(labels.features, images=images))
    grid = PixelGrid(UTM, Affine(1, 0, 500_000, 0, -1, 5_200_000), 2000, 60)
    sorting, moving = Mock(wraps=labeloutlines.RowsByImage), Mock(wraps=labeloutlines.reproject)
    monkeypatch.setattr(labeloutlines, "RowsByImage", sorting)
    monkeypatch.setattr(labeloutlines, "reproject", moving)
    for scene, expected in (("a.tif", [0, 1, 3, 4, 5]), ("b.tif", [0, 2, 4, 6]), ("x.tif", [0, 4])):
        assert labels.for_grid(grid, scene).index.tolist() == expected
    assert sorting.call_count == 1 and moving.call_count == 1
