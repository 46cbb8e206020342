"""`SceneReader`: pixels of a scene with their valid mask, through one GDAL handle for one thread.

`validity` has the rules of what is measured and valid. Pixels that are not valid hold 0. Where the scene's
rule lets a valid pixel lack bands (`Readable.fills`), pixels are floats, and a missing band holds NaN.
"""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

import numpy as np

from ..core.arrays import Chip
from ..core.arraytypes import AnyArray, BoolArray
from ..core.gridwindow import require_grid
from ..core.window import Window
from .derivedpixels import DerivedPixels
from .filepixels import FilePixels, Masks
from .readable import Readable
from .resample import Resampling, choose_overview
from .stackpixels import StackPixels
from .validity import BandGaps, dim_pixels, may_lack, measured, measured_bands


class SceneReader:
    """Reads windows of a scene's working grid. A context manager.

    Must not be shared between threads or over a fork. Raises `SceneError` if the file is damaged or has
    changed since the scene was opened.
    """

    def __init__(self, scene: Readable) -> None:
        self.scene = scene
        self._source: FilePixels | StackPixels | None = None
        self._resampling: Resampling | None = None
        self._base: SceneReader | None = None
        bands = scene.bands.bands
        if scene.base is not None:
            base = scene.base
            self._derived = DerivedPixels(bands, base.bands.bands, scene.grid)
            self._base = SceneReader(base)
        elif scene.file.parts:
            self._source = StackPixels(scene.file, scene.grid, bands, scene.dtype)
        elif scene.resampled:
            overview = choose_overview(scene.file, scene.grid, scene.own_nodata)
            source = FilePixels(scene.file, bands, scene.dtype, overview)
            nearest = scene.file.categorical
            self._resampling = Resampling.between(scene.grid, source.height, source.width, nearest)
            self._source = source
        else:
            self._source = FilePixels(scene.file, bands, scene.dtype)
        self._least_bands, self._fills = scene.least_bands, scene.fills
        self._always_valid = (
            not scene.file.alpha and not scene.file.masked and not any(may_lack(band) for band in scene.bands)
        )
        self._gaps: BandGaps | None = None  # of the window that `read_gaps` reads

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. May be called more than once."""
        if self._source is not None:
            self._source.close()
        if self._base is not None:
            self._base.close()

    def read(self, window: Window) -> Chip:
        """Stored values (C, H, W) of a window, 0 where not valid; what sticks out of the scene is not valid.

        Raises:
            GridError: The window counts the pixels of another grid.
            SceneError: The file is damaged.
        """
        grid = self.scene.grid
        require_grid(window, grid, self.scene.file.path)
        inside = window.intersection(grid.window)
        if inside is not None and inside.box == window.box:
            return Chip(*self._read_inside(window), grid.crop(window), self.scene.bands, window)
        pixels: AnyArray = np.zeros((len(self.scene.bands), window.height, window.width), self.scene.dtype)
        valid: BoolArray = np.zeros((window.height, window.width), np.bool_)
        if inside is not None:
            rows, cols = inside.relative_to(window).slices
            pixels[:, rows, cols], valid[rows, cols] = self._read_inside(inside)
        return Chip(pixels, valid, grid.crop(window), self.scene.bands, window)

    def read_gaps(self, window: Window) -> tuple[Chip, BandGaps]:
        """As `read`, and what its pixels lack, counted in pixels of the file (or of the overview in use)."""
        self._gaps = BandGaps.none(len(self.scene.bands))
        try:
            chip, gaps = self.read(window), self._gaps
        finally:
            self._gaps = None
        return chip, gaps

    def read_rows(self, row0: int, row1: int) -> tuple[AnyArray, BoolArray]:
        """Full-width rows `[row0, row1)`: pixels (C, rows, W), 0 where invalid; valid mask (rows, W)."""
        return self._read_inside(Window(0, row0, self.scene.grid.width, row1 - row0))

    def read_window(self, window: Window) -> tuple[AnyArray, BoolArray]:
        """As `read_rows`, for a window inside the working grid."""
        return self._read_inside(window)

    def read_valid(self, window: Window) -> BoolArray:
        """Only the valid mask (H, W) of a window."""
        if not self._always_valid:
            return self.read(window).valid
        require_grid(window, self.scene.grid, self.scene.file.path)
        valid: BoolArray = np.zeros((window.height, window.width), np.bool_)
        inside = window.intersection(self.scene.grid.window)
        if inside is not None:
            valid[inside.relative_to(window).slices] = True
        return valid

    def _read_inside(self, window: Window) -> tuple[AnyArray, BoolArray]:
        if self._base is not None:
            return self._read_derived(self._base, window)
        if self._resampling is None:
            return self._read_source(window)
        source = self._resampling.source_window(window)
        pixels, valid = self._read_source(source)
        least_bands = self._least_bands if self._fills else None
        return self._resampling.apply(pixels, valid, window, source, least_bands)

    def _read_source(self, window: Window) -> tuple[AnyArray, BoolArray]:
        """Pixels and valid mask on the file's own grid, that of the overview in use, or that of several
        rasters.
        """
        if self._source is None:
            raise ValueError("a reader of derived bands has no pixels of its own")
        pixels, masks = self._source.read(window)
        if self._gaps is not None:
            dim = dim_pixels(pixels, self.scene.bands.bands)
            self._gaps = replace(self._gaps, dim=self._gaps.dim + dim)
        if self._always_valid:
            self._count_ground(pixels.shape[1] * pixels.shape[2])
            return pixels, np.ones(pixels.shape[1:], np.bool_)
        valid = self._fill(pixels, masks) if self._fills else self._valid(pixels, masks)
        if not valid.all():
            invalid = ~valid
            for plane in pixels:  # a boolean index over all bands at once takes ten times as long
                np.copyto(plane, 0, where=invalid)
        return pixels, valid

    def _read_derived(self, base: SceneReader, window: Window) -> tuple[AnyArray, BoolArray]:
        """Bands that are made from those of another reader, which is asked for their context, too."""
        wide = window.buffered(self._derived.context_px).clipped_to(self.scene.grid.window)
        pixels, valid = base.read_window(wide)
        found: BoolArray = np.broadcast_to(valid, pixels.shape)
        if base.scene.fills:
            found = found & ~np.isnan(pixels)
        made, known = self._derived.make(pixels, found, wide, window, self.scene.dtype)
        enough: BoolArray = np.count_nonzero(known, axis=0) >= self._least_bands
        if self._gaps is not None:
            self._gaps += BandGaps.counted(known, enough)
        for plane, here in zip(made, known, strict=True):
            np.copyto(plane, np.nan if self._fills else 0, where=~here & enough)
            np.copyto(plane, 0, where=~enough)
        return made, enough

    def _valid(self, pixels: AnyArray, masks: Masks) -> BoolArray:
        """(H, W) where all bands were measured."""
        valid = masks.apply_to_pixels(measured(pixels, self.scene.bands.bands))
        if self._gaps is None:
            return valid
        if len(pixels) == 1 or valid.all():
            self._count_ground(int(np.count_nonzero(valid)))
        else:
            found = masks.apply_to_bands(measured_bands(pixels, self.scene.bands.bands))
            self._gaps += BandGaps.counted(found, valid)
        return valid

    def _fill(self, pixels: AnyArray, masks: Masks) -> BoolArray:
        """(H, W) where enough bands were measured; the others of such a pixel become NaN."""
        found = masks.apply_to_bands(measured_bands(pixels, self.scene.bands.bands))
        valid: BoolArray = np.count_nonzero(found, axis=0) >= self._least_bands
        for plane, here in zip(pixels, found, strict=True):
            np.copyto(plane, np.nan, where=~here)
        if self._gaps is not None:
            self._gaps += BandGaps.counted(found, valid)
        return valid

    def _count_ground(self, pixels: int) -> None:
        if self._gaps is not None:
            self._gaps += BandGaps.none(len(self.scene.bands), pixels)
