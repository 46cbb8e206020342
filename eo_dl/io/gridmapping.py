"""`GridMapping`: pixels of one grid put on another one of any CRS, the same in every window.

The place of an output pixel in the source depends on its row and column in the whole output grid and on
nothing else, so a window holds bit for bit what the whole grid holds there. Between two CRS, places are
transformed at every 16th pixel and interpolated linearly between these: over 16 pixels of 10 m the curvature
of one map projection in another moves a point by less than a millimetre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Transformer

from ..core.arraytypes import AnyArray, BoolArray, Float64Array, Int64Array
from ..core.pixelgrid import PixelGrid, apply_affine
from ..core.window import Window
from .resample import as_type, weighted

_STEP_PX = 16
_STRAIGHT_PX = 1e-6
"""Places that differ by less are one place."""


@dataclass(frozen=True)
class Places:
    """Where the pixels of a window lie in the source: coordinates of their centres, in source pixels."""

    cols: Float64Array
    """(W,) if both grids have the same directions, else (H, W)."""
    rows: Float64Array
    """(H,) or (H, W)."""

    @property
    def separable(self) -> bool:
        """True if columns depend on columns only, and rows on rows."""
        return self.cols.ndim == 1

    def shifted(self, window: Window) -> Places:
        """The same places, counted from the corner of a window of the source."""
        return Places(self.cols - window.col, self.rows - window.row)


@dataclass(frozen=True)
class GridMapping:
    """From the pixels of `source` to those of `target`.

    Finer and as fine grids: bilinear between the nearest source pixels, or the nearest one for categories.
    Sources much finer than the target are reduced before (`stackpixels`).
    """

    target: PixelGrid
    """The grid to fill."""
    source: PixelGrid
    """The grid that is read."""
    nearest: bool = False
    """Take the nearest source pixel instead of a mean."""

    @property
    def is_identity(self) -> bool:
        """True if both grids are the same, up to rounding."""
        if (self.target.height, self.target.width) != (self.source.height, self.source.width):
            return False
        if not self._same_crs:
            return False
        corners = np.array([0.0, self.target.width]), np.array([0.0, self.target.height])
        cols, rows = self.source.to_pixel(*self.target.to_map(*corners))
        return bool(np.allclose(cols, corners[0], 0, 1e-3) and np.allclose(rows, corners[1], 0, 1e-3))

    @property
    def _same_crs(self) -> bool:
        return self.target.crs is None or self.target.crs == self.source.crs

    def places(self, window: Window) -> Places:
        """Where the pixels of a window of the target lie in the source; NaN where that is not defined."""
        cols = np.arange(window.col, window.col1, dtype=np.float64) + 0.5
        rows = np.arange(window.row, window.row1, dtype=np.float64) + 0.5
        if not self._same_crs:
            return self._between_crs(window, cols, rows)
        step = self.source.inverse @ self.target.transform
        turn_px = max(abs(step.b) * self.target.height, abs(step.d) * self.target.width)
        if turn_px < _STRAIGHT_PX:
            return Places(_tidy(step.a * cols + step.c), _tidy(step.e * rows + step.f))
        xs, ys = np.meshgrid(cols, rows)
        return Places(*apply_affine(step, xs, ys))

    def _between_crs(self, window: Window, cols: Float64Array, rows: Float64Array) -> Places:
        first_col, first_row = window.col // _STEP_PX, window.row // _STEP_PX
        node_cols = np.arange(first_col, math.ceil(window.col1 / _STEP_PX) + 1) * float(_STEP_PX)
        node_rows = np.arange(first_row, math.ceil(window.row1 / _STEP_PX) + 1) * float(_STEP_PX)
        xs, ys = self.target.to_map(*np.meshgrid(node_cols, node_rows))
        transformer = Transformer.from_crs(self.target.crs, self.source.crs, always_xy=True)
        xs, ys = transformer.transform(xs, ys)
        nodes = self.source.to_pixel(xs, ys)
        col_index, col_share = _between(cols, first_col)
        row_index, row_share = _between(rows, first_row)
        found = []
        for values in nodes:
            finite = np.where(np.isfinite(values), values, np.nan)
            across = finite[:, col_index] * (1 - col_share) + finite[:, col_index + 1] * col_share
            down = 1 - row_share[:, None], row_share[:, None]
            found.append(across[row_index] * down[0] + across[row_index + 1] * down[1])
        return Places(found[0], found[1])

    def source_window(self, places: Places) -> Window | None:
        """The pixels of the source that these places need; None if none of them lies in the source."""
        col_ends = _ends(places.cols, self.source.width)
        row_ends = _ends(places.rows, self.source.height)
        if col_ends is None or row_ends is None:
            return None
        return Window.from_box(col_ends[0], row_ends[0], col_ends[1], row_ends[1])

    def apply(
        self, pixels: AnyArray, found: BoolArray, places: Places, source: Window
    ) -> tuple[AnyArray, BoolArray]:
        """Pixels (C, H, W) of a window of the target, and (C, H, W) True where they were measured.

        Args:
            pixels: (C, h, w) pixels of the window `source`.
            found: (C, h, w) True where they were measured.
            places: Where the pixels of the target lie (`places`).
            source: What was read of the source, as `source_window` says.

        Returns:
            Pixels of the given type, 0 where not measured, and where they are.
        """
        sampled = _separable if places.separable else _anywhere
        cols, rows = places.cols, places.rows
        inside_cols = (cols >= 0) & (cols < self.source.width)
        inside_rows = (rows >= 0) & (rows < self.source.height)
        inside = inside_rows[:, None] & inside_cols if places.separable else inside_rows & inside_cols
        planes, good = [], []
        for plane, here in zip(pixels, found, strict=True):
            values, known = sampled(plane, here, places.shifted(source), self.nearest)
            known &= inside
            planes.append(as_type(np.where(known, values, 0), plane.dtype))
            good.append(known)
        return np.stack(planes), np.stack(good)


def _tidy(values: Float64Array) -> Float64Array:
    """Without the rounding errors of map coordinates, so that grids which fit one another do so exactly."""
    return np.round(values, 6)


def _between(centres: Float64Array, first: int) -> tuple[Int64Array, Float64Array]:
    """For each place the index of the node before it, and its share of the way to the next one."""
    position = centres / _STEP_PX - first
    index = np.floor(position).astype(np.int64)
    return index, position - index


def _ends(places: Float64Array, count: int) -> tuple[int, int] | None:
    """First and last (exclusive) source pixel along one axis that bilinear interpolation needs."""
    finite = places[np.isfinite(places)]
    inside = finite[(finite >= 0) & (finite < count)]
    if not len(inside):
        return None
    first, last = math.floor(inside.min() - 0.5), math.floor(inside.max() - 0.5) + 2
    return max(first, 0), min(max(last, 1), count)


def _taps(places: Float64Array, nearest: bool, count: int) -> tuple[Int64Array, Float64Array]:
    """(..., T) indices and weights of source pixels, clipped to the edge."""
    if nearest:
        index = np.floor(np.nan_to_num(places)).astype(np.int64)[..., None]
        return np.clip(index, 0, count - 1), np.ones(index.shape)
    position = np.nan_to_num(places) - 0.5
    lower = np.floor(position)
    share = position - lower
    index = np.stack([lower, lower + 1], axis=-1).astype(np.int64)
    return np.clip(index, 0, count - 1), np.stack([1 - share, share], axis=-1)


def _separable(plane: AnyArray, here: BoolArray, places: Places, nearest: bool) -> tuple[AnyArray, BoolArray]:
    rows = _taps(places.rows, nearest, plane.shape[0])
    cols = _taps(places.cols, nearest, plane.shape[1])
    if here.all():
        values: AnyArray = weighted(plane, *rows, *cols)
        return values, np.ones(values.shape, np.bool_)
    share = 1 - weighted(~here, *rows, *cols)
    good: BoolArray = share >= 0.5 - 1e-5
    values = weighted(np.where(here, plane, plane.dtype.type(0)), *rows, *cols)
    return values / np.where(good, share, share.dtype.type(1)), good


def _anywhere(plane: AnyArray, here: BoolArray, places: Places, nearest: bool) -> tuple[AnyArray, BoolArray]:
    rows, row_weights = _taps(places.rows, nearest, plane.shape[0])
    cols, col_weights = _taps(places.cols, nearest, plane.shape[1])
    total, share = np.zeros(places.cols.shape), np.zeros(places.cols.shape)
    clean = np.where(here, plane, plane.dtype.type(0))
    for down in range(rows.shape[-1]):
        for across in range(cols.shape[-1]):
            index = rows[..., down], cols[..., across]
            weight = row_weights[..., down] * col_weights[..., across]
            total += weight * clean[index]
            share += weight * here[index]
    good: BoolArray = share >= 0.5 - 1e-5
    return total / np.where(good, share, 1), good
