"""Bands made from heights: slope, aspect, hillshade, local relief, sky view.

All take (H, W) heights in float64 with NaN where there are none, and look no further than the context that
they state, so a window with that context around it gives what the whole scene gives. A missing neighbour
counts as if it were as high as the pixel itself; so do those beyond the edge of a scene.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...core.arraytypes import Float64Array
from .ground import Ground

MARK_AZIMUTHS = (225.0, 270.0, 315.0, 360.0)
_MOST_STEPS = 8
_PASSES = 3


def slope(heights: Float64Array, ground: Ground) -> Float64Array:
    """Slope, degrees (Horn 1981)."""
    east, north = _gradient(heights, ground)
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))), np.float64)


def aspect(heights: Float64Array, ground: Ground) -> Float64Array:
    """Direction in which the ground falls, degrees clockwise from north; 0 where it is flat."""
    east, north = _gradient(heights, ground)
    return np.asarray(np.degrees(np.arctan2(-east, -north)) % 360.0, np.float64)


def northness(heights: Float64Array, ground: Ground) -> Float64Array:
    """How far the ground faces north: cosine of the aspect times sine of the slope, -1 to 1."""
    east, north = _gradient(heights, ground)
    return np.asarray(-north / np.sqrt(1 + east**2 + north**2), np.float64)


def eastness(heights: Float64Array, ground: Ground) -> Float64Array:
    """How far the ground faces east: sine of the aspect times sine of the slope, -1 to 1."""
    east, north = _gradient(heights, ground)
    return np.asarray(-east / np.sqrt(1 + east**2 + north**2), np.float64)


def hillshade(heights: Float64Array, ground: Ground, azimuth_deg: float, altitude_deg: float) -> Float64Array:
    """Light on the ground from one direction: cosine of the angle of incidence, 0 in its own shade."""
    east, north = _gradient(heights, ground)
    return _light(east, north, azimuth_deg, altitude_deg)


def multi_hillshade(heights: Float64Array, ground: Ground, altitude_deg: float) -> Float64Array:
    """Light from four directions, each weighted by how far the ground faces away from it along its contour.

    Weights are the squared sine of the angle between aspect and light (Mark 1992, USGS Open-File Report
    92-422).
    """
    east, north = _gradient(heights, ground)
    facing = np.arctan2(-east, -north)
    total = np.zeros_like(heights)
    for azimuth_deg in MARK_AZIMUTHS:
        weight = np.sin(facing - math.radians(azimuth_deg)) ** 2
        total += weight * _light(east, north, azimuth_deg, altitude_deg)
    return total / 2  # the squared sines of four directions, 45 degrees apart, sum to 2


def relief(heights: Float64Array, sigma_px: tuple[float, float]) -> Float64Array:
    """Height above the surroundings: the height less a Gaussian mean of it.

    Args:
        heights: The heights.
        sigma_px: Standard deviation of the Gaussian along columns and rows, pixels.
    """
    known = np.isfinite(heights)
    filled = np.where(known, heights, 0.0)
    for axis, sigma in ((1, sigma_px[0]), (0, sigma_px[1])):
        for width in _widths(sigma):
            filled = _running_mean(filled, width, axis=axis)
    if known.all():
        weights = _edge_weights(heights.shape, sigma_px)
    else:
        weights = known.astype(np.float64)
        for axis, sigma in ((1, sigma_px[0]), (0, sigma_px[1])):
            for width in _widths(sigma):
                weights = _running_mean(weights, width, axis=axis)
    mean = np.divide(filled, weights, out=np.full_like(filled, np.nan), where=weights > 1e-9)
    return np.asarray(heights - mean, np.float64)


def relief_context_px(sigma_px: float) -> int:
    """Pixels around a pixel that `relief` looks at, along one axis."""
    return sum(width // 2 for width in _widths(sigma_px))


def _widths(sigma_px: float) -> list[int]:
    """Odd widths of three running means that together are nearly a Gaussian (Kovesi 2010)."""
    ideal = math.sqrt(12 * sigma_px**2 / _PASSES + 1)
    lower = max(1, math.floor(ideal))
    lower -= lower % 2 == 0
    narrow = (12 * sigma_px**2 - _PASSES * (lower**2 + 4 * lower + 3)) / (-4 * lower - 4)
    count = round(narrow)
    return [lower if number < count else lower + 2 for number in range(_PASSES)]


def _edge_weights(shape: tuple[int, ...], sigma_px: tuple[float, float]) -> Float64Array:
    """(H, W) weights of a window in which every pixel is known: that of its row times that of its column."""
    sides = []
    for count, sigma in ((shape[0], sigma_px[1]), (shape[1], sigma_px[0])):
        line = np.ones(count)
        for width in _widths(sigma):
            line = _running_mean(line, width)
        sides.append(line)
    return np.asarray(sides[0][:, None] * sides[1][None, :], np.float64)


def sky_view(heights: Float64Array, ground: Ground, radius_m: float, directions: int) -> Float64Array:
    """Share of the sky that is seen, 0 to 1: 1 less the mean sine of the horizon (Zaksek et al. 2011).

    Args:
        heights: The heights.
        ground: Size and directions of pixels.
        radius_m: How far the horizon is looked for, metres, at up to 8 distances.
        directions: Number of directions, evenly spread.
    """
    total = np.zeros_like(heights)
    reach = sky_context_px(ground, radius_m)
    padded = np.pad(heights, reach, constant_values=np.nan)
    rows, cols = heights.shape
    for steps in _rays(ground, radius_m, directions):
        horizon = np.zeros_like(heights)
        for col, row in steps:
            distance_m = math.hypot(col * ground.width_m, row * ground.height_m)
            seen = padded[reach + row : reach + row + rows, reach + col : reach + col + cols]
            horizon = np.fmax(horizon, (seen - heights) / distance_m)
        total += horizon / np.sqrt(1 + horizon**2)
    view = 1 - total / directions
    return np.asarray(np.where(np.isfinite(heights), view, np.nan), np.float64)


def sky_context_px(ground: Ground, radius_m: float) -> int:
    """Pixels around a pixel that `sky_view` looks at."""
    return max(1, math.ceil(max(ground.pixels(radius_m))))


def _rays(ground: Ground, radius_m: float, directions: int) -> Iterator[list[tuple[int, int]]]:
    """(col, row) steps to the pixels of each direction, each once."""
    shortest = min(ground.width_m, ground.height_m)
    count = max(1, min(_MOST_STEPS, round(radius_m / shortest)))
    distances = np.geomspace(shortest, max(radius_m, shortest), count)
    for number in range(directions):
        angle = 2 * math.pi * number / directions
        steps: dict[tuple[int, int], None] = {}
        for distance in distances:
            col = round(math.sin(angle) * distance / ground.width_m)
            row = round(math.cos(angle) * distance / ground.height_m)
            if (col, row) != (0, 0):
                steps[col, row] = None
        yield list(steps)


def _gradient(heights: Float64Array, ground: Ground) -> tuple[Float64Array, Float64Array]:
    """Rise per metre to the east and to the north, by the eight neighbours (Horn 1981)."""
    padded = np.pad(heights, 1, constant_values=np.nan)
    rows, cols = heights.shape

    def neighbour(down: int, across: int) -> Float64Array:
        found = padded[1 + down : 1 + down + rows, 1 + across : 1 + across + cols]
        return np.where(np.isfinite(found), found, heights)

    along_cols = np.zeros_like(heights)
    along_rows = np.zeros_like(heights)
    for offset, weight in ((-1, 1.0), (0, 2.0), (1, 1.0)):
        along_cols += weight * (neighbour(offset, 1) - neighbour(offset, -1))
        along_rows += weight * (neighbour(1, offset) - neighbour(-1, offset))
    along_cols /= 8 * ground.width_m
    along_rows /= 8 * ground.height_m
    east = along_cols * ground.col_step[0] + along_rows * ground.row_step[0]
    north = along_cols * ground.col_step[1] + along_rows * ground.row_step[1]
    return east, north


def _light(east: Float64Array, north: Float64Array, azimuth_deg: float, altitude_deg: float) -> Float64Array:
    azimuth, altitude = math.radians(azimuth_deg), math.radians(altitude_deg)
    towards = math.sin(azimuth) * math.cos(altitude), math.cos(azimuth) * math.cos(altitude)
    incidence = math.sin(altitude) - east * towards[0] - north * towards[1]
    return np.asarray(np.maximum(incidence / np.sqrt(1 + east**2 + north**2), 0.0), np.float64)


def _running_mean(values: Float64Array, width: int, axis: int = -1) -> Float64Array:
    """The mean of the `width` values around each, along an axis; 0 beyond the edge."""
    from scipy import ndimage  # lazy: rasters without terrain do not need it

    return np.asarray(ndimage.uniform_filter1d(values, width, axis=axis, mode="constant"))
