"""`LocalizationScorer`: one object a chip or none: is it found, how well does its box fit, is the class
right.

CorLoc (Deselaers et al. 2012) is the share of the chips with an object whose box has an IoU of at least `iou`
with the true one; here the class must be right too, since the network names one. `mean_box_iou` is over the
same chips, 0 where nothing was found. `accuracy` is over all chips, those without an object too: the right
class, or rightly nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.arrays import Objects
from ..core.boxes import ious
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, percentile_interval, resampled_counts
from .score import Score

Floats = npt.NDArray[np.float64]

OVERALL = ("corloc", "mean_box_iou", "accuracy")
_CHIPS, _WITH, _HITS, _IOU, _RIGHT = range(5)


class LocalizationScorer:
    """Counts chips, apart for each place (the block of ground that the interval resamples). Objects below
    `min_score` count as nothing found.
    """

    def __init__(self, classes: ClassSet, iou: float = 0.5, *, min_score: float = 0.0, seed: int = 0) -> None:
        self.classes = classes
        self.iou = iou
        self.min_score = min_score
        self._seed = seed
        self._by_place: dict[str, Floats] = {}
        self._of_class = np.zeros((len(classes), 5))

    def update(self, predicted: Objects, truth: Objects, place: str = "") -> None:
        """Add one chip. A true object that is ignored leaves the chip out; of several predictions the
        strongest is taken.
        """
        if truth.ignore is not None and truth.ignore.any():
            return
        best = (
            int(np.argmax(predicted.scores))
            if len(predicted) and predicted.scores.max() >= self.min_score
            else -1
        )
        row = np.zeros(5)
        row[_CHIPS] = 1
        if not len(truth):
            row[_RIGHT] = best < 0
        else:
            row[_WITH] = 1
            overlap = float(ious(predicted.boxes[best : best + 1], truth.boxes[:1])[0]) if best >= 0 else 0.0
            right = best >= 0 and int(predicted.class_ids[best]) == int(truth.class_ids[0])
            row[[_HITS, _IOU, _RIGHT]] = right and overlap >= self.iou, overlap, right
            self._of_class[int(self.classes.channel_of(truth.class_ids[:1])[0])] += row
        self._by_place[place] = self._by_place.get(place, np.zeros(5)) + row

    def scores(self) -> list[Score]:
        """Overall scores, then those of each class."""
        total = np.sum(list(self._by_place.values()), axis=0) if self._by_place else np.zeros(5)
        values, draws = _values(total[None]), self.draws()
        found = []
        for name in OVERALL:
            low, high = (percentile_interval(draws[name]) or (None, None)) if name in draws else (None, None)
            count = int(total[_CHIPS if name == "accuracy" else _WITH])
            found.append(Score(name, float(values[name][0]), None, count, self._threshold(name), low, high))
        for info, row in zip(self.classes, self._of_class, strict=True):
            own = _values(row[None])
            found += [
                Score(name, float(own[name][0]), info.name, int(row[_WITH]), self._threshold(name))
                for name in OVERALL[:2]
            ]
        return found

    def draws(self) -> dict[str, Floats]:
        """(R,) overall scores of R resamplings of the places, the same ones for every scorer of these places;
        {} with too few places.
        """
        if len(self._by_place) < FEWEST_BLOCKS:
            return {}
        places = np.stack([self._by_place[key] for key in sorted(self._by_place)])
        return _values(resampled_counts(len(places), seed=self._seed).astype(np.float64) @ places)

    def _threshold(self, name: str) -> float | None:
        return self.iou if name == "corloc" else None


def _values(rows: Floats) -> dict[str, Floats]:
    """Scores of many (R, 5) sums; NaN where there is no chip to count."""

    def ratio(part: int, whole: int) -> Floats:
        return np.asarray(
            np.divide(
                rows[:, part], rows[:, whole], out=np.full(len(rows), np.nan), where=rows[:, whole] > 0
            ),
            np.float64,
        )

    return {
        "corloc": ratio(_HITS, _WITH),
        "mean_box_iou": ratio(_IOU, _WITH),
        "accuracy": ratio(_RIGHT, _CHIPS),
    }
