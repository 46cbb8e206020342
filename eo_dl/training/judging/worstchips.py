"""The validation chips with most errors, kept while they are scored: what to look at first, in the labels and
in the model.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects
from ...core.classes import IGNORE_ID
from ...core.display import stretch
from ...scores.matching import match
from .preview import PreviewRow
from .scoring import DecodedChip

GALLERY = 12
_IOU = 0.5


class WorstChips:
    """Keeps the `GALLERY` worst of the chips that pass by. `bands`: those to look at; `threshold`: objects
    from this score on.
    """

    def __init__(self, bands: Sequence[int], threshold: float | None) -> None:
        self._bands, self._threshold = list(bands), threshold
        self._kept: list[tuple[float, int, PreviewRow]] = []

    def watch(self, answered: Iterable[DecodedChip]) -> Iterator[DecodedChip]:
        """The chips, unchanged."""
        for number, one in enumerate(answered):
            self._note(one, -number)
            yield one

    def rows(self) -> tuple[PreviewRow, ...]:
        """The kept ones, worst first; chips without an error are not among them."""
        return tuple(row for _, _, row in sorted(self._kept, key=lambda kept: kept[:2], reverse=True))

    def _note(self, one: DecodedChip, order: int) -> None:
        if isinstance(one.predicted, Objects) and self._threshold is not None:
            one = replace(one, predicted=one.predicted.take(one.predicted.scores >= self._threshold))
        errors, text = errors_of(one)
        if errors <= 0 or (len(self._kept) == GALLERY and errors <= self._kept[0][0]):
            return
        image = stretch(one.image[self._bands], (one.image != 0).any(axis=0))
        row = PreviewRow(f"{one.chip_id}\n{text}", image, one.truth, one.predicted)
        (heapq.heappush if len(self._kept) < GALLERY else heapq.heappushpop)(self._kept, (errors, order, row))


def errors_of(one: DecodedChip) -> tuple[float, str]:
    """How much of a chip is wrong, and that in words: objects missed and found in vain, the share of known
    pixels that differ, or how far off a class is.
    """
    if isinstance(one.predicted, Objects) and isinstance(one.truth, Objects):
        matches = match(one.predicted, one.truth, (_IOU,), one.truth.has_outlines)
        hits = int((matches.found[0] >= 0).sum())
        total = len(one.truth) if one.truth.ignore is None else int((~one.truth.ignore).sum())
        vain = len(one.predicted) - hits - int(matches.excused[0].sum())
        return float(total - hits + vain), f"{total - hits} of {total} missed, {vain} found in vain"
    truth, predicted = np.asarray(one.truth), np.asarray(one.predicted)
    if truth.ndim == 1:
        return _errors_of_chip(truth.astype(np.float64), predicted.astype(np.float64))
    known = truth != IGNORE_ID
    share = float((truth != predicted)[known].mean()) if known.any() else 0.0
    return share, f"{share:.1%} wrong"


def _errors_of_chip(truth: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> tuple[float, str]:
    """By how much the probability of the class that is told worst is off, where it is on the wrong side of a
    half.
    """
    known = np.isfinite(truth)
    wrong = known & ((truth >= 0.5) != (predicted >= 0.5))
    off = float(np.abs(truth - predicted)[wrong].max()) if wrong.any() else 0.0
    return off, f"a class is off by {off:.0%}"
