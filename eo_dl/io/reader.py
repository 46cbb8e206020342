"""`SceneReader`: pixels of a scene with their valid mask, through one GDAL handle for one thread.

A pixel is valid if it was measured in every used band:

- NaN and infinity in any band are invalid.
- A nodata value that measurements cannot take (-9999, -3.4e38, the lowest value of a signed type, any value
  of a float band) is invalid in any band.
- A nodata value that measurements can take (0, or the highest value of an integer type) is invalid if all
  bands with such a value hold it, which is also GDAL's rule for `dataset_mask`. Saturated roofs (255 in one
  band) and black water (0 in one band) are measurements, not holes.
- Alpha 0, and pixels that a mask band masks, are invalid.
"""

from __future__ import annotations

import os
from types import TracebackType

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from ..core.arrays import Chip
from ..core.arraytypes import AnyArray, BoolArray
from ..core.bands import Band
from ..core.gridwindow import require_grid
from ..core.window import Window
from ..errors import SceneError
from .gdal import gdal_environment, open_dataset, scene_errors
from .readable import Readable
from .resample import Resampling, choose_overview


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
        self._always_valid = (
            not scene.file.alpha
            and not scene.file.masked
            and all(_never_invalid(band) for band in scene.bands)
        )
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
        return self._resampling.apply(pixels, valid, window, source)

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
            valid = self._valid(dataset, place, pixels)
        if valid is None:
            return pixels, np.ones(pixels.shape[1:], np.bool_)
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

    def _valid(
        self, dataset: rasterio.DatasetReader, place: RasterioWindow, pixels: AnyArray
    ) -> BoolArray | None:
        """The valid mask; None if all pixels are valid."""
        if self._always_valid:
            return None
        valid = measured(pixels, self.scene.bands.bands)
        for number in self.scene.file.alpha:
            valid &= dataset.read(number, window=place) > 0
        if self.scene.file.masked:
            flags = dataset.mask_flag_enums
            numbers = (
                self._numbers[:1]
                if len({tuple(f) for f in flags}) == 1 and any(f.name == "per_dataset" for f in flags[0])
                else self._numbers
            )
            for number in numbers:
                valid &= dataset.read_masks(number, window=place) > 0
        return valid

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


def measured(pixels: AnyArray, bands: tuple[Band, ...]) -> BoolArray:
    """(H, W) True where stored pixels (C, H, W) are measurements by their value; the rules are in the
    module's text.
    """
    valid: BoolArray = np.ones(pixels.shape[1:], np.bool_)
    differs: BoolArray | None = (
        None  # from a nodata value that is also a measurement, in any band that has one
    )
    for plane, band in zip(pixels, bands, strict=True):
        if plane.dtype.kind == "f":
            valid &= np.isfinite(plane)
        if band.nodata is None or np.isnan(band.nodata):
            continue
        other: BoolArray = plane != np.asarray(band.nodata).astype(band.dtype).astype(plane.dtype)
        if not is_measurable(band):
            valid &= other
        else:
            differs = other if differs is None else np.logical_or(differs, other, out=differs)
    return valid if differs is None else np.logical_and(valid, differs, out=valid)


def is_measurable(band: Band) -> bool:
    """True where the band's nodata value is also one that a measurement takes: 0 or the top of an integer
    type.
    """
    kind = np.dtype(band.dtype)
    return kind.kind in "iu" and band.nodata in (0, np.iinfo(kind).max)


def _never_invalid(band: Band) -> bool:
    return band.nodata is None and np.dtype(band.dtype).kind in "iu"
