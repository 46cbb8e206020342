"""The chip grid: overlapping chips of a raster, and which chip is responsible for which pixel.

Along each axis chips start every `size - 2 * margin` pixels. The last one is shifted back inside, so nothing
is padded unless the raster is smaller than a chip. Where two neighbours overlap, their keep windows meet in
the middle of the overlap. It follows (property tests hold it) that

- keep windows partition the raster;
- a pixel is at least `margin` px from the edge of the chip that keeps it, except at the raster's own edge;
- an object not wider or higher than `2 * margin` is kept exactly once: by its owner, the cell whose keep
  window holds its box centre, which sees it whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..errors import ConfigError
from .arraytypes import BoolArray, FloatArray
from .boxes import centre_in
from .window import Window


@dataclass(frozen=True, slots=True)
class Cell:
    """The two windows of a chip."""

    read: Window
    """What the network sees: always size x size, reaching beyond a raster that is smaller than a chip."""
    keep: Window
    """What the chip's prediction is kept for."""


@dataclass(frozen=True)
class ChipGrid:
    """All cells of a raster. Raises `ConfigError` where the margin leaves nothing to keep."""

    height: int
    """Rows of the raster."""
    width: int
    """Columns of the raster."""
    size_px: int
    """Side of a chip."""
    margin_px: int = 0
    """Context per side, seen and then discarded."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.size_px < 1 or self.margin_px < 0:
            raise ConfigError(
                f"a chip grid needs positive sizes, found raster {self.width}x{self.height}, chip "
                f"{self.size_px}, margin {self.margin_px}"
            )
        if self.size_px <= 2 * self.margin_px:
            raise ConfigError(
                f"a margin of {self.margin_px} px per side leaves nothing of a {self.size_px} px chip; "
                f"choose a margin below {self.size_px / 2:g}"
            )

    @property
    def stride_px(self) -> int:
        """Distance between the starts of neighbouring chips, except the last one."""
        return self.size_px - 2 * self.margin_px

    @cached_property
    def col_starts(self) -> tuple[int, ...]:
        """First column of each column of chips."""
        return _starts(self.width, self.size_px, self.margin_px)

    @cached_property
    def row_starts(self) -> tuple[int, ...]:
        """First row of each row of chips."""
        return _starts(self.height, self.size_px, self.margin_px)

    @cached_property
    def col_edges(self) -> tuple[int, ...]:
        """Borders of the keep windows along a row, from 0 to `width`: one more than there are columns."""
        return _edges(self.col_starts, self.width, self.size_px)

    @cached_property
    def row_edges(self) -> tuple[int, ...]:
        """Borders of the keep windows along a column, from 0 to `height`."""
        return _edges(self.row_starts, self.height, self.size_px)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells."""
        return len(self.row_starts), len(self.col_starts)

    def __len__(self) -> int:
        return len(self.row_starts) * len(self.col_starts)

    def cell(self, grid_row: int, grid_col: int) -> Cell:
        """The cell in a row and a column of the grid of chips."""
        read = Window(self.col_starts[grid_col], self.row_starts[grid_row], self.size_px, self.size_px)
        keep = Window.from_box(
            self.col_edges[grid_col],
            self.row_edges[grid_row],
            self.col_edges[grid_col + 1],
            self.row_edges[grid_row + 1],
        )
        return Cell(read, keep)

    def column_runs(self, most_px: int | None) -> tuple[range, ...]:
        """Columns of chips in runs whose keep windows are together at most `most_px` wide (None: one run).

        A run has at least one column, whatever its width.
        """
        runs, first = [], 0
        for column in range(1, self.shape[1]):
            width = self.col_edges[column + 1] - self.col_edges[first]
            if most_px is not None and width > most_px:
                runs.append(range(first, column))
                first = column
        return (*runs, range(first, self.shape[1]))

    def row(self, grid_row: int) -> tuple[Cell, ...]:
        """The cells of one row of chips, left to right."""
        return tuple(self.cell(grid_row, grid_col) for grid_col in range(len(self.col_starts)))

    def __iter__(self) -> Iterator[Cell]:
        for grid_row in range(len(self.row_starts)):
            yield from self.row(grid_row)

    def owner(self, col: float, row: float) -> tuple[int, int]:
        """(grid_row, grid_col) of the cell whose keep window holds a point, or of the nearest one."""
        grid_col = min(max(bisect_right(self.col_edges, col) - 1, 0), len(self.col_starts) - 1)
        grid_row = min(max(bisect_right(self.row_edges, row) - 1, 0), len(self.row_starts) - 1)
        return grid_row, grid_col

    def owned(self, cell: Cell, boxes: FloatArray) -> BoolArray:
        """Which of the boxes (N, 4) in raster pixels have their centre in this cell's keep window.

        Centres on the raster's outer border (or beyond) belong to the border cell, so none is lost.
        """
        col0, row0, col1, row1 = cell.keep.box
        bounds = (
            -np.inf if col0 == 0 else col0,
            -np.inf if row0 == 0 else row0,
            np.inf if col1 == self.width else col1,
            np.inf if row1 == self.height else row1,
        )
        return centre_in(boxes, bounds)


@dataclass(frozen=True)
class SquareGrid(ChipGrid):
    """A chip grid for predictions of whole chips: keep windows are squares of `stride_px`.

    They start at the first pixel. The last square of a row or column is cut at the raster's edge; its chip is
    shifted back inside, so nothing is padded unless the raster is smaller than a chip. Keep windows partition
    the raster and lie in their read windows.
    """

    @cached_property
    def col_starts(self) -> tuple[int, ...]:
        """See `ChipGrid`; the last two may start at the same column."""
        return _square_starts(self.width, self.size_px, self.margin_px)

    @cached_property
    def row_starts(self) -> tuple[int, ...]:
        """See `ChipGrid`."""
        return _square_starts(self.height, self.size_px, self.margin_px)

    @cached_property
    def col_edges(self) -> tuple[int, ...]:
        """See `ChipGrid`."""
        return (*range(0, self.width, self.stride_px), self.width)

    @cached_property
    def row_edges(self) -> tuple[int, ...]:
        """See `ChipGrid`."""
        return (*range(0, self.height, self.stride_px), self.height)


def _square_starts(length: int, size: int, margin: int) -> tuple[int, ...]:
    return tuple(max(0, min(edge - margin, length - size)) for edge in range(0, length, size - 2 * margin))


def _starts(length: int, size: int, margin: int) -> tuple[int, ...]:
    if length <= size:
        return (0,)
    stride = size - 2 * margin
    regular = list(range(0, length - size, stride))
    return (*regular, length - size)


def _edges(starts: tuple[int, ...], length: int, size: int) -> tuple[int, ...]:
    inner = [(left + size + right) // 2 for left, right in pairwise(starts)]
    return (0, *inner, length)
