"""Rasters of numbers (heights, shares, yields) as labels, and their values on the grids of scenes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from affine import Affine

from ...core.arrays import Chip
from ...core.arraytypes import BoolArray, Float32Array
from ...core.classes import ClassSet
from ...core.pixelgrid import PixelGrid
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...core.valueinfo import ValueInfo
from ...core.window import Window
from ...core.wording import count_of
from ...errors import LabelError, SceneError
from ...io.areamean import area_means
from ...io.openscenes import OpenScenes
from ...io.scene import Scene, SceneReader
from .maskgrid import check_fit, mask_pixels, whole_shift
from .maskvalues import cached_values, open_values

_NO_NAMES = ("gray", "grey", "undefined")  # how a band is shown, and not what it measures

_PASS_PIXELS = 4_000_000
_MOST_PIXELS = 2**24  # read at once
_AROUND_PX = 2  # pixels of the raster around those at the centres of a window's pixels
_rasters = OpenScenes(4)  # per thread: labels are read by as many threads as pixels are


def holds_fractions(path: str) -> bool:
    """Whether a raster is one band of floating numbers with fractions, which no class ids are.

    False for a file that cannot be opened as one: whoever reads it as classes says why.
    """
    try:
        scene = open_values(path)
    except LabelError:
        return False
    if len(scene.bands) != 1 or np.dtype(scene.dtype).kind != "f":
        return False
    for planes, _ in _strips(scene):
        known = planes[np.isfinite(planes)]
        if (known != np.rint(known)).any():
            return True
    return False


def read_value_rasters(
    paths: Sequence[str], request: Mapping[str, ValueInfo] | None, source: str
) -> RasterLabels:
    """The label set of rasters of numbers: a band is a value. Each file is read once.

    Pixels that are nodata, not finite, or outside the valid range are not known and are ignored.

    Args:
        paths: The files.
        request: The values asked for, one per band; None: the files have one band, which gets its own name.
        source: All of them, for messages.

    Raises:
        LabelError: A file cannot be read, or its bands are not the values asked for.
    """
    scenes = [open_values(path) for path in paths]
    values = _named_after_band(scenes[0]) if request is None else request
    for scene in scenes:
        if len(scene.bands) != len(values):
            raise LabelError(
                f"{scene.path}: has {count_of(len(scene.bands), 'band')}, expected one for each of "
                f"{', '.join(values)}; name the values of all bands with `values`"
            )
    classes = ClassSet.of_values(values)
    found = [_Found() for _ in classes]
    for scene in scenes:
        for planes, out_of_range in _strips(scene, classes):
            for one, plane, outside in zip(found, planes, out_of_range, strict=True):
                one.add(plane, outside)
    nothing = [info.name for info, one in zip(classes, found, strict=True) if not one.count]
    if nothing:
        raise LabelError(
            f"{source}: holds no number of {', '.join(nothing)} in the valid range; check nodata, and the "
            "range in `values`"
        )
    notes = [one.note(info.name, info.value or ValueInfo()) for info, one in zip(classes, found, strict=True)]
    rasters = tuple(LabelRaster(scene.path, holds_values=True) for scene in scenes)
    return RasterLabels(classes, rasters, source, notes=tuple(notes))


@dataclass
class _Found:
    """What the files hold of one value."""

    count: int = 0
    outside: int = 0
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, plane: Float32Array, outside: int) -> None:
        """Count the numbers of a strip."""
        known = plane[np.isfinite(plane)]
        self.outside += outside
        self.count += len(known)
        if len(known):
            self.lowest = min(self.lowest, float(known.min()))
            self.highest = max(self.highest, float(known.max()))

    def note(self, name: str, info: ValueInfo) -> str:
        """What was found, in words."""
        text = f"value {name}: {self.count} px from {self.lowest:.4g} to {info.with_unit(self.highest)}"
        if self.outside:
            text += f"; {self.outside} px outside the valid range ({info.range_text}) are ignored"
        return text


def _named_after_band(scene: Scene) -> Mapping[str, ValueInfo]:
    """The name of a value that nobody named: that of the band, else that of the file."""
    band = scene.bands[0]
    has_name = band.named and band.name not in _NO_NAMES
    return {band.name if has_name else scene.stem: ValueInfo()}


def _strips(scene: Scene, classes: ClassSet | None = None) -> Iterator[tuple[Float32Array, list[int]]]:
    """Numbers (K, rows, W) strip by strip, and per value how many are outside its valid range."""
    height, width, block_rows = scene.grid.height, scene.grid.width, scene.file.block_px[0]
    rows = max(1, _PASS_PIXELS // width // block_rows) * block_rows
    try:
        with SceneReader(scene) as reader:
            for row0 in range(0, height, rows):
                planes = _numbers(reader.read(Window(0, row0, width, min(rows, height - row0))))
                yield planes, _hide_outside(planes, classes)
    except SceneError as cause:
        raise LabelError(str(cause)) from cause


def _numbers(chip: Chip) -> Float32Array:
    """(K, H, W) physical numbers of stored pixels; NaN where they are not known."""
    planes = np.empty(chip.pixels.shape, np.float32)
    for plane, stored, band in zip(planes, chip.pixels, chip.bands, strict=True):
        plane[:] = stored if band.unscaled else stored * band.scale + band.offset
    planes[:, ~chip.valid] = np.nan
    planes[~np.isfinite(planes)] = np.nan
    return planes


def _hide_outside(planes: Float32Array, classes: ClassSet | None) -> list[int]:
    """Make numbers outside their valid range NaN; per value how many there were."""
    if classes is None:
        return [0] * len(planes)
    counts = []
    for plane, info in zip(planes, classes.value_infos, strict=True):
        outside = np.zeros(plane.shape, np.bool_)
        if info.low is not None:
            outside |= plane < info.low
        if info.high is not None:
            outside |= plane > info.high
        plane[outside] = np.nan
        counts.append(int(outside.sum()))
    return counts


def read_values(raster: LabelRaster, scene: Scene, window: Window, classes: ClassSet) -> Float32Array:
    """The values of a window.

    On another grid, in any CRS, they are the means of the ground that each pixel covers; where one of the
    two files has no CRS, both must have one size.

    Args:
        raster: The raster of values of the scene.
        scene: The scene.
        window: Pixels of its working grid.
        classes: The values, in the order of the bands.

    Returns:
        (K, H, W) numbers; NaN where they are not known, and outside the raster.

    Raises:
        LabelError: The raster has another size than the scene, or other bands than when it was read first.
    """
    source = cached_values(raster.path)
    check_fit(source, scene)
    if len(source.bands) != len(classes):
        raise LabelError(
            f"{raster.path}: has {count_of(len(source.bands), 'band')}, expected one for each of "
            f"{', '.join(classes.names)}; the file changed: read the labels again"
        )
    planes = np.full((len(classes), window.height, window.width), np.nan, np.float32)
    _read_into(planes, source, scene, window, classes)
    return planes


def _read_into(out: Float32Array, source: Scene, scene: Scene, window: Window, classes: ClassSet) -> None:
    """Fill the planes (K, H, W) of a window."""
    shift = whole_shift(source, scene)
    if shift is not None:
        wanted = Window(window.col + shift[0], window.row + shift[1], window.width, window.height)
        common = wanted.intersection(source.grid.window)
        if common is not None:
            out[(..., *common.relative_to(wanted).slices)] = _stored(source, common, classes)
        return
    frame = _seen_by(source, scene, window)
    if frame is None:
        return
    if frame.area_px > _MOST_PIXELS and window.area_px > 1:
        # The raster is so much finer that one read would be large.
        for half in window.halves():
            _read_into(out[(..., *half.relative_to(window).slices)], source, scene, half, classes)
        return
    source_grid, target_grid = _in_one_frame(source, frame, scene, window)
    out[:] = area_means(_stored(source, frame, classes), source_grid, target_grid)


def _seen_by(source: Scene, scene: Scene, window: Window) -> Window | None:
    """The pixels of the raster that a window of the scene touches; None: it lies beside the raster."""
    # A pixel of the scene around the window, so that corners of pixels are covered as centres are.
    around = Window(window.col - 1, window.row - 1, window.width + 2, window.height + 2)
    cols, rows = mask_pixels(source, scene, around)
    inside: BoolArray = (cols >= 0) & (cols < source.grid.width) & (rows >= 0) & (rows < source.grid.height)
    if not inside.any():
        return None
    seen = Window.from_box(
        int(cols[inside].min()) - _AROUND_PX,
        int(rows[inside].min()) - _AROUND_PX,
        int(cols[inside].max()) + 1 + _AROUND_PX,
        int(rows[inside].max()) + 1 + _AROUND_PX,
    )
    return seen.intersection(source.grid.window)


def _in_one_frame(source: Scene, frame: Window, scene: Scene, window: Window) -> tuple[PixelGrid, PixelGrid]:
    """The grids of a window of the raster and of a window of the scene, in map coordinates.

    Without a CRS both files show the same ground, pixel by pixel: the plane is that of the raster's pixels.
    """
    if source.grid.crs is not None and scene.grid.crs is not None:
        return source.grid.crop(frame), scene.grid.crop(window)
    scale = Affine.scale(source.grid.width / scene.grid.width, source.grid.height / scene.grid.height)
    of_raster = Affine.translation(frame.col, frame.row)
    of_scene = scale @ Affine.translation(window.col, window.row)
    return (
        PixelGrid(None, of_raster, frame.height, frame.width),
        PixelGrid(None, of_scene, window.height, window.width),
    )


def _stored(source: Scene, frame: Window, classes: ClassSet) -> Float32Array:
    """(K, h, w) numbers of a window of the raster's own grid."""
    try:
        planes = _numbers(_rasters.reader(source).read(frame))
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    _hide_outside(planes, classes)
    return planes
