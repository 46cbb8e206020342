"""From the feature map of a chip to the cells of ground that are compared with the training."""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import AnyArray, Float32Array

CELL_PX = 64
"""About the side of a cell, pixels: a feature map has too few pixels in a smaller one to be steady."""


def cell_features(feature_map: AnyArray, chip_px: int, whole: bool) -> Float32Array:
    """(D, h, w) mean features of the cells of a chip.

    Args:
        feature_map: (D, H, W) what the backbone sees.
        chip_px: Side of the chip, pixels.
        whole: True where a chip is one cell, because it is classified as a whole.
    """
    values = np.asarray(feature_map, np.float32)
    if whole:
        return np.asarray(values.mean(axis=(1, 2), keepdims=True), np.float32)
    side = cell_side(values.shape[1], chip_px)
    if side == 1:
        return values
    rows, cols = (np.arange(0, length, side) for length in values.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=1), cols, axis=2)
    # Cells at the lower and right edge may hold fewer pixels.
    heights = np.diff([*rows, values.shape[1]])[:, None]
    widths = np.diff([*cols, values.shape[2]])[None]
    return np.asarray(sums / (heights * widths), np.float32)


def cell_side(map_px: int, chip_px: int) -> int:
    """Pixels of a feature map of `map_px` along the side of a cell."""
    return max(1, round(CELL_PX * map_px / chip_px))


def on_pixels(cells: Float32Array, map_px: int, chip_px: int) -> Float32Array:
    """(H, W) of a chip: each pixel has the value of its cell.

    Args:
        cells: (h, w) values of cells.
        map_px: Side of the feature map that they were made from.
        chip_px: Side of the chip, pixels.
    """
    side_px = cell_side(map_px, chip_px) * chip_px / map_px
    index = np.minimum((np.arange(chip_px) / side_px).astype(np.int64), len(cells) - 1)
    return np.asarray(cells[np.ix_(index, index)], np.float32)
