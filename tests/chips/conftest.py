"""Small scenes and labels for the chip tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

Writer = Callable[..., Path]

UTM = "EPSG:32633"
NORTH_UP = Affine(10, 0, 400_000, 0, -10, 5_400_000)


@pytest.fixture
def write_scene(tmp_path: Path) -> Writer:
    """A scene of noise: write_scene("a.tif", height, width, ...)."""

    def write(
        name: str,
        height: int = 96,
        width: int = 160,
        *,
        bands: tuple[str, ...] = ("red", "green", "nir"),
        dtype: str = "uint16",
        crs: str | None = UTM,
        transform: Affine = NORTH_UP,
        nodata: float | None = None,
        seed: int = 0,
        pixels: np.ndarray | None = None,
        scale: float | None = None,
    ) -> Path:
        path = tmp_path / name
        data = (
            np.random.default_rng(seed).integers(1, 200, (len(bands), height, width))
            if pixels is None
            else pixels
        )
        profile = {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": len(bands),
            "dtype": dtype,
            "nodata": nodata,
            "tiled": True,
            "blockxsize": 64,
            "blockysize": 64,
        }
        placed = {"crs": crs, "transform": transform} if crs is not None else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, "w", **profile, **placed)
        with dataset:
            dataset.write(data.astype(dtype))
            for number, band in enumerate(bands, start=1):
                dataset.set_band_description(number, band)
            if scale is not None:
                dataset.scales = (scale,) * len(bands)
        return path

    return write


def squares(
    count_x: int, count_y: int, step: float, side: float, transform: Affine = NORTH_UP
) -> list[shapely.Polygon]:
    """Squares of `side` px on a lattice of `step` px, in map coordinates."""
    found = []
    for row in range(count_y):
        for col in range(count_x):
            c, r = col * step + step / 3, row * step + step / 3
            found.append(
                shapely.Polygon(
                    [
                        transform @ corner
                        for corner in ((c, r), (c + side, r), (c + side, r + side), (c, r + side))
                    ]
                )
            )
    return found


@pytest.fixture
def write_labels(tmp_path: Path) -> Writer:
    """Polygons of two kinds: write_labels("a.gpkg", polygons, kinds)."""

    def write(
        name: str,
        polygons: list[shapely.Polygon] | None = None,
        kinds: list[str] | None = None,
        crs: str = UTM,
    ) -> Path:
        shapes = squares(10, 6, 16, 6) if polygons is None else polygons
        names = [("house", "shed")[i % 2] for i in range(len(shapes))] if kinds is None else kinds
        path = tmp_path / name
        gpd.GeoDataFrame({"kind": names}, geometry=shapes, crs=crs).to_file(
            path, driver="GPKG", layer="labels"
        )
        return path

    return write
