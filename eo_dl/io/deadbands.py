"""Bands that hold nothing: constant, or never measured, as the water bands of imaging spectrometers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.bands import Band, BandSet, band_list
from ..errors import BandError
from .reader import SceneReader
from .scene import Scene, SceneSources, open_scenes
from .validity import ANY, BandGaps

_ROWS_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BandValues:
    """Stored values of one band over its own measured pixels."""

    lowest: float | None
    """Lowest value; None: no pixel was measured."""

    highest: float | None
    """Highest value."""

    valid_share: float
    """Share of all pixels in which the band was measured."""

    @property
    def dead(self) -> bool:
        """True if the band holds one value, or none."""
        return self.lowest == self.highest


def band_values(scene: Scene) -> tuple[list[BandValues], BandGaps]:
    """Range and measured share of each band from every pixel of a scene, and what its rule of valid pixels
    costs.

    Raises:
        SceneError: The file is damaged.
    """
    by_band = scene.with_valid(ANY)  # with NaN where one band was not measured
    low, high = (np.full(len(scene.bands), end) for end in (np.inf, -np.inf))
    count, gaps = np.zeros(len(scene.bands), np.int64), BandGaps.none(len(scene.bands))
    with SceneReader(by_band) as reader:
        for row0, row1 in _rows(by_band):
            pixels, valid = reader.read_rows(row0, row1)
            found = valid & np.isfinite(pixels) if by_band.fills else np.broadcast_to(valid, pixels.shape)
            gaps += BandGaps.counted(found, np.count_nonzero(found, axis=0) >= scene.least_bands)
            for number, (plane, here) in enumerate(zip(pixels, found, strict=True)):
                values = plane[here].astype(np.float64)
                count[number] += len(values)
                low[number] = min(low[number], values.min(initial=np.inf))
                high[number] = max(high[number], values.max(initial=-np.inf))
    total = scene.grid.height * scene.grid.width
    columns = zip(low, high, count.tolist(), strict=True)
    return [_found(lowest, highest, pixels, total) for lowest, highest, pixels in columns], gaps


def _found(low: float, high: float, count: int, total: int) -> BandValues:
    return BandValues(float(low) if count else None, float(high) if count else None, count / total)


def _rows(scene: Scene) -> list[tuple[int, int]]:
    """First and last row of parts that fit a modest memory, in whole blocks of the file."""
    row_bytes = scene.grid.width * len(scene.bands) * np.dtype(scene.dtype).itemsize
    block_rows = scene.file.block_px[0]
    step = max(1, _ROWS_BYTES // row_bytes // block_rows) * block_rows
    height = scene.grid.height
    return [(row, min(row + step, height)) for row in range(0, height, step)]


def dead_bands(scene: Scene) -> list[Band]:
    """The bands of a scene that are constant or never measured. Reads every pixel."""
    found, _ = band_values(scene)
    return [band for band, values in zip(scene.bands, found, strict=True) if values.dead]


def dead_note(bands: Sequence[Band]) -> str:
    """What was found of dead bands, for a message."""
    return f"{band_list(bands)} {'holds' if len(bands) == 1 else 'hold'} one value or none"


def drop_dead_bands(scenes: SceneSources) -> tuple[Scene, ...]:
    """The scenes without the bands that are dead in all of them: constant, or measured nowhere.

    Every pixel is read once. A band that is dead in some scenes only is kept. Notes of the scenes name both.

    Args:
        scenes: One or many paths, folders, patterns or opened scenes, all with the same bands.

    Returns:
        The scenes with the bands that are left.

    Raises:
        BandError: All bands are dead.
        SceneError: A file is damaged, or cannot be opened.

    Example:
        >>> tile(drop_dead_bands("flightline.tif"), "crops.gpkg", out="chips")  # doctest: +SKIP
    """
    opened = open_scenes(scenes)
    found = [dead_bands(scene) for scene in opened]
    everywhere = set.intersection(*({band.name for band in bands} for bands in found)) if found else set()
    return tuple(_without(scene, everywhere, bands) for scene, bands in zip(opened, found, strict=True))


def _without(scene: Scene, names: set[str], dead: Sequence[Band]) -> Scene:
    """A scene without the bands of these names, with notes on its dead bands."""
    left = tuple(band for band in scene.bands if band.name not in names)
    if not left:
        raise BandError(
            f"{scene.path}: every band holds one value or none, so none is left; check the file and its "
            "nodata value"
        )
    notes = list(scene.notes)
    dropped = [band for band in dead if band.name in names]
    kept = [band for band in dead if band.name not in names]
    if dropped:
        notes.append(f"{dead_note(dropped)} and {_are(dropped)} left out, as requested")
    if kept:
        notes.append(f"{dead_note(kept)} here, but not in all scenes, and {_are(kept)} kept")
    return replace(scene, bands=BandSet(left), file=replace(scene.file, notes=tuple(notes)))


def _are(bands: Sequence[Band]) -> str:
    return "is" if len(bands) == 1 else "are"
