"""Reading a scene at another pixel size, with results that do not depend on the window.

Coarser: the area-weighted mean of the source pixels that an output pixel covers. Finer: bilinear between the
nearest source pixels. Categories (`SceneFile.categorical`): the pixel at the centre. Rows are combined first,
then columns. Weights depend on an output pixel's position in the whole scene and are summed in a fixed order,
so a window holds bit for bit what the whole image holds there. Invalid pixels have no weight; an output pixel
is valid if valid ones make up half its weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float64Array, FloatArray, Int64Array
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from .scenefile import SceneFile


@dataclass(frozen=True)
class Axis:
    """How output pixels cover source pixels of the same extent, along one axis."""

    count: int
    """Number of output pixels."""
    source: int
    """Number of source pixels."""
    nearest: bool = False
    """Take the nearest source pixel instead of a mean."""

    def taps(self, start: int, stop: int) -> tuple[Int64Array, Float64Array]:
        """(n, T) source indices and weights (sum 1) of output pixels `[start, stop)`; unused taps weigh 0."""
        pixels = np.arange(start, stop, dtype=np.int64)
        if self.nearest:
            centre = (2 * pixels + 1) * self.source // (2 * self.count)
            return centre[:, None], np.ones((len(pixels), 1))
        return self._area(pixels) if self.source >= self.count else self._linear(pixels)

    def _area(self, pixels: Int64Array) -> tuple[Int64Array, Float64Array]:
        # In whole numbers of 1/count source pixels: pixel i covers [i*source, (i+1)*source), source pixel j
        # [j*count, (j+1)*count).
        first, last = pixels * self.source, (pixels + 1) * self.source
        width = (self.source + self.count - 1) // self.count + 1
        index = (first // self.count)[:, None] + np.arange(width)
        covered = np.minimum(last[:, None], (index + 1) * self.count) - np.maximum(
            first[:, None], index * self.count
        )
        return np.minimum(index, self.source - 1), np.maximum(covered, 0) / self.source

    def _linear(self, pixels: Int64Array) -> tuple[Int64Array, Float64Array]:
        # The centre of pixel i lies at (2i+1)*source/(2*count) - 1/2 between the centres of source pixels.
        position = (2 * pixels + 1) * self.source - self.count
        lower = position // (2 * self.count)
        share = (position - lower * 2 * self.count) / (2 * self.count)
        index = np.clip(np.stack([lower, lower + 1], axis=1), 0, self.source - 1)
        return index, np.stack([1 - share, share], axis=1)


@dataclass(frozen=True)
class Resampling:
    """From source pixels (the file or one of its overviews) to the working grid."""

    rows: Axis
    """Down the rows."""
    cols: Axis
    """Along the columns."""

    @classmethod
    def between(cls, grid: PixelGrid, height: int, width: int, nearest: bool = False) -> Resampling:
        """From a source of this size (the file, or one of its overviews) to a grid of the same extent."""
        return cls(Axis(grid.height, height, nearest), Axis(grid.width, width, nearest))

    def source_window(self, window: Window) -> Window:
        """The source pixels that a window of the working grid needs."""
        rows, _ = self.rows.taps(window.row, window.row1)
        cols, _ = self.cols.taps(window.col, window.col1)
        return Window.from_box(int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1)

    def apply(
        self,
        pixels: AnyArray,
        valid: BoolArray,
        window: Window,
        source: Window,
        least_bands: int | None = None,
    ) -> tuple[AnyArray, BoolArray]:
        """Resample a window.

        Args:
            pixels: (C, h, w) source pixels, 0 where invalid.
            valid: (h, w) their valid mask.
            window: The window of the working grid, H x W.
            source: The window of the source pixels.
            least_bands: Bands that a valid pixel needs, if it may lack others, which hold NaN; None: it lacks
                none.

        Returns:
            (C, H, W) pixels and (H, W) valid mask.
        """
        if least_bands is not None:
            return self._band_by_band(pixels, valid, window, source, least_bands)
        row_index, row_weight = self.rows.taps(window.row, window.row1)
        col_index, col_weight = self.cols.taps(window.col, window.col1)
        row_index, col_index = row_index - source.row, col_index - source.col
        share: FloatArray = np.ones((window.height, window.width), np.float32)
        if not valid.all():
            # What is lost is summed: exactly 0 where nothing is, as in a window without any invalid pixel.
            share = 1 - weighted(~valid, row_index, row_weight, col_index, col_weight)
        good = share >= 0.5 - 1e-5
        divisor = np.where(good, share, share.dtype.type(1))
        out = np.zeros((len(pixels), window.height, window.width), pixels.dtype)
        for band, plane in enumerate(pixels):
            values = weighted(plane, row_index, row_weight, col_index, col_weight) / divisor
            out[band] = as_type(np.where(good, values, 0.0), pixels.dtype)
        return out, good

    def _band_by_band(
        self, pixels: AnyArray, valid: BoolArray, window: Window, source: Window, least_bands: int
    ) -> tuple[AnyArray, BoolArray]:
        """`apply` for each band with its own gaps; the rule is then applied to the resampled pixels."""
        planes, found = [], []
        for plane in pixels:
            here = valid & ~np.isnan(plane)
            clean = np.where(here, plane, plane.dtype.type(0))
            (resampled,), good = self.apply(clean[None], here, window, source)
            planes.append(np.where(good, resampled, plane.dtype.type(np.nan)))
            found.append(good)
        out, enough = np.stack(planes), np.count_nonzero(found, axis=0) >= least_bands
        np.copyto(out, 0, where=~enough)
        return out, enough


def choose_overview(file: SceneFile, grid: PixelGrid, own_nodata: bool) -> int | None:
    """The coarsest overview that is still as fine as a grid of the same extent; None for the full image.

    Overviews are not used if they may hold invalid pixels as values (with a mask or alpha, or a nodata value
    that is not the file's own), or means of categories.
    """
    if file.masked or file.alpha or file.categorical or not own_nodata:
        return None
    factor = min(file.grid.height / grid.height, file.grid.width / grid.width)
    usable = [
        (decimation, level)
        for level, decimation in enumerate(file.overviews)
        if 1 < decimation <= factor + 1e-9
    ]
    return max(usable)[1] if usable else None


def weighted(
    plane: AnyArray,
    row_index: Int64Array,
    row_weight: Float64Array,
    col_index: Int64Array,
    col_weight: Float64Array,
) -> FloatArray:
    """(H, W) sums over taps, along columns of pixels and then along rows, in the order of the taps.

    float32 where it holds every stored value exactly, else float64.
    """
    exact = np.float32 if plane.dtype.itemsize <= 2 or plane.dtype == np.float32 else np.float64
    tall = _sum_rows(plane.astype(exact), row_index, row_weight)
    return _sum_rows(np.ascontiguousarray(tall.T), col_index, col_weight).T


def _sum_rows(values: FloatArray, index: Int64Array, weight: Float64Array) -> FloatArray:
    """(n, W): for each of n rows of `index` (n, T) the weighted sum of those rows of `values`.

    Whole rows are gathered, because gathering along the last axis is many times slower. No matrix product:
    its order of summation depends on the shape.
    """
    out = np.zeros((len(index), values.shape[1]), values.dtype)
    gathered = np.empty_like(out)
    for tap in range(index.shape[1]):
        np.take(values, index[:, tap], axis=0, out=gathered, mode="clip")
        gathered *= weight[:, tap, None].astype(values.dtype)
        out += gathered
    return out


def as_type(values: AnyArray, dtype: np.dtype[np.generic]) -> AnyArray:
    """Values as this data type, rounded and limited to its range if it holds whole numbers."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        return values.astype(dtype)
    info = np.iinfo(str(dtype))
    rounded: AnyArray = np.clip(np.rint(values), info.min, info.max).astype(dtype)
    return rounded
