"""`RiskCoverage`: what the scores would be if the least certain ground were left to a person.

Pixels are sorted by the probability of their class. The curve gives the scores of the most certain share of
them (El-Yaniv & Wiener 2010, "On the foundations of noise-free selective classification").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.arraytypes import Int64Array, IntArray, UInt8Array
from ..core.classes import ClassSet
from ..core.plotting import figure_png, new_figure
from .pixelscores import PixelScorer
from .score import find_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = 255
"""Levels of certainty that are counted, evenly from 0 to 1."""
_MOST_CELLS = 2_000_000
_ACCURACY, _MEAN_IOU = "overall_accuracy", "mean_iou"
_COLORS = {_ACCURACY: "#1f2430", _MEAN_IOU: "#0072b2"}
_LABELS = {_ACCURACY: "overall accuracy", _MEAN_IOU: "mean IoU"}


@dataclass(frozen=True)
class KeptScores:
    """The scores where the map decides about a share of the ground only."""

    kept: float
    """Share of the ground that is left to the map, the most certain one."""
    overall_accuracy: float
    mean_iou: float


class RiskCoverage:
    """Counts pixels by certainty, true and predicted class.

    Args:
        classes: Classes in channel order.
    """

    def __init__(self, classes: ClassSet) -> None:
        self._classes = classes
        self.step = level_step(len(classes))
        self._counts: Int64Array = np.zeros((-(-LEVELS // self.step), len(classes), len(classes)), np.int64)

    def add(self, counts: Int64Array) -> None:
        """Add counts of `certainty_counts`."""
        self._counts += counts

    def merge(self, other: RiskCoverage) -> None:
        """Add what another one of the same classes counted."""
        self.add(other._counts)

    def curve(self) -> list[KeptScores]:
        """The scores of the most certain part, from all of the ground to next to none."""
        total = int(self._counts.sum())
        if not total:
            return []
        kept = self._counts[::-1].cumsum(axis=0)[::-1]  # from each level of certainty upwards
        points: list[KeptScores] = []
        for confusion in kept:
            if not confusion.sum():
                continue
            share = float(confusion.sum() / total)
            if points and points[-1].kept == share:
                continue  # no pixel has this certainty
            scorer = PixelScorer(self._classes)
            scorer.add(confusion)
            scores = scorer.scores()
            values = [find_score(scores, name).value for name in (_ACCURACY, _MEAN_IOU)]
            points.append(KeptScores(share, *values))
        return points

    def picture(self) -> bytes:
        """The curve as a PNG."""
        points = self.curve()
        figure = new_figure(6.4, 3.6, dpi=110, layout="constrained")
        axis: Axes = figure.subplots()
        left = [100 * (1 - point.kept) for point in points]
        for name, color in _COLORS.items():
            values = [getattr(point, name) for point in points]
            axis.plot(left, values, color=color, linewidth=2, label=_LABELS[name])
        axis.set_xlabel("least certain ground left to a person, %", fontsize=9)
        axis.set_ylabel("score of the rest", fontsize=9)
        axis.set_xlim(0, 50)
        axis.tick_params(labelsize=8)
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.legend(fontsize=8, frameon=False)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        return figure_png(figure)


def kept_at(curve: list[KeptScores], share: float) -> KeptScores:
    """The point of a curve at which the map decides about this share, or as little more as there is."""
    fitting = [point for point in curve if point.kept >= share]
    return fitting[-1]


def level_step(classes: int) -> int:
    """Levels of certainty that are counted as one: several where very many classes make large matrices."""
    return -(-LEVELS * classes**2 // _MOST_CELLS)


def certainty_counts(certainty: UInt8Array, truth: IntArray, predicted: IntArray, classes: int) -> Int64Array:
    """(L, K, K) number of pixels by certainty, true and predicted channel.

    Args:
        certainty: (N,) 0 to 254.
        truth: (N,) true channels.
        predicted: (N,) predicted channels.
        classes: K.
    """
    step = level_step(classes)
    levels = -(-LEVELS // step)
    cells = (certainty.astype(np.int64) // step * classes + truth) * classes + predicted
    return np.bincount(cells, minlength=levels * classes**2).reshape(levels, classes, classes)
