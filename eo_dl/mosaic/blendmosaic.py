"""Class probabilities of chips, blended on the scene's grid one row of chips at a time.

Every chip that sees a pixel counts, with a Hann window as weight: 1 in the middle of the chip, nearly 0 at
its edge, where a network sees least around a pixel. Sums and weights are kept for the rows that one row of
chips covers, so memory grows with the width of the scene and the number of classes, not with its height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float32Array, Float64Array
from ..core.chipgrid import Cell, ChipGrid


def hann_window(size_px: int) -> Float64Array:
    """(size, size) weights of the pixels of a chip, all above 0 (Harris 1978, shifted by half a pixel)."""
    positions = (np.arange(size_px) + 0.5) / size_px
    weights = np.sin(np.pi * positions) ** 2
    return np.outer(weights, weights)


def blended_edges(grid: ChipGrid) -> tuple[int, ...]:
    """For each row of chips the first scene row that earlier rows of chips do not reach, and the last edge.

    A run that is continued at scene row r begins with the last row of chips whose edge is at most r.
    """
    reached = [min(start + grid.size_px, grid.height) for start in grid.row_starts]
    return (0, *reached)


@dataclass(frozen=True)
class BlendedRows:
    """Finished rows, of full width or a piece of it."""

    row0: int
    """First row."""
    probabilities: Float32Array
    """(K, rows, W)."""
    valid: BoolArray
    """(rows, W) pixels with a prediction."""
    col0: int = 0
    """First column."""


class BlendMosaic:
    """Sums the weighted probabilities of chips, and hands out rows that no later chip touches.

    Cells come from left to right and top to bottom. `add` and `skip` return the finished rows with the last
    cell of a row of chips, or of a piece of it: the columns that no later cell of the row touches.

    Args:
        grid: The chip grid of the scene.
        classes: Number of classes.
        most_px: Rows are finished in pieces about so wide; None: in full width.
    """

    def __init__(self, grid: ChipGrid, classes: int, most_px: int | None = None) -> None:
        self.grid = grid
        # The column of chips with which each piece is finished, and where the next piece begins.
        runs = grid.column_runs(most_px)
        begins = [grid.col_starts[run.start] for run in runs[1:]]
        self._ends = dict(zip([run.stop - 1 for run in runs], [*begins, grid.width], strict=True))
        self._window = hann_window(grid.size_px).astype(np.float32)
        shape = (grid.size_px, grid.width)
        self._sums = np.zeros((classes, *shape), np.float32)
        self._weights = np.zeros(shape, np.float32)
        self._valid = np.zeros(shape, np.bool_)
        self._row0: int | None = None
        self._next_col = 0  # of the cells in the row of chips
        self._col0 = 0

    def add(self, cell: Cell, probabilities: Float32Array, valid: BoolArray) -> BlendedRows | None:
        """Add a chip.

        Args:
            cell: The chip's cell.
            probabilities: (K, size, size).
            valid: (size, size) pixels to predict.

        Returns:
            The finished rows if this was the last cell of its row of chips, or of a piece.
        """
        self._enter(cell)
        read = cell.read
        height = min(read.row1, self.grid.height) - read.row
        width = min(read.col1, self.grid.width) - read.col
        cols = slice(read.col, read.col + width)
        weights = self._window[:height, :width]
        self._sums[:, :height, cols] += probabilities[:, :height, :width] * weights
        self._weights[:height, cols] += weights
        self._valid[:height, cols] |= valid[:height, :width]
        return self._finished_rows(cell)

    def skip(self, cell: Cell) -> BlendedRows | None:
        """Leave out a chip. Returns as `add` does."""
        self._enter(cell)
        return self._finished_rows(cell)

    def _enter(self, cell: Cell) -> None:
        if self._row0 is None:
            self._row0 = cell.read.row
        if cell.read.row != self._row0:
            raise ValueError(f"the cell at {cell.read} came before the row of chips above it was complete")

    def _finished_rows(self, cell: Cell) -> BlendedRows | None:
        column = self._next_col
        self._next_col = (column + 1) % self.grid.shape[1]
        if column not in self._ends:
            return None
        row0 = cell.read.row
        below = [start for start in self.grid.row_starts if start > row0]
        row1 = below[0] if below else self.grid.height
        col0, col1 = self._col0, self._ends[column]
        probabilities, valid = self._take(row1 - row0, slice(col0, col1))
        self._col0 = col1
        if col1 == self.grid.width:
            self._row0, self._col0 = (row1 if below else None), 0
        return BlendedRows(row0, probabilities, valid, col0)

    def _take(self, count: int, cols: slice) -> tuple[Float32Array, BoolArray]:
        """The probabilities of the upper `count` rows of some columns; what lies below moves up."""
        weights = np.maximum(self._weights[:count, cols], np.finfo(np.float32).tiny)
        probabilities = np.asarray(self._sums[:, :count, cols] / weights, np.float32)
        valid = self._valid[:count, cols] & (self._weights[:count, cols] > 0)
        for rows in (*self._sums, self._weights, self._valid):
            rows[: len(rows) - count, cols] = rows[count:, cols]
            rows[len(rows) - count :, cols] = 0
        return probabilities, valid
