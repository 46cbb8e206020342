"""`Readable`: what reading pixels asks of a scene. Readers are typed against it, so that they need not know
`Scene`.
"""

from __future__ import annotations

from typing import Protocol

from ..core.bands import BandSet
from ..core.pixelgrid import PixelGrid


class Readable(Protocol):
    """A raster file, the bands wanted of it, and the grid on which they are wanted."""

    @property
    def path(self) -> str:
        """Path or URL, as GDAL takes it."""

    @property
    def driver(self) -> str:
        """Name of the GDAL driver that may open it."""

    @property
    def trust_vrt(self) -> bool:
        """True where a VRT may name files outside its folder."""

    @property
    def grid(self) -> PixelGrid:
        """The working grid: that of the file, or a resampled one of the same extent."""

    @property
    def native(self) -> PixelGrid:
        """The grid of the file."""

    @property
    def bands(self) -> BandSet:
        """The bands wanted, in this order."""

    @property
    def dtype(self) -> str:
        """The type in which pixels come."""

    @property
    def alpha(self) -> tuple[int, ...]:
        """Numbers of the alpha bands (1-based)."""

    @property
    def masked(self) -> bool:
        """True where the file has a mask band."""

    @property
    def nearest(self) -> bool:
        """True where values are categories, which have no mean."""

    @property
    def own_nodata(self) -> bool:
        """True where the nodata values are the file's own."""

    @property
    def overviews(self) -> tuple[int, ...]:
        """Decimation factors of the overviews in the file."""

    @property
    def resampled(self) -> bool:
        """True where `grid` is not `native`."""
