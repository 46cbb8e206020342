"""`PixelScorer`: what a class map is worth, from its confusion matrix.

A class that the truth does not hold has no IoU, F1 or recall (NaN, not 0), and `mean_iou` and `mean_f1` are
means over the classes that it holds. The background (id 0) is a class with scores of its own, but not part of
the means: with one class against background `mean_iou` is that class's IoU. Where background is the only
class, it is the mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.classes import IGNORE_ID, ClassSet
from .intervals import FEWEST_BLOCKS, percentile_interval, resampled_counts
from .score import Score

Matrix = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PER_CLASS = ("iou", "f1", "precision", "recall")
OVERALL = ("mean_iou", "mean_f1", "overall_accuracy")


class PixelScorer:
    """Counts pixels by true and predicted class, apart for each place (the block of ground that the interval
    resamples).

    `unpredicted`: pixels with a truth where the prediction has none (255); they count neither way, and are
    said.
    """

    def __init__(self, classes: ClassSet, *, seed: int = 0) -> None:
        self.classes = classes
        self.by_place: dict[str, Matrix] = {}
        self.unpredicted = 0
        self._seed = seed

    def update(self, predicted: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], place: str = "") -> None:
        """Add pixels: class ids of one shape; 255 (in either) is left out. Raises `ValueError` for ids of no
        class.
        """
        if predicted.shape != truth.shape:
            raise ValueError(
                f"prediction and truth must have one shape, found {predicted.shape} and {truth.shape}"
            )
        pairs = truth.astype(np.uint16)
        pairs <<= 8
        pairs |= predicted
        joint = np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
        ids = list(self.classes.ids)
        stranger = _strangers(joint, ids)
        if stranger:
            raise ValueError(f"class ids {stranger} are not among {ids}")
        self.unpredicted += int(joint[ids, IGNORE_ID].sum())
        self.add(joint[np.ix_(ids, ids)], place)

    def add(self, confusion: Matrix, place: str = "") -> None:
        """Add a confusion matrix (K, K) [truth, predicted] in channel order."""
        known = self.by_place.get(place)
        self.by_place[place] = confusion.astype(np.int64) if known is None else known + confusion

    @property
    def confusion(self) -> Matrix:
        """(K, K) [truth, predicted] of all places, in channel order."""
        if not self.by_place:
            return np.zeros((len(self.classes), len(self.classes)), np.int64)
        return np.asarray(np.sum(list(self.by_place.values()), axis=0), np.int64)

    def scores(self) -> list[Score]:
        """Overall scores, then those of each class, with intervals where there are three places or more."""
        confusion = self.confusion
        values = self._values(confusion[None])
        bounds = self._intervals()
        truth = confusion.sum(axis=1)
        found = [
            Score(name, float(values[name][0]), None, int(truth.sum()), None, *bounds[name])
            for name in OVERALL
        ]
        for channel, info in enumerate(self.classes):
            found += [
                Score(
                    name,
                    float(values[name][0, channel]),
                    info.name,
                    int(truth[channel]),
                    None,
                    *bounds[f"{name}/{channel}"],
                )
                for name in PER_CLASS
            ]
        return found

    def _values(self, confusions: Floats | Matrix) -> dict[str, Floats]:
        """Scores of many (R, K, K) matrices: (R,) overall, (R, K) per class."""
        counts = np.asarray(confusions, np.float64)
        hits, truth, predicted = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), counts.sum(axis=1)
        present = truth > 0
        values = {
            "iou": ratio(hits, np.where(present, truth + predicted - hits, 0)),
            "f1": ratio(2 * hits, np.where(present, truth + predicted, 0)),
            "precision": ratio(hits, predicted),
            "recall": ratio(hits, truth),
            "overall_accuracy": ratio(hits.sum(axis=1), counts.sum(axis=(1, 2))),
        }
        meant = self._in_mean()
        values["mean_iou"] = mean_of_known(values["iou"][:, meant])
        values["mean_f1"] = mean_of_known(values["f1"][:, meant])
        return values

    def _in_mean(self) -> npt.NDArray[np.bool_]:
        foreground = np.array([info.id != 0 for info in self.classes])
        return foreground if foreground.any() else ~foreground

    def draws(self) -> dict[str, Floats]:
        """(R,) overall scores of R resamplings of the places, the same ones for every scorer of these places;
        {} with too few places.
        """
        if len(self.by_place) < FEWEST_BLOCKS:
            return {}
        values = self._resampled(self._places())
        return {name: values[name] for name in OVERALL}

    def _places(self) -> Floats:
        return np.stack([self.by_place[key] for key in sorted(self.by_place)]).astype(np.float64)

    def _resampled(self, places: Floats) -> dict[str, Floats]:
        draws = resampled_counts(len(places), seed=self._seed).astype(np.float64)
        return self._values(np.tensordot(draws, places, axes=1))

    def _intervals(self) -> dict[str, tuple[float | None, float | None]]:
        names = [
            *OVERALL,
            *(f"{name}/{channel}" for name in PER_CLASS for channel in range(len(self.classes))),
        ]
        if len(self.by_place) < FEWEST_BLOCKS:
            return dict.fromkeys(names, (None, None))
        places = self._places()
        values = self._resampled(places)
        bounds = {name: percentile_interval(values[name]) for name in OVERALL}
        # A class that lies in one or two blocks has a score, but nothing says how sure that is.
        spread = (places.sum(axis=2) > 0).sum(axis=0) >= FEWEST_BLOCKS
        for name in PER_CLASS:
            bounds |= {
                f"{name}/{channel}": percentile_interval(values[name][:, channel])
                if spread[channel]
                else None
                for channel in range(len(self.classes))
            }
        return {name: found or (None, None) for name, found in bounds.items()}


def _strangers(joint: Matrix, ids: list[int]) -> list[int]:
    met = np.asarray(joint.any(axis=0) | joint.any(axis=1), np.bool_)
    met[[*ids, IGNORE_ID]] = False
    return [int(i) for i in np.flatnonzero(met)]


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0), np.float64)


def mean_of_known(values: Floats) -> Floats:
    """Mean along the last axis over what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
