"""How far a map's numbers and areas are off, from ground on which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import CRS, Proj, Transformer

from ..core.arraytypes import Float64Array, GeometryArray, Int64Array
from ..core.seeds import generator
from ..scores.intervals import FEWEST_BLOCKS, LEVEL, REPEATS, resampled_counts
from .zones import Zones
from .zonesums import ZoneSums

_WANTED_BLOCKS = 30


@dataclass(frozen=True)
class Ratio:
    """What there is on the ground for one unit that the map shows."""

    value: float
    """True amount divided by mapped amount; NaN where the map shows none of it on the checked ground."""
    draws: Float64Array
    """(R,) the ratio in each resampling of the blocks; empty with too few blocks."""
    spread: float
    """Standard deviation of the true amount on ground where the map shows one unit, around the ratio."""
    noise: Float64Array
    """(R,) standard normal deviates, one per draw."""

    def of(self, mapped: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
        """True amounts of places where the map shows some, and their 95 % intervals.

        The interval holds two things: that other blocks could have been checked (the draws of the ratio), and
        that a place differs from the mean of places like it. The latter grows with the square root of its
        size, as a sum of independent pieces of ground does.

        Args:
            mapped: (Z,) amounts on the map.

        Returns:
            (Z,) true amounts, lower and upper bounds; NaN where unknown.
        """
        unknown = np.full(len(mapped), np.nan)
        known = self.draws[np.isfinite(self.draws)]
        if len(known) * 2 < len(self.draws) or not len(known):
            return mapped * self.value, unknown, unknown
        noise = self.noise[np.isfinite(self.draws)]
        amounts = known[:, None] * mapped + self.spread * noise[:, None] * np.sqrt(mapped)
        low, high = np.quantile(np.maximum(amounts, 0), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        return mapped * self.value, low, high


def check_blocks(area: Zones, side_m: float | None, crs: CRS | None) -> Zones:
    """The checked ground, cut into about square blocks.

    Args:
        area: The polygons in which the truth is complete, in `crs`.
        side_m: About the side of a block, metres (default: such that there are about 30).
        crs: The CRS of the map; None: pixels.
    """
    ground = shapely.union_all(area.outlines)
    to_plane, to_map = _plane(ground, crs)
    flat = shapely.transform(ground, to_plane)
    side = side_m or float(np.sqrt(flat.area / _WANTED_BLOCKS))
    west, south, east, north = shapely.bounds(flat)
    # A whole number of blocks each way, so that none is a sliver at the edge.
    across, down = (max(1, round(length / side)) for length in (east - west, north - south))
    edges_x, edges_y = np.linspace(west, east, across + 1), np.linspace(south, north, down + 1)
    cols, rows = (index.reshape(-1) for index in np.meshgrid(np.arange(across), np.arange(down)))
    squares = shapely.box(edges_x[cols], edges_y[rows], edges_x[cols + 1], edges_y[rows + 1])
    blocks = np.asarray(shapely.intersection(squares, flat), dtype=object)
    blocks = blocks[shapely.area(blocks) > 0]
    in_map: GeometryArray = np.asarray(shapely.transform(blocks, to_map), dtype=object)
    names = np.arange(1, len(blocks) + 1).astype(str).astype(object)
    return Zones(area.path, names, in_map, np.arange(len(blocks)), crs)


Move = Callable[[Float64Array], Float64Array]
"""(N, 2) coordinates in another frame."""


def _plane(ground: shapely.Geometry, crs: CRS | None) -> tuple[Move, Move]:
    """Functions from map coordinates to a plane in metres, and back."""
    if crs is None:
        return (lambda xy: xy), (lambda xy: xy)
    to_degrees = Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True)
    from_degrees = Transformer.from_crs(CRS.from_epsg(4326), crs, always_xy=True)
    west, south, east, north = shapely.bounds(ground)
    lon, lat = to_degrees.transform((west + east) / 2, (south + north) / 2)
    plane = Proj(proj="laea", lon_0=lon, lat_0=lat, ellps="WGS84")

    def to_plane(xy: Float64Array) -> Float64Array:
        return np.column_stack(plane(*to_degrees.transform(xy[:, 0], xy[:, 1])))

    def to_map(xy: Float64Array) -> Float64Array:
        return np.column_stack(from_degrees.transform(*plane(xy[:, 0], xy[:, 1], inverse=True)))

    return to_plane, to_map


def ratios(mapped: Float64Array, true: Float64Array, *, seed: int = 0) -> list[Ratio]:
    """The ratio estimator of each class with a block bootstrap (Cochran 1977, chapter 6; `scores.intervals`).

    Args:
        mapped: (B, K) amounts on the map, by block and class.
        true: (B, K) true amounts.
        seed: The same seed gives the same intervals.
    """
    blocks, classes = mapped.shape
    repeats = REPEATS if blocks >= FEWEST_BLOCKS else 0
    counts = resampled_counts(blocks, seed=seed, repeats=repeats)
    noise = generator(seed, "places", blocks).standard_normal(repeats)
    found = []
    for number in range(classes):
        shown, there = mapped[:, number], true[:, number]
        value = float(_quotient(there.sum(), shown.sum()))
        residuals = there - value * shown
        spread = 0.0
        if repeats and shown.sum() > 0:
            spread = float(np.sqrt((residuals**2).sum() / (blocks - 1) / shown.mean()))
        found.append(Ratio(value, _quotient(counts @ there, counts @ shown), spread, noise))
    return found


def _quotient(above: Float64Array, below: Float64Array) -> Float64Array:
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), np.nan), np.float64)


def matched_columns(
    names: tuple[str, ...], sums: ZoneSums, values: Float64Array | Int64Array
) -> Float64Array:
    """(B, K) columns of some sums in the order of `names`; zeros for a class that does not occur.

    The only class of either side stands for the other's, whatever it is called.
    """
    if len(names) == 1 and len(sums.class_names) == 1:
        return values.astype(np.float64)
    columns = np.zeros((len(values), len(names)))
    for number, name in enumerate(names):
        if name in sums.class_names:
            columns[:, number] = values[:, sums.class_names.index(name)]
    return columns
