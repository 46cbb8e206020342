"""`ValueScorer`: scores of maps of numbers, from sums over pixels.

The error of a pixel is prediction minus reference. RMSE, MAE and bias have the unit of the value. R2 is 1
less the squared error over the spread of the reference around its own mean on the scored pixels: 1 is exact,
0 as good as that mean everywhere, and below 0 worse. The overall R2 is the mean over the values. Where the
prediction has intervals, the coverage is the share of reference numbers inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.arraytypes import BoolArray, Float32Array, Float64Array, Int64Array
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .pixelscores import mean_of_known, ratio
from .score import Score

OF_VALUES = ("r2", "rmse", "mae", "bias")
OF_INTERVALS = ("coverage", "interval_width")

# What is summed, per value and range of it.
_COUNT, _TRUE, _TRUE_SQUARED, _ERROR, _ERROR_SQUARED, _ERROR_SIZE, _COVERED, _WIDTH = range(8)
_SUMS = 8


@dataclass(frozen=True)
class ValueSums:
    """Sums over the pixels of two maps of numbers."""

    sums: Float64Array
    """(K, R, 8) per value and range; see the constants of this module."""
    unpredicted: int
    """Numbers of the reference without a predicted one."""


class ValueScorer:
    """Sums errors by value, per block of ground (for intervals).

    Args:
        classes: The values in channel order.
        edges: Per value the edges of the ranges by which scores are given too, ascending; the first range
            begins below them and the last one ends above. None: no ranges.
        seed: Of the resampling.
    """

    def __init__(
        self, classes: ClassSet, *, edges: Sequence[Sequence[float]] | None = None, seed: int = 0
    ) -> None:
        self.classes = classes
        self.edges = [tuple(of_value) for of_value in edges] if edges is not None else [()] * len(classes)
        self.by_place: dict[str, Float64Array] = {}
        """The sums (K, R, 8) of each block."""
        self.unpredicted = 0
        """Numbers of the reference where the prediction has none (NaN). They count neither way."""
        self.has_intervals = False
        """True once a prediction with intervals was added."""
        self._ranges = 1 + max(len(of_value) for of_value in self.edges)
        self._seed = seed

    def update(self, predicted: Float32Array, truth: Float32Array, place: str = "") -> None:
        """Add pixels; those of NaN in either are left out.

        Args:
            predicted: (K, ...) numbers, or (3 K, ...) with the lower and upper ends of intervals after them.
            truth: (K, ...) numbers.
            place: Their block of ground.

        Raises:
            ValueError: The shapes do not fit.
        """
        self.has_intervals |= len(predicted) > len(truth)
        self.add_sums(self.summed(predicted, truth), place)

    def summed(self, predicted: Float32Array, truth: Float32Array) -> ValueSums:
        """Sum pixels without adding them, in any thread. See `update`."""
        count = len(self.classes)
        if len(truth) != count or len(predicted) not in (count, 3 * count):
            raise ValueError(
                f"expected {count} values, or {3 * count} with intervals; found {len(predicted)} predicted "
                f"and {len(truth)} of the reference"
            )
        if predicted.shape[1:] != truth.shape[1:]:
            raise ValueError(
                f"prediction and reference need the same shape, found {predicted.shape} and {truth.shape}"
            )
        sums = np.zeros((count, self._ranges, _SUMS))
        unpredicted = 0
        for number in range(count):
            known = np.isfinite(truth[number])
            both = known & np.isfinite(predicted[number])
            unpredicted += int(known.sum()) - int(both.sum())
            ends = None
            if len(predicted) > count:
                ends = (predicted[count + number][both], predicted[2 * count + number][both])
            self._sum_one(sums[number], number, predicted[number][both], truth[number][both], ends)
        return ValueSums(sums, unpredicted)

    def _sum_one(
        self,
        sums: Float64Array,
        number: int,
        predicted: Float32Array,
        truth: Float32Array,
        ends: tuple[Float32Array, Float32Array] | None,
    ) -> None:
        """Sum the pixels (N,) of one value into its ranges (R, 8)."""
        true = truth.astype(np.float64)
        error = predicted.astype(np.float64) - true
        columns = [np.ones_like(true), true, true**2, error, error**2, np.abs(error)]
        if ends is not None:
            low, high = (end.astype(np.float64) for end in ends)
            columns += [((low <= true) & (true <= high)).astype(np.float64), high - low]
        edges = self.edges[number]
        if not edges:
            sums[0, : len(columns)] = [column.sum() for column in columns]
            return
        # A number on an edge belongs to the range above it.
        of_range: Int64Array = np.searchsorted(np.array(edges), true, side="right")
        for place, column in enumerate(columns):
            sums[:, place] = np.bincount(of_range, weights=column, minlength=self._ranges)

    def add_sums(self, sums: ValueSums, place: str = "") -> None:
        """Add the sums of a block of ground."""
        self.unpredicted += sums.unpredicted
        self._add(sums.sums, place)

    def _add(self, sums: Float64Array, place: str) -> None:
        known = self.by_place.get(place)
        self.by_place[place] = sums if known is None else known + sums

    def merge(self, other: ValueScorer) -> None:
        """Add what another scorer of the same values and ranges summed."""
        self.unpredicted += other.unpredicted
        self.has_intervals |= other.has_intervals
        for place, sums in other.by_place.items():
            self._add(sums, place)

    @property
    def counts(self) -> Int64Array:
        """(K,) scored pixels of each value."""
        if not self.by_place:
            return np.zeros(len(self.classes), np.int64)
        total = np.sum(list(self.by_place.values()), axis=0)
        return np.asarray(np.rint(total[:, :, _COUNT].sum(axis=1)), np.int64)

    def scores(self) -> list[Score]:
        """Overall scores, then those per value, then those by range of a value, named after value and range;
        with intervals where there are at least three blocks.
        """
        blocks = self._blocks()
        whole = blocks.sum(axis=0, keepdims=True)
        drawn = self._resampled(blocks)
        scores = self._overall(whole, drawn)
        of_all = _of_sums(whole.sum(axis=2))
        drawn_of_all = None if drawn is None else _of_sums(drawn.sum(axis=2))
        seen_in = (blocks[:, :, :, _COUNT].sum(axis=2) > 0).sum(axis=0)
        counts = self.counts
        for number, info in enumerate(self.classes):
            draws = drawn_of_all if seen_in[number] >= FEWEST_BLOCKS else None
            scores += self._listed(of_all, draws, (number,), info.name, int(counts[number]))
        return scores + self._of_ranges(whole, drawn, blocks)

    def draws(self) -> dict[str, Float64Array]:
        """(R,) overall scores in each of R resamplings of the blocks; {} with too few blocks."""
        drawn = self._resampled(self._blocks())
        return {} if drawn is None else self._overall_values(drawn)

    def _of_ranges(
        self, whole: Float64Array, drawn: Float64Array | None, blocks: Float64Array
    ) -> list[Score]:
        values = _of_sums(whole)
        drawn_values = None if drawn is None else _of_sums(drawn)
        seen_in = (blocks[:, :, :, _COUNT] > 0).sum(axis=0)
        scores: list[Score] = []
        for number, name in enumerate(self.classes.names):
            for place, title in enumerate(self._range_titles(number)):
                draws = drawn_values if seen_in[number, place] >= FEWEST_BLOCKS else None
                count = int(whole[0, number, place, _COUNT])
                of_range = self._listed(values, draws, (number, place), f"{name} {title}", count)
                # Within a range numbers hardly vary, so R2 says nothing there.
                scores += [score for score in of_range if score.name != "r2"]
        return scores

    def _range_titles(self, number: int) -> list[str]:
        """The ranges of a value in words; none without edges."""
        edges = self.edges[number]
        if not edges:
            return []
        texts = [f"{edge:.4g}" for edge in edges]
        between = [f"{first} to {second}" for first, second in pairwise(texts)]
        titles = [f"below {texts[0]}", *between, f"from {texts[-1]}"]
        unit = self.classes.value_infos[number].unit
        return [f"{title} {unit}".rstrip() for title in titles]

    def _listed(
        self,
        values: dict[str, Float64Array],
        draws: dict[str, Float64Array] | None,
        place: tuple[int, ...],
        class_name: str,
        count: int,
    ) -> list[Score]:
        names = (*OF_VALUES, *OF_INTERVALS) if self.has_intervals else OF_VALUES
        scores = []
        for name in names:
            # The scores (N, K) or (N, K, R) of one value, or of one range of it: (N,).
            drawn = None if draws is None else _at(draws[name], place)
            low, high = interval_bounds(drawn)
            value = float(_at(values[name], place)[0])
            scores.append(Score(name, value, class_name, count, low=low, high=high))
        return scores

    def _overall(self, whole: Float64Array, drawn: Float64Array | None) -> list[Score]:
        values = self._overall_values(whole)
        draws = {} if drawn is None else self._overall_values(drawn)
        count = int(self.counts.sum())
        scores = []
        for name, value in values.items():
            low, high = interval_bounds(draws.get(name))
            scores.append(Score(name, float(value[0]), None, count, low=low, high=high))
        return scores

    def _overall_values(self, sums: Float64Array) -> dict[str, Float64Array]:
        """Overall scores of N sets of sums (N, K, R, 8), each (N,).

        Errors of several values have several units, so only shares are averaged over values.
        """
        of_all = _of_sums(sums.sum(axis=2))
        names = ["r2", "coverage"] if self.has_intervals else ["r2"]
        if len(self.classes) == 1:
            names = [*OF_VALUES, *(["coverage"] if self.has_intervals else [])]
        return {name: mean_of_known(of_all[name]) for name in names}

    def _blocks(self) -> Float64Array:
        """(B, K, R, 8) the sums of the blocks, sorted by name."""
        sums = [self.by_place[place] for place in sorted(self.by_place)]
        return np.array(sums, np.float64).reshape(-1, len(self.classes), self._ranges, _SUMS)

    def _resampled(self, blocks: Float64Array) -> Float64Array | None:
        """(N, K, R, 8) the sums in each resampling of the blocks; None with too few blocks."""
        if len(blocks) < FEWEST_BLOCKS:
            return None
        draws = resampled_counts(len(blocks), seed=self._seed).astype(np.float64)
        return np.asarray(np.tensordot(draws, blocks, axes=1), np.float64)


def _at(scores: Float64Array, place: tuple[int, ...]) -> Float64Array:
    """(N,) the scores of a place of the axes after the first."""
    flat = scores.reshape(len(scores), -1)
    return flat[:, int(np.ravel_multi_index(place, scores.shape[1:]))]


def _of_sums(sums: Float64Array) -> dict[str, Float64Array]:
    """Scores of sums (..., 8), each (...); NaN where there is no pixel, and R2 also without any spread."""
    count = sums[..., _COUNT]
    mean = ratio(sums[..., _TRUE], count)
    spread = sums[..., _TRUE_SQUARED] - count * np.where(np.isfinite(mean), mean, 0) ** 2
    # A reference of one number everywhere has no spread but that of rounding.
    has_spread: BoolArray = spread > 1e-9 * np.maximum(sums[..., _TRUE_SQUARED], 1e-30)
    squared = ratio(sums[..., _ERROR_SQUARED], np.where(has_spread, spread, 0))
    return {
        "r2": 1 - squared,
        "rmse": np.sqrt(ratio(sums[..., _ERROR_SQUARED], count)),
        "mae": ratio(sums[..., _ERROR_SIZE], count),
        "bias": ratio(sums[..., _ERROR], count),
        "coverage": ratio(sums[..., _COVERED], count),
        "interval_width": ratio(sums[..., _WIDTH], count),
    }
