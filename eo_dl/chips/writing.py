"""Chips written as GeoTIFFs, for scenes that are slow to read in small pieces; and when that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags

from ..core.arrays import Chip
from ..core.gridwindow import require_grid
from ..core.window import Window
from ..io.gdal import open_dataset, scene_errors
from ..io.rasterwriter import encode_geotiff
from ..io.scene import Scene
from .chiprecord import chip_id
from .measure import Candidate, enough_valid

MOST_DECODED = 8.0
"""Pixels decoded for one that is used, above which chips are written."""
# Scenes that fit into GDAL's block cache are decoded once, however they are laid out.
_CACHE_BYTES = 256 * 2**20
_SEQUENTIAL = {"PNG", "JPEG"}  # decoded from the top, whatever is asked for
IMAGES, MASKS = "images", "masks"


def decode_ratio(scenes: Sequence[Scene], candidates: Sequence[Candidate]) -> float:
    """Pixels decoded for each pixel used, where chips are read one by one in random order; 1 where all scenes
    fit the block cache.
    """
    if sum(_bytes(scene) for scene in scenes) <= _CACHE_BYTES:
        return 1.0
    decoded = sum(_decoded(scenes[c.scene_index], c.window) for c in candidates)
    return decoded / max(sum(c.window.area_px for c in candidates), 1)


def why_write(scenes: Sequence[Scene], candidates: Sequence[Candidate]) -> str | None:
    """The reason to write chips, or None where reading on the fly is cheap."""
    remote = [scene.name for scene in scenes if scene.remote]
    if remote:
        return f"chips are written, because {remote[0]} is remote"
    ratio = decode_ratio(scenes, candidates)
    return (
        f"chips are written, because reading on the fly would decode {ratio:.0f} times what it uses"
        if ratio > MOST_DECODED
        else None
    )


def _bytes(scene: Scene) -> int:
    return scene.native.height * scene.native.width * len(scene.bands) * np.dtype(scene.dtype).itemsize


def _decoded(scene: Scene, window: Window) -> float:
    """Pixels of the file decoded for one chip (of the overview that is used, where the scene is read
    coarser).
    """
    inside = window.intersection(scene.grid.window)
    assert inside is not None
    scale = scene.native.width / scene.grid.width
    level = max([factor for factor in scene.overviews if factor <= scale], default=1)
    block_height, block_width = (1, scene.native.width) if scene.driver in _SEQUENTIAL else scene.block_px
    first_row = 0 if scene.driver in _SEQUENTIAL else int(inside.row * scale / level)
    rows = -(-int(inside.row1 * scale / level) // block_height) - first_row // block_height
    cols = (
        -(-int(inside.col1 * scale / level) // block_width) - int(inside.col * scale / level) // block_width
    )
    return float(max(rows, 1) * max(cols, 1) * block_height * block_width)


@dataclass(frozen=True)
class ChipWriter:
    """A `measure.ChipSink`: image and class mask of a chip as GeoTIFFs under `folder`.

    Encoded in memory and written by Python, which reports a full disk; the folder as a whole is renamed when
    all is well, so a file needs no care of its own.
    """

    folder: Path
    scenes: tuple[Scene, ...]
    scene_labels: tuple[str, ...]
    min_valid: float

    def prepare(self) -> None:
        """Make the folders."""
        for name in (IMAGES, MASKS):
            (self.folder / name).mkdir()

    def __call__(self, candidate: Candidate, chip: Chip, mask: npt.NDArray[np.uint8]) -> str | None:
        """The image's path relative to the folder; None where too little of the chip is valid."""
        whole = bool(chip.valid.all())
        if not whole and not enough_valid(
            float(chip.valid.mean()), candidate.window, self.scenes[candidate.scene_index], self.min_valid
        ):
            return None
        name = f"{chip_id(self.scene_labels[candidate.scene_index], candidate.window)}.tif"
        (self.folder / IMAGES / name).write_bytes(chip_geotiff(chip))
        (self.folder / MASKS / name).write_bytes(
            encode_geotiff(mask[None], chip.grid, nodata=255, descriptions=("class",))
        )
        return f"{IMAGES}/{name}"

    def remove(self, file: str) -> None:
        """Delete a chip that is not wanted after all."""
        (self.folder / file).unlink()
        (self.folder / MASKS / Path(file).name).unlink()


def chip_geotiff(chip: Chip) -> bytes:
    """A chip as a GeoTIFF: stored values, names and scales of bands, and what is not valid as a mask."""
    unscaled = all(b.unscaled for b in chip.bands)
    return encode_geotiff(
        chip.pixels,
        chip.grid,
        descriptions=chip.bands.names,
        scales=[] if unscaled else [b.scale for b in chip.bands],
        offsets=[] if unscaled else [b.offset for b in chip.bands],
        valid=None if chip.valid.all() else chip.valid,
    )


def read_written(path: Path, count: int) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Stored pixels (C, H, W) and valid mask (H, W) of a written chip of `count` bands. Raises `SceneError`."""
    with open_dataset(str(path), "GTiff") as dataset, scene_errors(str(path), "cannot be read"):
        pixels = dataset.read(list(range(1, count + 1)))
        if MaskFlags.per_dataset not in dataset.mask_flag_enums[0]:
            return pixels, np.ones(pixels.shape[1:], np.bool_)
        return pixels, dataset.read_masks(1) > 0


def written_chip(folder: Path, file: str, window: Window, scene: Scene) -> Chip:
    """A chip from its file, as reading the window of its scene would give it. Raises `SceneError`."""
    require_grid(window, scene.grid, scene.path)
    pixels, valid = read_written(folder / file, len(scene.bands))
    return Chip(pixels, valid, scene.grid.crop(window), scene.bands, window)
