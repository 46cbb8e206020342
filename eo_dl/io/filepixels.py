"""`FilePixels`: stored values of one raster file, through one GDAL handle for one thread."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from ..core.arraytypes import AnyArray, BoolArray
from ..core.bands import Band
from ..core.window import Window
from ..errors import SceneError
from .gdal import gdal_environment, open_dataset, scene_errors
from .scenefile import SceneFile


@dataclass(frozen=True)
class Masks:
    """What alpha, mask bands and rules of clear ground say of a window."""

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


class FilePixels:
    """Reads windows of a raster file, or of one of its overviews.

    Must not be shared between threads or over a fork. Raises `SceneError` if the file is damaged or has
    changed since it was described.

    Args:
        file: The file.
        bands: The bands to read, in this order.
        dtype: Data type of the pixels; holds the stored values of all these bands.
        overview: Read this overview level; None: the full image.
    """

    def __init__(
        self, file: SceneFile, bands: Sequence[Band], dtype: str, overview: int | None = None
    ) -> None:
        self._file, self._dtype = file, dtype
        self._numbers = [band.number for band in bands]
        self._one_type = len({band.dtype for band in bands}) == 1
        self._process = os.getpid()
        plain = file.grid.crs is None or file.grid.transform == Affine.identity()
        self._dataset: rasterio.DatasetReader | None = open_dataset(
            file.path, file.driver, overview, plain, file.trust_vrt
        )
        self.height, self.width = self._dataset.height, self._dataset.width
        if overview is None:
            self._check_unchanged()

    def close(self) -> None:
        """Close the file. May be called more than once."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def read(self, window: Window) -> tuple[AnyArray, Masks]:
        """Stored values (C, H, W) of a window inside the file, and what its alpha and mask bands say."""
        dataset = self._open()
        place = RasterioWindow(window.col, window.row, window.width, window.height)
        with (
            gdal_environment(self._file.path, self._file.trust_vrt),
            scene_errors(
                self._file.path, f"its pixels cannot be read at row {window.row}, column {window.col}"
            ),
        ):
            return self._pixels(dataset, place), self._masks(dataset, place)

    def _pixels(self, dataset: rasterio.DatasetReader, place: RasterioWindow) -> AnyArray:
        if self._one_type:
            # The type of the scene: GDAL 3.12 has half floats, which come as float32 here.
            pixels: AnyArray = dataset.read(self._numbers, window=place, out_dtype=self._dtype)
            return pixels
        # rasterio reads bands of one type only.
        return np.stack([dataset.read(number, window=place).astype(self._dtype) for number in self._numbers])

    def _masks(self, dataset: rasterio.DatasetReader, place: RasterioWindow) -> Masks:
        """What alpha and mask bands say."""
        whole: BoolArray | None = None
        for number in self._file.alpha:
            seen = dataset.read(number, window=place) > 0
            whole = seen if whole is None else whole & seen
        if not self._file.masked:
            return Masks(whole)
        flags = dataset.mask_flag_enums
        one_for_all = len({tuple(f) for f in flags}) == 1 and any(f.name == "per_dataset" for f in flags[0])
        numbers = self._numbers[:1] if one_for_all else self._numbers
        of_bands = [dataset.read_masks(number, window=place) > 0 for number in numbers]
        if one_for_all:
            return Masks(of_bands[0] if whole is None else whole & of_bands[0])
        return Masks(whole, np.stack(of_bands))

    def _open(self) -> rasterio.DatasetReader:
        if self._dataset is None:
            raise ValueError(f"the reader of {self._file.path} is closed; open another")
        if os.getpid() != self._process:
            raise ValueError(
                f"the reader of {self._file.path} was opened before a fork, and shared handles give wrong "
                "pixels; open one in each process"
            )
        return self._dataset

    def _check_unchanged(self) -> None:
        """A file that was replaced since the scene was opened would give pixels of another area."""
        dataset, file = self._open(), self._file
        if dataset.shape != (file.grid.height, file.grid.width) or dataset.count < max(self._numbers):
            self.close()
            raise SceneError(
                f"{file.path}: changed since it was opened (now {dataset.width}x{dataset.height} px); "
                "open the scene again"
            )
