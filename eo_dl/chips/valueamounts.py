"""What splits share out where labels are values: low, middle and high numbers, as classes are shared out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arraytypes import Float64Array
from .statistics import BandTally

_QUARTERS = (25, 50, 75)


def value_amounts(tallies: Sequence[BandTally]) -> Float64Array:
    """For each chip how many of its pixels have a number in each quarter of all numbers, value by value.

    Numbers that are equal in many pixels, as ground at height 0, fill fewer and larger groups.

    Args:
        tallies: What each chip adds to the statistics of the values, with its sample of numbers.

    Returns:
        (N, F) pixels.
    """
    columns = []
    for place in range(len(tallies[0].count)):
        samples = [tally.sample[place][np.isfinite(tally.sample[place])] for tally in tallies]
        together = np.concatenate(samples)
        if not len(together):
            continue
        edges = np.unique(np.percentile(together, _QUARTERS))
        for group in range(len(edges) + 1):
            shares = [_share(sample, edges, group) for sample in samples]
            columns.append([share * tally.count[place] for share, tally in zip(shares, tallies, strict=True)])
    return np.array(columns, np.float64).reshape(-1, len(tallies)).T


def _share(sample: np.ndarray, edges: Float64Array, group: int) -> float:
    """The share of a chip's numbers in a group; a number on an edge belongs below it."""
    if not len(sample):
        return 0.0
    return float((np.searchsorted(edges, sample, side="left") == group).mean())
