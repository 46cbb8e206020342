"""Which chips share ground or lie too near to each other to be in two splits, and who gives way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import shapely

from .chiprecord import SplitName
from .places import Place, Polygons, shared_areas_m2

Index = npt.NDArray[np.int64]

# Square pixels of the place's frame. Outlines are rounded to 1e-6 px, so touching chips of 10^4 px share less
# than this.
_NO_AREA = 0.02
_NEARLY = 1e-3  # px; a chip exactly one guard away is far enough
# Who gives way: train to val and test, val to test.
_RANK: dict[str, int] = {"none": 0, "train": 1, "val": 2, "test": 3}


@dataclass(frozen=True)
class ChipGround:
    """Outlines of all chips (N,), each in the frame of its place `place_of` (N,)."""

    places: tuple[Place, ...]
    place_of: Index
    outlines: Polygons

    def near_pairs(self, guard_px: float) -> tuple[Index, Index]:
        """All pairs (i < j) of chips of one place nearer than `guard_px`; with 0, those that share ground."""
        found = [
            self._near_of(np.flatnonzero(self.place_of == place.number), guard_px) for place in self.places
        ]
        return np.concatenate([pair[0] for pair in found]), np.concatenate([pair[1] for pair in found])

    def _near_of(self, members: Index, guard_px: float) -> tuple[Index, Index]:
        own = self.outlines[members]
        tree = shapely.STRtree(own)
        if guard_px > 0:
            first, second = tree.query(own, predicate="dwithin", distance=guard_px - _NEARLY)
        else:
            first, second = tree.query(own, predicate="intersects")
        once = first < second
        first, second = first[once], second[once]
        if guard_px <= 0 and len(first):
            common = shapely.area(shapely.intersection(own[first], own[second])) > _NO_AREA
            first, second = first[common], second[common]
        return members[first].astype(np.int64), members[second].astype(np.int64)

    def shared_ground(self, splits: Sequence[SplitName]) -> dict[str, float]:
        """Ground in both of two splits, for each pair as "train/val": square metres (square pixels without
        CRS), measured from the outlines.
        """
        names = [name for name in ("train", "val", "test") if name in splits]
        of = np.array(splits, dtype=object)
        shared = {}
        for one, other in combinations(names, 2):
            shared[f"{one}/{other}"] = float(
                sum(shared_areas_m2(place, self._common(place, of, one, other)) for place in self.places)
            )
        return shared

    def _common(self, place: Place, splits: npt.NDArray[np.object_], one: str, other: str) -> Polygons:
        here = self.place_of == place.number
        a, b = self.outlines[here & (splits == one)], self.outlines[here & (splits == other)]
        first, second = shapely.STRtree(a).query(b, predicate="intersects")[::-1]
        common: Polygons = np.asarray(shapely.intersection(a[first], b[second]), dtype=object).reshape(-1)
        return np.asarray(common[shapely.area(common) > _NO_AREA], dtype=object)


def gave_way(
    splits: Sequence[SplitName], keep: npt.NDArray[np.bool_], pairs: tuple[Index, Index]
) -> npt.NDArray[np.bool_]:
    """(N,) True for chips that must leave their split because a kept chip of a split above it is one of their
    `pairs`.

    Val gives way to test first, then train to what is left of both, so that no chip is given up for one that
    is gone itself.
    """
    rank = np.array([_RANK[split] for split in splits], np.int64)
    first, second = np.concatenate(pairs), np.concatenate(pairs[::-1])
    gone = np.zeros(len(rank), np.bool_)
    for level in (_RANK["val"], _RANK["train"]):
        forced = (rank[first] == level) & (rank[second] > level) & keep[second] & ~gone[second]
        gone[first[forced]] = True
    return gone
