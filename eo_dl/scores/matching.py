"""Which prediction finds which true object: greedy by score, as COCO does it.

For each class and IoU threshold, predictions in the order of their scores take the free true object that they
overlap most (at least by the threshold). An `ignore` object excuses: a prediction that lies in it (common
area over the prediction's own, COCO's crowd rule) and finds no real object counts neither way, however many
do; one of class 255 excuses any class. Only overlapping pairs are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from ..core.arrays import Objects
from ..core.boxes import areas, crossing_pairs, intersection_areas
from ..core.classes import IGNORE_ID

Index = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """`found` (T, N) index of the true object that each prediction found, -1 for none; `excused` (T, N)
    counts neither way.
    """

    found: Index
    excused: Flags


def match(predicted: Objects, truth: Objects, thresholds: tuple[float, ...], use_polygons: bool) -> Matches:
    """Matches of each prediction at each of T IoU thresholds, class by class."""
    ignored = truth.ignore if truth.ignore is not None else np.zeros(len(truth), np.bool_)
    first, second, overlap = overlaps(predicted, truth, ignored, use_polygons)
    found = np.full((len(thresholds), len(predicted)), -1, np.int64)
    excused = np.zeros((len(thresholds), len(predicted)), np.bool_)
    good = overlap >= min(thresholds) - 1e-10
    first, second, overlap = first[good], second[good], overlap[good]
    # Strongest prediction first; real objects before ignored ones, then larger overlap; of equal ones the
    # later object, as COCO does.
    rank = np.empty(len(predicted), np.int64)
    rank[np.argsort(-predicted.scores.astype(np.float64), kind="stable")] = np.arange(len(predicted))
    order = np.lexsort((-second, -overlap, ignored[second], rank[first]))
    first, second, overlap = first[order], second[order], overlap[order]
    for place, threshold in enumerate(thresholds):
        _greedy(first, second, overlap >= min(threshold, 1 - 1e-10), ignored, found[place], excused[place])
    return Matches(found, excused)


def _greedy(first: Index, second: Index, enough: Flags, ignored: Flags, found: Index, excused: Flags) -> None:
    taken = np.zeros(len(ignored), np.bool_)
    for prediction, object_, is_ignored in zip(
        first[enough].tolist(), second[enough].tolist(), ignored[second[enough]].tolist(), strict=True
    ):
        if found[prediction] >= 0 or excused[prediction]:
            continue
        if is_ignored:
            excused[prediction] = True
        elif not taken[object_]:
            found[prediction] = object_
            taken[object_] = True


def overlaps(
    predicted: Objects, truth: Objects, ignored: Flags, use_polygons: bool
) -> tuple[Index, Index, Floats]:
    """Pairs (prediction, true object) of one class that overlap, with their IoU (share of the prediction for
    ignored objects).
    """
    a, b = np.asarray(predicted.boxes, np.float64), np.asarray(truth.boxes, np.float64)
    first, second = crossing_pairs(a, b)
    same = (predicted.class_ids[first] == truth.class_ids[second]) | (
        ignored[second] & (truth.class_ids[second] == IGNORE_ID)
    )
    first, second = first[same], second[same]
    if use_polygons:
        shapes_a, shapes_b = predicted.outlines(), truth.outlines()
        common = shapely.area(shapely.intersection(shapes_a[first], shapes_b[second]))
        area_a, area_b = shapely.area(shapes_a)[first], shapely.area(shapes_b)[second]
    else:
        common = intersection_areas(a[first], b[second])
        area_a, area_b = areas(a)[first], areas(b)[second]
    whole = np.where(ignored[second], area_a, area_a + area_b - common)
    overlap = np.divide(common, whole, out=np.zeros(len(first)), where=whole > 0)
    kept = overlap > 0
    return first[kept], second[kept], overlap[kept]
