"""The input contract: a scene made to fit a model, or refused with what to type. Nothing is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import AnyArray, Float32Array, Float64Array
from ..core.bands import BandSet
from ..core.normalization import to_physical
from ..core.window import Window
from ..errors import BandError, ConfigError, InputError, SceneError
from ..io.gdal import small_cache
from ..io.scene import Scene, SceneReader

_SAMPLES = 4
_SAMPLE_PX = 128
_SCAN_ROWS = 512
# Units differ by factors of 100 (percent), 255 (8 bit), 10000 (reflectance): far above what sun and season do
# to a whole scene.
_FACTOR = 50.0
_UNUSUAL_STD = 4.0
_KNOWN_FACTORS = (1e-4, 1e-2, 1 / 255, 1 / 65535, 1e2, 255.0, 1e4, 65535.0)


@dataclass(frozen=True)
class SceneOptions:
    """What the person says about a scene in place of the file: `bands` (names, numbers, NAME=NUMBER), `scale`
    and `offset` (physical = stored * scale + offset, for all bands; None: each band's own), `keep_gsd` (do
    not resample).
    """

    bands: Sequence[str] | str | None = None
    scale: float | None = None
    offset: float | None = None
    keep_gsd: bool = False


@dataclass(frozen=True)
class FittedScene:
    """A scene with the model's bands in the model's order on the grid to work on; `notes` say what was done
    for it.
    """

    scene: Scene
    notes: tuple[str, ...]


def fit_scene(bundle: Bundle, scene: Scene, options: SceneOptions) -> FittedScene:
    """Match bands, units and ground resolution.

    Raises `BandError`, `SceneError` (nothing valid in it) or `InputError` (values in other units) with the
    flag to type.
    """
    picked = _with_bands(bundle.bands, scene, options.bands)
    fitted = _with_units(picked, options)
    said = options.scale is not None or options.offset is not None
    values = _check_values(bundle, fitted, said)
    fitted, size = _with_gsd(bundle, fitted, options.keep_gsd)
    return FittedScene(fitted, (*scene.notes, *values, *size))


def _with_bands(wanted: BandSet, scene: Scene, bands: Sequence[str] | str | None) -> Scene:
    if bands is not None:
        chosen = (
            [part.strip() for part in bands.split(",")]
            if isinstance(bands, str)
            else [str(part) for part in bands]
        )
        scene = scene.select(chosen)
        if wanted.named and len(scene.bands) == len(wanted) and not any(band.named for band in scene.bands):
            # Numbers alone, given in person and as many as the model has: they are meant in the model's
            # order.
            scene = scene.select(
                [f"{name}={band.number}" for name, band in zip(wanted.names, scene.bands, strict=True)]
            )
        if len(scene.bands) < len(wanted):
            raise BandError(
                f"{scene.path}: -b/--bands names {len(scene.bands)} bands, the model needs {len(wanted)}: "
                f"{wanted.describe()}; name each"
            )
    return scene.reordered(wanted.match(scene.bands, scene.path))


def _with_units(scene: Scene, options: SceneOptions) -> Scene:
    if options.scale is None and options.offset is None:
        return scene
    if options.scale == 0 or not np.isfinite([options.scale or 0.0, options.offset or 0.0]).all():
        raise ConfigError(
            f"scale {options.scale} and offset {options.offset} must be finite and the scale not 0 "
            "(--scale, --offset)"
        )
    bands = (
        replace(
            band,
            scale=band.scale if options.scale is None else options.scale,
            offset=band.offset if options.offset is None else options.offset,
        )
        for band in scene.bands
    )
    return replace(scene, bands=BandSet(tuple(bands)))


def _with_gsd(bundle: Bundle, scene: Scene, keep: bool) -> tuple[Scene, tuple[str, ...]]:
    wanted = bundle.spec.gsd_m
    if wanted is None:
        return scene, ()
    found = scene.grid.gsd_m
    if found is None:
        return scene, (
            f"{scene.name} has no CRS, so its ground resolution is not known; the model was trained at "
            f"{wanted:.4g} m a pixel, and pixels are taken as they are",
        )
    if bundle.spec.reads_gsd(found):
        return scene, ()
    if keep:
        return scene, (
            f"{scene.name} has {found:.4g} m a pixel where the model was trained at {wanted:.4g} m; not "
            "resampled, as asked for",
        )
    note = (
        f"{scene.name} has {found:.4g} m a pixel where the model was trained at {wanted:.4g} m: resampled "
        "on reading; the result lies on the scene's own grid"
    )
    return scene.at_gsd(wanted), (note,)


def _check_values(bundle: Bundle, scene: Scene, said: bool) -> tuple[str, ...]:
    """Notes on unusual values. Raises `InputError` where they are in other units, unless the person `said`
    which.
    """
    values = sample_values(scene)
    low, median, high = np.percentile(values, (2, 50, 98), axis=1)
    mean, std = np.array(bundle.normalization.mean), np.array(bundle.normalization.std)
    found, trained = np.maximum(abs(low), abs(high)), abs(mean) + 2 * std
    too_large, too_small = (
        bool((found > _FACTOR * trained).all()),
        bool(((found * _FACTOR < trained) & (found > 0)).all()),
    )
    if not said and (too_large or too_small):
        raise InputError(_other_units(scene, median, mean, trained / np.maximum(found, 1e-30)))
    unusual = [
        f"{band.name} (median {m:.4g}, trained on {t:.4g} +- {s:.4g})"
        for band, m, t, s in zip(scene.bands, median, mean, std, strict=True)
        if abs(m - t) > _UNUSUAL_STD * s
    ]
    return (
        (
            f"{len(unusual)} of {len(values)} bands hold values unlike those of the training: "
            f"{', '.join(unusual[:4])}",
        )
        if unusual
        else ()
    )


def _other_units(
    scene: Scene,
    median: Float64Array,
    mean: Float64Array,
    ratio: Float64Array,
) -> str:
    middle = float(np.exp(np.log(np.maximum(ratio, 1e-30)).mean()))
    likely = min(_KNOWN_FACTORS, key=lambda factor: abs(np.log(factor / middle)))
    pairs = ", ".join(
        f"{band.name} {m:.4g} (trained on {t:.4g})"
        for band, m, t in list(zip(scene.bands, median, mean, strict=True))[:4]
    )
    scale = scene.bands[0].scale * likely
    return (
        f"{scene.path}: its values are in other units than those the model was trained on, median {pairs}; "
        f"say what a stored unit is worth, perhaps --scale {scale:.6g} (--scale {scene.bands[0].scale:g} "
        "leaves it)"
    )


def sample_values(scene: Scene) -> Float32Array:
    """(C, N) physical values of valid pixels, N >= 1, from small windows spread over the scene.

    Raises `SceneError` where no pixel of the whole scene is valid.
    """
    own = replace(scene, grid=scene.native)
    with small_cache(), SceneReader(own) as reader:
        chips = [reader.read(window) for window in _windows(own.grid.height, own.grid.width)]
        found = [chip.pixels[:, chip.valid] for chip in chips if chip.valid.any()] or [
            _first_valid(own, reader)
        ]
    stored = np.concatenate(found, axis=1)
    return to_physical(stored[:, :, None], scene.bands)[:, :, 0]


def _windows(height: int, width: int) -> list[Window]:
    """Up to 16 windows at regular places, top to bottom."""
    high, wide = min(height, _SAMPLE_PX), min(width, _SAMPLE_PX)
    rows, cols = (
        sorted({round(i * (length - size) / (_SAMPLES - 1)) for i in range(_SAMPLES)})
        for length, size in ((height, high), (width, wide))
    )
    return [Window(col, row, wide, high) for row in rows for col in cols]


def _first_valid(scene: Scene, reader: SceneReader) -> AnyArray:
    for row in range(0, scene.grid.height, _SCAN_ROWS):
        pixels, valid = reader.read_rows(row, min(row + _SCAN_ROWS, scene.grid.height))
        if valid.any():
            return pixels[:, valid]
    nodata = ", ".join(
        sorted({"none" if band.nodata is None else f"{band.nodata:g}" for band in scene.bands})
    )
    raise SceneError(
        f"{scene.path}: none of its pixels is valid (nodata {nodata}, mask or alpha); nothing to predict; "
        "if the nodata value is wrong, give --nodata"
    )
