"""Random pixels of each class of a label raster, found in one reading of it."""

from __future__ import annotations

import numpy as np

from ..core.classes import IGNORE_ID
from ..core.window import Window
from .sampling import Points, PointsOfClass
from .truth import SceneTruth

_STEP = 1024
_PER_BLOCK = 256


def points_in_mask(truth: SceneTruth) -> PointsOfClass:
    """Points of a class: a block of the raster by its number of such pixels (by the root, so that small
    patches are met too), then one of them.

    Of every block up to 256 evenly spaced pixels a class are kept, so memory is that of the blocks' number.
    """
    found: dict[int, list[tuple[int, Points]]] = {}
    grid = truth.scene.grid
    for row in range(0, grid.height, _STEP):
        for col in range(0, grid.width, _STEP):
            window = Window.from_box(col, row, min(col + _STEP, grid.width), min(row + _STEP, grid.height))
            mask = truth.chip(window).mask
            assert mask is not None
            for class_id in np.unique(mask):
                if class_id != IGNORE_ID:
                    places = np.flatnonzero(mask == class_id)
                    kept = places[:: max(1, len(places) // _PER_BLOCK)]
                    points = np.column_stack(
                        [kept % window.width + col + 0.5, kept // window.width + row + 0.5]
                    )
                    found.setdefault(int(class_id), []).append((len(places), points))

    def points_of(class_id: int, count: int, rng: np.random.Generator) -> Points:
        blocks = found.get(class_id, [])
        if not blocks:
            return np.empty((0, 2))
        weights = np.sqrt([pixels for pixels, _ in blocks])
        chosen = rng.choice(len(blocks), size=count, p=weights / weights.sum())
        return np.array([blocks[block][1][rng.integers(len(blocks[block][1]))] for block in chosen]).reshape(
            -1, 2
        )

    return points_of
