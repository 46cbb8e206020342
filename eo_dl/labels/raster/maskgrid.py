"""Where the pixels of a scene lie in a label raster of another grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import CRS, Transformer

from ...core.pixelgrid import apply_affine
from ...core.window import Window
from ...errors import LabelError
from ...io.scene import Scene

Index = npt.NDArray[np.int64]

# A pixel centre that falls on the border of two label pixels belongs to the later one, whatever the last bit
# says.
_TIE_PX = 1e-6
# Grids that are nowhere farther apart than this are one.
_SAME_PX = 1e-3


def check_fit(mask: Scene, scene: Scene) -> None:
    """Raises `LabelError` where one of the two has no georeference and their sizes differ."""
    if mask.grid.crs is not None and scene.native.crs is not None:
        return
    sizes = (mask.grid.width, mask.grid.height), (scene.native.width, scene.native.height)
    if sizes[0] != sizes[1]:
        which = "the label raster" if mask.grid.crs is None else "the scene"
        raise LabelError(
            f"{mask.path}: is {sizes[0][0]}x{sizes[0][1]} px, its scene {scene.name} {sizes[1][0]}x{sizes[1][1]} px, and {which} has no CRS to place it by; "
            "give label rasters of the scene's size, or georeference both"
        )


def whole_shift(mask: Scene, scene: Scene) -> tuple[int, int] | None:
    """(columns, rows) from the scene's pixels to those of a label raster that differs by whole pixels only;
    None where it is another grid.
    """
    if mask.grid.crs is None or scene.grid.crs is None:
        return (
            (0, 0) if (mask.grid.height, mask.grid.width) == (scene.grid.height, scene.grid.width) else None
        )
    if mask.grid.crs != scene.grid.crs:
        return None
    between = _between(mask, scene)
    cols, rows = round(between.c), round(between.f)
    ends = apply_affine(between, [0, scene.grid.width, scene.grid.width], [0, 0, scene.grid.height])
    wanted = (
        np.array([0, scene.grid.width, scene.grid.width]) + cols,
        np.array([0, 0, scene.grid.height]) + rows,
    )
    off = max(float(np.abs(found - want).max()) for found, want in zip(ends, wanted, strict=True))
    return (cols, rows) if off < _SAME_PX else None


def mask_pixels(mask: Scene, scene: Scene, window: Window) -> tuple[Index, Index]:
    """(H, W) column and row of the label pixel at the centre of each pixel of a window; they may lie outside
    the raster.
    """
    cols = np.arange(window.col, window.col1) + 0.5
    rows = np.arange(window.row, window.row1) + 0.5
    grid_cols, grid_rows = np.meshgrid(cols, rows)
    if mask.grid.crs is None or scene.grid.crs is None:
        scale = Affine.scale(mask.grid.width / scene.grid.width, mask.grid.height / scene.grid.height)
        found = apply_affine(scale, grid_cols, grid_rows)
    elif mask.grid.crs == scene.grid.crs:
        found = apply_affine(_between(mask, scene), grid_cols, grid_rows)
    else:
        xs, ys = scene.grid.to_map(grid_cols, grid_rows)
        x, y = _transformer(scene.grid.crs, mask.grid.crs).transform(xs.ravel(), ys.ravel())
        found = mask.grid.to_pixel(np.reshape(x, xs.shape), np.reshape(y, ys.shape))
    return _floor(found[0]), _floor(found[1])


def _between(mask: Scene, scene: Scene) -> Affine:
    return Affine(*tuple(mask.grid.inverse @ scene.grid.transform)[:6])


def _floor(values: npt.NDArray[np.float64]) -> Index:
    """Whole pixels; -1 for what has no place there."""
    finite = np.where(np.isfinite(values), values, -1.0)
    return np.floor(np.clip(finite, -1.0, 2.0**40) + _TIE_PX).astype(np.int64)


@lru_cache(maxsize=16)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
