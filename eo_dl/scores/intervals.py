"""How sure a score is: percentile intervals from resampled blocks of ground (block bootstrap).

Neighbouring pixels and objects err together, so single ones must not be resampled as if they were
independent: whole blocks are drawn with replacement (Hall 1985; Efron & Tibshirani 1993, chapter 8) and the
score is taken again of each draw. With few blocks the interval is rough, with fewer than `FEWEST_BLOCKS`
there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..core.seeds import generator
from .score import Score

T = TypeVar("T")

REPEATS = 1000
FEWEST_BLOCKS = 3
LEVEL = 0.95

Interval = tuple[float, float] | None
Draws = Mapping[str, npt.NDArray[np.float64]]
"""A scorer's overall scores in each resampling, by name."""


def resampled_counts(blocks: int, *, seed: int = 0, repeats: int = REPEATS) -> npt.NDArray[np.int64]:
    """(repeats, blocks) how often each block is drawn when `blocks` are drawn with replacement."""
    rng = generator(seed, "bootstrap", blocks, repeats)
    return np.asarray(rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=repeats), np.int64)


def percentile_interval(values: npt.NDArray[np.floating]) -> Interval:
    """Bounds of the middle 95 % of the values; draws in which the score is not defined (NaN) are left out,
    None where most are.
    """
    known = values[np.isfinite(values)]
    if len(known) * 2 < len(values) or not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def lead(ours: Score, theirs: Score, our_draws: Draws, their_draws: Draws) -> Score:
    """By how much one score is above another of the same ground, with the interval of that difference.

    Both predictors err on the same hard blocks, so each draw resamples both alike (paired bootstrap): the
    interval is that of the difference, not of two scores that vary together. No interval where one of them
    has no draws.
    """
    name = f"lead in {ours.name}"
    if ours.name not in our_draws or theirs.name not in their_draws:
        return Score(name, ours.value - theirs.value, ours.class_name, ours.count, ours.threshold)
    bounds = percentile_interval(our_draws[ours.name] - their_draws[theirs.name]) or (None, None)
    return Score(name, ours.value - theirs.value, ours.class_name, ours.count, ours.threshold, *bounds)


def block_bootstrap(
    per_block: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> tuple[float, float]:
    """95 % interval of a statistic of blocks, which are resampled with replacement. (NaN, NaN) with too few
    blocks.

    The same seed gives the same interval. For scores that are sums over blocks the scorers use counts
    instead, which is faster.
    """
    if len(per_block) < FEWEST_BLOCKS:
        return float("nan"), float("nan")
    draws = resampled_counts(len(per_block), seed=seed, repeats=repeats)
    values = np.array(
        [
            statistic([per_block[i] for i in np.repeat(np.arange(len(per_block)), counts).tolist()])
            for counts in draws
        ],
        np.float64,
    )
    return percentile_interval(values) or (float("nan"), float("nan"))
