"""A sample of the values of a scene: small windows spread over it, read before the work begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.arraytypes import AnyArray
from ..core.window import Window
from ..errors import SceneError
from ..io.gdal import small_cache
from ..io.scene import Scene, SceneReader

_WINDOWS_PER_SIDE = 4
_MOST_PX = 128
_LEAST_PX = 16
_MOST_BYTES = 64 * 2**20
"""Memory for the sample; windows of scenes with many bands are smaller."""
_SCAN_ROWS = 512
_MOST_DECODED = 0.25
"""Share of a large scene whose blocks may be decoded for the sample; beyond it, windows lie along the
diagonal."""


def scene_sample(scene: Scene) -> AnyArray:
    """(C, N) stored values of valid pixels, N >= 1, from up to 16 windows of the scene's own grid.

    Raises:
        SceneError: No pixel of the whole scene is valid.
    """
    native = replace(scene, grid=scene.native)
    windows = _windows(native)
    with small_cache(), SceneReader(native) as reader:
        if sum(window.area_px for window in windows) >= native.grid.height * native.grid.width:
            pixels, valid = reader.read_rows(0, native.grid.height)
            parts = [(pixels[:, *window.slices], valid[window.slices]) for window in windows]
        else:
            chips = [reader.read(window) for window in windows]
            parts = [(chip.pixels, chip.valid) for chip in chips]
        samples = [pixels[:, valid] for pixels, valid in parts if valid.any()]
        if not samples:
            samples = [_first_valid(native, reader)]
    return np.concatenate(samples, axis=1)


def _windows(scene: Scene) -> list[Window]:
    """The windows, evenly spread, from top to bottom."""
    side = _window_px(len(scene.bands) * np.dtype(scene.dtype).itemsize)
    height, width = min(scene.grid.height, side), min(scene.grid.width, side)
    rows, cols = _starts(scene.grid.height, height), _starts(scene.grid.width, width)
    everywhere = [Window(col, row, width, height) for row in rows for col in cols]
    is_large = len(everywhere) * height * width < _MOST_DECODED * scene.grid.height * scene.grid.width
    if not is_large or decoded_share(scene, everywhere) <= _MOST_DECODED or len(rows) != len(cols):
        return everywhere
    # Large blocks, such as those of JPEG 2000, cost far more than the windows in them.
    return [Window(col, row, width, height) for row, col in zip(rows, cols, strict=True)]


def decoded_share(scene: Scene, windows: Sequence[Window]) -> float:
    """Share of the blocks of a file that reading windows decodes."""
    block_rows, block_cols = scene.file.block_px
    blocks = set()
    for window in windows:
        for row in range(window.row // block_rows, (window.row1 - 1) // block_rows + 1):
            for col in range(window.col // block_cols, (window.col1 - 1) // block_cols + 1):
                blocks.add((row, col))
    down, across = -(-scene.grid.height // block_rows), -(-scene.grid.width // block_cols)
    return len(blocks) / (down * across)


def _window_px(pixel_bytes: int) -> int:
    affordable = (_MOST_BYTES / (_WINDOWS_PER_SIDE**2 * pixel_bytes)) ** 0.5
    return int(np.clip(affordable, _LEAST_PX, _MOST_PX))


def _starts(length: int, size: int) -> list[int]:
    last = _WINDOWS_PER_SIDE - 1
    return sorted({round(number * (length - size) / last) for number in range(_WINDOWS_PER_SIDE)})


def _first_valid(scene: Scene, reader: SceneReader) -> AnyArray:
    for row in range(0, scene.grid.height, _SCAN_ROWS):
        pixels, valid = reader.read_rows(row, min(row + _SCAN_ROWS, scene.grid.height))
        if valid.any():
            return pixels[:, valid]
    values = {"none" if band.nodata is None else f"{band.nodata:g}" for band in scene.bands}
    raise SceneError(
        f"{scene.path}: has no valid pixel (nodata {', '.join(sorted(values))}, mask or alpha), so there is "
        "nothing to predict; if the nodata value is wrong, set `nodata`"
    )
