"""`GridWindow`: a window that knows whose pixels it counts.

A `Window` is an address on a grid that the reader of the code has to know. Where windows outlive the lines
that made them (the chips of a chip set, which are read weeks later), that grid must travel along: the same
numbers on a grid of another pixel size are other ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely

from ..errors import GridError
from .arraytypes import GeometryArray
from .geometries import reproject, scaled
from .pixelgrid import PixelGrid
from .window import Window

_STRAIGHT = 1e-6  # pixels that two parallel grids may drift apart per pixel


@dataclass(frozen=True, slots=True)
class GridWindow(Window):
    """A window of `grid`.

    Readers and labels refuse it on any other grid (`require_grid`); `on` moves it there. What is computed
    from it (`intersection`, `relative_to`) is a plain `Window`.
    """

    grid: PixelGrid = field(hash=False, repr=False)
    """The grid whose pixels are counted."""

    @classmethod
    def of(cls, window: Window, grid: PixelGrid) -> GridWindow:
        """A window of a grid."""
        return cls(window.col, window.row, window.width, window.height, grid)

    def on(self, grid: PixelGrid) -> GridWindow:
        """The same ground on another grid of the same scene, in whole pixels.

        The centre stays where it is, to half a pixel. The size depends on the size of this window alone, so
        that windows of one size stay windows of one size.

        Args:
            grid: The other grid; its pixels may be larger or smaller, but not turned.

        Raises:
            GridError: The grids differ in their CRS, or one is turned against the other.
        """
        if grid == self.grid:
            return self
        step = grid.inverse @ self.grid.transform
        turned = max(abs(step.b), abs(step.d)) > _STRAIGHT or min(step.a, step.e) <= 0
        if grid.crs != self.grid.crs or turned:
            raise GridError(
                f"a window of a grid of {_size(self.grid)} cannot be moved to a grid of {_size(grid)}: "
                "their CRS or their axes differ"
            )
        centre_col, centre_row = step @ (self.col + self.width / 2, self.row + self.height / 2)
        width, height = max(1, round(self.width * step.a)), max(1, round(self.height * step.e))
        col, row = round(centre_col - width / 2), round(centre_row - height / 2)
        return GridWindow(col, row, width, height, grid)


def require_grid(window: Window, grid: PixelGrid, whose: str) -> None:
    """Refuse a `GridWindow` of any grid but this one; a plain `Window` is taken at its word.

    Args:
        window: The window to look at.
        grid: The grid on which its pixels are about to be used.
        whose: Whose grid that is, for the message.

    Raises:
        GridError: The window counts the pixels of another grid.
    """
    if isinstance(window, GridWindow) and window.grid is not grid and window.grid != grid:
        raise GridError(
            f"{whose}: has a grid of {_size(grid)}, the window is one of a grid of {_size(window.grid)}; "
            "move it with `window.on(grid)`"
        )


def between_grids(
    geometries: GeometryArray, source: PixelGrid, target: PixelGrid, name: str
) -> GeometryArray:
    """Geometries in the pixels of one grid, in the pixels of another one.

    They pass through map coordinates where both grids have a CRS. Where one has none, both show the same
    image and differ in its size only.

    Args:
        geometries: (N,) shapely geometries in pixels of `source`.
        source: The grid that they lie on.
        target: The grid that they are wanted on.
        name: What they are, for messages.

    Raises:
        LabelError: A vertex has no place in the CRS of `target`.
    """
    if source.crs is None or target.crs is None:
        return scaled(geometries, target.width / source.width, target.height / source.height)
    on_map = source.geometries_to_map(geometries)
    return target.geometries_to_pixel(reproject(on_map, source.crs, target.crs, name))


def window_outlines(windows: Sequence[Window]) -> GeometryArray:
    """(N,) rectangles of windows, in the pixels that they count."""
    boxes = np.array([window.box for window in windows], np.float64).reshape(-1, 4)
    return np.asarray(shapely.box(*boxes.T), dtype=object).reshape(-1)


def _size(grid: PixelGrid) -> str:
    gsd = "" if grid.gsd_m is None else f" at {grid.gsd_m:.4g} m"
    return f"{grid.width}x{grid.height} px{gsd}"
