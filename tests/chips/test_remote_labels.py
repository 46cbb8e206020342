"""Label rasters that a user names by a URL, from a server on loopback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eo_dl.chips.chipset import open_chip_set
from eo_dl.chips.tile import tile
from eo_dl.errors import ChipSetError
from tests.making import noise, write_raster


def test_chips_are_cut_with_a_label_raster_of_a_server(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, host = served
    write_raster(folder / "scene.tif", np.kron(np.eye(8), np.ones((16, 16))).astype(np.uint8))
    scene = write_raster(tmp_path / "scene.tif", noise(3, 128, 128))
    chips = tile([scene], f"http://{host}/scene.tif", out=tmp_path / "chips", size_px=32)
    assert len(chips.records) == 16
    with pytest.raises(ChipSetError, match=f"{host}.*not asked for"):
        open_chip_set(tmp_path / "chips")
    assert open_chip_set(tmp_path / "chips", allow_remote=[host]).content_hash == chips.content_hash
