"""`StackPixels`: the bands of a scene that is made of several rasters, or masked, on one grid.

Each raster is read in its own grid. If it is finer than the grid of the scene, it is first reduced to pixels
of about that size (area-weighted means), then placed on it (`gridmapping`). A band is measured where its own
raster says so. Ground is clear where no rule takes it away; a coarse pixel is only clear if all of it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray
from ..core.bands import Band
from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from .filepixels import FilePixels, Masks
from .gridmapping import GridMapping
from .resample import Resampling, as_type, choose_overview
from .scenefile import Cover, SceneFile
from .validity import measured_bands

_FINER = 1.01
"""A raster whose pixels are smaller by more than this factor is reduced first."""
_ALL_CLEAR = 1 - 1e-5


class StackPixels:
    """Reads windows of a grid from all rasters of a scene; see `filepixels.FilePixels`.

    Args:
        file: The scene, which has parts.
        grid: The grid on which it is read.
        bands: The bands to read, in this order.
        dtype: Data type of the pixels.
    """

    def __init__(self, file: SceneFile, grid: PixelGrid, bands: Sequence[Band], dtype: str) -> None:
        self._dtype, self._count = np.dtype(dtype), len(bands)
        index_of = {band.number: index for index, band in enumerate(bands)}
        self._layers: list[tuple[list[int], _Layer]] = []
        self._covers: list[tuple[Cover, _Layer]] = []
        try:
            for part in file.parts:
                wanted = [(index_of[number], band) for number, band in part.bands if number in index_of]
                if wanted:
                    own = [band for _, band in wanted]
                    layer = _Layer(part.file, own, grid, part.nearest, part.own_nodata)
                    self._layers.append(([index for index, _ in wanted], layer))
            for cover in file.covers:
                self._covers.append((cover, _Layer(cover.file, [cover.band], grid, True, False)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all rasters. May be called more than once."""
        for _, layer in (*self._layers, *self._covers):
            layer.close()

    def read(self, window: Window) -> tuple[AnyArray, Masks]:
        """Stored values (C, H, W) of a window inside the grid, and where they are measured and clear."""
        shape = self._count, window.height, window.width
        pixels: AnyArray = np.zeros(shape, self._dtype)
        found: BoolArray = np.zeros(shape, np.bool_)
        for indices, layer in self._layers:
            planes, known = layer.read(window)
            for index, plane, here in zip(indices, planes, known, strict=True):
                pixels[index], found[index] = plane, here
        clear: BoolArray | None = None
        for cover, layer in self._covers:
            seen = layer.read_clear(window, cover)
            clear = seen if clear is None else clear & seen
        return pixels, Masks(clear, found)


class _Layer:
    """Bands of one raster on another grid."""

    def __init__(
        self, file: SceneFile, bands: Sequence[Band], grid: PixelGrid, nearest: bool, own_nodata: bool
    ) -> None:
        self._bands, self._grid = tuple(bands), grid
        self._dtypes = [np.dtype(band.dtype) for band in bands]
        reduced = _reduced(file.grid, grid)
        overview = choose_overview(file, reduced, own_nodata and not nearest)
        dtype = str(np.result_type(*self._dtypes))
        self._pixels = FilePixels(file, bands, dtype, overview)
        self._mapping = GridMapping(grid, reduced, nearest)
        # Rounded once, at the end.
        self._is_last_step = self._mapping.is_identity or nearest
        size = self._pixels.height, self._pixels.width
        self._reducing: Resampling | None = None
        if size != (reduced.height, reduced.width):
            self._reducing = Resampling.between(reduced, *size, nearest)
        self._share = None if self._reducing is None else Resampling.between(reduced, *size)

    def close(self) -> None:
        """Close the file."""
        self._pixels.close()

    def read(self, window: Window) -> tuple[list[AnyArray], BoolArray]:
        """(H, W) of each band in its own data type, and (C, H, W) True where it was measured."""
        places = self._mapping.places(window)
        needed = window if self._mapping.is_identity else self._mapping.source_window(places)
        if needed is None:
            nothing: BoolArray = np.zeros((len(self._bands), window.height, window.width), np.bool_)
            return [plane.astype(dtype) for plane, dtype in zip(nothing, self._dtypes, strict=True)], nothing
        pixels, found = self._reduce(needed)
        if not self._mapping.is_identity:
            pixels, found = self._mapping.apply(pixels, found, places, needed)
        planes = [as_type(plane, dtype) for plane, dtype in zip(pixels, self._dtypes, strict=True)]
        return planes, found

    def _reduce(self, window: Window) -> tuple[AnyArray, BoolArray]:
        """Bands and where they are measured, (C, H, W), in a window of the reduced grid."""
        reducing = self._reducing
        source = window if reducing is None else reducing.source_window(window)
        pixels, masks = self._pixels.read(source)
        found = masks.apply_to_bands(measured_bands(pixels, self._bands))
        for plane, here in zip(pixels, found, strict=True):
            np.copyto(plane, 0, where=~here)
        if not self._is_last_step and pixels.dtype.kind != "f":
            pixels = pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else np.float64)
        if reducing is None:
            return pixels, found
        planes, good = [], []
        for plane, here in zip(pixels, found, strict=True):
            values, known = reducing.apply(plane[None], here, window, source)
            planes.append(values[0])
            good.append(known)
        return np.stack(planes), np.stack(good)

    def read_clear(self, window: Window, cover: Cover) -> BoolArray:
        """(H, W) True where the rule of a cover takes no ground away; False outside its raster."""
        places = self._mapping.places(window)
        needed = self._mapping.source_window(places)
        if needed is None:
            return np.zeros((window.height, window.width), np.bool_)
        source = needed if self._share is None else self._share.source_window(needed)
        pixels, masks = self._pixels.read(source)
        clear = masks.apply_to_pixels(cover.rule.clear(pixels[0]))
        if self._share is not None:
            everywhere = np.ones_like(clear)
            share, _ = self._share.apply(clear[None].astype(np.float32), everywhere, needed, source)
            clear = share[0] >= _ALL_CLEAR
        values, inside = self._mapping.apply(
            clear[None].astype(np.uint8), np.ones((1, *clear.shape), np.bool_), places, needed
        )
        seen: BoolArray = (values[0] > 0) & inside[0]
        return seen


def _reduced(source: PixelGrid, target: PixelGrid) -> PixelGrid:
    """The grid of a raster with pixels of about the target's size, if they are smaller; else its own."""
    if source.crs is None or source.crs == target.crs:
        source_px, target_px = _map_px(source), _map_px(target)
    else:
        source_px, target_px = source.pixel_size_m, target.pixel_size_m
    size = []
    for count, own, wanted in zip((source.width, source.height), source_px, target_px, strict=True):
        factor = wanted / own
        size.append(max(1, round(count / factor)) if factor > _FINER else count)
    width, height = size
    if (height, width) == (source.height, source.width):
        return source
    return source.resized(height, width)


def _map_px(grid: PixelGrid) -> tuple[float, float]:
    """Width and height of a pixel in units of the map."""
    transform = grid.transform
    return float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))
