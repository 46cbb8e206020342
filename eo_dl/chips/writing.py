"""Chips written as GeoTIFFs, for scenes that are slow to read in small pieces; and when that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import MaskFlags

from ..core.arrays import Chip
from ..core.arraytypes import AnyArray, BoolArray, Float32Array, UInt8Array
from ..core.gridwindow import require_grid
from ..core.window import Window
from ..errors import SceneError
from ..io.atomic import disk_errors, part_name
from ..io.confined import inside
from ..io.gdal import open_dataset, scene_errors
from ..io.rasterwriter import encode_geotiff
from ..io.scene import Scene
from .chiprecord import IMAGES, chip_file, chip_id
from .measure import Candidate, enough_valid

MOST_DECODED = 8.0
"""Pixels decoded per pixel used, above which chips are written."""

# Scenes that fit GDAL's block cache are decoded once, whatever their layout.
_CACHE_BYTES = 256 * 2**20
_SEQUENTIAL = {"PNG", "JPEG"}  # decoded from the top, whatever is read
MASKS = "masks"


def decode_ratio(scenes: Sequence[Scene], candidates: Sequence[Candidate]) -> float:
    """Pixels decoded per pixel used if chips are read one by one in random order; 1 if all scenes fit the
    block cache.
    """
    if sum(_stored_bytes(scene) for scene in scenes) <= _CACHE_BYTES:
        return 1.0
    decoded = sum(_decoded_px(scenes[c.scene_index], c.window) for c in candidates)
    return decoded / max(sum(c.window.area_px for c in candidates), 1)


def why_write(scenes: Sequence[Scene], candidates: Sequence[Candidate]) -> str | None:
    """The reason to write chips, or None if reading them from the scenes is cheap."""
    remote = [scene.name for scene in scenes if scene.remote]
    if remote:
        return f"chips are written, because {remote[0]} is remote"
    ratio = decode_ratio(scenes, candidates)
    if ratio > MOST_DECODED:
        return (
            f"chips are written, because reading them from the scenes would decode {ratio:.0f} times as much"
        )
    return None


def _stored_bytes(scene: Scene) -> int:
    return scene.native.height * scene.native.width * len(scene.bands) * np.dtype(scene.dtype).itemsize


def _decoded_px(scene: Scene, window: Window) -> float:
    """Pixels of the file (of the overview in use, if the scene is read coarser) decoded for one chip."""
    inside = window.clipped_to(scene.grid.window)
    scale = scene.native.width / scene.grid.width
    overview = max([factor for factor in scene.file.overviews if factor <= scale], default=1)
    per_px = scale / overview
    last_row, last_col = int(inside.row1 * per_px), int(inside.col1 * per_px)
    if scene.file.driver in _SEQUENTIAL:
        return float(max(last_row, 1) * scene.native.width)
    block_height, block_width = scene.file.block_px
    rows = -(-last_row // block_height) - int(inside.row * per_px) // block_height
    cols = -(-last_col // block_width) - int(inside.col * per_px) // block_width
    return float(max(rows, 1) * max(cols, 1) * block_height * block_width)


@dataclass(frozen=True)
class ChipWriter:
    """A `measure.ChipSink`: writes image and labels of a chip as GeoTIFFs.

    Encoded in memory and written by Python, which reports a full disk. A file is renamed when it is complete:
    a machine that only seemed to be dead may write the same chip a second time.
    """

    folder: Path
    """Where the chip set is made."""

    out: Path
    """What the folder will be called, for messages."""

    scenes: tuple[Scene, ...]
    """Its scenes."""

    scene_labels: tuple[str, ...]
    """The name of each scene in file names."""

    min_valid: float
    """Chips with a smaller share of measured pixels are not written."""

    def prepare(self) -> None:
        """Make the folders."""
        for name in (IMAGES, MASKS):
            (self.folder / name).mkdir()

    def __call__(self, candidate: Candidate, chip: Chip, labels: UInt8Array | Float32Array) -> str | None:
        """The path of the image relative to the folder; None if too little of the chip is valid."""
        valid_share, scene = float(chip.valid.mean()), self.scenes[candidate.scene_index]
        if not enough_valid(valid_share, candidate.window, scene, self.min_valid):
            return None
        identity = chip_id(self.scene_labels[candidate.scene_index], candidate.window)
        if labels.ndim == 3:
            encoded_labels = encode_geotiff(labels, chip.grid, nodata=np.nan)
        else:
            encoded_labels = encode_geotiff(labels[None], chip.grid, nodata=255, descriptions=("class",))
        with disk_errors(self.out):
            write_whole(self.folder / chip_file(identity), chip_geotiff(chip))
            write_whole(self.folder / MASKS / f"{identity}.tif", encoded_labels)
        return chip_file(identity)

    def remove_remains(self) -> None:
        """Delete what a machine left that died while it wrote."""
        for name in (IMAGES, MASKS):
            for path in (self.folder / name).glob(".*"):
                path.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is complete under its name. Not synced: the folder is, as a whole, at the end."""
    temporary = part_name(path)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def chip_geotiff(chip: Chip) -> bytes:
    """A chip as a GeoTIFF: stored values, names and scales of bands, and invalid pixels as a mask."""
    scaled = [band for band in chip.bands if not band.unscaled]
    return encode_geotiff(
        chip.pixels,
        chip.grid,
        descriptions=chip.bands.names,
        scales=[band.scale for band in chip.bands] if scaled else [],
        offsets=[band.offset for band in chip.bands] if scaled else [],
        valid=None if chip.valid.all() else chip.valid,
    )


def read_written(
    path: Path, band_count: int, size: tuple[int, int] | None = None
) -> tuple[AnyArray, BoolArray]:
    """Stored pixels (C, H, W) and valid mask (H, W) of a written chip.

    Args:
        path: The file.
        band_count: Number of bands.
        size: (height, width) that it must have.

    Raises:
        SceneError: The file is missing or damaged, or has another size.
    """
    # Alone: a chip has no files beside it, so what lies there is not ours.
    with open_dataset(str(path), "GTiff", alone=True) as dataset, scene_errors(str(path), "cannot be read"):
        if size not in (None, dataset.shape) or dataset.count < band_count:
            raise SceneError(
                f"{path}: has {dataset.width}x{dataset.height} px and {dataset.count} bands, which is not "
                "the chip that was cut; tile again"
            )
        pixels = dataset.read(list(range(1, band_count + 1)))
        if MaskFlags.per_dataset not in dataset.mask_flag_enums[0]:
            return pixels, np.ones(pixels.shape[1:], np.bool_)
        return pixels, dataset.read_masks(1) > 0


def written_chip(folder: Path, file: str, window: Window, scene: Scene) -> Chip:
    """A chip from its file, as reading the window of its scene would give it.

    Raises:
        GridError: The window counts the pixels of another grid than that of the scene.
        SceneError: The file is missing or damaged.
    """
    require_grid(window, scene.grid, scene.path)
    size = (window.height, window.width)
    pixels, valid = read_written(inside(folder, file), len(scene.bands), size)
    return Chip(pixels, valid, scene.grid.crop(window), scene.bands, window)
