"""`SceneReader`: pixels of a scene with their valid mask, through one GDAL handle for one thread.

`validity` has the rules of what is measured and valid. Pixels that are not valid hold 0. Where the scene's
rule lets a valid pixel lack bands (`Readable.fills`), pixels are floats, and a missing band holds NaN.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from ..core.arrays import Chip
from ..core.arraytypes import AnyArray, BoolArray
from ..core.gridwindow import require_grid
from ..core.window import Window
from ..errors import SceneError
from .gdal import gdal_environment, open_dataset, scene_errors
from .readable import Readable
from .resample import Resampling, choose_overview
from .validity import BandGaps, dim_pixels, may_lack, measured, measured_bands


@dataclass(frozen=True)
class Masks:
    """What alpha and mask bands say of a window."""

    whole: BoolArray | None = None
    """(H, W) True where no band is masked; None: everywhere."""

    of_bands: BoolArray | None = None
    """(C, H, W) True where a band is not masked by a mask of its own; None: bands have none."""

    def apply_to_pixels(self, valid: BoolArray) -> BoolArray:
        """Take away what is masked in any band from (H, W), in place."""
        if self.whole is not None:
            valid &= self.whole
        if self.of_bands is not None:
            valid &= self.of_bands.all(axis=0)
        return valid

    def apply_to_bands(self, found: BoolArray) -> BoolArray:
        """Take away what is masked from (C, H, W), in place."""
        if self.whole is not None:
            found &= self.whole
        if self.of_bands is not None:
            found &= self.of_bands
        return found


class SceneReader:
    """Reads windows of a scene's working grid. A context manager.

    Must not be shared between threads or over a fork. Raises `SceneError` if the file is damaged or has
    changed since the scene was opened.
    """

    def __init__(self, scene: Readable) -> None:
        self.scene = scene
        self._process = os.getpid()
        self._overview = choose_overview(scene) if scene.resampled else None
        plain = scene.file.grid.crs is None or scene.file.grid.transform == Affine.identity()
        self._dataset: rasterio.DatasetReader | None = open_dataset(
            scene.file.path, scene.file.driver, self._overview, plain, scene.file.trust_vrt
        )
        self._resampling = (
            Resampling.between(scene, self._dataset.height, self._dataset.width) if scene.resampled else None
        )
        self._numbers = [band.number for band in scene.bands]
        self._least_bands, self._fills = scene.least_bands, scene.fills
        self._always_valid = (
            not scene.file.alpha and not scene.file.masked and not any(may_lack(band) for band in scene.bands)
        )
        self._gaps: BandGaps | None = None  # of the window that `read_gaps` reads
        self._check_unchanged()

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. May be called more than once."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

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
        pixels: AnyArray = np.zeros((len(self._numbers), window.height, window.width), self.scene.dtype)
        valid: BoolArray = np.zeros((window.height, window.width), np.bool_)
        if inside is not None:
            rows, cols = inside.relative_to(window).slices
            pixels[:, rows, cols], valid[rows, cols] = self._read_inside(inside)
        return Chip(pixels, valid, grid.crop(window), self.scene.bands, window)

    def read_gaps(self, window: Window) -> tuple[Chip, BandGaps]:
        """As `read`, and what its pixels lack, counted in pixels of the file (or of the overview in use)."""
        self._gaps = BandGaps.none(len(self._numbers))
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
        if self._resampling is None:
            return self._read_source(window)
        source = self._resampling.source_window(window)
        pixels, valid = self._read_source(source)
        least_bands = self._least_bands if self._fills else None
        return self._resampling.apply(pixels, valid, window, source, least_bands)

    def _read_source(self, window: Window) -> tuple[AnyArray, BoolArray]:
        """Pixels and valid mask on the file's own grid, or that of the overview in use."""
        dataset = self._open()
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        with (
            gdal_environment(self.scene.file.path, self.scene.file.trust_vrt),
            scene_errors(
                self.scene.file.path, f"its pixels cannot be read at row {window.row}, column {window.col}"
            ),
        ):
            pixels = self._pixels(dataset, place)
            masks = self._masks(dataset, place)
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

    def _pixels(self, dataset: rasterio.DatasetReader, place: RasterioWindow) -> AnyArray:
        if len({band.dtype for band in self.scene.bands}) == 1:
            # The type of the scene: GDAL 3.12 has half floats, which come as float32 here.
            pixels: AnyArray = dataset.read(self._numbers, window=place, out_dtype=self.scene.dtype)
            return pixels
        # rasterio reads bands of one type only.
        return np.stack(
            [dataset.read(number, window=place).astype(self.scene.dtype) for number in self._numbers]
        )

    def _masks(self, dataset: rasterio.DatasetReader, place: RasterioWindow) -> Masks:
        """What alpha and mask bands say."""
        whole: BoolArray | None = None
        for number in self.scene.file.alpha:
            seen = dataset.read(number, window=place) > 0
            whole = seen if whole is None else whole & seen
        if not self.scene.file.masked:
            return Masks(whole)
        flags = dataset.mask_flag_enums
        one_for_all = len({tuple(f) for f in flags}) == 1 and any(f.name == "per_dataset" for f in flags[0])
        numbers = self._numbers[:1] if one_for_all else self._numbers
        of_bands = [dataset.read_masks(number, window=place) > 0 for number in numbers]
        if one_for_all:
            return Masks(of_bands[0] if whole is None else whole & of_bands[0])
        return Masks(whole, np.stack(of_bands))

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
            self._gaps += BandGaps.none(len(self._numbers), pixels)

    def _open(self) -> rasterio.DatasetReader:
        if self._dataset is None:
            raise ValueError(f"the reader of {self.scene.file.path} is closed; open another")
        if os.getpid() != self._process:
            raise ValueError(
                f"the reader of {self.scene.file.path} was opened before a fork, and shared handles give "
                "wrong pixels; open one in each process"
            )
        return self._dataset

    def _check_unchanged(self) -> None:
        """A file that was replaced since the scene was opened would give pixels of another area."""
        dataset, scene = self._open(), self.scene
        if self._overview is None and (
            dataset.shape != (scene.file.grid.height, scene.file.grid.width)
            or dataset.count < max(self._numbers)
        ):
            self.close()
            raise SceneError(
                f"{scene.file.path}: changed since it was opened (now {dataset.width}x{dataset.height} px); "
                "open the scene again"
            )
