"""`Ground`: how the rows and columns of a grid lie on the ground, which slopes and distances need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.pixelgrid import PixelGrid
from ...errors import GridError


@dataclass(frozen=True)
class Ground:
    """Size of a pixel and the directions of columns and rows."""

    width_m: float
    """Width of a pixel on the ground, metres."""
    height_m: float
    """Height of a pixel on the ground, metres."""
    col_step: tuple[float, float]
    """(east, north) of the direction in which columns grow, length 1."""
    row_step: tuple[float, float]
    """(east, north) of the direction in which rows grow, length 1."""

    @classmethod
    def of(cls, grid: PixelGrid) -> Ground:
        """The ground of a grid, the same for all of it: that of its centre pixel.

        Raises:
            GridError: The grid has no CRS.
        """
        width_m, height_m = grid.pixel_size_m
        transform = grid.transform
        across, down = (transform.a, transform.d), (transform.b, transform.e)
        return cls(width_m, height_m, _unit(across), _unit(down))

    def pixels(self, metres: float) -> tuple[float, float]:
        """A distance in pixels along the columns and along the rows."""
        return metres / self.width_m, metres / self.height_m


def _unit(step: tuple[float, float]) -> tuple[float, float]:
    length = math.hypot(*step)
    if length == 0:
        raise GridError("the transform of the grid has a direction without length")
    return step[0] / length, step[1] / length
