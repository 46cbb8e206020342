"""Which objects of two dates are the same ones: by overlap, then by distance.

A graph joins objects of both dates that lie on each other. Each of its components is one change: an object
without partner is new or gone, one with one partner is the same or changed, one with several was split or
merged. Nothing is compared pair by pair: a tree finds neighbours, and the rest is done on whole arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.commonareas import common_areas
from ..core.components import connected_groups
from ..errors import ConfigError

GONE, NEW, CHANGED, SPLIT, MERGED, SAME = "gone", "new", "changed", "split", "merged", "same"
CHANGES = (GONE, NEW, CHANGED, SPLIT, MERGED, SAME)
"""Kinds of change, in the order of their review."""


@dataclass(frozen=True)
class MatchRules:
    """When two objects are the same one.

    Raises:
        ConfigError: A value is out of range.
    """

    overlap: float = 0.5
    """Two objects are partners if their common area is at least this share of the smaller one."""
    same_iou: float = 0.7
    """One to one, partners with at least this IoU and of one class are the same, others changed."""
    distance_m: float | None = None
    """Objects without partner by overlap become partners if their centres are at most this far apart, the
    nearest first. Points need it."""

    def __post_init__(self) -> None:
        if not 0 < self.overlap <= 1:
            raise ConfigError(f"`overlap`: expected a share above 0 and up to 1, found {self.overlap:g}")
        if not 0 <= self.same_iou <= 1:
            raise ConfigError(f"`same_iou`: expected 0 to 1, found {self.same_iou:g}")
        if self.distance_m is not None and not self.distance_m > 0:
            raise ConfigError(f"`distance_m`: expected more than 0, found {self.distance_m:g}")


CentresOf = Callable[[GeometryArray], Float64Array]
"""(N, 2) centres of (N,) geometries, in metres of a plane."""


@dataclass(frozen=True)
class DatedObjects:
    """N objects of one date."""

    geometries: GeometryArray
    """(N,) valid geometries, of both dates in one CRS."""
    class_ids: Int64Array
    """(N,) their classes; equal numbers are equal classes in both dates."""
    centres_of: CentresOf
    """Centres of some geometries, in metres of a plane that both dates share."""

    def __len__(self) -> int:
        return len(self.geometries)

    def centres_m(self, chosen: Int64Array) -> Float64Array:
        """(K, 2) centres of some of the objects."""
        return self.centres_of(self.geometries[chosen])


@dataclass(frozen=True)
class PartnerLinks:
    """L pairs of an old and a new object that are partners."""

    old: Int64Array
    """(L,) old objects."""
    new: Int64Array
    """(L,) new objects."""
    iou: Float64Array
    """(L,) intersection over union; 0 for objects that do not overlap."""

    def __len__(self) -> int:
        return len(self.old)


@dataclass(frozen=True)
class ObjectMatches:
    """What became of N old objects, and where M new ones come from."""

    links: PartnerLinks
    """Partners."""
    old_change: Int64Array
    """(N,) index into `CHANGES`."""
    new_change: Int64Array
    """(M,) index into `CHANGES`."""
    old_group: Int64Array
    """(N,) number of the change that the object belongs to."""
    new_group: Int64Array
    """(M,) number of the change that the object belongs to."""


def match_objects(old: DatedObjects, new: DatedObjects, rules: MatchRules) -> ObjectMatches:
    """Match objects of two dates."""
    links = _by_overlap(old, new, rules.overlap)
    if rules.distance_m is not None:
        links = _with_nearest(links, old, new, rules.distance_m)
    return _judged(links, old, new, rules.same_iou)


def _by_overlap(old: DatedObjects, new: DatedObjects, least: float) -> PartnerLinks:
    """Pairs whose common area is at least a share of the smaller object."""
    old_areas, new_areas = shapely.area(old.geometries), shapely.area(new.geometries)
    has_area = np.flatnonzero(old_areas > 0)
    asked = np.flatnonzero(new_areas > 0)
    tree = shapely.STRtree(old.geometries[has_area])
    of_new, of_old = tree.query(new.geometries[asked])
    first, second = has_area[of_old], asked[of_new]
    common = common_areas(old.geometries, new.geometries, first, second)
    # Objects that only touch have nothing in common; equal ones may lose a rounding error.
    rounding = 1e-9 * np.minimum(old_areas[first], new_areas[second])
    enough = (common > rounding) & (
        common >= least * np.minimum(old_areas[first], new_areas[second]) * (1 - 1e-9)
    )
    first, second, common = first[enough], second[enough], common[enough]
    return PartnerLinks(first, second, common / (old_areas[first] + new_areas[second] - common))


def _with_nearest(links: PartnerLinks, old: DatedObjects, new: DatedObjects, most_m: float) -> PartnerLinks:
    """The links, and one to one those of objects without link whose centres are near, the nearest first."""
    free_old = np.setdiff1d(np.arange(len(old)), links.old)
    free_new = np.setdiff1d(np.arange(len(new)), links.new)
    if not len(free_old) or not len(free_new):
        return links
    old_tree, new_tree = cKDTree(old.centres_m(free_old)), cKDTree(new.centres_m(free_new))
    near = old_tree.sparse_distance_matrix(new_tree, most_m, output_type="ndarray")
    order = np.lexsort((near["j"], near["i"], near["v"]))
    taken_old, taken_new = [False] * len(free_old), [False] * len(free_new)
    pairs = []
    for one, other in zip(near["i"][order].tolist(), near["j"][order].tolist(), strict=True):
        if not taken_old[one] and not taken_new[other]:
            taken_old[one] = taken_new[other] = True
            pairs.append((one, other))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    first, second = free_old[found[:, 0]], free_new[found[:, 1]]
    return PartnerLinks(
        np.concatenate([links.old, first]),
        np.concatenate([links.new, second]),
        np.concatenate([links.iou, _iou(old.geometries[first], new.geometries[second])]),
    )


def _iou(first: GeometryArray, second: GeometryArray) -> Float64Array:
    pairs = np.arange(len(first))
    common = common_areas(first, second, pairs, pairs)
    whole = shapely.area(first) + shapely.area(second) - common
    return np.asarray(np.divide(common, whole, out=np.zeros(len(first)), where=whole > 0), np.float64)


def _judged(links: PartnerLinks, old: DatedObjects, new: DatedObjects, same_iou: float) -> ObjectMatches:
    group = connected_groups(len(old) + len(new), (links.old, links.new + len(old)))
    old_group, new_group = group[: len(old)], group[len(old) :]
    count = int(group.max(initial=-1)) + 1
    olds, news = np.bincount(old_group, minlength=count), np.bincount(new_group, minlength=count)
    change = np.full(count, CHANGES.index(CHANGED))
    change[(olds == 1) & (news > 1)] = CHANGES.index(SPLIT)
    change[(olds > 1) & (news == 1)] = CHANGES.index(MERGED)
    change[news == 0] = CHANGES.index(GONE)
    change[olds == 0] = CHANGES.index(NEW)
    is_same = _unchanged(links, old, new, same_iou)
    group_of_link = old_group[links.old]
    one_to_one = (olds[group_of_link] == 1) & (news[group_of_link] == 1)
    change[group_of_link[is_same & one_to_one]] = CHANGES.index(SAME)
    return ObjectMatches(links, change[old_group], change[new_group], old_group, new_group)


def _unchanged(links: PartnerLinks, old: DatedObjects, new: DatedObjects, same_iou: float) -> BoolArray:
    """(L,) True for partners of one class that overlap enough, or have no area to overlap."""
    of_old, of_new = old.geometries[links.old], new.geometries[links.new]
    no_area = (shapely.area(of_old) == 0) | (shapely.area(of_new) == 0)
    same_class = old.class_ids[links.old] == new.class_ids[links.new]
    return np.asarray(same_class & (no_area | (links.iou >= same_iou)), np.bool_)
