"""How far two predictions of one ground agree, without any reference."""

from __future__ import annotations

import math

import numpy as np
import shapely

from ...core.arrays import Objects
from ...core.arraytypes import UInt8Array
from ...core.boxes import centres
from ...core.classes import IGNORE_ID
from ...core.geometries import reproject
from ...core.pixelgrid import PixelGrid
from ...io.classmap import open_class_map
from ...scores.matching import match
from ..chipwise import read_chips
from ..objectwise import read_found
from ..predictionfiles import Part

_IOU = 0.5


def agreement_of_maps(first: Part, second: Part, margin_px: int) -> float:
    """Share of the ground on which two predictions say the same; of objects, the F1 of one against the other.

    Args:
        first: A prediction; its grid is the frame.
        second: Another one, of the same CRS.
        margin_px: Pixels at the edge of the ground of the second one that do not count, because it lacks the
            context that the first one has there.

    Returns:
        0 to 1; NaN where nothing can be compared.
    """
    if first.of_chips:
        return _of_chips(first, second)
    if first.is_raster:
        return _of_pixels(first, second, margin_px)
    return _of_objects(first, second, margin_px)


def _of_pixels(first: Part, second: Part, margin_px: int) -> float:
    ids, grid = _class_ids(first)
    other_ids, other_grid = _class_ids(second)
    cols, rows = np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5
    step = other_grid.inverse @ grid.transform
    other_cols, other_rows = step.a * cols + step.c, step.e * rows + step.f
    inside_cols = (other_cols >= margin_px) & (other_cols < other_grid.width - margin_px)
    inside_rows = (other_rows >= margin_px) & (other_rows < other_grid.height - margin_px)
    here = ids[np.ix_(inside_rows, inside_cols)]
    places = np.ix_(
        np.floor(other_rows[inside_rows]).astype(np.int64), np.floor(other_cols[inside_cols]).astype(np.int64)
    )
    there = other_ids[places]
    known = (here != IGNORE_ID) & (there != IGNORE_ID)
    return float((here == there)[known].mean()) if known.any() else math.nan


def _class_ids(part: Part) -> tuple[UInt8Array, PixelGrid]:
    class_map = open_class_map(part.path)
    ids = np.concatenate([rows for _, rows in class_map.row_strips()])
    return ids, class_map.grid


def _of_objects(first: Part, second: Part, margin_px: int) -> float:
    grid = first.grid
    if grid is None:
        return math.nan
    frame = second.grid or grid
    corners = grid.geometries_to_pixel(np.array([frame.footprint()], dtype=object))
    col0, row0, col1, row1 = shapely.bounds(corners)[0].tolist()
    limits = col0 + margin_px, row0 + margin_px, col1 - margin_px, row1 - margin_px
    names: dict[str, int] = {}
    one, two = (_objects(part, grid, names, limits) for part in (first, second))
    if not len(one) and not len(two):
        return 1.0
    found = match(two, one, (_IOU,), use_polygons=False).found[0]
    return 2 * float((found >= 0).sum()) / (len(one) + len(two))


def _objects(
    part: Part, grid: PixelGrid, names: dict[str, int], limits: tuple[float, float, float, float]
) -> Objects:
    """The boxes of a file with their centre within limits, in pixels of a grid; `names` numbers classes."""
    found = read_found(part, only_class="object")
    outlines = found.outlines
    if found.crs is not None and grid.crs is not None:
        outlines = grid.geometries_to_pixel(reproject(outlines, found.crs, grid.crs, str(part.path)))
    boxes = shapely.bounds(outlines).reshape(-1, 4)
    ids = np.array([names.setdefault(str(name), len(names) + 1) for name in found.names], np.int64)
    scores = np.where(np.isfinite(found.scores), found.scores, 1.0).astype(np.float32)
    col, row = centres(boxes).T
    inside = (col >= limits[0]) & (row >= limits[1]) & (col < limits[2]) & (row < limits[3])
    return Objects(boxes, ids, scores).take(inside)


def _of_chips(first: Part, second: Part) -> float:
    one, two = read_chips(first), read_chips(second)
    if len(one.probabilities) != len(two.probabilities) or not len(one.probabilities):
        return math.nan
    same = one.probabilities.argmax(axis=1) == two.probabilities.argmax(axis=1)
    return float(same.mean())
