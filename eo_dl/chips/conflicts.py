"""Which chips share ground or lie too close to each other to be in two splits, and which of them gives
way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, GeometryArray, Int64Array, ObjectArray
from .chiprecord import SplitName
from .places import Place, shared_areas_m2

ChipPairs = tuple[Int64Array, Int64Array]
"""Pairs of chips: (P,) indices of the first and of the second of each."""

# Square pixels of the frame of a place. Outlines are rounded to 1e-6 px, so touching chips of 10^4 px share
# less than this.
_NO_AREA = 0.02
_TOLERANCE_PX = 1e-3  # a chip exactly one guard away is far enough
# Who gives way: train to val and test, val to test.
_RANK: dict[str, int] = {"none": 0, "train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class ChipGround:
    """The ground of all chips."""

    places: tuple[Place, ...]
    """The places that the scenes see."""

    place_of: Int64Array
    """(N,) for each chip the number of its place."""

    outlines: GeometryArray
    """(N,) for each chip its outline, in the frame of its place."""

    def near_pairs(self, guard_px: float, groups: Sequence[object]) -> ChipPairs:
        """All pairs of chips of one place, but of two groups, that are closer than `guard_px`.

        Chips that overlap much have many neighbours, nearly all of them in their own block or split, where
        they cannot conflict. So each group is only compared with the other chips around it.

        Args:
            guard_px: The distance; with 0, pairs that share ground.
            groups: (N,) for each chip its group: a block, a split or a scene.

        Returns:
            The pairs (i < j), sorted.
        """
        names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        group_of = np.array([names[name] for name in groups], np.int64)
        parts = [self._near_pairs_of(place, guard_px, group_of) for place in self.places]
        pairs = np.concatenate([np.empty((0, 2), np.int64), *parts])
        pairs = np.sort(pairs, axis=1)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        return pairs[:, 0], pairs[:, 1]

    def _near_pairs_of(self, place: Place, guard_px: float, group_of: Int64Array) -> Int64Array:
        """(P, 2) the pairs of a place, in any order."""
        members = np.flatnonzero(self.place_of == place.number)
        outlines, group_of = self.outlines[members], group_of[members]
        around_all = shapely.STRtree(outlines)
        pairs = [np.empty((0, 2), np.int64)]
        for group in np.unique(group_of).tolist():
            inside = np.flatnonzero(group_of == group)
            extent = shapely.total_bounds(outlines[inside]) + guard_px * np.array([-1, -1, 1, 1])
            around = around_all.query(shapely.box(*extent))
            around = around[group_of[around] > group]  # each pair of groups once
            first, second = _closer_than(outlines[inside], outlines[around], guard_px)
            pairs.append(members[np.column_stack([inside[first], around[second]])])
        return np.concatenate(pairs)

    def shared_ground(self, splits: Sequence[SplitName]) -> dict[str, float]:
        """The ground that two splits share, measured from the outlines.

        Args:
            splits: (N,) for each chip its split; "none" for those that do not count.

        Returns:
            For each pair of splits, as "train/val", square metres; square pixels without a CRS.
        """
        names = [name for name in ("train", "val", "test") if name in splits]
        split_of = np.array(splits, dtype=object)
        shared = {}
        for first, second in combinations(names, 2):
            areas = [
                shared_areas_m2(place, self._common_ground(place, split_of, first, second))
                for place in self.places
            ]
            shared[f"{first}/{second}"] = float(sum(areas))
        return shared

    def _common_ground(self, place: Place, split_of: ObjectArray, first: str, second: str) -> GeometryArray:
        """Where chips of two splits overlap in one place."""
        in_place = self.place_of == place.number
        of_first = self.outlines[in_place & (split_of == first)]
        of_second = self.outlines[in_place & (split_of == second)]
        index_second, index_first = shapely.STRtree(of_first).query(of_second, predicate="intersects")
        common = shapely.intersection(of_first[index_first], of_second[index_second])
        overlaps: GeometryArray = np.asarray(common, dtype=object).reshape(-1)
        return np.asarray(overlaps[shapely.area(overlaps) > _NO_AREA], dtype=object)


def _closer_than(first: GeometryArray, second: GeometryArray, guard_px: float) -> ChipPairs:
    """Pairs of an outline of `first` and one of `second` closer than a guard; with 0, that share ground."""
    tree = shapely.STRtree(first)
    if guard_px > 0:
        index_second, index_first = tree.query(second, predicate="dwithin", distance=guard_px - _TOLERANCE_PX)
        return index_first, index_second
    index_second, index_first = tree.query(second, predicate="intersects")
    common = shapely.area(shapely.intersection(first[index_first], second[index_second])) > _NO_AREA
    return index_first[common], index_second[common]


def gave_way(splits: Sequence[SplitName], keep: BoolArray, pairs: ChipPairs) -> BoolArray:
    """Which chips must leave their split because a kept chip of a higher split is one of their pair.

    Val gives way to test first, then train to what remains of both, so that no chip is given up for one that
    is gone itself.

    Args:
        splits: (N,) for each chip its split.
        keep: (N,) chips that count.
        pairs: Chips that are too close to each other.

    Returns:
        (N,) True for chips that leave their split.
    """
    rank = np.array([_RANK[split] for split in splits], np.int64)
    # Every pair in both directions: `chip` gives way to `other`.
    chip, other = np.concatenate(pairs), np.concatenate(pairs[::-1])
    gone = np.zeros(len(rank), np.bool_)
    for level in (_RANK["val"], _RANK["train"]):
        outranked = (rank[chip] == level) & (rank[other] > level)
        gone[chip[outranked & keep[other] & ~gone[other]]] = True
    return gone
