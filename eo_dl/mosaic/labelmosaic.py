"""Chip predictions put back on the scene's grid, one row of chips at a time.

Every chip gives the pixels of its keep window and nothing else. Keep windows partition the scene, so
a pixel is written once: no accumulators, no weights, no division, uint8 straight through. All the
state there is, is the band of rows of one row of chips.

Why not blending here: for labels of a CNN with a margin of 32 px or more, the middle of the overlap is
as good as a Hann window and needs no float accumulators. A mosaic that blends scores can stand beside
this one: same `add`, `skip` and `Band`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import UInt8Array
from ..core.chipgrid import Cell, ChipGrid
from ..core.classes import IGNORE_ID


@dataclass(frozen=True)
class Band:
    """Finished rows of the scene: `labels` (rows, W) and, where asked for, `planes` (K, rows, W) from `row0`
    on.
    """

    row0: int
    labels: UInt8Array
    planes: UInt8Array | None = None

    @property
    def row1(self) -> int:
        """First row below the band."""
        return self.row0 + len(self.labels)


class LabelMosaic:
    """Puts chips of class ids (and `planes` probability planes, uint8) together.

    Cells come in any order within a row of chips, one row of chips after the other; the band is handed out by
    the `add` or `skip` that completes its row. Pixels of skipped cells hold 255 (nodata), their planes 0.
    """

    def __init__(self, grid: ChipGrid, planes: int = 0) -> None:
        self.grid = grid
        self._planes_count = planes
        self._row: int | None = None
        self._missing: set[int] = set()
        self._labels: UInt8Array
        self._planes: UInt8Array | None = None

    def add(self, cell: Cell, labels: UInt8Array, planes: UInt8Array | None = None) -> Band | None:
        """Put in the keep part of a chip: `labels` (size, size), `planes` (K, size, size). The band of rows
        if that completed it.
        """
        self._check(labels, planes)
        self._enter(cell)
        source = cell.keep.relative_to(cell.read).slices
        rows, cols = slice(None), slice(cell.keep.col, cell.keep.col1)
        self._labels[rows, cols] = labels[source]
        if self._planes is not None and planes is not None:
            self._planes[:, rows, cols] = planes[(slice(None), *source)]
        return self._band_if_complete()

    def skip(self, cell: Cell) -> Band | None:
        """Leave out a chip (nothing valid in it): its pixels stay nodata. The band of rows if that completed
        it.
        """
        self._enter(cell)
        return self._band_if_complete()

    def _check(self, labels: UInt8Array, planes: UInt8Array | None) -> None:
        size = self.grid.size_px
        if labels.shape != (size, size) or labels.dtype != np.uint8:
            raise ValueError(
                f"a chip of ({size}, {size}) uint8 class ids was expected, found {labels.shape} {labels.dtype}"
            )
        expected = (self._planes_count, size, size) if self._planes_count else None
        found = None if planes is None else planes.shape
        if found != expected:
            raise ValueError(f"probability planes of {expected} were expected, found {found}")

    def _enter(self, cell: Cell) -> None:
        if self._row is None:
            self._open(cell)
        if cell.keep.row != self._row or cell.keep.col not in self._missing:
            raise ValueError(
                f"the cell at {cell.keep} came twice, or before the row of chips from row {self._row} was complete"
            )
        self._missing.discard(cell.keep.col)

    def _open(self, cell: Cell) -> None:
        self._row, self._missing = cell.keep.row, set(self.grid.col_edges[:-1])
        shape = (cell.keep.height, self.grid.width)
        # Fresh arrays a band: the one handed out belongs to whoever writes it, perhaps in another thread.
        self._labels = np.full(shape, IGNORE_ID, np.uint8)
        self._planes = np.zeros((self._planes_count, *shape), np.uint8) if self._planes_count else None

    def _band_if_complete(self) -> Band | None:
        if self._missing or self._row is None:
            return None
        band = Band(self._row, self._labels, self._planes)
        self._row = None
        return band
