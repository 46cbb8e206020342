"""`Reliability`: do things that are said to be 70 % likely happen in 70 % of the cases?

Claims (probabilities, or scores of objects) are put into 15 bins of equal width. In each bin the mean claim
is compared with the share that came true; the expected calibration error is the mean difference, weighted by
the number of claims (Naeini et al. 2015; Guo et al. 2017). A curve is about the most likely class of each
pixel (`ALL`), or about one class: the probability of that class against how often a pixel has it (Nixon et
al. 2019).

Counts are kept by block of ground, so that the interval of the error resamples blocks (`intervals`).
Resampling adds noise to each bin, which the error counts as more error, so the draws are centred on the error
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, FloatArray, Int64Array
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .score import Score

BINS = 15
ALL = None
"""The curve of the most likely class, or of objects of all classes."""
ERROR = "calibration_error"
ERROR_BEFORE = "calibration_error_before"
"""Names of the score, after and before a calibration."""


@dataclass(frozen=True)
class CurvePoints:
    """The bins of a curve that hold claims, from the lowest to the highest claim."""

    claimed: Float64Array
    """Mean claim."""
    right: Float64Array
    """Share of the claims that came true."""
    count: Float64Array
    """Number of claims."""


class Reliability:
    """Counts claims and whether they came true, per curve and block of ground.

    Args:
        curves: Names of the curves: `ALL` and class names.
        seed: Of the resampling.
    """

    def __init__(self, curves: Sequence[str | None], *, seed: int = 0) -> None:
        self.curves = tuple(curves)
        self._index = {name: number for number, name in enumerate(self.curves)}
        self._by_place: dict[str, Float64Array] = {}
        self._seed = seed

    def add(self, curve: str | None, claimed: FloatArray, right: BoolArray, place: str = "") -> None:
        """Add claims of one block of ground.

        Args:
            curve: One of `curves`.
            claimed: (N,) probabilities, 0 to 1.
            right: (N,) True where the claim came true.
            place: The block of ground.
        """
        if not len(claimed):
            return
        bins = np.minimum((np.asarray(claimed, np.float64) * BINS).astype(np.int64), BINS - 1)
        sums = np.stack(
            [
                np.bincount(bins, minlength=BINS),
                np.bincount(bins, weights=claimed, minlength=BINS),
                np.bincount(bins, weights=right, minlength=BINS),
            ],
            axis=1,
        )
        self._of_place(place)[self._index[curve]] += sums

    def add_levels(self, curve: str | None, counts: Int64Array, place: str = "") -> None:
        """Add claims that were counted by level.

        Args:
            curve: One of `curves`.
            counts: (L, 2) number of claims that did not come true, and that did, at L levels evenly from 0
                to 1.
            place: The block of ground.
        """
        claimed = np.linspace(0, 1, len(counts))
        bins = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
        number = counts.sum(axis=1)
        sums = [
            np.bincount(bins, weights=weights, minlength=BINS)
            for weights in (number, number * claimed, counts[:, 1])
        ]
        self._of_place(place)[self._index[curve]] += np.stack(sums, axis=1)

    def merge(self, other: Reliability) -> None:
        """Add what another one with the same curves counted."""
        for place, sums in other._by_place.items():
            held = self._of_place(place)
            held += sums

    @property
    def empty(self) -> bool:
        """True if there are no claims."""
        return not self._by_place

    @property
    def places(self) -> int:
        """Number of blocks of ground."""
        return len(self._by_place)

    def points(self, curve: str | None) -> CurvePoints:
        """The curve."""
        count, claimed, right = self._total()[self._index[curve]].T
        known = count > 0
        return CurvePoints(claimed[known] / count[known], right[known] / count[known], count[known])

    def errors(self) -> list[Score]:
        """The expected calibration error of each curve; with an interval from three blocks on."""
        totals = self._total()
        values = _error(totals[:, None])[:, 0]
        draws = self._draws()
        scores = []
        for number, name in enumerate(self.curves):
            low, high = interval_bounds(None if draws is None else _centred(draws[number], values[number]))
            count = int(totals[number, :, 0].sum())
            scores.append(Score(ERROR, float(values[number]), name, count, low=low, high=high))
        return scores

    def _of_place(self, place: str) -> Float64Array:
        if place not in self._by_place:
            self._by_place[place] = np.zeros((len(self.curves), BINS, 3))
        return self._by_place[place]

    def _total(self) -> Float64Array:
        """(curves, BINS, 3) counts, sums of claims, claims that came true."""
        if self.empty:
            return np.zeros((len(self.curves), BINS, 3))
        return np.asarray(np.sum(list(self._by_place.values()), axis=0), np.float64)

    def _draws(self) -> Float64Array | None:
        """(curves, R) the error in each resampling of the blocks."""
        if self.places < FEWEST_BLOCKS:
            return None
        blocks = np.stack([self._by_place[place] for place in sorted(self._by_place)])
        drawn = resampled_counts(len(blocks), seed=self._seed).astype(np.float64)
        sums = drawn @ blocks.reshape(len(blocks), -1)
        by_curve = sums.reshape(len(drawn), len(self.curves), BINS, 3).transpose(1, 0, 2, 3)
        return _error(np.asarray(by_curve, np.float64))


def _error(sums: Float64Array) -> Float64Array:
    """(curves, R) expected calibration errors of sums (curves, R, BINS, 3); NaN without claims."""
    count, claimed, right = sums[..., 0], sums[..., 1], sums[..., 2]
    total = count.sum(axis=-1)
    gaps = np.abs(claimed - right).sum(axis=-1)
    undefined = np.full(total.shape, np.nan)
    np.divide(gaps, total, out=undefined, where=total > 0)
    return undefined


def _centred(draws: Float64Array, value: float) -> Float64Array:
    """The draws moved so that their mean is the error itself, and none is below 0."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return draws
    return np.asarray(np.maximum(draws - known.mean() + value, 0), np.float64)
