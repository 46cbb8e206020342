"""Which prediction finds which reference object: greedily by score, as COCO does it.

For each class and IoU threshold, predictions in falling order of their scores take the free reference object
that they overlap most, at least by the threshold. An ignored object excuses: a prediction that lies in it
(common area divided by the prediction's area, COCO's crowd rule) and finds no real object counts neither way,
however many there are; one of class 255 excuses predictions of any class. Only overlapping pairs are looked
at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, Int64Array
from ..core.boxes import areas, crossing_pairs, intersection_areas
from ..core.classes import IGNORE_ID

# Tolerances of faster-coco-eval.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Matches:
    """What N predictions found at each of T IoU thresholds."""

    found: Int64Array
    """(T, N) index of the reference object, -1 for none."""
    excused: BoolArray
    """(T, N) True for predictions that count neither way."""


@dataclass(frozen=True)
class _Pairs:
    """P pairs of a prediction and a reference object that overlap."""

    predictions: Int64Array
    references: Int64Array
    overlap: Float64Array

    def take(self, index: BoolArray | Int64Array) -> _Pairs:
        return _Pairs(self.predictions[index], self.references[index], self.overlap[index])


def match(predicted: Objects, truth: Objects, thresholds: tuple[float, ...], use_polygons: bool) -> Matches:
    """Match predictions to reference objects, class by class.

    Args:
        predicted: N predicted objects.
        truth: The reference objects.
        thresholds: T least IoUs.
        use_polygons: Compare outlines instead of boxes.
    """
    ignored = ~truth.counted
    pairs = _overlapping_pairs(predicted, truth, ignored, use_polygons)
    pairs = pairs.take(pairs.overlap >= min(thresholds) - _ROUNDING)
    # Highest score first. Per prediction real objects come before ignored ones, then larger overlap; of equal
    # ones the later object, as COCO does.
    by_score = np.argsort(-predicted.scores.astype(np.float64), kind="stable")
    rank = np.empty(len(predicted), np.int64)
    rank[by_score] = np.arange(len(predicted))
    order = np.lexsort(
        (-pairs.references, -pairs.overlap, ignored[pairs.references], rank[pairs.predictions])
    )
    pairs = pairs.take(order)
    found = np.full((len(thresholds), len(predicted)), -1, np.int64)
    excused = np.zeros((len(thresholds), len(predicted)), np.bool_)
    for index, threshold in enumerate(thresholds):
        enough = pairs.take(pairs.overlap >= min(threshold, 1 - _ROUNDING))
        _match_greedily(enough, ignored, found[index], excused[index])
    return Matches(found, excused)


def _match_greedily(pairs: _Pairs, ignored: BoolArray, found: Int64Array, excused: BoolArray) -> None:
    """Fill `found` and `excused` (N,) from pairs in the order in which they may match."""
    # Lists: single elements of arrays are slow to read.
    is_ignored, taken = ignored.tolist(), [False] * len(ignored)
    for prediction, reference in zip(pairs.predictions.tolist(), pairs.references.tolist(), strict=True):
        if found[prediction] >= 0 or excused[prediction]:
            continue
        if is_ignored[reference]:
            excused[prediction] = True
        elif not taken[reference]:
            found[prediction] = reference
            taken[reference] = True


def _overlapping_pairs(predicted: Objects, truth: Objects, ignored: BoolArray, use_polygons: bool) -> _Pairs:
    """Overlapping pairs of one class with their IoU; with ignored objects the share of the prediction."""
    first, second = crossing_pairs(predicted.boxes, truth.boxes)
    excuses_all = ignored & (truth.class_ids == IGNORE_ID)
    same_class = predicted.class_ids[first] == truth.class_ids[second]
    comparable = same_class | excuses_all[second]
    first, second = first[comparable], second[comparable]
    if use_polygons:
        predicted_outlines, true_outlines = predicted.outlines(), truth.outlines()
        common = shapely.area(shapely.intersection(predicted_outlines[first], true_outlines[second]))
        predicted_area = shapely.area(predicted_outlines)[first]
        true_area = shapely.area(true_outlines)[second]
    else:
        common = intersection_areas(predicted.boxes[first], truth.boxes[second])
        predicted_area = areas(predicted.boxes)[first]
        true_area = areas(truth.boxes)[second]
    whole = np.where(ignored[second], predicted_area, predicted_area + true_area - common)
    overlap = np.divide(common, whole, out=np.zeros(len(first)), where=whole > 0)
    return _Pairs(first, second, overlap).take(overlap > 0)
