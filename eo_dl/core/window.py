"""`Window`: a rectangle of whole pixels. An address, no pixels."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GridError


@dataclass(frozen=True, order=True, slots=True)
class Window:
    """Pixels `[row, row1) x [col, col1)` of some grid.

    `col` and `row` may be negative or lie beyond the grid (a chip larger than its scene); sizes are
    at least 1. Raises `ValueError` otherwise.
    """

    col: int
    """First column."""
    row: int
    """First row."""
    width: int
    """Number of columns."""
    height: int
    """Number of rows."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a window needs at least 1x1 px, found width={self.width} height={self.height}")

    @property
    def col1(self) -> int:
        """First column to the right of the window."""
        return self.col + self.width

    @property
    def row1(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def box(self) -> tuple[int, int, int, int]:
        """`(col0, row0, col1, row1)`, half open."""
        return self.col, self.row, self.col1, self.row1

    @property
    def slices(self) -> tuple[slice, slice]:
        """`(rows, cols)` to index an (H, W) array of the same grid; only for windows inside it."""
        return slice(self.row, self.row1), slice(self.col, self.col1)

    @classmethod
    def from_box(cls, col0: int, row0: int, col1: int, row1: int) -> Window:
        """The window with these half-open bounds."""
        return cls(col0, row0, col1 - col0, row1 - row0)

    def intersection(self, other: Window) -> Window | None:
        """The common pixels, or None if there are none."""
        col0, row0 = max(self.col, other.col), max(self.row, other.row)
        col1, row1 = min(self.col1, other.col1), min(self.row1, other.row1)
        return Window.from_box(col0, row0, col1, row1) if col1 > col0 and row1 > row0 else None

    def clipped_to(self, other: Window) -> Window:
        """The pixels of this window in `other`, of which there is at least one.

        Raises:
            GridError: The windows have no common pixels.
        """
        common = self.intersection(other)
        if common is None:
            raise GridError(f"the windows {self.box} and {other.box} have no common pixels")
        return common

    def contains(self, other: Window) -> bool:
        """True if every pixel of `other` is in this window."""
        return (
            self.col <= other.col
            and self.row <= other.row
            and self.col1 >= other.col1
            and self.row1 >= other.row1
        )

    def relative_to(self, other: Window) -> Window:
        """The same pixels, counted from the corner of `other`."""
        return Window(self.col - other.col, self.row - other.row, self.width, self.height)

    def halves(self) -> tuple[Window, Window]:
        """The two halves along the longer side, of a window of at least two pixels."""
        if self.width >= self.height:
            middle = self.col + self.width // 2
            return (
                Window.from_box(self.col, self.row, middle, self.row1),
                Window.from_box(middle, self.row, self.col1, self.row1),
            )
        middle = self.row + self.height // 2
        return (
            Window.from_box(self.col, self.row, self.col1, middle),
            Window.from_box(self.col, middle, self.col1, self.row1),
        )

    def buffered(self, px: int) -> Window:
        """The window grown by `px` on every side."""
        return Window(self.col - px, self.row - px, self.width + 2 * px, self.height + 2 * px)
