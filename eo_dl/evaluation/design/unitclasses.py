"""What a map says at the units of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.arraytypes import Int64Array, ObjectArray
from ...core.classes import IGNORE_ID
from ...core.geometries import reproject
from ...core.window import Window
from ...errors import InputError
from ...io.classmap import ClassMap
from ...io.scene import SceneReader
from .population import class_name, coarser, most_frequent
from .samplefile import AnsweredSample, unit_geometries

NOT_MAPPED = "(no class on the map)"
"""What a unit counts as where the map has no class: outside it, or nodata."""


def classes_at_units(class_map: ClassMap, sample: AnsweredSample) -> ObjectArray:
    """(N,) the class that a map shows at each unit, by name; `NOT_MAPPED` where it shows none.

    A pixel is looked up by its place, so the map may have another grid than the one that the sample was drawn
    of. A chip is counted pixel by pixel, for which the grids must be the same.

    Raises:
        InputError: Chips were drawn on another grid.
        SceneError: The map is damaged, or holds no class ids.
    """
    side = sample.design.unit_px
    if coarser(class_map.grid, side) == sample.grid:
        cols, rows = sample.col * side, sample.row * side
    elif side == 1:
        cols, rows = _pixels_of(class_map, sample)
    else:
        raise InputError(
            f"{class_map.scene.path}: has another grid than the map that the chips of {sample.path} were "
            "drawn on, so they cannot be counted; predict on the same grid"
        )
    found: ObjectArray = np.full(len(sample.unit), NOT_MAPPED, dtype=object)
    block = max(1, class_map.scene.file.block_px[0])
    by_block = np.lexsort((cols, rows // block))  # so that each block is decoded once
    with SceneReader(class_map.scene) as reader:
        for index in by_block.tolist():
            ids = class_map.ids_of(reader.read(Window(int(cols[index]), int(rows[index]), side, side)))
            class_id = int(most_frequent(ids, side)[0, 0])
            if class_id != IGNORE_ID:
                found[index] = class_name(class_map.classes, class_id)
    return found


def _pixels_of(class_map: ClassMap, sample: AnsweredSample) -> tuple[Int64Array, Int64Array]:
    """Columns and rows of the centres of the units on the grid of the map."""
    points = unit_geometries(sample.grid, sample.col, sample.row, as_points=True)
    if sample.grid.crs is None or class_map.grid.crs is None:
        raise InputError(
            f"{class_map.scene.path}: has another size than the map of {Path(sample.path).name}, and one of "
            "them has no CRS by which units could be found"
        )
    on_map = reproject(points, sample.grid.crs, class_map.grid.crs, str(sample.path))
    in_pixels = class_map.grid.geometries_to_pixel(on_map)
    cols = np.array([point.x for point in in_pixels])
    rows = np.array([point.y for point in in_pixels])
    return np.floor(cols).astype(np.int64), np.floor(rows).astype(np.int64)
