"""Small scenes and labels for the chip tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from tests.making import square, write_polygons, write_raster

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
        data = pixels
        if data is None:
            data = np.random.default_rng(seed).integers(1, 200, (len(bands), height, width))
        return write_raster(
            tmp_path / name,
            data.astype(dtype),
            crs=crs,
            transform=transform,
            nodata=nodata,
            names=bands,
            block_px=64,
            scales=() if scale is None else (scale,) * len(bands),
        )

    return write


def squares(
    count_x: int, count_y: int, step: float, side: float, transform: Affine = NORTH_UP
) -> list[shapely.Polygon]:
    """Squares of `side` px on a lattice of `step` px, in map coordinates."""
    found = []
    for row in range(count_y):
        for col in range(count_x):
            found.append(square(col * step + step / 3, row * step + step / 3, side, transform))
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
        return write_polygons(tmp_path / name, shapes, crs=crs, layer="labels", kind=names)

    return write
