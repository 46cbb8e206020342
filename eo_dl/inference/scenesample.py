"""A sample of a scene, read once before the work begins: its values, and what single bands lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.arraytypes import AnyArray
from ..core.window import Window
from ..errors import SceneError
from ..io.gdal import small_cache
from ..io.scene import Scene, SceneReader
from ..io.validity import BandGaps, gap_lines

_WINDOWS_PER_SIDE = 4
_MOST_PX = 128
_LEAST_PX = 16
_MOST_BYTES = 64 * 2**20
"""Memory for the sample; windows of scenes with many bands are smaller."""
_SCAN_ROWS = 512
_MOST_DECODED = 0.25
"""Share of a large scene whose blocks may be decoded for the sample; beyond it, windows lie along the
diagonal."""


@dataclass(frozen=True)
class SceneSample:
    """What was read of a scene: all of it if it is small, else up to 16 windows of its own grid."""

    pixels: AnyArray
    """(C, N) stored values of valid pixels, N >= 1."""

    gaps: BandGaps
    """What the pixels of the windows lack."""

    @classmethod
    def of(cls, scene: Scene) -> SceneSample:
        """Read the sample of a scene.

        Raises:
            SceneError: No pixel of the whole scene is valid, or the file is damaged.
        """
        native = replace(scene, grid=scene.native)
        gaps = BandGaps.none(len(scene.bands))
        samples = []
        with small_cache(), SceneReader(native) as reader:
            for window in sample_windows(native):
                chip, lacking = reader.read_gaps(window)
                gaps += lacking
                if chip.valid.any():
                    samples.append(chip.pixels[:, chip.valid])
            if not samples:
                samples = [_first_valid(native, reader, gaps)]
        return cls(np.concatenate(samples, axis=1), gaps)


def sample_windows(scene: Scene) -> list[Window]:
    """Windows that do not overlap, evenly spread, from top to bottom; the whole scene if it is small."""
    height, width = scene.grid.height, scene.grid.width
    side = window_px(len(scene.bands) * np.dtype(scene.dtype).itemsize)
    if height * width <= (_WINDOWS_PER_SIDE * side) ** 2:
        return [Window(0, 0, width, height)]
    rows, cols = _parts(height, side), _parts(width, side)
    everywhere = [
        Window(col, row, col_count, row_count) for row, row_count in rows for col, col_count in cols
    ]
    is_large = height * width * _MOST_DECODED > sum(window.area_px for window in everywhere)
    if not is_large or decoded_share(scene, everywhere) <= _MOST_DECODED or len(rows) != len(cols):
        return everywhere
    # Large blocks, such as those of JPEG 2000, cost far more than the windows in them.
    return everywhere[:: len(cols) + 1]


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


def window_px(pixel_bytes: int) -> int:
    """Side of a window for pixels of so many bytes."""
    affordable = (_MOST_BYTES / (_WINDOWS_PER_SIDE**2 * pixel_bytes)) ** 0.5
    return int(np.clip(affordable, _LEAST_PX, _MOST_PX))


def _parts(length: int, side: int) -> list[tuple[int, int]]:
    """(start, size) of the windows along one side of a scene."""
    if length <= _WINDOWS_PER_SIDE * side:
        return [(0, length)]
    step = (length - side) / (_WINDOWS_PER_SIDE - 1)
    return [(round(number * step), side) for number in range(_WINDOWS_PER_SIDE)]


def _first_valid(scene: Scene, reader: SceneReader, gaps: BandGaps) -> AnyArray:
    for row in range(0, scene.grid.height, _SCAN_ROWS):
        pixels, valid = reader.read_rows(row, min(row + _SCAN_ROWS, scene.grid.height))
        if valid.any():
            return pixels[:, valid]
    lines = gap_lines(gaps, scene.bands, scene.valid, scene.path)
    if lines:
        raise SceneError(f"{lines[0]}; there is nothing to predict")
    if scene.options.mask:
        rules = "; ".join(scene.options.mask)
        raise SceneError(
            f"{scene.path}: `mask={rules}` leaves no pixel that is measured, so there is nothing to predict; "
            "check the rule, and that the mask lies on this scene"
        )
    values = {"none" if band.nodata is None else f"{band.nodata:g}" for band in scene.bands}
    raise SceneError(
        f"{scene.path}: has no valid pixel (nodata {', '.join(sorted(values))}, mask or alpha), so there is "
        "nothing to predict; if the nodata value is wrong, set `nodata`"
    )
