"""Random pixels of each class of a label raster, found in one pass over it."""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import Float64Array
from ..core.classes import IGNORE_ID
from ..core.window import Window
from .chipwindows import PointsOfClass
from .truth import SceneTruth

_BLOCK_PX = 1024
_POINTS_PER_BLOCK = 256


def points_in_mask(truth: SceneTruth) -> PointsOfClass:
    """Random pixels of a class: first a block of the raster, then one of its pixels of that class.

    Blocks are chosen by the root of their number of such pixels, so that small patches are met, too. Up to
    256 evenly spaced pixels per block and class are kept, so memory depends on the number of blocks alone.
    """
    blocks: dict[int, list[tuple[int, Float64Array]]] = {}
    grid = truth.scene.grid
    for row in range(0, grid.height, _BLOCK_PX):
        for col in range(0, grid.width, _BLOCK_PX):
            last_col, last_row = min(col + _BLOCK_PX, grid.width), min(row + _BLOCK_PX, grid.height)
            window = Window.from_box(col, row, last_col, last_row)
            mask = truth.mask(window)
            for class_id in np.unique(mask):
                if class_id == IGNORE_ID:
                    continue
                pixels = np.flatnonzero(mask == class_id)
                kept = pixels[:: max(1, len(pixels) // _POINTS_PER_BLOCK)]
                cols, rows = kept % window.width + col + 0.5, kept // window.width + row + 0.5
                points = np.column_stack([cols, rows])
                blocks.setdefault(int(class_id), []).append((len(pixels), points))

    def points_of(class_id: int, count: int, rng: np.random.Generator) -> Float64Array:
        """`count` points (N, 2); none if the raster does not hold the class."""
        blocks_of_class = blocks.get(class_id, [])
        if not blocks_of_class:
            return np.empty((0, 2))
        weights = np.sqrt([pixel_count for pixel_count, _ in blocks_of_class])
        chosen = rng.choice(len(blocks_of_class), size=count, p=weights / weights.sum())
        points = []
        for index in chosen:
            _, points_of_block = blocks_of_class[index]
            points.append(points_of_block[rng.integers(len(points_of_block))])
        return np.array(points).reshape(-1, 2)

    return points_of
