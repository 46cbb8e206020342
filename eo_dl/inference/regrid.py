"""From the working grid back onto the scene's own grid, where the scene was resampled for the model.

Nearest: an own pixel takes the class of the working pixel in which its centre lies. Every own row lies in
exactly one band of working rows, so bands need not know of each other. Own pixels that were not measured (or
lie outside the AOI) become 255, whatever the resampling made of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..core.arraytypes import BoolArray, Int64Array
from ..core.classes import IGNORE_ID
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..io.aoi import Aoi
from ..mosaic.labelmosaic import RowStrip


class RowMap(Protocol):
    """Where rows of the working grid go."""

    def first_out_row(self, row: int) -> int:
        """The output row at which results from working row `row` on begin."""
        ...

    def place(self, strip: RowStrip) -> RowStrip | None:
        """A band of working rows as output rows; None where no output row lies in it."""
        ...


class SameRows:
    """The output has the grid that was worked on."""

    def first_out_row(self, row: int) -> int:
        """See `RowMap`."""
        return row

    def place(self, strip: RowStrip) -> RowStrip | None:
        """See `RowMap`."""
        return strip


@dataclass(frozen=True)
class OwnRows:
    """The output has the scene's own grid. `read_valid` reads the own valid mask of a window (one thread),
    `aoi` is in own pixels.
    """

    working: PixelGrid
    own: PixelGrid
    read_valid: Callable[[Window], BoolArray]
    aoi: Aoi | None

    @cached_property
    def _rows(self) -> Int64Array:
        return nearest(self.own.height, self.working.height)

    @cached_property
    def _cols(self) -> Int64Array:
        return nearest(self.own.width, self.working.width)

    def first_out_row(self, row: int) -> int:
        """See `RowMap`."""
        return int(np.searchsorted(self._rows, row))

    def place(self, strip: RowStrip) -> RowStrip | None:
        """See `RowMap`."""
        row0, row1 = self.first_out_row(strip.row0), self.first_out_row(strip.row1)
        if row1 == row0:
            return None
        window = Window(0, row0, self.own.width, row1 - row0)
        wanted = self.read_valid(window)
        if self.aoi is not None:
            wanted = wanted & self.aoi.mask(window)
        rows, cols = self._rows[row0:row1, None] - strip.row0, self._cols[None]
        labels = np.where(wanted, strip.labels[rows, cols], np.uint8(IGNORE_ID))
        planes = (
            None
            if strip.planes is None
            else np.where(wanted, strip.planes[:, rows, cols], np.uint8(IGNORE_ID))
        )
        return RowStrip(row0, labels, planes)


def nearest(own: int, working: int) -> Int64Array:
    """(own,) the working pixel in which each own pixel's centre lies, for two divisions of one extent."""
    return ((2 * np.arange(own, dtype=np.int64) + 1) * working) // (2 * own)
