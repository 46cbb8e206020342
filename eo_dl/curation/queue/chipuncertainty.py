"""How uncertain a model is about a chip, from its predictions for several views of that chip.

A view is the chip rotated or mirrored. There are three measures, from 0 (certain) to 1, the same for all
tasks:

- entropy: of the mean prediction over the views, divided by log K. For maps it is the mean over the quarter
  of the valid pixels that are most uncertain; the mean over all of them would ask for whole fields that are a
  little unclear and pass over the one roof in a meadow.
- margin: 1 minus the difference between the two highest class probabilities, averaged in the same way.
- disagreement: entropy of the mean minus mean of the entropies, over log K: what the views disagree about
  ("BALD", Houlsby et al. 2011, with views instead of dropout). For objects: the change of an object's score
  from view to view; an object that another view does not show changes by its whole score.

Numbers have no classes: all three measures are what the views disagree about, the standard deviation of the
views over that of the train chips, averaged over the most uncertain pixels.

An object is a decision between two classes, present or not, with its score as probability. The value of a
chip is the sum over its `OBJECTS` most uncertain objects, divided by that number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Objects
from ...core.arraytypes import BoolArray, FloatArray
from ...core.boxes import crossing_pairs, ious

OBJECTS = 8
"""Objects that make up the value of a chip."""

UNCERTAIN_SHARE = 0.25
"""The share of pixels, the most uncertain ones, that makes up the value of a chip."""

_SAME_IOU = 0.5  # boxes of two views that overlap this much show the same object
_TINY = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """How uncertain a model is about one chip; see the module for the measures."""

    entropy: float
    """Entropy of the mean prediction, 0 to 1."""

    margin: float
    """1 minus the lead of the likeliest class over the next one, 0 to 1."""

    disagreement: float
    """What the views disagree about, 0 to 1."""

    class_shares: tuple[float, ...] = ()
    """(K,) the share of each class in the uncertainty; they sum to 1, or are all 0."""


def value_uncertainty(views: Sequence[FloatArray], spreads: Sequence[float], valid: BoolArray) -> Uncertainty:
    """The uncertainty of numbers.

    Args:
        views: For each view numbers (K, H, W) in the frame of the chip.
        spreads: (K,) the standard deviation of each value over the train chips.
        valid: (H, W) which pixels count.
    """
    if not valid.any():
        return Uncertainty(0.0, 0.0, 0.0, (0.0,) * len(spreads))
    deviations = np.stack(views).astype(np.float64).std(axis=0)[:, valid]
    relative = np.clip(deviations / np.array(spreads)[:, None], 0, 1)
    most = max(1, math.ceil(UNCERTAIN_SHARE * relative.shape[1]))
    of_values = np.sort(relative, axis=1)[:, -most:].mean(axis=1)
    total = float(of_values.sum())
    shares = tuple((of_values / total).tolist()) if total else (0.0,) * len(spreads)
    value = float(of_values.mean())
    return Uncertainty(value, value, value, shares)


def probability_uncertainty(views: Sequence[FloatArray], valid: BoolArray | None = None) -> Uncertainty:
    """The uncertainty of class probabilities.

    Args:
        views: For each view probabilities (K, H, W) in the frame of the chip, or (K,) of whole chips.
        valid: (H, W) which pixels count; None: all.
    """
    stacked = np.stack(views).astype(np.float64)
    class_count = len(stacked[0])
    if class_count == 1:  # a single class: present or not
        stacked = np.concatenate([stacked, 1 - stacked], axis=1)
    if valid is not None:
        if not valid.any():
            return Uncertainty(0.0, 0.0, 0.0, (0.0,) * class_count)
        stacked = stacked[:, :, valid]
    stacked = stacked.reshape(*stacked.shape[:2], -1)  # (V, K, pixels)

    highest_entropy = np.log(stacked.shape[1])
    mean = stacked.mean(0)
    entropy = _entropy(mean[None])[0]
    by_probability = np.sort(mean, axis=0)
    margin = 1 - (by_probability[-1] - by_probability[-2])
    disagreement = np.maximum(entropy - _entropy(stacked).mean(0), 0)

    count = math.ceil(UNCERTAIN_SHARE * mean.shape[1])
    most_uncertain = np.argsort(-entropy, kind="stable")[:count]
    return Uncertainty(
        _mean_of_highest(entropy / highest_entropy, count),
        _mean_of_highest(margin, count),
        _mean_of_highest(disagreement / highest_entropy, count),
        _shares(mean[:class_count, most_uncertain].mean(1)),
    )


def multi_label_uncertainty(views: Sequence[FloatArray]) -> Uncertainty:
    """The uncertainty of labels that may occur together: each is present or not, and the most uncertain one
    counts.

    Args:
        views: For each view the probabilities (K,) of the labels.
    """
    stacked = np.stack(views).astype(np.float64)
    labels = []
    for label in range(stacked.shape[1]):
        present_or_not = [np.array([p, 1 - p]) for p in stacked[:, label]]
        labels.append(probability_uncertainty(present_or_not))
    return Uncertainty(
        max(label.entropy for label in labels),
        max(label.margin for label in labels),
        max(label.disagreement for label in labels),
        _shares(np.array([label.entropy for label in labels])),
    )


def object_uncertainty(views: Sequence[Objects], class_ids: Sequence[int] = ()) -> Uncertainty:
    """The uncertainty of detected objects.

    Args:
        views: For each view its objects, in the frame of the chip.
        class_ids: The classes for which shares are wanted, in the order of `class_shares`.
    """
    first, others = views[0], views[1:]
    scores = np.asarray(first.scores, np.float64)
    scores_in_others = [_scores_in(first, other) for other in others]
    mean = np.mean([scores, *scores_in_others], axis=0) if len(scores) else scores
    entropy = np.asarray(_entropy(np.stack([mean, 1 - mean])[None])[0] / np.log(2))

    change = np.zeros(len(scores))
    if others:
        change = np.abs(np.array(scores_in_others) - scores).mean(0)
    # Objects that only the other views show: their whole score is a change.
    missed = [np.empty(0)]
    for other in others:
        unmatched = _scores_in(other, first) == 0
        missed.append(np.asarray(other.scores[unmatched], np.float64) / len(others))

    per_class = np.array([entropy[first.class_ids == class_id].sum() for class_id in class_ids])
    return Uncertainty(
        _mean_of_objects(entropy),
        _mean_of_objects(1 - np.abs(2 * mean - 1)),
        _mean_of_objects(np.concatenate([change, *missed])),
        _shares(per_class),
    )


def _shares(amounts: FloatArray) -> tuple[float, ...]:
    total = float(amounts.sum())
    if total <= 0:
        return (0.0,) * len(amounts)
    return tuple(float(amount) / total for amount in amounts)


def _entropy(probabilities: FloatArray) -> FloatArray:
    """(V, ...) entropies over the second axis of (V, K, ...)."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, _TINY))).sum(1))


def _mean_of_highest(values: FloatArray, count: int) -> float:
    return float(np.sort(values)[::-1][:count].mean())


def _mean_of_objects(values: FloatArray) -> float:
    """The sum of the `OBJECTS` highest values, over that number however many there are."""
    return float(np.sort(values)[::-1][:OBJECTS].sum() / OBJECTS)


def _scores_in(objects: Objects, other: Objects) -> FloatArray:
    """(N,) for each object the score of the best match in `other` (same class, IoU of at least half); 0 if
    there is none.
    """
    scores = np.zeros(len(objects))
    first, second = crossing_pairs(objects.boxes, other.boxes)
    if len(first):
        same_class = objects.class_ids[first] == other.class_ids[second]
        same = same_class & (ious(objects.boxes[first], other.boxes[second]) >= _SAME_IOU)
        np.maximum.at(scores, first[same], np.asarray(other.scores, np.float64)[second[same]])
    return scores
