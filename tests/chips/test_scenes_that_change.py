"""A scene or label raster that changes while it is tiled gives no chip set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import shapely

from eo_dl.chips.splits import Split
from eo_dl.chips.tile import tile
from eo_dl.errors import SceneChangedError
from tests.making import write_polygons, write_raster

PIXELS = np.random.default_rng(0).integers(1, 200, (96, 96)).astype(np.uint8)


@pytest.mark.parametrize("changed", ["scene.tif", "labels.tif"])
def test_changed_file_gives_no_chip_set(tmp_path: Path, changed: str) -> None:
    scene = write_raster(tmp_path / "scene.tif", PIXELS)
    labels = write_raster(tmp_path / "labels.tif", (PIXELS > 100).astype(np.uint8))
    if changed == "scene.tif":
        outline = shapely.box(500_010, 5_199_930, 500_060, 5_199_980)
        labels = write_polygons(tmp_path / "labels.gpkg", [outline], kind=["roof"])
    before = {path.name for path in tmp_path.iterdir()}

    def on_progress(done: int, total: int, what: str) -> None:
        os.utime(tmp_path / changed, ns=(0, done))

    with pytest.raises(SceneChangedError, match=rf"{changed}: changed while"):
        tile(
            scene,
            labels,
            out=tmp_path / "chips",
            size_px=32,
            split=Split(block_px=32, guard_px=0),
            on_progress=on_progress,
        )
    assert {path.name for path in tmp_path.iterdir()} == before
