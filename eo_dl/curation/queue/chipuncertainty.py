"""How unsure a model is of a chip, from what it says of the chip and of the same chip turned and mirrored.

Three numbers from 0 (sure) to 1, whatever the task gives:

- entropy: of the mean of the views, over log K; of the chip (whole chips), over objects, or the mean over the
  most unsure quarter of the valid pixels (class maps: the mean over all of them would ask for whole fields of
  crops that are a little unclear, and pass over the one roof in a meadow).
- margin: 1 - (likeliest - second likeliest), in the same way.
- disagreement: entropy of the mean minus mean of the entropies, over log K (what the views differ about;
  "BALD" of Houlsby et al. 2011 with views in place of dropout). Of objects: by how much the score of an
  object changes from view to view, one not found again counting whole.

Objects have two classes, there or not, with their score as probability; a chip's number is the sum over its
`OBJECTS` most unsure ones, divided by that number.

`about` says which classes it is unsure between: (K,) shares that sum to 1 (or are all 0), of the same pixels
or objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects
from ...core.boxes import crossing_pairs, ious

Floats = npt.NDArray[np.floating]
Valid = npt.NDArray[np.bool_]

OBJECTS = 8
UNSURE_SHARE = 0.25
_SAME_IOU = 0.5
_TINY = 1e-12


@dataclass(frozen=True)
class Uncertainty:
    """See the module's text."""

    entropy: float
    margin: float
    disagreement: float
    about: tuple[float, ...] = ()


def of_probabilities(views: Sequence[Floats], valid: Valid | None = None) -> Uncertainty:
    """Of probabilities (K, H, W) of each view in the chip's own frame, or (K,) of whole chips; `valid` (H, W)
    where pixels count.
    """
    stacked = np.stack(views).astype(np.float64)
    classes = len(stacked[0])
    if classes == 1:  # one class, there or not
        stacked = np.concatenate([stacked, 1 - stacked], axis=1)
    if valid is not None:
        stacked = stacked[:, :, valid]
        if not valid.any():
            return Uncertainty(0.0, 0.0, 0.0, (0.0,) * classes)
    stacked = stacked.reshape(*stacked.shape[:2], -1)  # (V, K, pixels)
    most = np.log(stacked.shape[1])
    mean = stacked.mean(0)
    entropy = _entropy(mean[None])[0]
    ordered = np.sort(mean, axis=0)
    measures = (
        entropy / most,
        1 - (ordered[-1] - ordered[-2]),
        np.maximum(entropy - _entropy(stacked).mean(0), 0) / most,
    )
    count = math.ceil(UNSURE_SHARE * mean.shape[1])
    unsure = np.argsort(-entropy, kind="stable")[:count]
    told = [float(np.sort(values)[::-1][:count].mean()) for values in measures]
    return Uncertainty(told[0], told[1], told[2], _shares(mean[:classes, unsure].mean(1)))


def of_labels(views: Sequence[Floats]) -> Uncertainty:
    """Of probabilities (K,) of labels that may meet: each one there or not, the most unsure one counts."""
    stacked = np.stack(views).astype(np.float64)
    each = [
        of_probabilities([np.array([p, 1 - p]) for p in stacked[:, label]])
        for label in range(stacked.shape[1])
    ]
    about = _shares(np.array([one.entropy for one in each]))
    return Uncertainty(
        max(one.entropy for one in each),
        max(one.margin for one in each),
        max(one.disagreement for one in each),
        about,
    )


def of_objects(views: Sequence[Objects], class_ids: Sequence[int] = ()) -> Uncertainty:
    """Of the objects of each view, in the chip's own frame; `about` is told of `class_ids`, in their order."""
    scores = np.asarray(views[0].scores, np.float64)
    found = [_scores_in(views[0], other) for other in views[1:]]
    mean = np.mean([scores, *found], axis=0) if len(scores) else scores
    binary = np.stack([mean, 1 - mean])
    moved = np.abs(np.array(found) - scores).mean(0) if found else np.zeros(len(scores))
    new = [other.scores[_scores_in(other, views[0]) == 0] for other in views[1:]]
    missed = (
        np.concatenate([np.asarray(values, np.float64) for values in new]) / len(new) if new else np.empty(0)
    )
    entropy = np.asarray(_entropy(binary[None])[0] / np.log(2))
    about = np.array([entropy[views[0].class_ids == class_id].sum() for class_id in class_ids])
    return Uncertainty(
        _most(entropy),
        _most(1 - np.abs(2 * mean - 1)),
        _most(np.concatenate([moved, missed])),
        _shares(about),
    )


def _shares(amounts: Floats) -> tuple[float, ...]:
    whole = float(amounts.sum())
    return tuple(float(amount) / whole if whole > 0 else 0.0 for amount in amounts)


def _entropy(probabilities: Floats) -> Floats:
    """(V, ...) entropies over the second axis of (V, K, ...)."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, _TINY))).sum(1))


def _most(values: Floats) -> float:
    return float(np.sort(values)[::-1][:OBJECTS].sum() / OBJECTS)


def _scores_in(objects: Objects, other: Objects) -> Floats:
    """(N,) for each object the score of the best of `other` that is the same one (class, IoU of half); 0
    where there is none.
    """
    found = np.zeros(len(objects))
    first, second = crossing_pairs(objects.boxes, other.boxes)
    if len(first):
        same = (objects.class_ids[first] == other.class_ids[second]) & (
            ious(objects.boxes[first], other.boxes[second]) >= _SAME_IOU
        )
        np.maximum.at(found, first[same], np.asarray(other.scores, np.float64)[second[same]])
    return found
