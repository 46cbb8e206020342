"""What a map says at the units of a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.arraytypes import Int64Array, ObjectArray
from ...core.classes import IGNORE_ID
from ...core.geometries import reproject
from ...core.window import Window
from ...errors import InputError, SceneError
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
    only_class = class_map.binary
    with SceneReader(class_map.scene) as reader:
        for index in by_block.tolist():
            ids = _ids(reader, Window(int(cols[index]), int(rows[index]), side, side), only_class)
            class_id = int(most_frequent(ids, side)[0, 0])
            if class_id != IGNORE_ID:
                found[index] = class_name(class_map.classes, class_id)
    return found


def _ids(
    reader: SceneReader, window: Window, only_class: bool
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Class ids of a window; 255 where the map has none, also outside it."""
    chip = reader.read(window)
    values = chip.pixels[0]
    ids = values.astype(np.uint8)
    wrong = chip.valid & (ids != values)
    if wrong.any():
        raise SceneError(
            f"{reader.scene.file.path}: holds the value {values[wrong][0]}, but class ids are whole numbers "
            "from 0 to 254; is this a class map?"
        )
    if only_class:
        ids[chip.valid & (values == IGNORE_ID)] = 1
    return np.where(chip.valid, ids, np.uint8(IGNORE_ID))


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
