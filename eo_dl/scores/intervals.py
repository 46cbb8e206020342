"""How certain a score is: percentile intervals from resampled blocks of ground (block bootstrap).

Errors of neighbouring pixels and objects are correlated, so they must not be resampled as if they were
independent: whole blocks are drawn with replacement (Hall 1985; Efron & Tibshirani 1993, chapter 8), and the
score is computed again for each draw. With few blocks the interval is rough, with fewer than `FEWEST_BLOCKS`
there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from ..core.arraytypes import Float64Array, FloatArray, Int64Array
from ..core.seeds import generator
from .score import Score

T = TypeVar("T")

REPEATS = 1000
FEWEST_BLOCKS = 3
LEVEL = 0.95

Interval = tuple[float, float] | None
Draws = Mapping[str, Float64Array]
"""A scorer's overall scores in each resampling, by name."""


def resampled_counts(blocks: int, *, seed: int = 0, repeats: int = REPEATS) -> Int64Array:
    """(repeats, blocks) how often each block is drawn when `blocks` are drawn with replacement."""
    rng = generator(seed, "bootstrap", blocks, repeats)
    return np.asarray(rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=repeats), np.int64)


def percentile_interval(values: FloatArray) -> Interval:
    """Bounds of the middle 95 % of the values.

    Draws in which the score is undefined (NaN) are left out; None where most are.
    """
    known = values[np.isfinite(values)]
    if len(known) * 2 < len(values) or not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def interval_bounds(values: FloatArray | None) -> tuple[float | None, float | None]:
    """`percentile_interval` as the `low` and `high` of a `Score`; both None without draws."""
    interval = None if values is None else percentile_interval(values)
    return (None, None) if interval is None else interval


def lead(ours: Score, theirs: Score, our_draws: Draws, their_draws: Draws) -> Score:
    """By how much one score exceeds another on the same ground, with the interval of that difference.

    Both predictors fail on the same hard blocks, so each draw resamples both in the same way (paired
    bootstrap): the interval is that of the difference, not of two scores that vary together. There is none
    where one of them has no draws.
    """
    low, high = None, None
    if ours.name in our_draws and theirs.name in their_draws:
        low, high = interval_bounds(our_draws[ours.name] - their_draws[theirs.name])
    return Score(
        name=f"lead in {ours.name}",
        value=ours.value - theirs.value,
        class_name=ours.class_name,
        count=ours.count,
        threshold=ours.threshold,
        low=low,
        high=high,
    )


def block_bootstrap(
    per_block: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> tuple[float, float]:
    """95 % interval of a statistic over blocks, resampled with replacement.

    The slow and general way: the scorers use `resampled_counts` instead, because their scores are sums over
    blocks.

    Args:
        per_block: What is known of each block.
        statistic: Computes the score of a list of blocks.
        seed: The same seed gives the same interval.
        repeats: Number of draws.

    Returns:
        (low, high); (NaN, NaN) with too few blocks.
    """
    undefined = float("nan"), float("nan")
    if len(per_block) < FEWEST_BLOCKS:
        return undefined
    values = []
    for counts in resampled_counts(len(per_block), seed=seed, repeats=repeats):
        drawn = np.repeat(np.arange(len(per_block)), counts).tolist()
        values.append(statistic([per_block[index] for index in drawn]))
    return percentile_interval(np.array(values, np.float64)) or undefined
