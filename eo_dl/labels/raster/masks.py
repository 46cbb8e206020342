"""Class ids and class probabilities of label rasters, on the grids of scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...core.arrays import Chip
from ...core.arraytypes import BoolArray, Float32Array, Int64Array, UInt8Array
from ...core.classes import IGNORE_ID, ClassSet
from ...core.rasterlabels import LabelRaster
from ...core.window import Window
from ...errors import LabelError, SceneError
from ...io.classmap import QUANTA
from ...io.openscenes import OpenScenes
from ...io.scene import Scene
from .maskgrid import check_fit, mask_pixels, whole_shift
from .maskvalues import Kind, cached_mask, code_of, codes_of, value_of_code

_TABLE_SIZE = 65536  # codes below it are looked up by index
_MOST_PIXELS = 2**25  # read at once
_rasters = OpenScenes(4)  # per thread: labels are read by as many threads as pixels are


def read_mask(raster: LabelRaster, scene: Scene, window: Window) -> UInt8Array:
    """The class ids of a window.

    A raster on another grid is read at the nearest pixel: by both georeferences, or, where one is missing, by
    the size, which must be that of the scene.

    Args:
        raster: The label raster of the scene.
        scene: The scene.
        window: Pixels of its working grid.

    Returns:
        (H, W) class ids; 255 where pixels are ignored, and outside the raster. Of a raster of probabilities
        the likeliest class.

    Raises:
        LabelError: The raster has another size than the scene, or a value without a class.
    """
    if raster.band_ids:
        return _likeliest(_planes(raster, scene, window), raster.band_ids)
    source = cached_mask(raster.path)
    check_fit(source, scene)
    ids = np.full((window.height, window.width), IGNORE_ID, np.uint8)
    _read_into(ids, raster, source, scene, window)
    return ids


def read_soft_mask(
    raster: LabelRaster, scene: Scene, window: Window, classes: ClassSet
) -> tuple[Float32Array, UInt8Array]:
    """The class probabilities of a window, of a raster that holds probabilities.

    Args:
        raster: The raster of probabilities of the scene.
        scene: The scene.
        window: Pixels of its working grid.
        classes: The classes, in the order of the result.

    Returns:
        (K, H, W) probabilities, 0 where they are unknown; and (H, W) class ids as `read_mask` gives them.

    Raises:
        LabelError: The raster has another size than the scene, or other bands than when its classes were
            read.
    """
    planes = _planes(raster, scene, window)
    ids = _likeliest(planes, raster.band_ids)
    known = np.where(ids == IGNORE_ID, np.uint8(0), planes)
    probabilities = known.astype(np.float32) / np.float32(QUANTA)
    order = [raster.band_ids.index(info.id) for info in classes]
    return np.ascontiguousarray(probabilities[order]), ids


def _planes(raster: LabelRaster, scene: Scene, window: Window) -> UInt8Array:
    """(K, H, W) of a raster of probabilities as stored, one plane per band."""
    source = cached_mask(raster.path)
    check_fit(source, scene)
    if len(source.bands) != len(raster.band_ids):
        raise LabelError(
            f"{raster.path}: has {len(source.bands)} bands, expected one per class ({len(raster.band_ids)}); "
            "the file changed: read the labels again"
        )
    planes = np.full((len(raster.band_ids), window.height, window.width), IGNORE_ID, np.uint8)
    _read_into(planes, raster, source, scene, window)
    return planes


def _likeliest(planes: UInt8Array, band_ids: Sequence[int]) -> UInt8Array:
    """(H, W) class ids; 255 where a band is unknown, or all probabilities are 0."""
    known = (planes != IGNORE_ID).all(axis=0) & planes.any(axis=0)
    return np.where(known, np.array(band_ids, np.uint8)[planes.argmax(axis=0)], np.uint8(IGNORE_ID))


def _read_into(out: UInt8Array, raster: LabelRaster, source: Scene, scene: Scene, window: Window) -> None:
    """Fill class ids (H, W) or planes (K, H, W) of a window."""
    shift = whole_shift(source, scene)
    if shift is not None:
        wanted = Window(window.col + shift[0], window.row + shift[1], window.width, window.height)
        common = wanted.intersection(source.grid.window)
        if common is not None:
            out[(..., *common.relative_to(wanted).slices)] = _stored(raster, source, common)
        return
    cols, rows = mask_pixels(source, scene, window)
    inside = (cols >= 0) & (cols < source.grid.width) & (rows >= 0) & (rows < source.grid.height)
    if not inside.any():
        return
    cols, rows = cols[inside], rows[inside]
    frame = Window.from_box(int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1)
    if frame.area_px > _MOST_PIXELS and window.area_px > 1:
        # The raster is so much finer that one read would be large.
        for half in window.halves():
            part = out[(..., *half.relative_to(window).slices)]
            _read_into(part, raster, source, scene, half)
        return
    stored = _stored(raster, source, frame)
    out[..., inside] = stored[..., rows - frame.row, cols - frame.col]


def _stored(raster: LabelRaster, source: Scene, frame: Window) -> UInt8Array:
    """Class ids (H, W), or planes of probabilities (K, H, W), of a window of the raster's own grid."""
    try:
        chip = _rasters.reader(source).read(frame)
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    if raster.band_ids:
        return chip.pixels.astype(np.uint8, copy=False)
    return _class_ids(raster, source, chip)


def _class_ids(raster: LabelRaster, source: Scene, chip: Chip) -> UInt8Array:
    """(H, W) class ids of stored pixels."""
    values = (*raster.values, *raster.ignore_values)
    kind: Kind = "colors" if any(isinstance(value, str) for value in values) else "ids"
    codes = codes_of(chip.pixels, source, kind)
    id_of_code = {code_of(value): class_id for value, class_id in raster.values.items()}
    id_of_code |= {code_of(value): IGNORE_ID for value in raster.ignore_values}
    ids, known = _looked_up(codes, id_of_code)
    unknown = ~known & chip.valid
    if unknown.any():
        value = value_of_code(int(codes[unknown][0]), kind)
        raise LabelError(
            f"{raster.path}: holds the value {value}, which has no class; the file changed: read the labels "
            "again"
        )
    ids[~chip.valid] = raster.hidden_id
    return ids


def _looked_up(codes: Int64Array, id_of_code: Mapping[int, int]) -> tuple[UInt8Array, BoolArray]:
    """(H, W) the class id of each code, and where there is one."""
    if min(id_of_code) >= 0 and max(id_of_code) < _TABLE_SIZE:
        table, in_table = np.zeros(_TABLE_SIZE, np.uint8), np.zeros(_TABLE_SIZE, np.bool_)
        table[list(id_of_code)], in_table[list(id_of_code)] = list(id_of_code.values()), True
        inside = (codes >= 0) & (codes < _TABLE_SIZE)
        codes = codes if inside.all() else np.where(inside, codes, 0)
        return table[codes], in_table[codes] & inside
    known_codes = np.array(sorted(id_of_code), np.int64)
    ids = np.array([id_of_code[code] for code in known_codes.tolist()], np.uint8)
    index = np.minimum(np.searchsorted(known_codes, codes), len(known_codes) - 1)
    return ids[index], known_codes[index] == codes
