"""`ChipScorer`: what the classes of whole chips are worth, one class a chip or several.

One class a chip: the confusion matrix of `PixelScorer` with chips in place of pixels; the predicted class is
the likeliest one. Several: each class is a yes or no of its own, yes from a probability of `YES` on;
`mean_f1` and `mean_ap` are means over the classes that the truth holds, `overall_accuracy` is the share of
chips with every class right. Average precision is the area under precision over recall in steps (no
interpolation). What a class does not define is NaN, never 0; truth of NaN counts neither way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, percentile_interval, resampled_counts
from .pixelscores import PixelScorer, mean_of_known, ratio
from .score import Score

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating]

YES = 0.5
OVERALL = ("mean_f1", "overall_accuracy")
PER_CLASS = ("f1", "precision", "recall")


class ChipScorer:
    """Counts chips, apart for each place (the block of ground that the interval resamples).

    `several`: a chip may have any number of classes.
    """

    def __init__(self, classes: ClassSet, *, several: bool = False, seed: int = 0) -> None:
        self.classes, self.several = classes, several
        self._seed = seed
        self._exclusive = PixelScorer(classes, seed=seed)
        self._rows: list[tuple[Floats, Floats, str]] = []

    def update(self, predicted: Values, truth: Values, place: str = "") -> None:
        """Add a chip: probabilities (K,) and true values (K,) of the classes in channel order; a chip of
        which nothing is known is left out.
        """
        known = np.isfinite(truth)
        if not known.any():
            return
        if self.several:
            self._rows.append((np.asarray(predicted, np.float64), np.asarray(truth, np.float64), place))
            return
        confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        confusion[int(np.nanargmax(truth)), int(np.argmax(predicted))] = 1
        self._exclusive.add(confusion, place)

    @property
    def confusion(self) -> npt.NDArray[np.int64] | None:
        """(K, K) chips [truth, predicted]; None where a chip may have several classes."""
        return None if self.several else self._exclusive.confusion

    def counts(self) -> dict[str, dict[str, int]]:
        """Per class name how many chips truly have it, and how many are predicted to."""
        if self.several:
            totals = self._sums()[1].sum(axis=0)
            true, found = totals[0] + totals[2], totals[0] + totals[1]
        else:
            true, found = self._exclusive.confusion.sum(axis=1), self._exclusive.confusion.sum(axis=0)
        return {
            info.name: {"truth": int(t), "predicted": int(p)}
            for info, t, p in zip(self.classes, true, found, strict=True)
        }

    def scores(self) -> list[Score]:
        """Overall scores, then those of each class, with intervals where there are three places or more."""
        if self.several:
            return self._scores_of_several()
        wanted = (*OVERALL, *PER_CLASS)
        return [score for score in self._exclusive.scores() if score.name in wanted]

    def draws(self) -> dict[str, Floats]:
        """(R,) overall scores in each of R resamplings of the places; {} with too few places."""
        if not self.several:
            return {name: values for name, values in self._exclusive.draws().items() if name in OVERALL}
        places, sums, right = self._sums()
        if len(places) < FEWEST_BLOCKS:
            return {}
        values = self._resampled(sums, right)
        return {name: values[name] for name in OVERALL}

    # Several classes a chip

    def _scores_of_several(self) -> list[Score]:
        places, sums, right = self._sums()
        values = _values(sums.sum(axis=0)[None], right.sum(axis=0)[None])
        drawn = self._resampled(sums, right) if len(places) >= FEWEST_BLOCKS else {}
        true = sums.sum(axis=0)[[0, 2]].sum(axis=0)
        precision = self._average_precision()
        found = [
            Score(name, float(values[name][0]), None, len(self._rows), None, *_bounds(drawn.get(name)))
            for name in OVERALL
        ]
        found.append(Score("mean_ap", float(mean_of_known(precision)), None, len(self._rows)))
        spread = ((sums[:, 0] + sums[:, 2]) > 0).sum(axis=0) >= FEWEST_BLOCKS
        for channel, info in enumerate(self.classes):
            for name in PER_CLASS:
                bounds = _bounds(drawn[name][:, channel] if drawn and spread[channel] else None)
                found.append(
                    Score(name, float(values[name][0, channel]), info.name, int(true[channel]), None, *bounds)
                )
            found.append(Score("ap", float(precision[channel]), info.name, int(true[channel])))
        return found

    def _sums(self) -> tuple[list[str], Floats, Floats]:
        """Places (sorted), for each (3, K) true positives, false positives and false negatives, and (2,)
        chips that are right and all.
        """
        places = sorted({place for _, _, place in self._rows})
        sums, right = np.zeros((len(places), 3, len(self.classes))), np.zeros((len(places), 2))
        number = {place: i for i, place in enumerate(places)}
        for predicted, truth, place in self._rows:
            known, yes, true = np.isfinite(truth), predicted >= YES, truth >= YES
            sums[number[place]] += np.stack([yes & true, yes & ~true, ~yes & true]) & known
            right[number[place]] += (float((yes == true)[known].all()), 1.0)
        return places, sums, right

    def _resampled(self, sums: Floats, right: Floats) -> dict[str, Floats]:
        draws = resampled_counts(len(sums), seed=self._seed).astype(np.float64)
        return _values(np.tensordot(draws, sums, axes=1), draws @ right)

    def _average_precision(self) -> Floats:
        """(K,) NaN for a class that no chip has."""
        if not self._rows:
            return np.full(len(self.classes), np.nan)
        predicted, truth = (np.stack([row[i] for row in self._rows]) for i in (0, 1))
        return np.array(
            [
                _area(predicted[known, k], truth[known, k] >= YES)
                for k in range(len(self.classes))
                for known in [np.isfinite(truth[:, k])]
            ]
        )


def _values(sums: Floats, right: Floats) -> dict[str, Floats]:
    """Scores of many (R, 3, K) sums and (R, 2) counts: (R,) overall, (R, K) per class."""
    hits, false, missed = sums[:, 0], sums[:, 1], sums[:, 2]
    present = hits + missed > 0
    f1 = ratio(2 * hits, np.where(present, 2 * hits + false + missed, 0))
    return {
        "f1": f1,
        "precision": ratio(hits, hits + false),
        "recall": ratio(hits, hits + missed),
        "mean_f1": mean_of_known(f1),
        "overall_accuracy": ratio(right[:, 0], right[:, 1]),
    }


def _area(scores: Floats, true: npt.NDArray[np.bool_]) -> float:
    """Mean precision at the true ones, in falling order of score; equal scores come all at once."""
    if not true.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ordered = np.cumsum(true[order]), scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    recall = hits[ends] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * hits[ends] / (ends + 1)).sum())


def _bounds(drawn: Floats | None) -> tuple[float | None, float | None]:
    return (None, None) if drawn is None else percentile_interval(drawn) or (None, None)
