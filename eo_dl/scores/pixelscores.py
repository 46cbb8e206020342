"""`PixelScorer`: scores of a class map, from its confusion matrix.

A class that does not occur in the reference has no IoU, F1 or recall (NaN, not 0), and `mean_iou` and
`mean_f1` are means over the classes that occur. The background (id 0) is a class with its own scores, but not
part of the means: with one class against background `mean_iou` is that class's IoU. Where background is the
only class, it is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .score import Score

PER_CLASS = ("iou", "f1", "precision", "recall")
OVERALL = ("mean_iou", "mean_f1", "overall_accuracy")


@dataclass(frozen=True)
class PixelCounts:
    """Counted pixels of two class maps."""

    confusion: Int64Array
    """(K, K) [reference, predicted] in channel order."""
    unpredicted: int
    """Pixels with a reference class, but no prediction."""


class PixelScorer:
    """Counts pixels by reference and predicted class, per block of ground (for intervals).

    Args:
        classes: Classes in channel order.
        seed: Of the resampling.
    """

    def __init__(self, classes: ClassSet, *, seed: int = 0) -> None:
        self.classes = classes
        self.by_place: dict[str, Int64Array] = {}
        """The confusion matrix (K, K) of each block."""
        self.unpredicted = 0
        """Pixels with a reference class where the prediction has none (255). They count neither way."""
        self._seed = seed

    def update(self, predicted: UInt8Array, truth: UInt8Array, place: str = "") -> None:
        """Add pixels; those of 255 in either are left out.

        Args:
            predicted: Class ids, of any shape.
            truth: Class ids, of the same shape.
            place: Their block of ground.

        Raises:
            ValueError: The shapes differ, or an id is not that of a class.
        """
        self.add_counts(self.counted(predicted, truth), place)

    def add_counts(self, counts: PixelCounts, place: str = "") -> None:
        """Add counted pixels of a block of ground."""
        self.unpredicted += counts.unpredicted
        self.add(counts.confusion, place)

    def counted(self, predicted: UInt8Array, truth: UInt8Array) -> PixelCounts:
        """Count pixels without adding them, in any thread. See `update`."""
        if predicted.shape != truth.shape:
            raise ValueError(
                f"prediction and reference need the same shape, found {predicted.shape} and {truth.shape}"
            )
        # Both ids in one number, so that counting is a single pass.
        pairs = truth.astype(np.uint16)
        pairs <<= 8
        pairs |= predicted
        joint = np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
        ids = list(self.classes.ids)
        unknown = _unknown_ids(joint, ids)
        if unknown:
            raise ValueError(f"class ids {unknown} are not among {ids}")
        return PixelCounts(joint[np.ix_(ids, ids)], int(joint[ids, IGNORE_ID].sum()))

    def add(self, confusion: Int64Array, place: str = "") -> None:
        """Add a confusion matrix (K, K) [reference, predicted] in channel order."""
        known = self.by_place.get(place)
        self.by_place[place] = confusion.astype(np.int64) if known is None else known + confusion

    def merge(self, other: PixelScorer) -> None:
        """Add what another scorer of the same classes counted."""
        self.unpredicted += other.unpredicted
        for place, confusion in other.by_place.items():
            self.add(confusion, place)

    @property
    def confusion(self) -> Int64Array:
        """(K, K) [reference, predicted] of all blocks, in channel order."""
        if not self.by_place:
            return np.zeros((len(self.classes), len(self.classes)), np.int64)
        return np.asarray(np.sum(list(self.by_place.values()), axis=0), np.int64)

    def scores(self) -> list[Score]:
        """Overall scores, then those per class, with intervals where there are at least three blocks."""
        confusion = self.confusion
        values = self._values(confusion[None].astype(np.float64))
        blocks = self._blocks()
        drawn = self._resampled(blocks)
        true_px = confusion.sum(axis=1)
        scores = []
        for name in OVERALL:
            low, high = interval_bounds(drawn.get(name))
            value = float(values[name][0])
            scores.append(Score(name, value, None, int(true_px.sum()), low=low, high=high))
        blocks_with_class = (blocks.sum(axis=2) > 0).sum(axis=0)
        for channel, info in enumerate(self.classes):
            # A class in one or two blocks has a score, but no way to tell how certain that is.
            has_interval = bool(drawn) and blocks_with_class[channel] >= FEWEST_BLOCKS
            for name in PER_CLASS:
                low, high = interval_bounds(drawn[name][:, channel] if has_interval else None)
                value = float(values[name][0, channel])
                scores.append(Score(name, value, info.name, int(true_px[channel]), low=low, high=high))
        return scores

    def draws(self) -> dict[str, Float64Array]:
        """(R,) overall scores in each of R resamplings of the blocks, the same ones for every scorer of these
        blocks; {} with too few blocks.
        """
        values = self._resampled(self._blocks())
        return {name: values[name] for name in OVERALL if name in values}

    def class_draws(self) -> dict[str, Float64Array]:
        """(R, K) the scores of each class in the same resamplings; {} with too few blocks."""
        values = self._resampled(self._blocks())
        return {name: values[name] for name in PER_CLASS if name in values}

    def _values(self, confusions: Float64Array) -> dict[str, Float64Array]:
        """Scores of R matrices (R, K, K): overall (R,), per class (R, K)."""
        hits = np.diagonal(confusions, axis1=1, axis2=2)
        truth, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
        present = truth > 0
        iou = ratio(hits, np.where(present, truth + predicted - hits, 0))
        f1 = ratio(2 * hits, np.where(present, truth + predicted, 0))
        in_mean = self._in_mean()
        return {
            "iou": iou,
            "f1": f1,
            "precision": ratio(hits, predicted),
            "recall": ratio(hits, truth),
            "overall_accuracy": ratio(hits.sum(axis=1), confusions.sum(axis=(1, 2))),
            "mean_iou": mean_of_known(iou[:, in_mean]),
            "mean_f1": mean_of_known(f1[:, in_mean]),
        }

    def _in_mean(self) -> BoolArray:
        """(K,) True for the classes that are part of the means."""
        foreground = np.array([info.id != 0 for info in self.classes])
        return foreground if foreground.any() else ~foreground

    def _blocks(self) -> Float64Array:
        """(B, K, K) the confusion matrices of the blocks, sorted by name."""
        matrices = [self.by_place[place] for place in sorted(self.by_place)]
        return np.array(matrices, np.float64).reshape(-1, len(self.classes), len(self.classes))

    def _resampled(self, blocks: Float64Array) -> dict[str, Float64Array]:
        """The scores in each resampling of the blocks; {} with too few blocks."""
        if len(blocks) < FEWEST_BLOCKS:
            return {}
        draws = resampled_counts(len(blocks), seed=self._seed).astype(np.float64)
        return self._values(np.tensordot(draws, blocks, axes=1))


def _unknown_ids(joint: Int64Array, ids: list[int]) -> list[int]:
    """The ids that occur and are not those of a class."""
    occurs = np.asarray(joint.any(axis=0) | joint.any(axis=1), np.bool_)
    occurs[[*ids, IGNORE_ID]] = False
    return [int(i) for i in np.flatnonzero(occurs)]


def ratio(part: Float64Array, whole: Float64Array) -> Float64Array:
    """`part / whole`; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0), np.float64)


def mean_of_known(values: Float64Array) -> Float64Array:
    """Mean along the last axis over the finite values; NaN where there are none."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
