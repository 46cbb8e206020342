"""From the working grid back to the scene's own grid, for scenes that were resampled for the model.

A native pixel takes the class or value of the working pixel that contains its centre. Every native row lies
in exactly one strip of working rows, so strips do not depend on each other. Native pixels that are nodata (or
outside the AOI) become 255, or NaN in values, whatever the resampling made of them.
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
    """Where rows of the working grid go in the output."""

    def first_out_row(self, row: int) -> int:
        """The output row at which results from working row `row` on begin."""
        ...

    def to_output(self, strip: RowStrip) -> RowStrip | None:
        """A strip of working rows as output rows; None if it contains no output pixel."""
        ...


class SameRows:
    """The output has the working grid."""

    def first_out_row(self, row: int) -> int:
        """See `RowMap`."""
        return row

    def to_output(self, strip: RowStrip) -> RowStrip | None:
        """See `RowMap`."""
        return strip


@dataclass(frozen=True)
class NativeRows:
    """The output has the scene's own grid."""

    working: PixelGrid
    """The grid that was predicted on."""
    native: PixelGrid
    """The scene's own grid."""
    read_valid: Callable[[Window], BoolArray]
    """Reads the valid mask of a window of native pixels; called from one thread."""
    aoi: Aoi | None
    """The AOI in native pixels."""

    @cached_property
    def _rows(self) -> Int64Array:
        return nearest(self.native.height, self.working.height)

    @cached_property
    def _cols(self) -> Int64Array:
        return nearest(self.native.width, self.working.width)

    def first_out_row(self, row: int) -> int:
        """See `RowMap`."""
        return int(np.searchsorted(self._rows, row))

    def _first_out_col(self, col: int) -> int:
        return int(np.searchsorted(self._cols, col))

    def to_output(self, strip: RowStrip) -> RowStrip | None:
        """See `RowMap`."""
        row0, row1 = self.first_out_row(strip.row0), self.first_out_row(strip.row1)
        col0, col1 = self._first_out_col(strip.col0), self._first_out_col(strip.col1)
        if row1 == row0 or col1 == col0:
            return None
        window = Window.from_box(col0, row0, col1, row1)
        wanted = self.read_valid(window)
        if self.aoi is not None:
            wanted = wanted & self.aoi.mask(window)
        rows, cols = self._rows[row0:row1, None] - strip.row0, self._cols[None, col0:col1] - strip.col0
        labels = np.where(wanted, strip.labels[rows, cols], np.uint8(IGNORE_ID))
        planes = None
        if strip.planes is not None:
            nothing = np.uint8(IGNORE_ID) if strip.planes.dtype == np.uint8 else np.float32(np.nan)
            planes = np.where(wanted, strip.planes[:, rows, cols], nothing)
        return RowStrip(row0, labels, planes, col0)


def nearest(native_count: int, working_count: int) -> Int64Array:
    """(native_count,) index of the working pixel that contains each native pixel's centre, along one axis."""
    return ((2 * np.arange(native_count, dtype=np.int64) + 1) * working_count) // (2 * native_count)
