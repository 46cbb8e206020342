"""What a class map cannot show of labels, against burning every object alone."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from eo_dl.core.classes import ClassSet
from eo_dl.core.features import Features
from eo_dl.core.labelreport import LabelReport
from eo_dl.core.pixellabels import PixelLabels
from eo_dl.io.rasterize import burn
from eo_dl.labels.plausibility import report_on_pixels

SIDE = 40
CLASSES = ClassSet.of_names(["a", "b"])
# Corners off the grid of pixel centres, on which programs differ.
PLACE = st.integers(0, 10 * SIDE - 40).map(lambda tenth: tenth / 10 + 0.03)
LENGTH = st.sampled_from([0.2, 0.4, 0.9, 1.7, 6.1, 20.3])
BOXES = st.lists(
    st.tuples(PLACE, PLACE, LENGTH, LENGTH, st.integers(0, 90), st.sampled_from([1, 2]), st.booleans()),
    min_size=1,
    max_size=8,
)


def labels_of(boxes: list[tuple[float, ...]]) -> tuple[PixelLabels, Features]:
    shapes = [
        shapely.affinity.rotate(shapely.box(col, row, col + width, row + height), angle)
        for col, row, width, height, angle, *_ in boxes
    ]
    outlines = np.array(shapes, dtype=object)
    class_ids = np.array([box[5] for box in boxes], np.int64)
    ignore = np.array([box[6] for box in boxes], np.bool_)
    rows = np.arange(len(boxes))
    features = Features(
        geometries=outlines, class_ids=class_ids, ignore=ignore, feature_ids=rows.astype(object)
    )
    return PixelLabels(CLASSES, outlines, class_ids, ignore, rows), features


@settings(max_examples=60, deadline=None)
@given(BOXES)
def test_objects_without_a_pixel_are_those_that_burn_none(boxes: list[tuple[float, ...]]) -> None:
    labels, features = labels_of(boxes)
    moved = [shapely.transform(one, lambda xy: xy + 100) for one in labels.geometries]
    missed = [not burn([one], [1], SIDE + 240, SIDE + 240).any() for one in moved]
    report = report_on_pixels(LabelReport(), [labels], features, CLASSES)
    assert report.without_a_pixel == sum(
        none and not ignored for none, ignored in zip(missed, features.ignore, strict=True)
    )
    small = (shapely.area(labels.geometries) < 1) & ~features.ignore
    assert report.below_a_pixel == int(small.sum())


@settings(max_examples=60, deadline=None)
@given(BOXES)
def test_objects_that_one_later_object_covers_are_counted(boxes: list[tuple[float, ...]]) -> None:
    labels, features = labels_of(boxes)
    order = [*np.flatnonzero(~features.ignore), *np.flatnonzero(features.ignore)]
    covered = 0
    for place, number in enumerate(order):
        outline = labels.geometries[number]
        above = [other for other in order[place + 1 :] if _differs(features, number, other)]
        shares = [outline.intersection(labels.geometries[other]).area / outline.area for other in above]
        burns = burn([shapely.transform(outline, lambda xy: xy + 100)], [1], SIDE + 240, SIDE + 240).any()
        covered += bool(burns and not features.ignore[number] and max(shares, default=0) >= 0.9)
    assert report_on_pixels(LabelReport(), [labels], features, CLASSES).covered == covered


def _differs(features: Features, number: int, other: int) -> bool:
    return bool(features.ignore[other] or features.class_ids[other] != features.class_ids[number])


def test_a_class_whose_pixels_do_not_fit_its_outlines_is_named() -> None:
    labels, features = labels_of([(1, 1, 6, 6, 0, 1, False), (20, 20, 0.2, 20, 0, 2, False)])
    report = report_on_pixels(LabelReport(read=2), [labels], features, CLASSES)
    assert [(one.name, one.fits) for one in report.classes] == [("a", True), ("b", False)]
    assert "share of its outlines that a class map shows: b 0%" in report.line


def test_an_object_on_two_scenes_counts_where_both_agree() -> None:
    thin, features = labels_of([(1.1, 1.1, 0.2, 0.2, 0, 1, False)])
    wide, _ = labels_of([(1.1, 1.1, 6, 6, 0, 1, False)])
    assert report_on_pixels(LabelReport(), [thin, wide], features, CLASSES).without_a_pixel == 0
    assert report_on_pixels(LabelReport(), [thin, thin], features, CLASSES).without_a_pixel == 1
    assert report_on_pixels(LabelReport(), [], features, CLASSES).outside == 1
