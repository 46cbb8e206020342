"""A small picture of a whole scene."""

from __future__ import annotations

from ..core.arraytypes import UInt8Array
from ..core.display import display_bands, stretch
from .readable import Readable
from .reader import SceneReader


def reduced_size(scene: Readable, longest_px: int) -> tuple[int, int]:
    """Height and width of a scene, scaled down so that the longer side has at most `longest_px`."""
    factor = max(1.0, max(scene.grid.height, scene.grid.width) / longest_px)
    return max(1, round(scene.grid.height / factor)), max(1, round(scene.grid.width / factor))


def quicklook(scene: Readable) -> UInt8Array:
    """The whole working grid of a scene as an (H, W, 3) picture, nodata white.

    Reads every pixel of the grid: pass a reduced scene, `scene.resized(*reduced_size(scene, 512))`.
    """
    with SceneReader(scene) as reader:
        chip = reader.read(scene.grid.window)
    return stretch(chip.pixels[list(display_bands(scene.bands.names))], chip.valid)
