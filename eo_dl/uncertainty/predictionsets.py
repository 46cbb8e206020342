"""Prediction sets: per pixel the classes that it may have, the true one among them in a stated share of
cases.

Split conformal prediction by class (Vovk 2012; Sadinle et al. 2019, "Least ambiguous set-valued
classifiers"): class k is in the set of a pixel if its probability is at least t_k, where t_k is so low that
of the ground of class k on held-out blocks the wanted share was above it.

Pixels of one block are alike, so they are not exchangeable, and a guarantee that counts pixels would be worth
nothing. Blocks are exchangeable: each of the B blocks with class k has the same weight, spread over its
pixels, and one more block counts as if all its pixels failed (hierarchical conformal prediction; Lee, Barber
& Willett 2023). The promise is then about a pixel of class k in a new block like the old ones: it has k in
its set with at least the wanted probability. A coverage c needs B >= c / (1 - c) blocks; with fewer, nothing
lets the class be left out, and it is in every set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, FloatArray, IntArray

LEVELS = tuple((np.arange(101) * 0.005 + 0.5).round(3).tolist())
"""Shares of the ground, 0.5 to 1, at which quantiles are kept."""
_DIGITS = 6
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ClassQuantiles:
    """What is known of the probability that held-out ground of one class was given for its class."""

    blocks: int
    """Number of blocks of ground with the class."""
    least: tuple[float, ...]
    """Per level of `LEVELS` the probability that this share of the ground reaches; empty without blocks."""

    @classmethod
    def of(cls, probabilities: FloatArray, places: Sequence[str]) -> ClassQuantiles:
        """From the probabilities (N,) that pixels of the class were given for it, and their blocks (N)."""
        if not len(probabilities):
            return cls(0, ())
        _, index, counts = np.unique(np.asarray(places, str), return_inverse=True, return_counts=True)
        weights = 1 / (len(counts) * counts[index])
        order = np.argsort(-np.asarray(probabilities, np.float64), kind="stable")
        falling = np.asarray(probabilities, np.float64)[order]
        reached = np.cumsum(weights[order])
        positions = np.searchsorted(reached, np.array(LEVELS) - _ROUNDING)
        least = falling[np.minimum(positions, len(falling) - 1)]
        # Rounded down, so that rounding leaves no pixel out.
        rounded = np.floor(least * 10**_DIGITS) / 10**_DIGITS
        return cls(len(counts), tuple(rounded.tolist()))

    def threshold(self, coverage: float) -> float:
        """The probability from which the class is in a set; 0 where it is in every one."""
        if not self.blocks:
            return 0.0
        wanted = coverage * (self.blocks + 1) / self.blocks
        if wanted > 1 + _ROUNDING:
            return 0.0
        # The next level above: the coverage is then a little higher than wanted, never lower.
        level = min(int(np.searchsorted(LEVELS, wanted - _ROUNDING)), len(LEVELS) - 1)
        return self.least[level]


def blocks_needed(coverage: float) -> int:
    """The number of blocks with a class that a coverage needs, so that the class can be left out of a set."""
    return int(np.ceil(coverage / (1 - coverage) - _ROUNDING))


def in_sets(probabilities: FloatArray, thresholds: Sequence[float]) -> BoolArray:
    """(K, ...) True for the classes in the set of each pixel, from probabilities (K, ...)."""
    least = np.asarray(thresholds, np.float32).reshape(-1, *[1] * (probabilities.ndim - 1))
    return np.asarray(probabilities >= least, np.bool_)


def covered_shares(
    members: BoolArray, truth: IntArray, places: Sequence[str], classes: int
) -> dict[str, Float64Array]:
    """Per block of ground (K, 2): number of pixels of each class, and of those with their class in the set.

    Args:
        members: (K, N) True for the classes in the set of each pixel.
        truth: (N,) true channels.
        places: (N) their blocks of ground.
        classes: K.
    """
    holds = members[truth, np.arange(len(truth))]
    names, index = np.unique(np.asarray(places, str), return_inverse=True)
    cells = index * classes + truth
    size = len(names) * classes
    number = np.bincount(cells, minlength=size).reshape(-1, classes)
    covered = np.bincount(cells, weights=holds, minlength=size).reshape(-1, classes)
    return {name: np.stack([number[row], covered[row]], axis=1) for row, name in enumerate(names.tolist())}
