"""Numbers of one grid on another: the mean of the ground that each pixel covers."""

from __future__ import annotations

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from ..core.arraytypes import Float32Array
from ..core.pixelgrid import PixelGrid
from .gdal import quietly

# Grids without a CRS share a frame that is none on the ground; any plane will do.
_PLANE = rasterio.crs.CRS.from_epsg(3857)


def area_means(planes: Float32Array, source: PixelGrid, target: PixelGrid) -> Float32Array:
    """Numbers on another grid, in any CRS, as the means of the source pixels that each pixel covers.

    Source pixels are weighted by the area that a target pixel shares with them, so a target that is finer
    takes the number of the source pixel around it. Where the two grids have no CRS, their transforms lie in
    one plane.

    Args:
        planes: (K, h, w) numbers on `source`; NaN where they are not known, which has no weight.
        source: Their grid.
        target: The grid that is wanted.

    Returns:
        (K, H, W) numbers; NaN where nothing is known.
    """
    means = np.full((len(planes), target.height, target.width), np.nan, np.float32)
    with quietly():
        for plane, mean in zip(planes, means, strict=True):
            reproject(
                plane,
                mean,
                src_transform=source.transform,
                src_crs=_crs(source.crs),
                src_nodata=np.nan,
                dst_transform=target.transform,
                dst_crs=_crs(target.crs),
                dst_nodata=np.nan,
                resampling=Resampling.average,
                # An approximation would depend on which window is asked for, by more than a last bit.
                tolerance=0,
            )
    return means


def _crs(crs: CRS | None) -> rasterio.crs.CRS:
    return _PLANE if crs is None else rasterio.crs.CRS.from_wkt(crs.to_wkt())
