"""One small thing for the tests of io: a GeoTIFF from an array."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

UTM = Affine(2.0, 0, 500_000, 0, -2.0, 5_000_000)
MakeTiff = Callable[..., str]


@pytest.fixture
def make_tiff(tmp_path: Path) -> MakeTiff:
    """A function that writes a GeoTIFF and returns its path.

    `make_tiff(pixels, name="scene.tif", crs=..., transform=..., mask=..., names=..., **profile)`.
    """

    def make(
        pixels: np.ndarray,
        name: str = "scene.tif",
        *,
        crs: str | None = "EPSG:32633",
        transform: Affine | None = UTM,
        mask: np.ndarray | None = None,
        names: tuple[str, ...] = (),
        colors: tuple[Any, ...] = (),
        **profile: Any,
    ) -> str:
        path = str(tmp_path / name)
        pixels = pixels[None] if pixels.ndim == 2 else pixels
        count, height, width = pixels.shape
        profile = {"driver": "GTiff", "dtype": str(pixels.dtype), **profile}
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", count=count, height=height, width=width, crs=crs, transform=transform, **profile
            ) as dataset:
                if colors:
                    dataset.colorinterp = colors
                dataset.write(pixels)
                if mask is not None:
                    dataset.write_mask(mask)
                for band, text in enumerate(names, start=1):
                    dataset.set_band_description(band, text)
        return path

    return make
