"""What a label raster holds: ids or colours, each with its number of pixels, found in one pass that keeps a
few million pixels at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...core.window import Window
from ...errors import LabelError, SceneError
from ...io.classmap import open_class_map, probability_classes
from ...io.scene import Scene, SceneReader, open_scene

Kind = Literal["ids", "colors"]

_PASS_PIXELS = 4_000_000
_MAX_COLORS = 64
_MAX_IDS = 256


@dataclass(frozen=True)
class MaskContent:
    """A label raster as its file tells it.

    `scene`: opened so that every stored value counts. `counts`: pixels by id or colour ("#rrggbb"). `nodata`:
    the file's own value, where it is an id. `names`: class names that the file carries, by id. `hidden`:
    pixels that a mask band or alpha takes out.
    """

    scene: Scene
    kind: Kind
    counts: Mapping[int | str, int]
    nodata: int | None
    names: Mapping[int, str]
    hidden: int


def open_mask(path: str) -> Scene:
    """A label raster with every stored value taken as one. Raises `LabelError` for what cannot be one."""
    try:
        scene = open_scene(path, nodata="none")
    except SceneError as cause:
        raise LabelError(str(cause)) from cause
    if scene.file.driver.startswith("JP"):
        raise LabelError(
            f"{path}: is a {scene.file.driver} file, which changes values a little; save label rasters as PNG or GeoTIFF"
        )
    if probability_classes(scene) is not None:
        return scene
    kinds = {band.dtype for band in scene.bands}
    if (
        len(scene.bands) not in (1, 3)
        or any(np.dtype(kind).kind not in "iu" for kind in kinds)
        or (len(scene.bands) == 3 and kinds != {"uint8"})
    ):
        raise LabelError(
            f"{path}: has {len(scene.bands)} band{'s' * (len(scene.bands) != 1)} of {', '.join(sorted(kinds))}; a label raster has one band of whole numbers, or red, green and blue"
        )
    return scene


def mask_content(path: str, kind: Kind | None = None) -> MaskContent:
    """Read a label raster once. `kind` says how a colour table is meant (None: as colours in a PNG, as ids
    elsewhere). Raises `LabelError`.
    """
    scene = open_mask(path)
    found: Kind = "colors" if len(scene.bands) == 3 else "ids"
    if scene.file.color_table is not None:
        found = kind or ("colors" if scene.file.driver == "PNG" else "ids")
    counts: dict[int, int] = {}
    hidden = 0
    for codes, valid in _codes(scene, found):
        hidden += int(valid.size - np.count_nonzero(valid))
        for code, pixels in _run_counts(codes if valid.all() else codes[valid]):
            counts[code] = counts.get(code, 0) + pixels
        _check_number(counts, found, path)
    own = open_class_map(path) if found == "ids" and len(scene.bands) == 1 else None
    nodata = None if own is None else own.scene.bands[0].nodata
    return MaskContent(
        scene=scene,
        kind=found,
        counts={
            color_text(code) if found == "colors" else code: pixels for code, pixels in sorted(counts.items())
        },
        nodata=int(nodata) if nodata is not None and float(nodata).is_integer() else None,
        names={} if own is None or own.classes is None else {info.id: info.name for info in own.classes},
        hidden=hidden,
    )


def color_text(code: int) -> str:
    """0xRRGGBB as "#rrggbb"."""
    return f"#{code:06x}"


def color_code(text: str) -> int:
    """ "#rrggbb" as 0xRRGGBB."""
    return int(text[1:], 16)


def codes_of(pixels: npt.NDArray[np.generic], scene: Scene, kind: Kind) -> npt.NDArray[np.int64]:
    """(H, W) what stored pixels (C, H, W) stand for: the id, or the colour as 0xRRGGBB (through the colour
    table where there is one).
    """
    if kind == "ids":
        return np.asarray(pixels[0], np.int64)
    if scene.file.color_table is None:
        red, green, blue = (band.astype(np.int64) for band in pixels)
        return np.asarray((red << 16) | (green << 8) | blue, np.int64)
    table = np.zeros(max(65536, *(value + 1 for value, _ in scene.file.color_table)), np.int64)
    for value, (r, g, b, _) in scene.file.color_table:
        table[value] = (r << 16) | (g << 8) | b
    return np.asarray(table[pixels[0].astype(np.int64)], np.int64)


def _codes(scene: Scene, kind: Kind) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    height, width, block = scene.grid.height, scene.grid.width, scene.file.block_px[0]
    rows = max(1, _PASS_PIXELS // width // block) * block
    try:
        with SceneReader(scene) as reader:
            for row0 in range(0, height, rows):
                chip = reader.read(Window(0, row0, width, min(rows, height - row0)))
                yield codes_of(chip.pixels, scene, kind), chip.valid
    except SceneError as cause:
        raise LabelError(str(cause)) from cause


def _run_counts(codes: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Values with their number of pixels: by runs, because labels come in patches and sorting all pixels is
    slow.
    """
    flat = codes.ravel()
    if not len(flat):
        return
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(flat)))
    values, inverse = np.unique(flat[starts], return_inverse=True)
    sums = np.bincount(inverse, weights=lengths).astype(np.int64)
    yield from zip(values.tolist(), sums.tolist(), strict=True)


def _check_number(counts: Mapping[int, int], kind: Kind, path: str) -> None:
    if kind == "colors" and len(counts) > _MAX_COLORS:
        raise LabelError(
            f"{path}: holds more than {_MAX_COLORS} colours, a label raster has one a class; it is an image, or was saved lossily (JPEG): save it as PNG"
        )
    if kind == "ids" and len(counts) > _MAX_IDS:
        raise LabelError(
            f"{path}: holds more than {_MAX_IDS} different values, a label raster has one a class; is it an image or a height model?"
        )
