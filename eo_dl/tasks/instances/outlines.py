"""Masks to outlines and back, in numpy and shapely.

A predicted mask is a small picture of the probability that each cell of a box belongs to the object. Its
outline is the line along which that is one half, found by marching squares between the centres of the cells
(Lorensen & Cline 1987, in the plane). It is precise to a part of a pixel whatever the size of the box, and
its memory depends on the number of objects but not on their size, because no mask is ever pasted into a chip.
"""

from __future__ import annotations

import numpy as np
import shapely

from ...core.arrays import boxes_to_polygons
from ...core.arraytypes import BoolArray, Float64Array, FloatArray, GeometryArray, Int64Array
from ...core.geometries import shifted
from ...core.pixelpolygons import polygonize
from ...io.rasterize import burn

_HALF = 0.5
_APART = 1e-3
"""Crossings keep this distance (in cells) from the centres of cells, so that rings never touch."""
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)


def outlines_in_boxes(masks: FloatArray, boxes: Float64Array, simplify_px: float) -> GeometryArray:
    """The outlines of predicted masks.

    A mask that nowhere exceeds one half is cut at half of its largest value; a mask of zeros becomes its box.

    Args:
        masks: (N, h, w) probabilities.
        boxes: (N, 4) the box of each mask.
        simplify_px: Largest distance between a simplified outline and the full one.

    Returns:
        (N,) valid polygons, with holes and several parts where a mask has them; none reaches beyond its box.
    """
    outlines = boxes_to_polygons(boxes)
    largest = masks.max(axis=(1, 2), initial=0).astype(np.float64)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    drawn = np.flatnonzero((largest > 0) & has_area)
    if not len(drawn):
        return outlines
    level = np.minimum(_HALF, largest[drawn] / 2)
    padded = np.pad(masks[drawn].astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    numbers, pieces = _crossings(padded - level[:, None, None])
    corner, size = boxes[drawn, :2], boxes[drawn, 2:] - boxes[drawn, :2]
    cells = [masks.shape[2], masks.shape[1]]
    # Centres of the padded cells lie at half cells, starting half a cell outside of the box.
    placed = corner[numbers][:, None] + (pieces - 0.5) / cells * size[numbers][:, None]
    rings = shapely.multilinestrings(shapely.linestrings(placed), indices=numbers)
    simplified = shapely.simplify(shapely.build_area(rings), simplify_px)
    outlines[drawn] = _valid_areas(simplified, outlines[drawn])
    return outlines


def _crossings(heights: Float64Array) -> tuple[Int64Array, Float64Array]:
    """Where N pictures (N, h, w), negative all around, change sign.

    Returns:
        (S,) the picture of each straight piece of the line, and (S, 2, 2) its ends, col and row in cells.
    """
    inside = heights >= 0
    across, down = inside[:, :, 1:] != inside[:, :, :-1], inside[:, 1:] != inside[:, :-1]
    # For each square of four centres: does the line cross its top, right, bottom and left side?
    sides = np.stack([across[:, :-1], down[:, :, 1:], across[:, 1:], down[:, :, :-1]], axis=-1)
    count = sides.sum(axis=-1)
    simple, saddles = np.argwhere(count == 2), np.argwhere(count == 4)
    ends = np.nonzero(sides[tuple(simple.T)])[1].reshape(-1, 2)
    n, r, c = saddles.T
    middle = heights[n, r, c] + heights[n, r, c + 1] + heights[n, r + 1, c] + heights[n, r + 1, c + 1] >= 0
    # The corners at the top left and the bottom right are connected: the line cuts off the two others.
    connected = middle == inside[n, r, c]
    first = np.where(connected[:, None], [_TOP, _RIGHT], [_TOP, _LEFT])
    second = np.where(connected[:, None], [_BOTTOM, _LEFT], [_RIGHT, _BOTTOM])
    squares = np.concatenate([simple, saddles, saddles])
    pairs = np.concatenate([ends, first, second])
    order = np.argsort(squares[:, 0], kind="stable")
    squares, pairs = squares[order], pairs[order]
    pieces = np.stack([_points(heights, squares, pairs[:, end]) for end in (0, 1)], axis=1)
    return squares[:, 0], pieces


def _points(heights: Float64Array, squares: Int64Array, side: Int64Array) -> Float64Array:
    """(S, 2) col and row of the crossing on a side of each square, equal for both squares with that side."""
    n, r, c = squares.T
    row, col = r + (side == _BOTTOM), c + (side == _RIGHT)
    horizontal = (side == _TOP) | (side == _BOTTOM)
    start, end = heights[n, row, col], heights[n, row + ~horizontal, col + horizontal]
    share = np.clip(start / (start - end), _APART, 1 - _APART)
    return np.column_stack([col + np.where(horizontal, share, 0), row + np.where(horizontal, 0, share)])


def _valid_areas(outlines: GeometryArray, boxes: GeometryArray) -> GeometryArray:
    """Valid polygons or multipolygons; the box where nothing of an outline remains."""
    valid = np.asarray(outlines, dtype=object).copy()
    for index in np.flatnonzero(~shapely.is_valid(valid)):
        parts = shapely.get_parts(shapely.make_valid(valid[index]))
        valid[index] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    return np.where(shapely.area(valid) > 0, valid, boxes)


def object_masks(geometries: GeometryArray, boxes: FloatArray, height: int, width: int) -> BoolArray:
    """The pixels of each object.

    Args:
        geometries: (N,) polygons in pixels.
        boxes: (N, 4) the box of each.
        height: Rows of the masks.
        width: Columns of the masks.

    Returns:
        (N, height, width) True for pixels whose centre an object holds, within its box; for an object without
        such a pixel, the pixel in the middle of its box.
    """
    masks = np.zeros((len(geometries), height, width), np.bool_)
    low = np.floor(boxes[:, :2]).astype(int).clip(0)
    high = np.minimum(np.ceil(boxes[:, 2:]).astype(int), [width, height])
    for mask, geometry, start, stop in zip(masks, geometries, low.tolist(), high.tolist(), strict=True):
        (col0, row0), (col1, row1) = start, stop
        moved = shifted(geometry, -col0, -row0)
        part = burn([moved], [1], row1 - row0, col1 - col0) == 1
        mask[row0:row1, col0:col1] = part
        if not part.any():
            mask[min((row0 + row1) // 2, height - 1), min((col0 + col1) // 2, width - 1)] = True
    return masks


def pixel_outlines(masks: BoolArray) -> GeometryArray:
    """(N,) polygons or multipolygons around the pixels of masks (N, H, W), empty where a mask is empty."""
    outlines = np.empty(len(masks), dtype=object)
    for index, mask in enumerate(masks):
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            outlines[index] = shapely.Polygon()
            continue
        part = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        patches = polygonize(part.astype(np.uint8), part)[0]
        whole = patches[0] if len(patches) == 1 else shapely.multipolygons(patches)
        outlines[index] = shifted(whole, cols[0], rows[0])
    return outlines
