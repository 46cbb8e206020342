"""Many polygons with attributes, held as WKB: half the memory of as many shapely geometries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import geopandas
import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from ..core.arraytypes import AnyArray

WkbArray = npt.NDArray[np.object_]
"""(N,) geometries as bytes (well-known binary)."""


@dataclass(frozen=True)
class PolygonTable:
    """Polygons (no multipolygons) with attributes; `write_layer` takes it as it takes a GeoDataFrame."""

    outlines: WkbArray
    """(N,) polygons as WKB, in the coordinates of `crs`."""
    columns: Mapping[str, AnyArray]
    """(N,) values by attribute."""
    crs: CRS | None
    """Coordinate reference system; None: pixels."""

    def __len__(self) -> int:
        return len(self.outlines)

    def frame(self) -> geopandas.GeoDataFrame:
        """The same as a GeoDataFrame, for formats that need one."""
        crs = None if self.crs is None else self.crs.to_wkt()
        return geopandas.GeoDataFrame(dict(self.columns), geometry=shapely.from_wkb(self.outlines), crs=crs)
