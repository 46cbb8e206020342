"""Where the pixels of a scene lie in a label raster of another grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from affine import Affine
from pyproj import CRS, Transformer

from ...core.arraytypes import Float64Array, Int64Array
from ...core.pixelgrid import apply_affine
from ...core.window import Window
from ...errors import LabelError
from ...io.scene import Scene
from ..datum import shift_note

# A pixel centre on the border of two label pixels belongs to the later one, whatever the last bit is.
_TIE_PX = 1e-6
# Grids that differ nowhere by more than this are the same.
_SAME_PX = 1e-3
_FARTHEST_PX = 2.0**40  # beyond it, float64 has no whole pixels


def check_fit(mask: Scene, scene: Scene) -> None:
    """Raise `LabelError` where a label raster can only be placed by its size, and that is not the scene's, or
    viewers turn one of the two.
    """
    if mask.grid.crs is not None and scene.native.crs is not None:
        shift_note(mask.grid.crs, scene, mask.path, None, can_be_accepted=False)
        return
    if mask.file.orientation != scene.file.orientation:
        raise LabelError(
            f"{mask.path}: has another EXIF orientation ({mask.file.orientation}) than its scene "
            f"{scene.name} ({scene.file.orientation}), so its pixels are probably those of the turned "
            f"picture; turn the pixels of the scene (e.g. magick {scene.name} -auto-orient OUT), or remove "
            "its tag (exiftool -Orientation=)"
        )
    if (mask.grid.width, mask.grid.height) == (scene.native.width, scene.native.height):
        return
    without_crs = "the label raster" if mask.grid.crs is None else "the scene"
    raise LabelError(
        f"{mask.path}: is {mask.grid.width}x{mask.grid.height} px, its scene {scene.name} "
        f"{scene.native.width}x{scene.native.height} px, and {without_crs} has no CRS to place it by; give "
        "label rasters of the scene's size, or georeference both"
    )


def whole_shift(mask: Scene, scene: Scene) -> tuple[int, int] | None:
    """(columns, rows) from the pixels of a scene to those of a label raster; None: not a shift of whole
    pixels.
    """
    grid = scene.grid
    if mask.grid.crs is None or grid.crs is None:
        same_size = (mask.grid.height, mask.grid.width) == (grid.height, grid.width)
        return (0, 0) if same_size else None
    if mask.grid.crs != grid.crs:
        return None
    to_mask = _to_mask(mask, scene)
    cols, rows = round(to_mask.c), round(to_mask.f)
    # Three corners tell whether the axes are parallel and the pixels of one size.
    corner_cols, corner_rows = np.array([0, grid.width, grid.width]), np.array([0, 0, grid.height])
    mask_cols, mask_rows = apply_affine(to_mask, corner_cols, corner_rows)
    off_px = max(
        float(np.abs(mask_cols - corner_cols - cols).max()),
        float(np.abs(mask_rows - corner_rows - rows).max()),
    )
    return (cols, rows) if off_px < _SAME_PX else None


def mask_pixels(mask: Scene, scene: Scene, window: Window) -> tuple[Int64Array, Int64Array]:
    """(H, W) column and row of the label pixel at the centre of each pixel of a window.

    They may lie outside the raster.
    """
    cols, rows = np.meshgrid(
        np.arange(window.col, window.col1) + 0.5, np.arange(window.row, window.row1) + 0.5
    )
    if mask.grid.crs is None or scene.grid.crs is None:
        scale = Affine.scale(mask.grid.width / scene.grid.width, mask.grid.height / scene.grid.height)
        mask_cols, mask_rows = apply_affine(scale, cols, rows)
    elif mask.grid.crs == scene.grid.crs:
        mask_cols, mask_rows = apply_affine(_to_mask(mask, scene), cols, rows)
    else:
        transformer = _transformer(scene.grid.crs, mask.grid.crs)
        xs, ys = scene.grid.to_map(cols, rows)
        mask_xs, mask_ys = transformer.transform(xs.ravel(), ys.ravel())
        mask_cols, mask_rows = mask.grid.to_pixel(
            np.reshape(mask_xs, xs.shape), np.reshape(mask_ys, ys.shape)
        )
    return _whole(mask_cols), _whole(mask_rows)


def _to_mask(mask: Scene, scene: Scene) -> Affine:
    """From pixels of a scene to pixels of a label raster of the same CRS."""
    return Affine(*tuple(mask.grid.inverse @ scene.grid.transform)[:6])


def _whole(pixels: Float64Array) -> Int64Array:
    """Whole pixels; -1 for points without a place in the CRS of the raster."""
    finite = np.where(np.isfinite(pixels), pixels, -1.0)
    return np.floor(np.clip(finite, -1.0, _FARTHEST_PX) + _TIE_PX).astype(np.int64)


@lru_cache(maxsize=16)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
