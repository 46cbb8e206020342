"""What a label raster holds: class ids or colours, each with its number of pixels.

Found in one pass that keeps a few million pixels at a time.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from ...core.arrays import Chip
from ...core.arraytypes import AnyArray, BoolArray, Int64Array
from ...core.classes import IGNORE_ID
from ...core.rasterlabels import LabelRaster
from ...core.window import Window
from ...core.wording import count_of
from ...errors import LabelError, SceneError
from ...io.classmap import open_class_map, probability_classes
from ...io.scene import Scene, SceneReader, open_scene

Kind = Literal["ids", "colors"]

_PASS_PIXELS = 4_000_000
_MOST_COLORS = 64
_MOST_IDS = 256
# Soft edges: at least two rare values that are nearly always between their neighbours, beside two others.
_FEWEST_VALUES = 4
_RARE_SHARE = 0.3
_SOFT_SHARE = 0.8
_NEAR_PX = 5
# An image of one band: many such values, which are most of it.
_MANY_VALUES = 32
_MOST_SHARE = 0.5
_MOST_STRIPS = 4
# Numbered objects: so many values, of which nearly each is one patch.
_MANY_OBJECTS = 20
_ONE_PATCH_SHARE = 0.95
_MOST_COMPARED_PX = 2**25
_TABLE_SIZE = 65536
_LARGEST_CODE = 2**53


@dataclass(frozen=True)
class MaskContent:
    """A label raster as its file describes it."""

    scene: Scene
    """The file, opened so that every stored value counts."""

    kind: Kind
    """Whether its values are class ids or colours."""

    counts: Mapping[int | str, int]
    """Pixels per id, or per colour ("#rrggbb")."""

    nodata: int | None
    """The nodata value of the file; None if it has none, or its values are colours."""

    names: Mapping[int, str]
    """Class names that the file carries, by id."""

    hidden: int
    """Pixels that a mask band or alpha takes out."""

    soft: tuple[int | str, ...] = ()
    """Values that lie between those around them nearly everywhere, as at edges that were resampled."""

    numbered: int = 0
    """Number of values, if there are many and each is one patch, as where objects are numbered; else 0."""


def open_mask(path: str) -> Scene:
    """A label raster as a scene of which every stored value counts.

    Raises:
        LabelError: The file cannot be opened, or cannot be a label raster.
    """
    try:
        scene = open_scene(path, nodata="none")
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    lossy = scene.file.driver if scene.file.driver.startswith("JP") else scene.file.lossy
    if lossy:
        raise LabelError(
            f"{path}: is a {lossy} file, which changes values a little (lossy); save label rasters as PNG or "
            "GeoTIFF"
        )
    if probability_classes(scene) is not None:
        return scene
    dtypes = {band.dtype for band in scene.bands}
    numbers = all(np.dtype(dtype).kind in "iuf" for dtype in dtypes)
    one_band = len(scene.bands) == 1 and numbers
    colors = len(scene.bands) == 3 and dtypes == {"uint8"}
    if not one_band and not colors:
        raise LabelError(
            f"{path}: has {count_of(len(scene.bands), 'band')} of {', '.join(sorted(dtypes))}; a label "
            "raster has one band of whole numbers, or red, green and blue"
        )
    if np.dtype(scene.dtype).kind == "f":
        return _with_own_gap(scene)
    return scene


def _with_own_gap(scene: Scene) -> Scene:
    """A raster of floats, as QGIS and gdal_rasterize write classes; a nodata value that can be no class, such
    as -9999 or -3.4e38, is no value there.
    """
    own = open_scene(scene.path)
    nodata = own.bands[0].nodata
    return own if nodata is not None and not 0 <= nodata <= IGNORE_ID else scene


def cached_mask(path: str) -> Scene:
    """`open_mask`, once per file as long as the file does not change."""
    return _opened(path, *_state(path))


def open_values(path: str) -> Scene:
    """A raster of numbers as a scene: every pixel counts in which any of its bands was measured.

    Raises:
        LabelError: The file cannot be opened, or holds no real numbers.
    """
    try:
        scene = open_scene(path, valid="any")
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    strange = sorted({band.dtype for band in scene.bands if np.dtype(band.dtype).kind not in "iuf"})
    if strange:
        raise LabelError(
            f"{path}: holds {', '.join(strange)}; a raster of values has whole or floating numbers"
        )
    return scene


def cached_values(path: str) -> Scene:
    """`open_values`, once per file as long as the file does not change."""
    return _opened_values(path, *_state(path))


def source_of(raster: LabelRaster) -> Scene:
    """The file of a label raster, opened as its content wants it.

    Raises:
        LabelError: The file cannot be opened, or cannot be such a raster.
    """
    return cached_values(raster.path) if raster.holds_values else cached_mask(raster.path)


def _state(path: str) -> tuple[int, int]:
    """Size and time of a file; zeros for an address."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1024)
def _opened_values(path: str, size: int, changed_ns: int) -> Scene:
    return open_values(path)


@lru_cache(maxsize=1024)
def _opened(path: str, size: int, changed_ns: int) -> Scene:
    return open_mask(path)


def mask_content(path: str, kind: Kind | None = None) -> MaskContent:
    """Read a label raster once.

    Args:
        path: The file.
        kind: How a colour table is meant (default: as colours in a PNG, as ids elsewhere).

    Raises:
        LabelError: The file cannot be a label raster, or has too many values for one.
    """
    scene = open_mask(path)
    content_kind = _kind_of(scene, kind)
    counts: dict[int, int] = {}
    hidden = 0
    for codes, valid in _strips(scene, content_kind):
        hidden += int(valid.size - np.count_nonzero(valid))
        for code, pixels in _run_counts(codes if valid.all() else codes[valid]):
            counts[code] = counts.get(code, 0) + pixels
        _check_value_count(len(counts), content_kind, path)
    nodata: int | None = None
    names: dict[int, str] = {}
    if content_kind == "ids" and len(scene.bands) == 1:
        class_map = open_class_map(path)
        file_nodata = class_map.nodata
        if file_nodata is not None and float(file_nodata).is_integer():
            nodata = int(file_nodata)
        if class_map.classes is not None:
            names = {info.id: info.name for info in class_map.classes}
    return MaskContent(
        scene=scene,
        kind=content_kind,
        counts={value_of_code(code, content_kind): pixels for code, pixels in sorted(counts.items())},
        nodata=nodata,
        names=names,
        hidden=hidden,
        soft=tuple(value_of_code(code, content_kind) for code in _soft_codes(scene, content_kind, counts)),
        numbered=0 if names or content_kind == "colors" else _numbered_objects(scene, counts, nodata),
    )


def _numbered_objects(scene: Scene, counts: Mapping[int, int], nodata: int | None) -> int:
    """The number of values if these are many and nearly each is one patch, as where objects are numbered."""
    codes = np.array(sorted(set(counts) - {0, IGNORE_ID, nodata}), np.int64)
    if len(codes) < _MANY_OBJECTS or scene.grid.height * scene.grid.width > _MOST_COMPARED_PX:
        return 0
    whole = np.concatenate([strip for strip, _ in _strips(scene, "ids")])
    places = np.searchsorted(codes, whole)
    known = codes[np.minimum(places, len(codes) - 1)] == whole
    numbers = np.where(known, places + 1, 0)
    joined = 0
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is not None:
            _, patches = ndimage.label(numbers[box] == number, structure=np.ones((3, 3)))
            joined += patches == 1
    return len(codes) if joined >= _ONE_PATCH_SHARE * len(codes) else 0


def _soft_codes(scene: Scene, kind: Kind, counts: Mapping[int, int]) -> list[int]:
    """The values that lie between those around them nearly everywhere; none, unless they are several rare
    ones beside two others.

    Raises `LabelError` as reading does.
    """
    total = sum(counts.values())
    rare = [code for code, pixels in counts.items() if pixels < _RARE_SHARE * total]
    if len(counts) < _FEWEST_VALUES or len(rare) < 2:
        return []
    between: Counter[int] = Counter()
    looked_at: Counter[int] = Counter()
    for codes, valid in itertools.islice(_strips(scene, kind), _MOST_STRIPS):
        wanted = valid & np.isin(codes, rare)
        looked_at.update(dict(_run_counts(codes[wanted])))
        between.update(dict(_run_counts(codes[wanted & _is_between(codes, kind)])))
    soft = [code for code in rare if looked_at[code] and between[code] >= _SOFT_SHARE * looked_at[code]]
    together = sum(counts[code] for code in soft) / total
    are_edges = len(soft) > 1 and together < _RARE_SHARE
    is_image = len(soft) > _MANY_VALUES and together > _MOST_SHARE
    return soft if are_edges or is_image else []


def _is_between(codes: Int64Array, kind: Kind) -> BoolArray:
    """(H, W) True where a value, or a channel of a colour, lies between the lowest and highest near it."""
    channels = [codes] if kind == "ids" else [(codes >> bits) & 255 for bits in (16, 8, 0)]
    result: BoolArray = np.zeros(codes.shape, np.bool_)
    for channel in channels:
        lowest = ndimage.minimum_filter(channel, _NEAR_PX)
        highest = ndimage.maximum_filter(channel, _NEAR_PX)
        result |= (lowest < channel) & (channel < highest)
    return result


def _kind_of(scene: Scene, color_table_kind: Kind | None) -> Kind:
    if len(scene.bands) == 3:
        return "colors"
    if scene.file.color_table is None:
        return "ids"
    if color_table_kind is not None:
        return color_table_kind
    return "colors" if scene.file.driver == "PNG" else "ids"


def code_of(value: int | str) -> int:
    """A class id itself; a colour "#rrggbb" as the number 0xRRGGBB."""
    return int(value[1:], 16) if isinstance(value, str) else value


def value_of_code(code: int, kind: Kind) -> int | str:
    """The reverse of `code_of`."""
    return f"#{code:06x}" if kind == "colors" else code


def codes_of(pixels: AnyArray, scene: Scene, kind: Kind) -> Int64Array:
    """(H, W) the code of each stored pixel (C, H, W); through the colour table where there is one."""
    if kind == "ids":
        return np.asarray(pixels[0], np.int64)
    if scene.file.color_table is None:
        red, green, blue = (band.astype(np.int64) for band in pixels)
        return np.asarray((red << 16) | (green << 8) | blue, np.int64)
    largest = max(value for value, _ in scene.file.color_table)
    table = np.zeros(max(_TABLE_SIZE, largest + 1), np.int64)
    for value, (red_value, green_value, blue_value, _) in scene.file.color_table:
        table[value] = (red_value << 16) | (green_value << 8) | blue_value
    return np.asarray(table[pixels[0].astype(np.int64)], np.int64)


def _strips(scene: Scene, kind: Kind) -> Iterator[tuple[Int64Array, BoolArray]]:
    """Codes and valid masks (rows, W), strip by strip, in whole blocks of the file."""
    height, width, block_rows = scene.grid.height, scene.grid.width, scene.file.block_px[0]
    rows = max(1, _PASS_PIXELS // width // block_rows) * block_rows
    try:
        with SceneReader(scene) as reader:
            for row0 in range(0, height, rows):
                chip = reader.read(Window(0, row0, width, min(rows, height - row0)))
                _refuse_fractions(chip, scene)
                yield codes_of(chip.pixels, scene, kind), chip.valid
    except SceneError as cause:
        raise LabelError(str(cause)) from cause


def _refuse_fractions(chip: Chip, scene: Scene) -> None:
    values = chip.pixels[0]
    if values.dtype.kind != "f":
        return
    wrong = chip.valid & ((values != np.rint(values)) | (np.abs(values) > _LARGEST_CODE))
    if wrong.any():
        raise LabelError(
            f"{scene.path}: holds the value {values[wrong][0]:g}, a label raster has whole numbers; if it is "
            "one, write them, e.g. gdal_translate -ot Byte IN OUT.tif; `tile` learns numbers that are "
            "named with `values`"
        )


def _run_counts(codes: Int64Array) -> Iterator[tuple[int, int]]:
    """Codes with their number of pixels.

    By runs, because labels come in patches, and sorting all pixels is slow.
    """
    flat = codes.ravel()
    if not len(flat):
        return
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(flat)))
    values, run_values = np.unique(flat[starts], return_inverse=True)
    pixels = np.bincount(run_values, weights=lengths).astype(np.int64)
    yield from zip(values.tolist(), pixels.tolist(), strict=True)


def _check_value_count(count: int, kind: Kind, path: str) -> None:
    if kind == "colors" and count > _MOST_COLORS:
        raise LabelError(
            f"{path}: holds more than {_MOST_COLORS} colours, a label raster has one per class; it is an "
            "image, or was saved lossily (JPEG): save it as PNG"
        )
    if kind == "ids" and count > _MOST_IDS:
        raise LabelError(
            f"{path}: holds more than {_MOST_IDS} different values, a label raster has one per class; is it "
            "an image? Numbers to learn, such as heights, are named with `values`"
        )
