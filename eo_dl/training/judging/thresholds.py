"""The score above which a found object is reported: where F1 is best, on the validation split only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects
from ...scores.matching import match

Pair = tuple[Objects, Objects]
"""(found, true) of one chip."""

NO_THRESHOLD = 0.5
"""Where nothing was found or nothing is true, so that no threshold is better than another."""


def best_threshold(pairs: Sequence[Pair], iou: float = 0.5) -> tuple[float, float]:
    """(threshold, F1 at it) over all chips and classes; (`NO_THRESHOLD`, NaN) where F1 is not defined.

    Objects find true ones in the order of their scores, so what is found above a threshold does not depend on
    what lies below, and one pass gives F1 at every threshold. The threshold lies half way to the next lower
    score, so that rounding cannot change what is kept.
    """
    parts = [_hits(found, true, iou) for found, true in pairs]
    scores = np.concatenate([part[0] for part in parts]) if parts else np.empty(0)
    total = sum(part[2] for part in parts)
    if not len(scores) or not total:
        return NO_THRESHOLD, float("nan")
    hits = np.concatenate([part[1] for part in parts])
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    f1 = 2 * np.cumsum(hits) / (np.arange(1, len(scores) + 1) + total)
    f1[:-1][scores[:-1] == scores[1:]] = -1  # a threshold cannot part equal scores
    best = int(np.argmax(f1))
    below = float(scores[best + 1]) if best + 1 < len(scores) else 0.0
    return (float(scores[best]) + below) / 2, float(f1[best])


def _hits(
    found: Objects, true: Objects, iou: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], int]:
    """Scores of the objects that count, whether each found a true one, and how many true ones there are."""
    matches = match(found, true, (iou,), true.has_outlines)
    counted = ~matches.excused[0]
    total = len(true) if true.ignore is None else int((~true.ignore).sum())
    return found.scores[counted].astype(np.float64), (matches.found[0] >= 0)[counted], total
