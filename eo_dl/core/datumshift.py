"""`rough_shift`: whether PROJ can only change the datum roughly, as it lacks the grid file of a better way.

Without its grid file PROJ takes the next best way without a word: OSGB36 then lies 5 m beside its place,
other old datums up to 200 m.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import CRS, Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.exceptions import ProjError
from pyproj.transformer import TransformerGroup

from .arraytypes import Float64Array

_LONLAT = CRS.from_epsg(4326)
_WHOLE_WORLD = (-180.0, -90.0, 180.0, 90.0)
_ROUNDING = 1.05  # accuracies are stated in whole metres
_STEP_DEG = 0.5  # areas are rounded outwards to it, so that one answer serves many

LonLatBounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


@dataclass(frozen=True)
class RoughShift:
    """A change of datum for which PROJ lacks the best way."""

    accuracy_m: float | None
    """What the way that is taken is accurate to, metres; None: not known, as it leaves the datum as it is."""

    best_m: float
    """What the best way is accurate to, metres."""

    grids: tuple[str, ...]
    """The grid files that the best way needs."""

    def within(self, most_m: float) -> bool:
        """Whether the way that is taken is accurate to `most_m` metres, as far as is known."""
        return self.accuracy_m is not None and self.accuracy_m <= most_m

    def loses_at_most(self, most_m: float) -> bool:
        """Whether the best way is more accurate than the one taken by `most_m` metres (rounded) at most."""
        return self.accuracy_m is not None and self.accuracy_m - self.best_m <= _ROUNDING * most_m

    def describe(self, source: CRS, target: CRS, gsd_m: float | None) -> str:
        """What is wrong and which file cures it, for messages."""
        if self.accuracy_m is None:
            accuracy = "with the datum unchanged, metres off"
        else:
            pixels = "" if not gsd_m else f", {self.accuracy_m / gsd_m:.3g} px"
            accuracy = f"accurate to {self.accuracy_m:g} m only{pixels}"
        files = ", ".join(self.grids) or "a grid file"
        return (
            f"the datum of '{source.name}' becomes that of '{target.name}' {accuracy}, as PROJ lacks {files} "
            f"({self.best_m:g} m), which its program projsync downloads"
        )


def rough_shift(source: CRS, target: CRS, area: LonLatBounds = _WHOLE_WORLD) -> RoughShift | None:
    """The change of datum between two CRS, if PROJ has only a rough way; None where it has the best.

    Args:
        source: CRS of the coordinates.
        target: CRS that they are brought to.
        area: Where they lie.
    """
    west, south, east, north = area
    low = (math.floor(value / _STEP_DEG) * _STEP_DEG for value in (west, south))
    high = (math.ceil(value / _STEP_DEG) * _STEP_DEG for value in (east, north))
    return _rough_shift(source, target, (*low, *high))


def lonlat_area(points: Float64Array, crs: CRS) -> LonLatBounds:
    """Bounds in degrees of points (N, 2) of a CRS; the whole world where that is not known."""
    lon, lat = Transformer.from_crs(crs, _LONLAT, always_xy=True).transform(points[:, 0], points[:, 1])
    if not len(points) or not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return _WHOLE_WORLD
    return float(np.min(lon)), float(np.min(lat)), float(np.max(lon)), float(np.max(lat))


@lru_cache(maxsize=256)
def _rough_shift(source: CRS, target: CRS, area: LonLatBounds) -> RoughShift | None:
    if source.geodetic_crs is None or source.geodetic_crs == target.geodetic_crs:
        return None
    west, south, east, north = area
    bounds = AreaOfInterest(max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PROJ says here what this function returns
            ways = TransformerGroup(source, target, always_xy=True, area_of_interest=bounds)  # type: ignore[arg-type]
    except ProjError:
        return None  # said where coordinates are transformed
    if ways.best_available or not ways.transformers or not ways.unavailable_operations:
        return None
    best = ways.unavailable_operations[0]
    taken_m = ways.transformers[0].accuracy
    return RoughShift(
        accuracy_m=taken_m if taken_m >= 0 else None,
        best_m=best.accuracy,
        grids=tuple(grid.short_name for grid in best.grids if not grid.available),
    )
