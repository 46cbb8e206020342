"""Class maps and maps of values of chips, assembled on the scene's grid one row of chips at a time.

Each chip contributes exactly the pixels of its keep window. Keep windows partition the scene, so every pixel
is written once: no accumulators, no weights, no division, uint8 throughout. The only state is the strip of
rows that one row of chips covers, or a piece of it.

Why no blending here: with a margin of 32 px or more, class labels of a CNN are as good at the middle of the
overlap as after blending with a Hann window, and need no float accumulators. A mosaic that blends scores can
be added as a second class with the same `add`, `skip` and `RowStrip`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.arraytypes import Float32Array, UInt8Array
from ..core.chipgrid import Cell, ChipGrid
from ..core.classes import IGNORE_ID


@dataclass(frozen=True)
class RowStrip:
    """Finished rows of a class map, of full width or a piece of it."""

    row0: int
    """First row of the strip."""
    labels: UInt8Array
    """(rows, W) class ids, 255 = nodata."""
    planes: UInt8Array | Float32Array | None = None
    """(K, rows, W) quantized probabilities, or None if they were not requested; of a map of values the
    numbers in float32, NaN where there is none."""
    col0: int = 0
    """First column of the strip."""

    @property
    def row1(self) -> int:
        """First row below the strip."""
        return self.row0 + len(self.labels)

    @property
    def col1(self) -> int:
        """First column to the right of the strip."""
        return self.col0 + int(self.labels.shape[1])


class LabelMosaic:
    """Assembles class maps of chips, and optionally their probability planes, into strips of rows.

    Cells may come in any order within a strip; strips come from left to right, rows of chips from top to
    bottom. The `add` or `skip` that completes a strip returns it. Pixels of skipped cells are 255 (nodata),
    their planes 0.

    Args:
        grid: The chip grid of the scene.
        planes: Number of probability planes per chip; 0 for none.
        most_px: Strips are cut into pieces at most so wide, or of one chip; None: they have full width.
        plane_dtype: "uint8" for quantized probabilities, "float32" for values, which are NaN in skipped
            cells.
    """

    def __init__(
        self,
        grid: ChipGrid,
        planes: int = 0,
        most_px: int | None = None,
        plane_dtype: Literal["uint8", "float32"] = "uint8",
    ) -> None:
        self.grid = grid
        self._plane_count, self._plane_dtype = planes, plane_dtype
        self._runs = grid.column_runs(most_px)
        self._next_run = 0
        self._row: int | None = None  # first row of the open strip
        self._col0 = 0
        self._missing_cols: set[int] = set()
        self._labels: UInt8Array
        self._planes: UInt8Array | Float32Array | None = None

    def add(
        self, cell: Cell, labels: UInt8Array, planes: UInt8Array | Float32Array | None = None
    ) -> RowStrip | None:
        """Insert the keep window of a chip.

        Args:
            cell: The chip's cell.
            labels: (size, size) class ids of the whole chip.
            planes: (K, size, size) quantized probabilities, or values, of the whole chip.

        Returns:
            The strip of rows if this chip completed it.
        """
        self._check_shapes(labels, planes)
        self._enter(cell)
        rows_of_chip, cols_of_chip = cell.keep.relative_to(cell.read).slices
        cols = slice(cell.keep.col - self._col0, cell.keep.col1 - self._col0)
        self._labels[:, cols] = labels[rows_of_chip, cols_of_chip]
        if self._planes is not None and planes is not None:
            self._planes[:, :, cols] = planes[:, rows_of_chip, cols_of_chip]
        return self._strip_if_complete()

    def skip(self, cell: Cell) -> RowStrip | None:
        """Leave out a chip without valid pixels: its keep window stays nodata. Returns as `add` does."""
        self._enter(cell)
        return self._strip_if_complete()

    def _check_shapes(self, labels: UInt8Array, planes: UInt8Array | Float32Array | None) -> None:
        size = self.grid.size_px
        if labels.shape != (size, size) or labels.dtype != np.uint8:
            raise ValueError(
                f"expected ({size}, {size}) uint8 class ids of a chip, found {labels.shape} {labels.dtype}"
            )
        expected = (self._plane_count, size, size) if self._plane_count else None
        shape = None if planes is None else planes.shape
        if shape != expected:
            raise ValueError(f"expected probability planes of shape {expected}, found {shape}")

    def _enter(self, cell: Cell) -> None:
        if self._row is None:
            self._open(cell)
        if cell.keep.row != self._row or cell.keep.col not in self._missing_cols:
            raise ValueError(
                f"the cell at {cell.keep} came twice, or before the row of chips at row {self._row} was "
                "complete"
            )
        self._missing_cols.discard(cell.keep.col)

    def _open(self, cell: Cell) -> None:
        self._row = cell.keep.row
        run = self._runs[self._next_run]
        self._next_run = (self._next_run + 1) % len(self._runs)
        edges = self.grid.col_edges[run.start : run.stop + 1]
        self._missing_cols, self._col0 = set(edges[:-1]), edges[0]
        shape = (cell.keep.height, edges[-1] - edges[0])
        # New arrays for every strip: a returned strip belongs to its writer, perhaps in another thread.
        self._labels = np.full(shape, IGNORE_ID, np.uint8)
        if self._plane_count:
            fill = 0 if self._plane_dtype == "uint8" else np.nan
            self._planes = np.full((self._plane_count, *shape), fill, self._plane_dtype)

    def _strip_if_complete(self) -> RowStrip | None:
        if self._missing_cols or self._row is None:
            return None
        strip = RowStrip(self._row, self._labels, self._planes, self._col0)
        self._row = None
        return strip
