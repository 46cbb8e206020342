"""`ScorePrecision`: what share of the objects with a score are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import Float64Array, FloatArray


@dataclass(frozen=True)
class ScorePrecision:
    """A map of scores to precision that never falls, straight between its knots and level beyond them.

    Raises:
        ValueError: There are no knots, or they are not in order.
    """

    scores: tuple[float, ...]
    """Scores of the knots, rising."""
    precisions: tuple[float, ...]
    """Precision at each knot, 0 to 1, never falling."""

    def __post_init__(self) -> None:
        if not self.scores or len(self.scores) != len(self.precisions):
            raise ValueError("expected a precision for each score, and at least one")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.precisions) < 0):
            raise ValueError("scores must rise, and precisions must not fall")
        if self.precisions[0] < 0 or self.precisions[-1] > 1:
            raise ValueError("precisions must lie between 0 and 1")

    def of(self, scores: FloatArray) -> Float64Array:
        """(N,) the share of objects with these scores that are right."""
        return np.asarray(np.interp(scores, self.scores, self.precisions), np.float64)
