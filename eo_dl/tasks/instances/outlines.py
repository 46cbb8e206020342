"""Masks to outlines and back, in numpy and shapely.

A predicted mask is a small picture of how surely each cell of a box belongs to the object. Its outline is the
line along which that is one half, found by marching squares between the centres of the cells (Lorensen &
Cline 1987, in the plane): a place between pixels, whatever the size of the box, and memory that depends on
the number of objects but not on how large they are, because no mask is ever pasted into a chip.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from ...io.rasterize import burn, polygonize

Masks = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Polygons = npt.NDArray[np.object_]
Index = npt.NDArray[np.int64]

_HALF = 0.5
_APART = 1e-3
"""Crossings stay so far (in cells) from the cells' centres, so that rings never touch each other."""
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)


def outlines_in_boxes(masks: npt.NDArray[np.floating], boxes: Floats, simplify_px: float) -> Polygons:
    """(N,) valid polygons, with holes and several parts where a mask has them; none reaches beyond its box.

    `masks` (N, h, w) in 0..1, `boxes` (N, 4). A mask that is nowhere surer than one half is cut at half its
    largest value; one of zeros is its box. Simplified outlines are at most `simplify_px` away from the
    others.
    """
    found = np.asarray(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]), dtype=object).reshape(
        -1
    )
    largest = masks.max(axis=(1, 2), initial=0).astype(np.float64)
    drawn = np.flatnonzero((largest > 0) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    if not len(drawn):
        return found
    level = np.minimum(_HALF, largest[drawn] / 2)
    heights = np.pad(masks[drawn].astype(np.float64), ((0, 0), (1, 1), (1, 1))) - level[:, None, None]
    numbers, lines = _crossings(heights)
    corner, size = boxes[drawn, :2][numbers][:, None], (boxes[drawn, 2:] - boxes[drawn, :2])[numbers][:, None]
    placed = corner + (lines - 0.5) / [masks.shape[2], masks.shape[1]] * size
    rings = shapely.multilinestrings(shapely.linestrings(placed), indices=numbers)
    found[drawn] = _sound(shapely.simplify(shapely.build_area(rings), simplify_px), found[drawn])
    return found


def _crossings(heights: Floats) -> tuple[Index, Floats]:
    """Where N pictures (N, h, w), negative all around, change sign: object of each straight piece (S,) and
    its ends (S, 2, 2), col and row in cells.
    """
    inside = heights >= 0
    across, down = inside[:, :, 1:] != inside[:, :, :-1], inside[:, 1:] != inside[:, :-1]
    # of each square of four centres: top, right, bottom, left
    sides = np.stack([across[:, :-1], down[:, :, 1:], across[:, 1:], down[:, :, :-1]], axis=-1)
    count = sides.sum(axis=-1)
    one, two = np.argwhere(count == 2), np.argwhere(count == 4)
    ends = np.nonzero(sides[tuple(one.T)])[1].reshape(-1, 2)
    n, r, c = two.T
    middle = (heights[n, r, c] + heights[n, r, c + 1] + heights[n, r + 1, c] + heights[n, r + 1, c + 1]) >= 0
    # the corners at the top left and the bottom right are one piece: cut off the two others
    joined = middle == inside[n, r, c]
    first = np.where(joined[:, None], [_TOP, _RIGHT], [_TOP, _LEFT])
    second = np.where(joined[:, None], [_BOTTOM, _LEFT], [_RIGHT, _BOTTOM])
    squares, pairs = np.concatenate([one, two, two]), np.concatenate([ends, first, second])
    order = np.argsort(squares[:, 0], kind="stable")
    squares, pairs = squares[order], pairs[order]
    return squares[:, 0], np.stack([_points(heights, squares, pairs[:, end]) for end in (0, 1)], axis=1)


def _points(heights: Floats, squares: Index, side: Index) -> Floats:
    """(S, 2) col and row of the crossing on one side of each square; the same number from both squares that
    share the side.
    """
    n, r, c = squares.T
    row, col = r + (side == _BOTTOM), c + (side == _RIGHT)
    level = (side == _TOP) | (side == _BOTTOM)
    here, there = heights[n, row, col], heights[n, row + ~level, col + level]
    share = np.clip(here / (here - there), _APART, 1 - _APART)
    return np.column_stack([col + np.where(level, share, 0), row + np.where(level, 0, share)])


def _sound(outlines: Polygons, boxes: Polygons) -> Polygons:
    """Valid polygons or multipolygons; the box where nothing of an outline is left."""
    sound = np.asarray(outlines, dtype=object).copy()
    for place in np.flatnonzero(~shapely.is_valid(sound)):
        parts = shapely.get_parts(shapely.make_valid(sound[place]))
        sound[place] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return np.where(shapely.area(sound) > 0, sound, boxes)


def burnt(geometries: Polygons, boxes: npt.NDArray[np.floating], height: int, width: int) -> Masks:
    """(N, height, width) masks of pixels whose centre an object holds, each within its box; without such a
    pixel the one in the middle of the box.
    """
    masks = np.zeros((len(geometries), height, width), np.bool_)
    low = np.floor(boxes[:, :2]).astype(int).clip(0)
    high = np.minimum(np.ceil(boxes[:, 2:]).astype(int), [width, height])
    for mask, geometry, (col0, row0), (col1, row1) in zip(
        masks, geometries, low.tolist(), high.tolist(), strict=True
    ):
        moved = shapely.transform(geometry, lambda xy, corner=(col0, row0): xy - corner)
        mask[row0:row1, col0:col1] = burn([moved], [1], row1 - row0, col1 - col0) == 1
        if not mask[row0:row1, col0:col1].any():
            mask[min((row0 + row1) // 2, height - 1), min((col0 + col1) // 2, width - 1)] = True
    return masks


def pixel_outlines(masks: Masks) -> Polygons:
    """(N,) polygons around the pixels of masks (N, H, W); several parts as a multipolygon, an empty one where
    a mask is empty.
    """
    outlines = np.empty(len(masks), dtype=object)
    for place, mask in enumerate(masks):
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            outlines[place] = shapely.Polygon()
            continue
        part = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        found = polygonize(part.astype(np.uint8), part)[0]
        whole = found[0] if len(found) == 1 else shapely.multipolygons(found)
        outlines[place] = shapely.transform(whole, lambda xy, corner=(cols[0], rows[0]): xy + corner)
    return outlines
