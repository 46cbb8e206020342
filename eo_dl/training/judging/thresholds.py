"""Decisions on the validation split: the score from which a predicted object is reported, and which of two
boxes are one object. Both are those with the best F1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.arrays import Objects
from ...core.arraytypes import BoolArray, Float64Array
from ...mosaic.suppress import Suppression
from ...scores.matching import match

Pair = tuple[Objects, Objects]
"""(predicted, true) objects of one chip."""

NO_THRESHOLD = 0.5
"""The threshold where none is better than another: nothing was predicted, or nothing is true."""

SUPPRESSIONS = tuple(
    Suppression(iou, inside) for inside in (None, 0.9, 0.75, 0.6) for iou in (0.5, 0.4, 0.3, 0.2)
)
"""What is tried, mild ones first."""

_GAIN = 0.005
"""F1 that a stronger suppression has to gain: few validation objects make small differences by chance."""


def best_suppression(pairs: Sequence[Pair], iou: float = 0.5) -> tuple[Suppression, float]:
    """The suppression with the best F1 over all chips and classes, and the threshold that goes with it.

    Args:
        pairs: (predicted, true) objects of each chip.
        iou: The IoU from which an object counts as found.
    """
    best = SUPPRESSIONS[0]
    if any(len(predicted.polygons) for predicted, _ in pairs):
        return best, best_threshold(pairs, iou)[0]  # outlines are not suppressed by their boxes
    threshold, best_f1 = best_threshold(_suppressed(pairs, best), iou)
    for candidate in SUPPRESSIONS[1:]:
        its_threshold, f1 = best_threshold(_suppressed(pairs, candidate), iou)
        if f1 > best_f1 + _GAIN:
            best, threshold, best_f1 = candidate, its_threshold, f1
    return best, threshold


def _suppressed(pairs: Sequence[Pair], suppression: Suppression) -> list[Pair]:
    return [(suppression.apply(predicted), true) for predicted, true in pairs]


def best_threshold(pairs: Sequence[Pair], iou: float = 0.5) -> tuple[float, float]:
    """The threshold with the best F1 over all chips and classes.

    Predicted objects are matched in the order of their scores, so what is matched above a threshold does not
    depend on what lies below it, and one pass gives F1 at every threshold. The threshold lies half way to the
    next lower score, so that rounding cannot change what is kept.

    Args:
        pairs: (predicted, true) objects of each chip.
        iou: The IoU from which an object counts as found.

    Returns:
        (threshold, F1 at it); (`NO_THRESHOLD`, NaN) where F1 is undefined.
    """
    all_scores, all_hits, true_count = [np.empty(0)], [np.empty(0, np.bool_)], 0
    for predicted, true in pairs:
        scores, hits = _hits(predicted, true, iou)
        all_scores.append(scores)
        all_hits.append(hits)
        true_count += int(true.counted.sum())
    scores, hits = np.concatenate(all_scores), np.concatenate(all_hits)
    if not len(scores) or not true_count:
        return NO_THRESHOLD, float("nan")
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    f1 = 2 * np.cumsum(hits) / (np.arange(1, len(scores) + 1) + true_count)
    f1[:-1][scores[:-1] == scores[1:]] = -1  # a threshold cannot separate equal scores
    best = int(np.argmax(f1))
    next_lower = float(scores[best + 1]) if best + 1 < len(scores) else 0.0
    return (float(scores[best]) + next_lower) / 2, float(f1[best])


def _hits(predicted: Objects, true: Objects, iou: float) -> tuple[Float64Array, BoolArray]:
    """The scores of the predicted objects that count, and whether each of them matches a true one."""
    matches = match(predicted, true, (iou,), true.has_outlines)
    counted = ~matches.excused[0]
    return predicted.scores[counted].astype(np.float64), (matches.found[0] >= 0)[counted]
