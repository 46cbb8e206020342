"""Exact greedy suppression of doubles (NMS), class by class, without looking at all pairs.

Gives what the textbook loop gives: boxes in the order of their scores (equal scores: in the order given),
each kept unless a kept one of its class overlaps it by more than `iou`. The pairs that overlap come from a
cell grid (`core.boxes`), and the loop runs over all boxes at once in rounds: whoever has no undecided
stronger neighbour is kept and removes its weaker neighbours.
"""

from __future__ import annotations

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, FloatArray, Int64Array
from ..core.boxes import overlapping_pairs

# A chain of boxes, each overlapping the next, is decided one link a round; beyond this many rounds the plain
# loop is faster.
_MOST_ROUNDS = 50


def suppress(objects: Objects, iou: float = 0.5) -> Int64Array:
    """Places of the objects that stay, in ascending order. Boxes decide, also where there are polygons."""
    first, second = overlapping_pairs(
        np.asarray(objects.boxes, np.float64), above_iou=iou, groups=objects.class_ids
    )
    return np.flatnonzero(survivors(objects.scores, first, second))


def survivors(scores: FloatArray, first: Int64Array, second: Int64Array) -> BoolArray:
    """(N,) which of N candidates stay when of each pair (first, second) only one may: greedy by score."""
    rank = np.empty(len(scores), np.int64)
    rank[np.argsort(-np.asarray(scores, np.float64), kind="stable")] = np.arange(len(scores))
    swap = rank[first] > rank[second]
    strong, weak = np.where(swap, second, first), np.where(swap, first, second)
    undecided, kept = np.ones(len(scores), np.bool_), np.zeros(len(scores), np.bool_)
    for _ in range(_MOST_ROUNDS):
        if not len(strong):
            break
        winners = undecided.copy()
        winners[weak] = False
        kept |= winners
        undecided &= ~winners
        undecided[weak[winners[strong]]] = False
        open_pairs = undecided[strong] & undecided[weak]
        strong, weak = strong[open_pairs], weak[open_pairs]
    if len(strong):
        _plain_loop(rank, strong, weak, undecided)
    return kept | undecided


def _plain_loop(rank: Int64Array, strong: Int64Array, weak: Int64Array, undecided: BoolArray) -> None:
    """The textbook loop over what is left: pairs in the order of the stronger box."""
    order = np.argsort(rank[strong], kind="stable")
    for winner, loser in zip(strong[order].tolist(), weak[order].tolist(), strict=True):
        if undecided[winner]:
            undecided[loser] = False
