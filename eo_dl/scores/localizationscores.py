"""`LocalizationScorer`: at most one object per chip. Is it found, does its box fit, is its class right?

CorLoc (Deselaers et al. 2012) is the share of the chips with an object whose predicted box has an IoU of at
least `iou` with the reference box; here the class must be right too, since the network predicts one.
`mean_box_iou` is over the same chips, 0 where nothing was predicted. `accuracy` is over all chips, including
those without an object: the right class, or rightly nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import Float64Array
from ..core.boxes import ious
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .pixelscores import ratio
from .score import Score

OVERALL = ("corloc", "mean_box_iou", "accuracy")
_PER_CLASS = ("corloc", "mean_box_iou")
# Columns of a row of sums: chips, chips with an object, hits, sum of IoUs, chips with the right class or
# nothing.
_CHIPS, _WITH_OBJECT, _HITS, _IOU, _RIGHT = range(5)


@dataclass(frozen=True)
class _Chip:
    """What one chip counts: its block, the channel of its object's class (None: no object) and its row."""

    place: str
    channel: int | None
    row: Float64Array


class LocalizationScorer:
    """Counts chips, separately for each block of ground, over which intervals are resampled.

    Args:
        classes: Classes in channel order.
        iou: From this IoU on an object counts as found.
        min_score: Predictions with a lower score count as nothing predicted.
        seed: Of the resampling.
    """

    def __init__(self, classes: ClassSet, iou: float = 0.5, *, min_score: float = 0.0, seed: int = 0) -> None:
        self.classes = classes
        self.iou = iou
        self.min_score = min_score
        self._seed = seed
        # One by one, and added up at the end: sums of sums of IoUs would differ in the last bits.
        self._chips: list[_Chip] = []

    def update(self, predicted: Objects, truth: Objects, place: str = "") -> None:
        """Add a chip. Of several predictions the one with the highest score is taken.

        Args:
            predicted: The predicted object, or none.
            truth: The reference object, or none; an ignored one leaves the chip out.
            place: The chip's block of ground.
        """
        if not truth.counted.all():
            return
        reported = predicted.take(predicted.scores >= self.min_score)
        best = reported.take(np.argsort(-reported.scores, kind="stable")[:1])
        row = np.zeros(5)
        row[_CHIPS] = 1
        channel = None
        if not len(truth):
            row[_RIGHT] = not len(best)
        else:
            channel = int(self.classes.channel_of(truth.class_ids[:1])[0])
            row[_WITH_OBJECT] = 1
            if len(best):
                overlap = float(ious(best.boxes, truth.boxes[:1])[0])
                right = best.class_ids[0] == truth.class_ids[0]
                row[_HITS], row[_IOU], row[_RIGHT] = right and overlap >= self.iou, overlap, right
        self._chips.append(_Chip(place, channel, row))

    def merge(self, other: LocalizationScorer) -> None:
        """Add what another scorer of the same classes counted, after what is here."""
        self._chips += other._chips

    def scores(self) -> list[Score]:
        """Overall scores, then those per class."""
        total = sum(self._by_place().values(), start=np.zeros(5))
        of_class = np.zeros((len(self.classes), 5))
        for chip in self._chips:
            if chip.channel is not None:
                of_class[chip.channel] += chip.row
        values, draws = _values(total[None]), self.draws()
        scores = []
        for name in OVERALL:
            low, high = interval_bounds(draws.get(name))
            scores.append(
                Score(
                    name=name,
                    value=float(values[name][0]),
                    class_name=None,
                    count=int(total[_CHIPS if name == "accuracy" else _WITH_OBJECT]),
                    threshold=self._threshold(name),
                    low=low,
                    high=high,
                )
            )
        for info, row in zip(self.classes, of_class, strict=True):
            class_values, count = _values(row[None]), int(row[_WITH_OBJECT])
            for name in _PER_CLASS:
                value = float(class_values[name][0])
                scores.append(Score(name, value, info.name, count, self._threshold(name)))
        return scores

    def draws(self) -> dict[str, Float64Array]:
        """(R,) overall scores in each of R resamplings of the blocks, the same ones for every scorer of these
        blocks; {} with too few blocks.
        """
        by_place = self._by_place()
        if len(by_place) < FEWEST_BLOCKS:
            return {}
        blocks = np.stack([by_place[place] for place in sorted(by_place)])
        return _values(resampled_counts(len(blocks), seed=self._seed).astype(np.float64) @ blocks)

    def _by_place(self) -> dict[str, Float64Array]:
        """(5,) sums of each block."""
        sums: dict[str, Float64Array] = {}
        for chip in self._chips:
            sums[chip.place] = sums.get(chip.place, np.zeros(5)) + chip.row
        return sums

    def _threshold(self, name: str) -> float | None:
        return self.iou if name == "corloc" else None


def _values(rows: Float64Array) -> dict[str, Float64Array]:
    """Scores of R sums (R, 5); NaN where there is no chip to count."""
    return {
        "corloc": ratio(rows[:, _HITS], rows[:, _WITH_OBJECT]),
        "mean_box_iou": ratio(rows[:, _IOU], rows[:, _WITH_OBJECT]),
        "accuracy": ratio(rows[:, _RIGHT], rows[:, _CHIPS]),
    }
