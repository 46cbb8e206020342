"""A chip turned and mirrored, and what a model says of it turned back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...core.arrays import Objects


@dataclass(frozen=True)
class View:
    """One of the eight ways to lay a square on itself: rows and columns swapped, then turned upside down,
    then left to right.
    """

    swapped: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def apply(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """An array (..., H, W), seen so."""
        array = array.swapaxes(-1, -2) if self.swapped else array
        array = array[..., ::-1, :] if self.upside_down else array
        return array[..., ::-1] if self.mirrored else array

    def undo(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """An array (..., H, W) that was seen so, back in the chip's frame."""
        array = array[..., ::-1] if self.mirrored else array
        array = array[..., ::-1, :] if self.upside_down else array
        return array.swapaxes(-1, -2) if self.swapped else array

    def undo_objects(self, objects: Objects, size_px: int) -> Objects:
        """The boxes of objects that were seen so in a chip of `size_px`, back in its frame."""
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
    View(True, True, True),
    View(True, True),
    View(True, mirrored=True),
)
"""All of them, the most telling ones first."""
