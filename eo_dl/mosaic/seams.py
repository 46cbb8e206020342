"""Which views of neighbouring chips show one object, and what that object is.

A *view* is an object as one chip saw it, perhaps cut at the chip's border. Two chips see a common ground, the
intersection of their read windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.boxes import areas, intersection_areas, overlapping_pairs
from ..core.chipgrid import ChipGrid

# Inside the common ground, two views of one object are nearly equal; half tells them from neighbours.
_SAME_IOU = 0.5
# The box of a round object is wider in the chip that sees its middle: the other chip's part lies within it.
_WITHIN = 0.8


@dataclass(frozen=True)
class Views:
    """Objects as single chips saw them, in scene pixels."""

    objects: Objects
    """The objects, N of them."""
    chips: Int64Array
    """(N, 2) grid row and column of the chip that saw each."""
    cut_sides: BoolArray
    """(N, 4) left, top, right, bottom: the view may be cut there."""
    owned: BoolArray
    """(N,) True if the chip owns the object."""

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, index: BoolArray | Int64Array) -> Views:
        """The views of a boolean or integer index."""
        return Views(self.objects.take(index), self.chips[index], self.cut_sides[index], self.owned[index])

    @classmethod
    def concatenate(cls, parts: list[Views]) -> Views:
        """All views of all parts, in order."""
        return cls(
            Objects.concatenate([part.objects for part in parts]),
            np.concatenate([part.chips for part in parts]),
            np.concatenate([part.cut_sides for part in parts]),
            np.concatenate([part.owned for part in parts]),
        )


@dataclass(frozen=True)
class Links:
    """Pairs of views from neighbouring chips that agree inside the common ground."""

    first: Int64Array
    """(P,) index of one view."""
    second: Int64Array
    """(P,) index of the other."""
    linked: BoolArray
    """(P,) True if both are the same object."""


@dataclass(frozen=True)
class Resolved:
    """Objects made of groups of views."""

    objects: Objects
    """The objects, M of them."""
    group: Int64Array
    """(M,) number of the group that each was made of."""
    united: BoolArray
    """(M,) True if the object is the union of several views."""


def find_links(views: Views, grid: ChipGrid) -> Links:
    """Pairs of views of one class that agree, and whether they are the same object.

    At least one view of a pair is cut, and the other's chip sees beyond the cut. Two views are linked if each
    is the other's best match in the other's chip, or if they agree on a piece of the common ground that no
    other view claims (the arms of a U, which one of the chips saw as two objects).
    """
    first, second = overlapping_pairs(views.objects.boxes, groups=views.objects.class_ids)
    steps = np.abs(views.chips[first] - views.chips[second]).max(axis=1, initial=0)
    continues = _sides_seen_beyond(views, first, second, grid).any(axis=1)
    continues |= _sides_seen_beyond(views, second, first, grid).any(axis=1)
    near = (steps == 1) & continues
    first, second = first[near], second[near]
    ground = _common_ground(views.chips[first], views.chips[second], grid)
    agreement = _agreement(views, first, second, ground)
    agree = agreement > 0
    first, second, ground, agreement = first[agree], second[agree], ground[agree], agreement[agree]
    linked = _mutual(first, second, views.chips, agreement)
    if len(views.objects.polygons) and not linked.all():
        linked |= _linked_by_pieces(views, first, second, ground, agreement, mutual=linked)
    return Links(first, second, linked)


def _read_windows(chips: Int64Array, grid: ChipGrid) -> Float64Array:
    """(N, 4) read windows of chips, by their (N, 2) grid rows and columns."""
    rows = np.array(grid.row_starts, np.float64)[chips[:, 0]]
    cols = np.array(grid.col_starts, np.float64)[chips[:, 1]]
    return np.column_stack([cols, rows, cols + grid.size_px, rows + grid.size_px])


def _common_ground(chips_a: Int64Array, chips_b: Int64Array, grid: ChipGrid) -> Float64Array:
    return _cropped(_read_windows(chips_a, grid), _read_windows(chips_b, grid))


def _sides_seen_beyond(views: Views, cut: Int64Array, other: Int64Array, grid: ChipGrid) -> BoolArray:
    """(P, 4) sides at which the views `cut` are cut and the chips of the views `other` see further."""
    window = _read_windows(views.chips[cut], grid)
    other_window = _read_windows(views.chips[other], grid)
    seen_further = np.column_stack(
        [
            other_window[:, 0] < window[:, 0],
            other_window[:, 1] < window[:, 1],
            other_window[:, 2] > window[:, 2],
            other_window[:, 3] > window[:, 3],
        ]
    )
    return views.cut_sides[cut] & seen_further


def _agreement(views: Views, first: Int64Array, second: Int64Array, ground: Float64Array) -> Float64Array:
    """(P,) IoU of two views inside the common ground; 0 if they do not agree.

    Two cut views also agree if one lies mostly within the other.
    """
    objects = views.objects
    if len(objects.polygons) and len(first):
        common, area_a, area_b = _polygon_overlaps(objects.polygons[first], objects.polygons[second], ground)
    else:
        boxes_a = _cropped(objects.boxes[first], ground)
        boxes_b = _cropped(objects.boxes[second], ground)
        common, area_a, area_b = intersection_areas(boxes_a, boxes_b), areas(boxes_a), areas(boxes_b)
    union = area_a + area_b - common
    smaller = np.minimum(area_a, area_b)
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    share_of_smaller = np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)
    both_cut = views.cut_sides[first].any(axis=1) & views.cut_sides[second].any(axis=1)
    agree = (iou >= _SAME_IOU) | (both_cut & (share_of_smaller >= _WITHIN))
    above_zero = np.maximum(iou, np.finfo(float).tiny)
    return np.where(agree, above_zero, 0.0)


def _cropped(boxes: Float64Array, ground: Float64Array) -> Float64Array:
    return np.column_stack([np.maximum(boxes[:, :2], ground[:, :2]), np.minimum(boxes[:, 2:], ground[:, 2:])])


def _polygon_overlaps(
    a: GeometryArray, b: GeometryArray, ground: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Areas inside the ground: common to `a[i]` and `b[i]`, of `a[i]`, of `b[i]`."""
    frame = shapely.box(ground[:, 0], ground[:, 1], ground[:, 2], ground[:, 3])
    a, b = shapely.intersection(a, frame), shapely.intersection(b, frame)
    return shapely.area(shapely.intersection(a, b)), shapely.area(a), shapely.area(b)


def _linked_by_pieces(
    views: Views,
    first: Int64Array,
    second: Int64Array,
    ground: Float64Array,
    agreement: Float64Array,
    mutual: BoolArray,
) -> BoolArray:
    """Which pairs are linked if each connected piece of a view inside the common ground may have a partner.

    Two touching objects are one piece in a chip that merged them, so only the better of them is linked.
    """
    linked = mutual.copy()
    claimed: set[tuple[int, ...]] = set()
    loose = np.unique(np.concatenate([first[~mutual], second[~mutual]]))
    contested = np.flatnonzero(np.isin(first, loose) | np.isin(second, loose))
    low = np.minimum(first, second)[contested]
    high = np.maximum(first, second)[contested]
    # Mutual pairs first, then the better agreement; ties by the views' numbers.
    order = np.lexsort((high, low, -agreement[contested], ~mutual[contested]))
    for pair in contested[order].tolist():
        a, b = int(first[pair]), int(second[pair])
        polygons = views.objects.polygons
        piece_a, piece_b, iou = _best_pieces(polygons[a], polygons[b], ground[pair])
        claims = {(a, *views.chips[b].tolist(), piece_a), (b, *views.chips[a].tolist(), piece_b)}
        if mutual[pair] or (iou >= _SAME_IOU and not claims & claimed):
            linked[pair] = True
            claimed |= claims
    return linked


def _best_pieces(a: shapely.Geometry, b: shapely.Geometry, ground: Float64Array) -> tuple[int, int, float]:
    """Numbers of the connected pieces of `a` and `b` inside the ground that share most, and their IoU."""
    frame = shapely.box(*ground)
    pieces_a = shapely.get_parts(shapely.intersection(a, frame))
    pieces_b = shapely.get_parts(shapely.intersection(b, frame))
    common = shapely.area(shapely.intersection(pieces_a[:, None], pieces_b))
    row, col = (int(number) for number in np.unravel_index(common.argmax(), common.shape))
    return row, col, float(outline_ious(pieces_a[[row]], pieces_b[[col]])[0])


def outline_ious(a: GeometryArray, b: GeometryArray) -> Float64Array:
    """(N,) IoU of polygons `a[i]` and `b[i]`."""
    common = np.asarray(shapely.area(shapely.intersection(a, b)), np.float64)
    union = shapely.area(a) + shapely.area(b) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0), np.float64)


def _mutual(first: Int64Array, second: Int64Array, chips: Int64Array, agreement: Float64Array) -> BoolArray:
    """(P,) pairs that are each other's best match in the other's chip.

    Ties go to the earlier view, whatever the order of the pairs.
    """
    view = np.concatenate([first, second])
    partner = np.concatenate([second, first])
    is_best = np.zeros(len(view), np.bool_)
    if len(view):
        partner_chip = chips[partner]
        order = np.lexsort((partner, -np.tile(agreement, 2), partner_chip[:, 1], partner_chip[:, 0], view))
        key = np.column_stack([view, partner_chip])[order]
        is_best[order[_first_of_each(key)]] = True
    return is_best[: len(first)] & is_best[len(first) :]


def _first_of_each(sorted_keys: Int64Array) -> BoolArray:
    """(N,) True at the first of each run of equal rows of (N, K) sorted keys."""
    leads = np.ones(len(sorted_keys), np.bool_)
    leads[1:] = (sorted_keys[1:] != sorted_keys[:-1]).any(axis=1)
    return leads


def resolve_groups(views: Views, group: Int64Array, links: Links, grid: ChipGrid) -> Resolved:
    """One object per group of linked views that contains an owned one.

    A group with an uncut view becomes that view (the best by score), other groups the union of their views.
    The score is the highest of the group. An object is `cut` if one of its views is cut at a side beyond
    which no linked view sees.

    Args:
        views: The views, N of them.
        group: (N,) number of the group of each view.
        links: Which views are linked.
        grid: The chip grid.
    """
    count = int(group.max()) + 1
    whole = np.asarray(~views.cut_sides.any(axis=1), np.bool_)
    scores = views.objects.scores.astype(np.float64)
    has_owner = np.zeros(count, np.bool_)
    has_owner[group[views.owned]] = True
    # One view represents each group: uncut before cut, then owned, then the higher score.
    order = np.lexsort((-scores, ~views.owned, ~whole, group))
    chosen = order[_first_of_each(group[order][:, None])]
    chosen = chosen[has_owner[group[chosen]]]
    numbers = group[chosen]

    view_counts = np.bincount(group, minlength=count)
    united = (view_counts[numbers] > 1) & ~whole[chosen]
    best_score = np.full(count, -np.inf)
    np.maximum.at(best_score, group, scores)
    open_ended = np.zeros(count, np.bool_)
    np.logical_or.at(open_ended, group, _open_ended(views, links, grid))

    objects = _with_unions(views.objects.take(chosen), views.objects, group, numbers, united)
    objects = replace(
        objects, scores=best_score[numbers].astype(np.float32), cut=open_ended[numbers] & ~whole[chosen]
    )
    return Resolved(objects, numbers, united)


def _open_ended(views: Views, links: Links, grid: ChipGrid) -> BoolArray:
    """(N,) views with a cut side beyond which no linked view sees."""
    first, second = links.first[links.linked], links.second[links.linked]
    seen_beyond = np.zeros_like(views.cut_sides)
    np.logical_or.at(seen_beyond, first, _sides_seen_beyond(views, first, second, grid))
    np.logical_or.at(seen_beyond, second, _sides_seen_beyond(views, second, first, grid))
    return np.asarray((views.cut_sides & ~seen_beyond).any(axis=1), np.bool_)


def _with_unions(
    chosen: Objects, views: Objects, group: Int64Array, numbers: Int64Array, united: BoolArray
) -> Objects:
    """`chosen`, with the union of all boxes and polygons of its group for each object that is `united`."""
    if not united.any():
        return chosen
    count = int(group.max()) + 1
    low = np.full((count, 2), np.inf)
    high = np.full((count, 2), -np.inf)
    np.minimum.at(low, group, views.boxes[:, :2])
    np.maximum.at(high, group, views.boxes[:, 2:])
    boxes = chosen.boxes.copy()
    boxes[united] = np.column_stack([low, high])[numbers[united]]
    polygons = chosen.polygons.copy()
    if len(polygons):
        order = np.argsort(group, kind="stable")
        sorted_groups = group[order]
        for index in np.flatnonzero(united):
            start, stop = np.searchsorted(sorted_groups, [numbers[index], numbers[index] + 1])
            polygons[index] = shapely.union_all(views.polygons[order[start:stop]])
    return replace(chosen, boxes=boxes, polygons=polygons)
