"""A chip rotated and mirrored, and what a model predicts there brought back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .arrays import Objects
from .arraytypes import AnyArray, Float32Array


@dataclass(frozen=True)
class View:
    """One of the eight ways to lay a square onto itself.

    The steps are applied in the order of the fields.
    """

    swapped: bool = False
    """Rows and columns are swapped."""

    upside_down: bool = False
    """The order of rows is reversed."""

    mirrored: bool = False
    """The order of columns is reversed."""

    def apply(self, array: AnyArray) -> AnyArray:
        """An array (..., H, W) as this view shows it."""
        array = array.swapaxes(-1, -2) if self.swapped else array
        array = array[..., ::-1, :] if self.upside_down else array
        return array[..., ::-1] if self.mirrored else array

    def undo(self, array: Float32Array) -> Float32Array:
        """An array (..., H, W) of this view, back in the frame of the chip."""
        array = array[..., ::-1] if self.mirrored else array
        array = array[..., ::-1, :] if self.upside_down else array
        return array.swapaxes(-1, -2) if self.swapped else array

    def undo_objects(self, objects: Objects, size_px: int) -> Objects:
        """Objects of this view of a chip of `size_px` pixels a side, back in its frame; boxes only."""
        boxes = np.array(objects.boxes)
        if self.mirrored:
            boxes[:, [0, 2]] = size_px - boxes[:, [2, 0]]
        if self.upside_down:
            boxes[:, [1, 3]] = size_px - boxes[:, [3, 1]]
        if self.swapped:
            boxes = boxes[:, [1, 0, 3, 2]]
        return replace(objects, boxes=boxes, polygons=np.empty(0, dtype=object))


VIEWS = (
    View(),
    View(mirrored=True),
    View(upside_down=True),
    View(swapped=True),
    View(upside_down=True, mirrored=True),
    View(swapped=True, upside_down=True, mirrored=True),
    View(swapped=True, upside_down=True),
    View(swapped=True, mirrored=True),
)
"""All eight views, in the order in which they are used: the most informative ones first."""


def channels_last(pixels: AnyArray) -> AnyArray:
    """The same pixels (N, C, H, W), in memory channels last as engines take them."""
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
