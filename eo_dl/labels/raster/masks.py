"""Label rasters: which belongs to which scene, and their class ids on the scene's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from ...core.arrays import Chip
from ...core.classes import IGNORE_ID, ClassSet
from ...core.geometries import reproject
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.window import Window
from ...errors import LabelError, SceneError
from ...io.classmap import QUANTA
from ...io.openscenes import OpenScenes
from ...io.scene import Scene
from ..pairing import best_named
from .maskgrid import check_fit, mask_pixels, whole_shift
from .maskvalues import Kind, codes_of, color_code, color_text, open_mask

_TABLE = 65536
_READ_PIXELS = 2**25
_COVERS = 0.01
_rasters = OpenScenes(4)  # per thread: labels are read by as many threads as pixels are


def raster_of(labels: RasterLabels, scene: Scene) -> LabelRaster | None:
    """The label raster of a scene; None: it has none, so nothing is known about it.

    Rasters are matched by name, else by place. A single raster without CRS, or with a scene without one, is
    matched by its size.

    Raises:
        LabelError: Several rasters fit the scene.
    """
    named = best_named(scene.path, [raster.path for raster in labels.rasters], "label raster")
    if named is not None:
        return labels.rasters[named]
    placed = _by_place(labels.rasters, scene)
    if placed is not None:
        return placed
    only = labels.rasters[0]
    without_crs = _open(only.path).grid.crs is None or scene.native.crs is None
    return only if len(labels.rasters) == 1 and without_crs else None


def read_mask(mask: LabelRaster, scene: Scene, window: Window) -> npt.NDArray[np.uint8]:
    """(H, W) class ids of a window of the scene's working grid; 255 where ignored, and where the label raster
    says nothing.

    A raster on another grid is read at the nearest pixel: by both georeferences, or, where one has none, by
    the size, which must be the scene's. Raises `LabelError` for a size that does not fit and for values that
    are no class.
    """
    if mask.band_ids:
        return _likeliest(_planes(mask, scene, window), mask.band_ids)
    source = _open(mask.path)
    check_fit(source, scene)
    out = np.full((window.height, window.width), IGNORE_ID, np.uint8)
    _read_into(out, mask, source, scene, window)
    return out


def read_soft_mask(
    mask: LabelRaster, scene: Scene, window: Window, classes: ClassSet
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """(K, H, W) probabilities of `classes` in their order, 0 where not known, and (H, W) the id of the
    likeliest class as `read_mask` gives it.
    """
    planes = _planes(mask, scene, window)
    ids = _likeliest(planes, mask.band_ids)
    shares = np.where(ids == IGNORE_ID, np.uint8(0), planes).astype(np.float32) / np.float32(QUANTA)
    return np.ascontiguousarray(shares[[mask.band_ids.index(info.id) for info in classes]]), ids


def _planes(mask: LabelRaster, scene: Scene, window: Window) -> npt.NDArray[np.uint8]:
    """(K, H, W) of a raster of probabilities as stored, a plane a band."""
    source = _open(mask.path)
    check_fit(source, scene)
    if len(source.bands) != len(mask.band_ids):
        raise LabelError(
            f"{mask.path}: has {len(source.bands)} bands where it had {len(mask.band_ids)} classes; it changed: read the labels again"
        )
    out = np.full((len(mask.band_ids), window.height, window.width), IGNORE_ID, np.uint8)
    _read_into(out, mask, source, scene, window)
    return out


def _likeliest(planes: npt.NDArray[np.uint8], band_ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    """(H, W) class ids; 255 where a band says that nothing is known, or no class has a chance."""
    known = (planes != IGNORE_ID).all(axis=0) & planes.any(axis=0)
    return np.where(known, np.array(band_ids, np.uint8)[planes.argmax(axis=0)], np.uint8(IGNORE_ID))


def _read_into(
    out: npt.NDArray[np.uint8], mask: LabelRaster, source: Scene, scene: Scene, window: Window
) -> None:
    """Fill `out` (H, W) of ids or (K, H, W) of planes, in parts where the label raster is so much finer that
    one read would be large.
    """
    shift = whole_shift(source, scene)
    if shift is not None:
        wanted = Window(window.col + shift[0], window.row + shift[1], window.width, window.height)
        common = wanted.intersection(source.grid.window)
        if common is not None:
            out[(..., *common.relative_to(wanted).slices)] = _stored(mask, source, common)
        return
    cols, rows = mask_pixels(source, scene, window)
    inside = (cols >= 0) & (cols < source.grid.width) & (rows >= 0) & (rows < source.grid.height)
    if not inside.any():
        return
    frame = Window.from_box(
        int(cols[inside].min()),
        int(rows[inside].min()),
        int(cols[inside].max()) + 1,
        int(rows[inside].max()) + 1,
    )
    if frame.area_px > _READ_PIXELS and window.area_px > 1:
        for part, rows_of, cols_of in _halves(window):
            _read_into(out[..., rows_of, cols_of], mask, source, scene, part)
        return
    found = _stored(mask, source, frame)
    out[..., inside] = found[..., rows[inside] - frame.row, cols[inside] - frame.col]


def _stored(mask: LabelRaster, source: Scene, frame: Window) -> npt.NDArray[np.uint8]:
    """Class ids (H, W), or planes of probabilities (K, H, W), of a window of the label raster's own grid."""
    return (
        _chip(source, frame).pixels.astype(np.uint8, copy=False)
        if mask.band_ids
        else _class_ids(mask, source, frame)
    )


def _chip(source: Scene, frame: Window) -> Chip:
    try:
        return _rasters.reader(source).read(frame)
    except SceneError as cause:
        raise LabelError(str(cause)) from cause


def _halves(window: Window) -> list[tuple[Window, slice, slice]]:
    if window.width >= window.height:
        half = window.width // 2
        left, right = (
            Window(window.col, window.row, half, window.height),
            Window(window.col + half, window.row, window.width - half, window.height),
        )
        return [(left, slice(None), slice(0, half)), (right, slice(None), slice(half, None))]
    half = window.height // 2
    top, bottom = (
        Window(window.col, window.row, window.width, half),
        Window(window.col, window.row + half, window.width, window.height - half),
    )
    return [(top, slice(0, half), slice(None)), (bottom, slice(half, None), slice(None))]


def _class_ids(mask: LabelRaster, source: Scene, frame: Window) -> npt.NDArray[np.uint8]:
    """Class ids of a window of the label raster's own grid."""
    kind: Kind = (
        "colors" if any(isinstance(value, str) for value in (*mask.values, *mask.ignore_values)) else "ids"
    )
    chip = _chip(source, frame)
    codes = codes_of(chip.pixels, source, kind)
    known = {_code(value): class_id for value, class_id in mask.values.items()} | {
        _code(value): IGNORE_ID for value in mask.ignore_values
    }
    ids, wrong = _looked_up(codes, known)
    wrong &= chip.valid
    if wrong.any():
        code = int(codes[wrong][0])
        raise LabelError(
            f"{mask.path}: holds the value {color_text(code) if kind == 'colors' else code}, which is no class; it changed since its values were looked at: read the labels again"
        )
    ids[~chip.valid] = IGNORE_ID
    return ids


def _looked_up(
    codes: npt.NDArray[np.int64], known: Mapping[int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The class id of each code, and where there is none."""
    if min(known) >= 0 and max(known) < _TABLE:
        inside = (codes >= 0) & (codes < _TABLE)
        table, there = np.zeros(_TABLE, np.uint8), np.zeros(_TABLE, np.bool_)
        table[list(known)], there[list(known)] = list(known.values()), True
        codes = codes if inside.all() else np.where(inside, codes, 0)
        return table[codes], ~(there[codes] & inside)
    keys = np.array(sorted(known), np.int64)
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    return np.array([known[int(key)] for key in keys], np.uint8)[place], keys[place] != codes


def _code(value: int | str) -> int:
    return color_code(value) if isinstance(value, str) else value


def _by_place(masks: Sequence[LabelRaster], scene: Scene) -> LabelRaster | None:
    """The label raster that covers most of a scene. Raises `LabelError` where another one covers more than 1
    % of the rest.
    """
    if scene.native.crs is None:
        return None
    ground = scene.grid.footprint()
    shares = [(footprint_in(mask.path, scene), mask) for mask in masks]
    found = sorted(
        (
            (shapely.area(shapely.intersection(area, ground)) / ground.area, place)
            for place, (area, _) in enumerate(shares)
        ),
        reverse=True,
    )
    best, place = found[0]
    if best <= 0:
        return None
    rest = shapely.difference(ground, shares[place][0])
    for share, other in found[1:]:
        if (
            share > _COVERS
            and shapely.area(shapely.intersection(rest, shares[other][0])) > _COVERS * ground.area
        ):
            raise LabelError(
                f"{scene.path}: several label rasters cover parts of it ({Path(masks[place].path).name}, {Path(masks[other].path).name}); join them first, e.g. gdalbuildvrt masks.vrt *.tif"
            )
    return masks[place]


def footprint_in(path: str, scene: Scene) -> shapely.Geometry:
    """The ground of a label raster in the CRS of a scene; empty where one of them has none."""
    grid = _open(path).grid
    if grid.crs is None or scene.grid.crs is None:
        return shapely.Polygon()
    outline = np.array([shapely.segmentize(grid.footprint(), grid.footprint().length / 64)], dtype=object)
    return shapely.make_valid(reproject(outline, grid.crs, scene.grid.crs, path)[0])


def _open(path: str) -> Scene:
    try:
        status = Path(path).stat()
        return _opened(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return _opened(path, 0, 0)


@lru_cache(maxsize=1024)
def _opened(path: str, size: int, changed_ns: int) -> Scene:
    return open_mask(path)
