"""`SetCoverage`: in what share of the ground does a set of classes hold the true one?"""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import Float64Array, FloatArray, Int64Array, IntArray
from ..core.classes import ClassSet
from .intervals import FEWEST_BLOCKS, interval_bounds, resampled_counts
from .pixelscores import ratio
from .score import Score

COVERAGE, SET_SIZE = "set_coverage", "set_size"
"""Names of the scores."""


class SetCoverage:
    """Counts pixels by class and block of ground, and those with their class in the set.

    Args:
        classes: Classes in channel order.
        seed: Of the resampling.
    """

    def __init__(self, classes: ClassSet, *, seed: int = 0) -> None:
        self._classes, self._seed = classes, seed
        self._by_place: dict[str, Float64Array] = {}
        self._sizes: Int64Array = np.zeros(len(classes) + 1, np.int64)

    def add(self, counts: FloatArray | IntArray, place: str) -> None:
        """Add (K, 2) of a block: number of pixels of each class, and of those with their class in the set."""
        held = self._by_place.setdefault(place, np.zeros((len(self._classes), 2)))
        held += counts

    def add_sizes(self, sizes: IntArray) -> None:
        """Add (K + 1,) number of pixels with sets of 0, 1, ... K classes."""
        self._sizes += sizes

    def merge(self, other: SetCoverage) -> None:
        """Add what another one of the same classes counted."""
        for place, counts in other._by_place.items():
            self.add(counts, place)
        self.add_sizes(other._sizes)

    @property
    def empty(self) -> bool:
        """True if nothing was counted."""
        return not self._sizes.sum()

    def scores(self) -> list[Score]:
        """The coverage of all ground and of each class, with intervals from blocks; and the mean set size."""
        blocks = np.stack([self._by_place[place] for place in sorted(self._by_place)])
        totals = blocks.sum(axis=0)
        draws = None
        if len(blocks) >= FEWEST_BLOCKS:
            drawn = resampled_counts(len(blocks), seed=self._seed).astype(np.float64)
            draws = np.tensordot(drawn, blocks, axes=1)
        parts: list[tuple[str | None, slice]] = [(None, slice(None))]
        parts += [(info.name, slice(k, k + 1)) for k, info in enumerate(self._classes)]
        scores = []
        for name, rows in parts:
            number, covered = totals[rows].sum(axis=0)
            low, high = None, None
            if draws is not None:
                sums = draws[:, rows].sum(axis=1)
                low, high = interval_bounds(ratio(sums[:, 1], sums[:, 0]))
            value = float(covered / number) if number else float("nan")
            scores.append(Score(COVERAGE, value, name, int(number), None, low, high))
        return [*scores, Score(SET_SIZE, self._mean_size(), None, int(self._sizes.sum()))]

    def _mean_size(self) -> float:
        pixels = self._sizes.sum()
        if not pixels:
            return float("nan")
        return float((self._sizes * np.arange(len(self._sizes))).sum() / pixels)
