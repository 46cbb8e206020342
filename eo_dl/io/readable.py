"""`Readable`: the parts of a scene that readers use.

Readers are typed against it, so `Scene` can use them.
"""

from __future__ import annotations

from typing import Protocol

from ..core.bands import BandSet
from ..core.pixelgrid import PixelGrid
from .scenefile import SceneFile


class Readable(Protocol):
    """A raster file, the bands to read, and the grid to read them on."""

    @property
    def file(self) -> SceneFile:
        """The raster file."""

    @property
    def grid(self) -> PixelGrid:
        """The working grid: the file's own, or a resampled one of the same extent."""

    @property
    def bands(self) -> BandSet:
        """The bands to read, in this order."""

    @property
    def dtype(self) -> str:
        """Data type of the pixels."""

    @property
    def least_bands(self) -> int:
        """Bands that must be measured in a valid pixel."""

    @property
    def fills(self) -> bool:
        """True if a valid pixel may lack bands, which then hold NaN."""

    @property
    def base(self) -> Readable | None:
        """The bands of the file that derived bands are made from, as a scene; None without derived bands."""

    @property
    def own_nodata(self) -> bool:
        """True if the nodata values are the file's own."""

    @property
    def resampled(self) -> bool:
        """True if `grid` is not the file's own."""
