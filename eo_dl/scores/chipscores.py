"""`ChipScorer`: scores of the classes of whole chips, with one class per chip or several.

One class per chip: the confusion matrix of `PixelScorer`, with chips for pixels; the predicted class is the
most likely one. Several: every class is a yes or no of its own, yes from a probability of `YES` on; `mean_f1`
and `mean_ap` are means over the classes that occur in the reference, `overall_accuracy` is the share of chips
with every class right. Average precision is the area under precision over recall in steps, without
interpolation. Scores that are undefined for a class are NaN, never 0; reference values of NaN count neither
way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, FloatArray, Int64Array
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .pixelscores import PixelScorer, mean_of_known, ratio
from .score import Score

YES = 0.5
OVERALL = ("mean_f1", "overall_accuracy")
PER_CLASS = ("f1", "precision", "recall")


class ChipScorer:
    """Counts chips, separately for each block of ground, over which intervals are resampled.

    Args:
        classes: Classes in channel order.
        multi_label: True where a chip may have any number of classes.
        seed: Of the resampling.
    """

    def __init__(self, classes: ClassSet, *, multi_label: bool = False, seed: int = 0) -> None:
        self.classes, self.multi_label = classes, multi_label
        self._seed = seed
        self._one_class = PixelScorer(classes, seed=seed)
        self._rows: list[_Row] = []

    def update(self, predicted: FloatArray, truth: FloatArray, place: str = "") -> None:
        """Add a chip. A chip of which no class is known is left out.

        Args:
            predicted: (K,) probabilities in channel order.
            truth: (K,) reference values; NaN where unknown.
            place: The chip's block of ground.
        """
        if not np.isfinite(truth).any():
            return
        if self.multi_label:
            self._rows.append(_Row(np.asarray(predicted, np.float64), np.asarray(truth, np.float64), place))
            return
        confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        confusion[int(np.nanargmax(truth)), int(np.argmax(predicted))] = 1
        self._one_class.add(confusion, place)

    def merge(self, other: ChipScorer) -> None:
        """Add what another scorer of the same classes counted, after what is here."""
        self._one_class.merge(other._one_class)
        self._rows += other._rows

    @property
    def confusion(self) -> Int64Array | None:
        """(K, K) chips [reference, predicted]; None where a chip may have several classes."""
        return None if self.multi_label else self._one_class.confusion

    def counts(self) -> dict[str, dict[str, int]]:
        """Per class name the number of chips that have it in the reference, and that are predicted to."""
        if self.multi_label:
            total = self._sums().total
            true, predicted = total[_HIT] + total[_MISSED], total[_HIT] + total[_FALSE]
        else:
            confusion = self._one_class.confusion
            true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
        return {
            info.name: {"truth": int(true_count), "predicted": int(predicted_count)}
            for info, true_count, predicted_count in zip(self.classes, true, predicted, strict=True)
        }

    def scores(self) -> list[Score]:
        """Overall scores, then those per class, with intervals where there are at least three blocks."""
        if self.multi_label:
            return self._multi_label_scores()
        names = (*OVERALL, *PER_CLASS)
        return [score for score in self._one_class.scores() if score.name in names]

    def draws(self) -> dict[str, Float64Array]:
        """(R,) overall scores in each of R resamplings of the blocks; {} with too few blocks."""
        values = self._resampled(self._sums()) if self.multi_label else self._one_class.draws()
        return {name: values[name] for name in OVERALL if name in values}

    # Several classes per chip

    def _multi_label_scores(self) -> list[Score]:
        sums = self._sums()
        values = _values(sums.total[None], sums.right.sum(axis=0)[None])
        drawn = self._resampled(sums)
        true_counts = (sums.total[_HIT] + sums.total[_MISSED]).astype(np.int64)
        precision = self._average_precision()
        chips = len(self._rows)
        scores = []
        for name in OVERALL:
            low, high = interval_bounds(drawn.get(name))
            scores.append(Score(name, float(values[name][0]), None, chips, low=low, high=high))
        scores.append(Score("mean_ap", float(mean_of_known(precision)), None, chips))
        blocks_with_class = ((sums.counts[:, _HIT] + sums.counts[:, _MISSED]) > 0).sum(axis=0)
        for channel, info in enumerate(self.classes):
            count = int(true_counts[channel])
            # A class in one or two blocks has a score, but no way to tell how certain that is.
            has_interval = bool(drawn) and blocks_with_class[channel] >= FEWEST_BLOCKS
            for name in PER_CLASS:
                low, high = interval_bounds(drawn[name][:, channel] if has_interval else None)
                value = float(values[name][0, channel])
                scores.append(Score(name, value, info.name, count, low=low, high=high))
            scores.append(Score("ap", float(precision[channel]), info.name, count))
        return scores

    def _sums(self) -> _Sums:
        blocks = sorted({row.place for row in self._rows})
        index_of = {block: index for index, block in enumerate(blocks)}
        counts, right = np.zeros((len(blocks), 3, len(self.classes))), np.zeros((len(blocks), 2))
        for row in self._rows:
            known, yes, true = np.isfinite(row.truth), row.predicted >= YES, row.truth >= YES
            index = index_of[row.place]
            counts[index] += np.stack([yes & true, yes & ~true, ~yes & true]) & known
            right[index] += (float((yes == true)[known].all()), 1.0)
        return _Sums(counts, right)

    def _resampled(self, sums: _Sums) -> dict[str, Float64Array]:
        """The scores in each resampling of the blocks; {} with too few blocks."""
        if len(sums.counts) < FEWEST_BLOCKS:
            return {}
        draws = resampled_counts(len(sums.counts), seed=self._seed).astype(np.float64)
        return _values(np.tensordot(draws, sums.counts, axes=1), draws @ sums.right)

    def _average_precision(self) -> Float64Array:
        """(K,) NaN for a class that no chip has."""
        if not self._rows:
            return np.full(len(self.classes), np.nan)
        predicted = np.stack([row.predicted for row in self._rows])
        truth = np.stack([row.truth for row in self._rows])
        values = []
        for channel in range(len(self.classes)):
            known = np.isfinite(truth[:, channel])
            values.append(_area(predicted[known, channel], truth[known, channel] >= YES))
        return np.array(values)


_HIT, _FALSE, _MISSED = range(3)


@dataclass(frozen=True)
class _Row:
    """One chip: (K,) probabilities, (K,) reference values, and its block."""

    predicted: Float64Array
    truth: Float64Array
    place: str


@dataclass(frozen=True)
class _Sums:
    """The chips of each of B blocks, sorted by name."""

    counts: Float64Array
    """(B, 3, K) true positives, false positives and false negatives."""
    right: Float64Array
    """(B, 2) chips with every class right, and all chips."""

    @property
    def total(self) -> Float64Array:
        """(3, K) the counts of all blocks."""
        return np.asarray(self.counts.sum(axis=0), np.float64)


def _values(counts: Float64Array, right: Float64Array) -> dict[str, Float64Array]:
    """Scores of R sums (R, 3, K) and (R, 2): overall (R,), per class (R, K)."""
    hit, false, missed = counts[:, _HIT], counts[:, _FALSE], counts[:, _MISSED]
    present = hit + missed > 0
    f1 = ratio(2 * hit, np.where(present, 2 * hit + false + missed, 0))
    return {
        "f1": f1,
        "precision": ratio(hit, hit + false),
        "recall": ratio(hit, hit + missed),
        "mean_f1": mean_of_known(f1),
        "overall_accuracy": ratio(right[:, 0], right[:, 1]),
    }


def _area(scores: Float64Array, true: BoolArray) -> float:
    """Mean precision at the true chips, in falling order of score; equal scores count together."""
    if not true.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ordered = np.cumsum(true[order]), scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    recall = hits[ends] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * hits[ends] / (ends + 1)).sum())
