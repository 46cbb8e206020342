"""What a map of values says in each zone: means, spreads and extremes of its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.arraytypes import Float64Array
from ..core.window import Window
from ..io.classmap import raster_tags
from ..io.discover import GEOTIFF_SUFFIXES
from ..io.outputtags import KIND_TAG
from ..io.scene import Scene, SceneReader, open_scene
from .mapcleaning import row_areas_m2
from .zones import Zones

_STRIP_PIXELS = 2**20
_VALUES = "values"  # as the output kind is called in the tags of a map


@dataclass(frozen=True)
class ZoneNumbers:
    """The numbers of one band over Z zones; NaN where a zone has no pixel with a number."""

    name: str
    """Name of the band."""
    mean: Float64Array
    """(Z,) mean, weighted by the ground of the pixels."""
    std: Float64Array
    """(Z,) standard deviation."""
    minimum: Float64Array
    """(Z,) lowest number."""
    maximum: Float64Array
    """(Z,) highest number."""
    measured_m2: Float64Array
    """(Z,) ground of the pixels with a number."""


def is_map_of_values(path: str | Path) -> bool:
    """Whether a file is a map of values that `predict` wrote."""
    if Path(path).suffix.lower() not in GEOTIFF_SUFFIXES:
        return False
    return raster_tags(Path(path)).get(KIND_TAG) == _VALUES


def open_numbers(path: str | Path) -> Scene:
    """A map of values as a scene: a pixel counts if any of its bands has a number. Raises `SceneError`."""
    return open_scene(path, valid="any")


def zone_numbers(scene: Scene, zones: Zones) -> list[ZoneNumbers]:
    """The numbers of each band in zones, by the pixels whose centre lies in a zone; the map is read once.

    Args:
        scene: The map.
        zones: The zones, in the CRS of the map.
    """
    tallies = [_Tally(len(zones)) for _ in scene.bands]
    row_areas = row_areas_m2(scene.grid)
    step = max(1, _STRIP_PIXELS // scene.grid.width)
    with SceneReader(scene) as reader:
        for row0 in range(0, scene.grid.height, step):
            rows = min(step, scene.grid.height - row0)
            planes = zones.burnt(scene.grid, row0, rows)
            if not planes:
                continue
            chip = reader.read(Window(0, row0, scene.grid.width, rows))
            weights = np.broadcast_to(row_areas[row0 : row0 + rows, None], chip.valid.shape)
            for tally, stored, band in zip(tallies, chip.pixels, chip.bands, strict=True):
                numbers = stored.astype(np.float64) * band.scale + band.offset
                known = chip.valid & np.isfinite(numbers)
                for zone in planes:
                    inside = (zone >= 0) & known
                    tally.add(zone[inside], numbers[inside], weights[inside])
    return [tally.finished(band.name) for tally, band in zip(tallies, scene.bands, strict=True)]


class _Tally:
    """Weighted sums of numbers by zone."""

    def __init__(self, zones: int) -> None:
        self._zones = zones
        self._weight, self._sum, self._squares = (np.zeros(zones) for _ in range(3))
        self._lowest, self._highest = np.full(zones, np.inf), np.full(zones, -np.inf)
        self._shift: float | None = None

    def add(self, zone: np.ndarray, numbers: Float64Array, weights: Float64Array) -> None:
        """Take pixels (N,) with their zones."""
        if not len(numbers):
            return
        if self._shift is None:
            self._shift = float(numbers[0])  # squares of large numbers that hardly vary would lose the spread
        shifted = numbers - self._shift
        self._weight += np.bincount(zone, weights, minlength=self._zones)
        self._sum += np.bincount(zone, weights * shifted, minlength=self._zones)
        self._squares += np.bincount(zone, weights * shifted**2, minlength=self._zones)
        np.minimum.at(self._lowest, zone, numbers)
        np.maximum.at(self._highest, zone, numbers)

    def finished(self, name: str) -> ZoneNumbers:
        """The numbers of all pixels."""
        known = self._weight > 0
        weight = np.where(known, self._weight, 1.0)
        mean = self._sum / weight
        variance = np.maximum(self._squares / weight - mean**2, 0)
        columns = (mean + (self._shift or 0.0), np.sqrt(variance), self._lowest, self._highest)
        mean, std, lowest, highest = (np.where(known, column, np.nan) for column in columns)
        return ZoneNumbers(name, mean, std, lowest, highest, self._weight)
