"""Which parts of objects, seen by neighbouring chips, are one object, and what that object is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from ..core.arrays import Objects
from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.boxes import areas, intersection_areas, overlapping_pairs
from ..core.chipgrid import ChipGrid

# Inside the ground that both chips saw, two views of one object are nearly equal; half tells them from
# neighbours.
_SAME_IOU = 0.5
# A round thing's box is wider in the chip that sees its middle: the other's part then lies within it.
_WITHIN = 0.8


@dataclass(frozen=True)
class Resolved:
    """Objects made of groups of parts: `group` (M,) number of each, `chosen` (M,) the part that stands for
    it, `united` (M,) whether it is the union of several.
    """

    objects: Objects
    group: Int64Array
    chosen: Int64Array
    united: BoolArray


def find_links(
    objects: Objects, place: Int64Array, sides: BoolArray, grid: ChipGrid
) -> tuple[Int64Array, Int64Array, BoolArray]:
    """Pairs of views (from neighbouring chips, one of them cut there, same class) that agree inside the
    common ground.

    With each pair whether it is a link: each is the other's best match in the other's chip, or the two agree
    on a piece of their common ground that nobody else claims (the arms of a U, which one of the chips saw as
    two objects).
    """
    first, second = overlapping_pairs(objects.boxes, groups=objects.class_ids)
    step = np.abs(place[first] - place[second])
    near = (step.max(axis=1, initial=0) == 1) & (
        _looks_past(first, second, place, sides, grid).any(axis=1)
        | _looks_past(second, first, place, sides, grid).any(axis=1)
    )
    first, second = first[near], second[near]
    ground = _common_ground(place[first], place[second], grid)
    agreement = _agreement(objects, first, second, ground, sides)
    good = agreement > 0
    first, second, ground, agreement = first[good], second[good], ground[good], agreement[good]
    linked = _mutual(first, second, place, agreement)
    if len(objects.polygons) and not linked.all():
        linked |= _by_pieces(objects, first, second, place, ground, agreement, linked)
    return first, second, linked


def _reads(place: Int64Array, grid: ChipGrid) -> Float64Array:
    """(N, 4) read windows of chips at (row, col) places."""
    rows, cols = (
        np.array(grid.row_starts, np.float64)[place[:, 0]],
        np.array(grid.col_starts, np.float64)[place[:, 1]],
    )
    return np.column_stack([cols, rows, cols + grid.size_px, rows + grid.size_px])


def _common_ground(place_a: Int64Array, place_b: Int64Array, grid: ChipGrid) -> Float64Array:
    a, b = _reads(place_a, grid), _reads(place_b, grid)
    return np.column_stack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])])


def _looks_past(
    cut: Int64Array, other: Int64Array, place: Int64Array, sides: BoolArray, grid: ChipGrid
) -> BoolArray:
    """(N, 4) for each side: `cut` is cut there, and the chip of `other` sees on beyond that border."""
    mine, theirs = _reads(place[cut], grid), _reads(place[other], grid)
    beyond = np.column_stack(
        [
            theirs[:, 0] < mine[:, 0],
            theirs[:, 1] < mine[:, 1],
            theirs[:, 2] > mine[:, 2],
            theirs[:, 3] > mine[:, 3],
        ]
    )
    return sides[cut] & beyond


def _agreement(
    objects: Objects, first: Int64Array, second: Int64Array, ground: Float64Array, sides: BoolArray
) -> Float64Array:
    """How well two views agree inside the common ground, 0 where they do not: IoU, or the share of the
    smaller where both are cut.
    """
    if len(objects.polygons) and len(first):
        common, area_a, area_b = _polygon_overlaps(objects.polygons[first], objects.polygons[second], ground)
    else:
        a, b = _cropped(objects.boxes[first], ground), _cropped(objects.boxes[second], ground)
        common, area_a, area_b = intersection_areas(a, b), areas(a), areas(b)
    union, smaller = area_a + area_b - common, np.minimum(area_a, area_b)
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    share = np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)
    both_cut = sides[first].any(axis=1) & sides[second].any(axis=1)
    return np.where(
        (iou >= _SAME_IOU) | (both_cut & (share >= _WITHIN)), np.maximum(iou, np.finfo(float).tiny), 0.0
    )


def _cropped(boxes: Float64Array, ground: Float64Array) -> Float64Array:
    return np.column_stack([np.maximum(boxes[:, :2], ground[:, :2]), np.minimum(boxes[:, 2:], ground[:, 2:])])


def _polygon_overlaps(
    a: GeometryArray, b: GeometryArray, ground: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    frame = shapely.box(ground[:, 0], ground[:, 1], ground[:, 2], ground[:, 3])
    a, b = shapely.intersection(a, frame), shapely.intersection(b, frame)
    return shapely.area(shapely.intersection(a, b)), shapely.area(a), shapely.area(b)


def _by_pieces(
    objects: Objects,
    first: Int64Array,
    second: Int64Array,
    place: Int64Array,
    ground: Float64Array,
    agreement: Float64Array,
    mutual: BoolArray,
) -> BoolArray:
    """Which pairs are linked when each connected piece of a view inside the common ground may have a partner
    of its own.

    Two objects that touch are one piece where the other chip took them for one, so only the better of them is
    linked.
    """
    linked, taken = mutual.copy(), set[tuple[int, ...]]()
    loose = np.unique(np.concatenate([first[~mutual], second[~mutual]]))
    contested = np.flatnonzero(np.isin(first, loose) | np.isin(second, loose))
    low, high = np.minimum(first, second)[contested], np.maximum(first, second)[contested]
    for pair in contested[np.lexsort((high, low, -agreement[contested], ~mutual[contested]))].tolist():
        a, b = int(first[pair]), int(second[pair])
        piece_a, piece_b, iou = _best_pieces(objects.polygons[a], objects.polygons[b], ground[pair])
        claims = {(a, *place[b].tolist(), piece_a), (b, *place[a].tolist(), piece_b)}
        if mutual[pair] or (iou >= _SAME_IOU and not claims & taken):
            linked[pair] = True
            taken |= claims
    return linked


def _best_pieces(a: shapely.Geometry, b: shapely.Geometry, ground: Float64Array) -> tuple[int, int, float]:
    """The numbers of the connected pieces of `a` and `b` inside the ground that share most, and their IoU."""
    frame = shapely.box(*ground)
    pieces_a, pieces_b = (
        shapely.get_parts(shapely.intersection(a, frame)),
        shapely.get_parts(shapely.intersection(b, frame)),
    )
    common = shapely.area(shapely.intersection(pieces_a[:, None], pieces_b))
    row, col = (int(i) for i in np.unravel_index(common.argmax(), common.shape))
    return row, col, float(outline_ious(pieces_a[[row]], pieces_b[[col]])[0])


def outline_ious(a: GeometryArray, b: GeometryArray) -> Float64Array:
    """(N,) IoU of polygons `a[i]` and `b[i]`."""
    common = np.asarray(shapely.area(shapely.intersection(a, b)), np.float64)
    union = shapely.area(a) + shapely.area(b) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0), np.float64)


def _mutual(first: Int64Array, second: Int64Array, place: Int64Array, agreement: Float64Array) -> BoolArray:
    """Which pairs are each other's best in the other's chip. Ties go to the earlier view, whatever the order
    of the pairs.
    """
    mine, other = np.concatenate([first, second]), np.concatenate([second, first])
    best = np.zeros(len(mine), np.bool_)
    if len(mine):
        there = place[other]
        order = np.lexsort((other, -np.tile(agreement, 2), there[:, 1], there[:, 0], mine))
        key = np.column_stack([mine, there])[order]
        leads = np.ones(len(mine), np.bool_)
        leads[1:] = (key[1:] != key[:-1]).any(axis=1)
        best[order[leads]] = True
    return best[: len(first)] & best[len(first) :]


def resolve_groups(
    objects: Objects,
    place: Int64Array,
    sides: BoolArray,
    owned: BoolArray,
    group: Int64Array,
    links: tuple[Int64Array, Int64Array],
    grid: ChipGrid,
) -> Resolved:
    """One object for each group of parts of which at least one is owned.

    A group with a whole view is that view (the best by score); else the union of its parts. `cut` tells
    where some part is cut at a border beyond which no linked part looked.
    """
    unresolved = _unresolved(place, sides, links, grid)
    whole = np.asarray(~sides.any(axis=1), np.bool_)
    # The part that stands for a group: owned and whole before owned, then whole, then the higher score.
    order = np.lexsort((-objects.scores.astype(np.float64), ~owned, ~whole, group))
    leads = np.ones(len(order), np.bool_)
    leads[1:] = group[order][1:] != group[order][:-1]
    chosen = order[leads]
    count = int(group.max()) + 1
    has_owner = np.zeros(count, np.bool_)
    has_owner[group[owned]] = True
    chosen = chosen[has_owner[group[chosen]]]
    parts = np.bincount(group, minlength=count)
    top = np.full(count, -np.inf)
    np.maximum.at(top, group, objects.scores.astype(np.float64))
    open_end = np.zeros(count, np.bool_)
    np.logical_or.at(open_end, group, unresolved)
    made = objects.take(chosen)
    numbers = group[chosen]
    united = (parts[numbers] > 1) & ~whole[chosen]
    made = _with_unions(made, objects, group, numbers, united)
    made = replace(made, scores=top[numbers].astype(np.float32), cut=open_end[numbers] & ~whole[chosen])
    return Resolved(made, numbers, chosen, united)


def _unresolved(
    place: Int64Array, sides: BoolArray, links: tuple[Int64Array, Int64Array], grid: ChipGrid
) -> BoolArray:
    """(N,) parts with a cut side beyond which no linked part looks."""
    seen = np.zeros_like(sides)
    for mine, other in (links, links[::-1]):
        np.logical_or.at(seen, mine, _looks_past(mine, other, place, sides, grid))
    return np.asarray((sides & ~seen).any(axis=1), np.bool_)


def _with_unions(
    made: Objects, objects: Objects, group: Int64Array, numbers: Int64Array, several: BoolArray
) -> Objects:
    """`made` with the union of boxes (and polygons) of all parts where `several`."""
    if not several.any():
        return made
    boxes = made.boxes.copy()
    low, high = np.full((int(group.max()) + 1, 2), np.inf), np.full((int(group.max()) + 1, 2), -np.inf)
    np.minimum.at(low, group, objects.boxes[:, :2])
    np.maximum.at(high, group, objects.boxes[:, 2:])
    boxes[several] = np.column_stack([low, high])[numbers[several]]
    return replace(made, boxes=boxes, polygons=_united(made, objects, group, numbers, several))


def _united(
    made: Objects, objects: Objects, group: Int64Array, numbers: Int64Array, several: BoolArray
) -> GeometryArray:
    if not len(made.polygons):
        return made.polygons
    polygons = made.polygons.copy()
    order = np.argsort(group, kind="stable")
    for place in np.flatnonzero(several):
        start, stop = np.searchsorted(group[order], [numbers[place], numbers[place] + 1])
        polygons[place] = shapely.union_all(objects.polygons[order[start:stop]])
    return polygons
