"""A chip set with a square of wood in each chip, for tests of which ground is scored."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import shapely

from eo_dl.chips.chipset import ChipSet
from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.core.pixelgrid import PixelGrid
from eo_dl.io.vectorlayers import write_layer
from eo_dl.labels.reading import read_labels
from tests.making import write_geotiff


def wood_chips(folder: Path, grid: PixelGrid) -> ChipSet:
    """`scene.tif` of 256 px with a square of wood in each 32 px, `truth.gpkg`, and the chip set `set`."""
    assert (grid.height, grid.width) == (256, 256) and grid.crs is not None
    pixels = np.random.default_rng(0).integers(1, 200, (1, 256, 256)).astype(np.uint8)
    write_geotiff(folder / "scene.tif", pixels, grid)
    squares = [
        shapely.box(c + 4, r + 4, c + 20, r + 20) for r in range(0, 256, 32) for c in range(0, 256, 32)
    ]
    frame = geopandas.GeoDataFrame(
        {"class_name": ["wood"] * len(squares)},
        geometry=grid.geometries_to_map(np.array(squares, object)),
        crs=grid.crs.to_wkt(),
    )
    write_layer(folder / "truth.gpkg", frame)
    return tile(
        [folder / "scene.tif"],
        read_labels(folder / "truth.gpkg"),
        out=folder / "set",
        size_px=32,
        seed=3,
        split=Split((0.4, 0.2, 0.4)),
    )
