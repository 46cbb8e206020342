"""What single bands of a scene lack, estimated from small windows spread over it; exact for a small scene."""

from __future__ import annotations

from dataclasses import replace

from ..core.window import Window
from .gdal import small_cache
from .reader import SceneReader
from .scene import Scene
from .validity import BandGaps, gap_lines, may_lack

_PER_SIDE = 4
_SIDE_PX = 128


def sampled_gaps(scene: Scene) -> BandGaps:
    """What pixels of a scene lack: all of them if it is small, else 16 windows of 128 px.

    Raises:
        SceneError: The file is damaged.
    """
    gaps = BandGaps.none(len(scene.bands))
    if len(scene.bands) == 1 or not (scene.file.masked or any(may_lack(band) for band in scene.bands)):
        return gaps
    native = replace(scene, grid=scene.native)
    with small_cache(), SceneReader(native) as reader:
        for window in _windows(native.grid.height, native.grid.width):
            gaps += reader.read_gaps(window)[1]
    return gaps


def sampled_gap_lines(scene: Scene) -> tuple[list[str], bool]:
    """What the rule of a scene costs and fills, in a line each, and whether it costs much ground."""
    gaps = sampled_gaps(scene)
    return gap_lines(gaps, scene.bands, scene.valid, scene.name), gaps.costly


def _windows(height: int, width: int) -> list[Window]:
    """Windows that do not overlap, evenly spread, from top to bottom; the whole scene if it is small."""
    if height * width <= (_PER_SIDE * _SIDE_PX) ** 2:
        return [Window(0, 0, width, height)]
    windows = []
    for row, rows in _parts(height):
        windows += [Window(col, row, cols, rows) for col, cols in _parts(width)]
    return windows


def _parts(length: int) -> list[tuple[int, int]]:
    """(start, size) of the windows along one side."""
    if length <= _PER_SIDE * _SIDE_PX:
        return [(0, length)]
    step = (length - _SIDE_PX) / (_PER_SIDE - 1)
    return [(round(number * step), _SIDE_PX) for number in range(_PER_SIDE)]
