"""Texture: measures of grey-level co-occurrence (Haralick et al. 1973) in a window around each pixel.

Values are sorted into levels of a fixed range, so a scene and a part of it give the same. A measure is the
mean over four directions at a distance of one pixel, of all pairs that lie in the window, in both orders;
contrast and its like are means over pairs, for which no matrix has to be counted.
"""

from __future__ import annotations

import numpy as np

from ...core.arraytypes import BoolArray, Float64Array

MEASURES = ("contrast", "dissimilarity", "homogeneity", "mean", "variance", "correlation")
LEVELS = 16
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))


def glcm(
    values: Float64Array, measure: str, radius_px: int, low: float, high: float, levels: int = LEVELS
) -> Float64Array:
    """A measure of texture.

    Args:
        values: (H, W) values, NaN where there are none.
        measure: One of `MEASURES`.
        radius_px: The window has sides of 2 * radius + 1 pixels.
        low: Value at which the lowest level begins.
        high: Value at which the highest level ends.
        levels: Number of levels.

    Returns:
        (H, W) the measure in levels; NaN where the pixel or all its pairs are missing.
    """
    known = np.isfinite(values)
    scaled = np.floor((np.where(known, values, low) - low) / (high - low) * levels)
    grey = np.clip(scaled, 0, levels - 1)
    total = np.zeros(values.shape, np.float64)
    counted = np.zeros(values.shape, np.float64)
    for step in _STEPS:
        found = _of_direction(grey, known, measure, radius_px, step)
        there = np.isfinite(found)
        total += np.where(there, found, 0.0)
        counted += there
    mean = np.divide(total, counted, out=np.full_like(total, np.nan), where=counted > 0)
    return np.asarray(np.where(known, mean, np.nan), np.float64)


def _of_direction(
    grey: Float64Array, known: BoolArray, measure: str, radius_px: int, step: tuple[int, int]
) -> Float64Array:
    """The measure of the pairs in one direction; NaN without a pair."""
    first, second = _pair(grey, step, 0.0)
    both_first, both_second = _pair(known, step, False)
    both = both_first & both_second
    count = _pair_counts(both, known, radius_px, step)

    def mean(of_pairs: Float64Array) -> Float64Array:
        sums = _window_sums(of_pairs * both, radius_px, step)
        return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)

    difference = first - second
    match measure:
        case "contrast":
            return mean(difference**2)
        case "dissimilarity":
            return mean(np.abs(difference))
        case "homogeneity":
            return mean(1 / (1 + difference**2))
    level = mean((first + second) / 2)
    if measure == "mean":
        return level
    variance = mean((first**2 + second**2) / 2) - level**2
    if measure == "variance":
        return variance
    covariance = mean(first * second) - level**2
    # A window of one level has no variance: its pairs agree.
    varies = variance > 1e-9
    together = np.divide(covariance, variance, out=np.ones_like(variance), where=varies)
    return np.asarray(np.where(count > 0, together, np.nan), np.float64)


def _pair_counts(both: BoolArray, known: BoolArray, radius_px: int, step: tuple[int, int]) -> Float64Array:
    """(H, W) the number of pairs in the window around each pixel; where all are known, by row and column."""
    if not known.all():
        return _window_sums(both.astype(np.float64), radius_px, step)
    rows = np.atleast_1d(both.any(axis=1))[:, None].astype(np.float64)
    cols = np.atleast_1d(both.any(axis=0))[None, :].astype(np.float64)
    down = _running(rows, 0, radius_px, radius_px - step[0])
    left, right = _beside(radius_px, step[1])
    across = _running(cols, 1, left, right)
    return np.asarray(down * across, np.float64)


def _pair(values: np.ndarray, step: tuple[int, int], fill: float) -> tuple[np.ndarray, np.ndarray]:
    """The values themselves, and those one step away; `fill` beyond the edge."""
    down, across = step
    moved = np.full_like(values, fill)
    height, width = values.shape
    rows = slice(0, height - down), slice(down, height)
    cols = (
        (slice(0, width - across), slice(across, width))
        if across >= 0
        else (slice(-across, width), slice(0, across))
    )
    moved[rows[0], cols[0]] = values[rows[1], cols[1]]
    return values, moved


def _window_sums(values: Float64Array, radius_px: int, step: tuple[int, int]) -> Float64Array:
    """(H, W) sums over the first pixels of the pairs that lie in the window around each pixel."""
    sums = _running(values, 0, radius_px, radius_px - step[0])
    left, right = _beside(radius_px, step[1])
    return _running(sums, 1, left, right)


def _beside(radius_px: int, across: int) -> tuple[int, int]:
    """How far the first pixels of pairs reach to the left and to the right in a window."""
    return radius_px + min(across, 0), radius_px - max(across, 0)


def _running(values: Float64Array, axis: int, before: int, after: int) -> Float64Array:
    """Sums over a run of pixels along an axis, from `before` in front of each to `after` behind it."""
    moved = np.moveaxis(values, axis, 0)
    padded = np.pad(moved, ((before + 1, after), (0, 0)))
    ends = np.cumsum(padded, axis=0)
    sums = ends[before + after + 1 :] - ends[: -(before + after + 1)]
    return np.moveaxis(sums, 0, axis)
