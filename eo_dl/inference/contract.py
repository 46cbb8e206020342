"""The input contract: a scene is made to fit a model, or refused with the fix. Nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..bundle import Bundle
from ..core.arraytypes import AnyArray, Float64Array
from ..core.bands import Band, BandSet
from ..core.normalization import to_physical
from ..core.window import Window
from ..errors import BandError, InputError, SceneError
from ..io.gdal import small_cache
from ..io.scene import Scene, SceneReader

_SAMPLES = 4
_SAMPLE_PX = 128
_SCAN_ROWS = 512
# Units differ by factors of 100 (percent), 255 (8 bit), 10000 (reflectance): far above what sun and season do
# to a whole scene.
_FACTOR = 50.0
_UNUSUAL_STD = 4.0
_SHARES = (2, 50, 98)
_KNOWN_FACTORS = (1e-4, 1e-2, 1 / 255, 1 / 65535, 1e2, 255.0, 1e4, 65535.0)


@dataclass(frozen=True)
class FittedScene:
    """A scene that fits a model."""

    scene: Scene
    """The scene with the model's bands in the model's order, on the working grid."""
    notes: tuple[str, ...]
    """What was done to it."""


def fit_scene(bundle: Bundle, scene: Scene, *, keep_gsd: bool = False) -> FittedScene:
    """Match bands, units and GSD. `keep_gsd`: do not resample a scene whose GSD differs from the model's.

    Raises `BandError`, `SceneError` (nothing valid in it) or `InputError` (values in other units), naming the
    parameter of `open_scene` that resolves it.
    """
    fitted = _with_bands(bundle.bands, scene)
    values = _check_values(bundle, fitted)
    fitted, size = _with_gsd(bundle, fitted, keep_gsd)
    return FittedScene(fitted, (*scene.notes, *values, *size))


def _with_bands(wanted: BandSet, scene: Scene) -> Scene:
    if scene.options.bands is not None:
        numbers_alone = not any(band.named for band in scene.bands)
        if wanted.named and len(scene.bands) == len(wanted) and numbers_alone:
            # Numbers stated by the user, as many as the model has bands: they are in the model's order.
            pairs = zip(wanted.names, scene.bands, strict=True)
            scene = scene.select([f"{name}={band.number}" for name, band in pairs])
        if len(scene.bands) < len(wanted):
            raise BandError(
                f"{scene.path}: `bands` names {len(scene.bands)} bands, the model needs {len(wanted)}: "
                f"{wanted.describe()}; name each"
            )
    return scene.reordered(wanted.match(scene.bands, scene.path))


def _with_gsd(bundle: Bundle, scene: Scene, keep: bool) -> tuple[Scene, tuple[str, ...]]:
    wanted = bundle.spec.gsd_m
    if wanted is None:
        return scene, ()
    gsd = scene.grid.gsd_m
    if gsd is None:
        note = (
            f"{scene.name} has no CRS, so its GSD is unknown; the model was trained at {wanted:.4g} m GSD, "
            "and the scene is not resampled"
        )
        return scene, (note,)
    if bundle.spec.reads_gsd(gsd):
        return scene, ()
    difference = f"{scene.name} has {gsd:.4g} m GSD, the model was trained at {wanted:.4g} m"
    if keep:
        return scene, (f"{difference}: not resampled, as requested",)
    note = f"{difference}: resampled on reading; the result has the scene's own grid"
    return scene.at_gsd(wanted), (note,)


def _check_values(bundle: Bundle, scene: Scene) -> tuple[str, ...]:
    """Notes on unusual values. Raises `InputError` for other units, unless the user stated the units."""
    low, median, high = _percentiles(_sampled(scene), scene.bands)
    mean, std = np.array(bundle.normalization.mean), np.array(bundle.normalization.std)
    found, trained = np.maximum(abs(low), abs(high)), abs(mean) + 2 * std
    too_large, too_small = (
        bool((found > _FACTOR * trained).all()),
        bool(((found * _FACTOR < trained) & (found > 0)).all()),
    )
    if scene.own_units and (too_large or too_small):
        raise InputError(_other_units(scene, median, mean, trained / np.maximum(found, 1e-30)))
    unusual = []
    for band, middle, trained_mean, trained_std in zip(scene.bands, median, mean, std, strict=True):
        if abs(middle - trained_mean) > _UNUSUAL_STD * trained_std:
            unusual.append(
                f"{band.name} (median {middle:.4g}, trained on {trained_mean:.4g} +- {trained_std:.4g})"
            )
    if not unusual:
        return ()
    listed = ", ".join(unusual[:4])
    return (f"{len(unusual)} of {len(scene.bands)} bands hold values unlike those of training: {listed}",)


def _other_units(
    scene: Scene,
    median: Float64Array,
    mean: Float64Array,
    ratio: Float64Array,
) -> str:
    middle = float(np.exp(np.log(np.maximum(ratio, 1e-30)).mean()))
    likely = min(_KNOWN_FACTORS, key=lambda factor: abs(np.log(factor / middle)))
    texts = []
    for band, value, trained in zip(scene.bands, median, mean, strict=True):
        texts.append(f"{band.name} {value:.4g} (trained on {trained:.4g})")
    present = scene.bands[0].scale
    return (
        f"{scene.path}: its values are in other units than those the model was trained on, median "
        f"{', '.join(texts[:4])}; open the scene with the physical value of a stored unit, perhaps "
        f"`scale={present * likely:.6g}` (`scale={present:g}` keeps the values)"
    )


def _percentiles(stored: AnyArray, bands: BandSet) -> Float64Array:
    """(3, C) percentiles 2, 50 and 98 of stored values (C, N), in physical units."""
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        lowest = int(stored.min())
        return np.stack(
            [_percentiles_of_band(values, lowest, band) for values, band in zip(stored, bands, strict=True)],
            axis=1,
        )
    physical = to_physical(stored[:, :, None], bands)[:, :, 0]
    return np.asarray(np.percentile(physical, _SHARES, axis=1), np.float64)


def _percentiles_of_band(stored: AnyArray, lowest: int, band: Band) -> Float64Array:
    """The same for small integers (N,), by counting: sorting takes ten times as long.

    Between two neighbours it interpolates linearly, as `numpy.percentile` does.
    """
    counts = np.bincount(stored.astype(np.int64) - lowest)
    levels = np.flatnonzero(counts)
    physical = (levels + lowest) * band.scale + band.offset
    order = np.argsort(physical)  # a negative scale turns the order around
    last_of_level = np.cumsum(counts[levels][order])
    positions = np.array(_SHARES) / 100 * (len(stored) - 1)
    below = np.floor(positions).astype(np.int64)
    above = np.minimum(below + 1, len(stored) - 1)
    first, second = (
        physical[order][np.searchsorted(last_of_level, rank, side="right")] for rank in (below, above)
    )
    return np.asarray(first + (second - first) * (positions - below), np.float64)


def _sampled(scene: Scene) -> AnyArray:
    """(C, N) stored values of valid pixels, N >= 1, from small windows spread over the scene.

    Raises `SceneError` if no pixel of the whole scene is valid.
    """
    native = replace(scene, grid=scene.native)
    windows = _windows(native.grid.height, native.grid.width)
    with small_cache(), SceneReader(native) as reader:
        if sum(window.area_px for window in windows) >= native.grid.height * native.grid.width:
            pixels, valid = reader.read_rows(0, native.grid.height)
            parts = [(pixels[:, *window.slices], valid[window.slices]) for window in windows]
        else:
            chips = [reader.read(window) for window in windows]
            parts = [(chip.pixels, chip.valid) for chip in chips]
        samples = [pixels[:, valid] for pixels, valid in parts if valid.any()]
        if not samples:
            samples = [_first_valid(native, reader)]
    return np.concatenate(samples, axis=1)


def _windows(height: int, width: int) -> list[Window]:
    """Up to 16 windows, evenly spread, from top to bottom."""
    window_height, window_width = min(height, _SAMPLE_PX), min(width, _SAMPLE_PX)
    windows = []
    for row in _starts(height, window_height):
        for col in _starts(width, window_width):
            windows.append(Window(col, row, window_width, window_height))
    return windows


def _starts(length: int, size: int) -> list[int]:
    return sorted({round(number * (length - size) / (_SAMPLES - 1)) for number in range(_SAMPLES)})


def _first_valid(scene: Scene, reader: SceneReader) -> AnyArray:
    for row in range(0, scene.grid.height, _SCAN_ROWS):
        pixels, valid = reader.read_rows(row, min(row + _SCAN_ROWS, scene.grid.height))
        if valid.any():
            return pixels[:, valid]
    values = {"none" if band.nodata is None else f"{band.nodata:g}" for band in scene.bands}
    raise SceneError(
        f"{scene.path}: has no valid pixel (nodata {', '.join(sorted(values))}, mask or alpha), so there is "
        "nothing to predict; if the nodata value is wrong, set `nodata`"
    )
