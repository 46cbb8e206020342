"""The validation chips with the largest errors: where to look first, in the labels and in the model."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from ...core.arrays import Objects
from ...core.arraytypes import Float64Array
from ...core.classes import IGNORE_ID
from ...scores.matching import match
from .scoring import DecodedChip

GALLERY = 12
"""Chips that are kept."""
_IOU = 0.5


class WorstChips:
    """Keeps the `GALLERY` chips with the largest errors of those that pass; objects from `threshold` on."""

    def __init__(self, threshold: float | None) -> None:
        self._threshold = threshold
        # A heap with the smallest error on top: (error, -position, chip, its errors in words).
        self._kept: list[tuple[float, int, DecodedChip, str]] = []

    def watch(self, chips: Iterable[DecodedChip]) -> Iterator[DecodedChip]:
        """The chips, unchanged."""
        for position, chip in enumerate(chips):
            self._note(chip.reported(self._threshold), position)
            yield chip

    def chips(self) -> list[tuple[DecodedChip, str]]:
        """The kept chips, worst first, each with its errors in words; none of them is without an error."""
        worst_first = sorted(self._kept, key=lambda kept: kept[:2], reverse=True)
        return [(chip, words) for _, _, chip, words in worst_first]

    def _note(self, chip: DecodedChip, position: int) -> None:
        error, words = errors_of(chip)
        if error <= 0:
            return
        # Positions differ, so chips are never compared; of equal errors the earlier chip is kept.
        entry = (error, -position, chip, words)
        if len(self._kept) < GALLERY:
            heapq.heappush(self._kept, entry)
        elif error > self._kept[0][0]:
            heapq.heapreplace(self._kept, entry)


def errors_of(chip: DecodedChip) -> tuple[float, str]:
    """How wrong a chip is, as a number and in words.

    Objects: how many were missed or are false positives. Class maps: the share of known pixels of another
    class. Values: the root of the mean squared error over all of them. Chips: how far off the probability of
    the worst class is.
    """
    if isinstance(chip.predicted, Objects) and isinstance(chip.truth, Objects):
        return _errors_of_objects(chip.predicted, chip.truth)
    truth, predicted = np.asarray(chip.truth), np.asarray(chip.predicted)
    if truth.ndim == 3:
        return _errors_of_values(truth.astype(np.float64), predicted.astype(np.float64))
    if truth.ndim == 1:
        return _errors_of_classes(truth.astype(np.float64), predicted.astype(np.float64))
    known = truth != IGNORE_ID
    share = float((truth != predicted)[known].mean()) if known.any() else 0.0
    return share, f"{share:.1%} wrong"


def _errors_of_objects(predicted: Objects, truth: Objects) -> tuple[float, str]:
    matches = match(predicted, truth, (_IOU,), truth.has_outlines)
    hits = int((matches.found[0] >= 0).sum())
    total = int(truth.counted.sum())
    missed = total - hits
    false_positives = len(predicted) - hits - int(matches.excused[0].sum())
    plural = "" if false_positives == 1 else "s"
    return float(
        missed + false_positives
    ), f"{missed} of {total} missed, {false_positives} false positive{plural}"


def _errors_of_classes(truth: Float64Array, predicted: Float64Array) -> tuple[float, str]:
    """The largest error of a probability that is on the wrong side of a half."""
    wrong = np.isfinite(truth) & ((truth >= 0.5) != (predicted >= 0.5))
    error = float(np.abs(truth - predicted)[wrong].max()) if wrong.any() else 0.0
    return error, f"a class is off by {error:.0%}"


def _errors_of_values(truth: Float64Array, predicted: Float64Array) -> tuple[float, str]:
    """The RMSE of numbers (K, H, W); of a prediction with intervals only the values count."""
    error = predicted[: len(truth)] - truth
    known = error[np.isfinite(error)]
    rmse = float(np.sqrt(np.mean(known**2))) if len(known) else 0.0
    return rmse, f"RMSE {rmse:.3g}"
