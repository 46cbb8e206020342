"""Exact greedy non-maximum suppression (NMS), class by class, without comparing all pairs.

Gives the result of the textbook loop: boxes in order of score (ties: input order), each kept unless a kept
box of its class overlaps it by more than `iou`. Overlapping pairs come from a grid of cells (`core.boxes`).
The loop runs over all boxes at once, in rounds: a box without an undecided stronger neighbour is kept and
removes its weaker neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, FloatArray, Int64Array
from ..core.boxes import areas, intersection_areas, overlapping_pairs

# A chain of boxes, each overlapping the next, is decided one link per round. Beyond this many rounds the
# plain loop is faster.
_MAX_ROUNDS = 50


@dataclass(frozen=True)
class Suppression:
    """Which of two boxes of one class are one object, of which the higher score remains."""

    iou: float = 0.5
    """They overlap by more than this IoU."""

    inside: float | None = None
    """Or more than this share of the smaller box lies inside the other one, as with a tree and its crown;
    None: that does not count."""

    def apply(self, objects: Objects) -> Objects:
        """The objects that remain; outlines are left to the network and the mosaic, which compare them."""
        if len(objects.polygons):
            return objects
        boxes = np.asarray(objects.boxes, np.float64)
        first, second = overlapping_pairs(boxes, groups=objects.class_ids)
        shared = intersection_areas(boxes[first], boxes[second])
        first_area, second_area = areas(boxes[first]), areas(boxes[second])
        rivals = shared > self.iou * (first_area + second_area - shared)
        if self.inside is not None:
            smaller: Float64Array = np.minimum(first_area, second_area)
            rivals |= shared > self.inside * smaller
        return objects.take(np.flatnonzero(survivors(objects.scores, first[rivals], second[rivals])))


def suppress(objects: Objects, iou: float = 0.5) -> Int64Array:
    """Indices of the objects that remain, ascending. Boxes decide, even where there are polygons."""
    boxes = np.asarray(objects.boxes, np.float64)
    first, second = overlapping_pairs(boxes, above_iou=iou, groups=objects.class_ids)
    return np.flatnonzero(survivors(objects.scores, first, second))


def survivors(scores: FloatArray, first: Int64Array, second: Int64Array) -> BoolArray:
    """(N,) which of N candidates remain if only one of each pair (first, second) may: greedy by score."""
    rank = np.empty(len(scores), np.int64)
    rank[np.argsort(-np.asarray(scores, np.float64), kind="stable")] = np.arange(len(scores))
    swap = rank[first] > rank[second]
    strong = np.where(swap, second, first)
    weak = np.where(swap, first, second)
    undecided = np.ones(len(scores), np.bool_)
    kept = np.zeros(len(scores), np.bool_)
    for _ in range(_MAX_ROUNDS):
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
    """The textbook loop over the remaining pairs, in the order of the stronger box."""
    order = np.argsort(rank[strong], kind="stable")
    for winner, loser in zip(strong[order].tolist(), weak[order].tolist(), strict=True):
        if undecided[winner]:
            undecided[loser] = False
