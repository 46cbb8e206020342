"""What `tile` is given, brought into one shape: scenes with the same bands, labels, regions, a chip size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.geometries import missing_or_empty, reproject
from ..core.labelset import LabelSet
from ..errors import BandError, ConfigError, InputError, LabelError
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.vectorlayers import read_layer

DEFAULT_PX = 256
_GSD_TOLERANCE = 0.25
_MOST_PX = 8192


def prepare_scenes(
    scenes: SceneSources, gsd_m: float | None, below: bool = False
) -> tuple[tuple[Scene, ...], tuple[str, ...]]:
    """All scenes (of a folder its rasters, with `below` also those in the folders below it) with the bands of
    the first, in its order, on their working grids; and what has to be said.

    Raises `BandError` where a scene lacks a band, `InputError` for none or for one given twice.
    """
    opened = open_scenes(scenes, below=below)
    if not opened:
        raise InputError("tile: no scene was given; name at least one raster")
    twice = sorted(path for path, times in Counter(scene.path for scene in opened).items() if times > 1)
    if twice:
        raise InputError(f"{twice[0]}: was given twice; name every scene once")
    first = opened[0]
    ready = tuple(
        scene if gsd_m is None else scene.at_gsd(gsd_m) for scene in (_like(first, scene) for scene in opened)
    )
    return ready, (*_opening_notes(ready), *_scene_notes(ready))


def _like(first: Scene, scene: Scene) -> Scene:
    """A scene with the first one's bands. By name where they have names, by position where neither does."""
    if first.bands.names == scene.bands.names:
        return scene
    places = {name: place for place, name in enumerate(scene.bands.names)}
    missing = [name for name in first.bands.names if name not in places]
    if missing:
        raise BandError(
            f"{scene.path}: lacks band{'s' * (len(missing) > 1)} {', '.join(missing)} of {first.name}; it has {scene.bands.describe()}; choose bands that all scenes have, or name them, with -b/--bands"
        )
    return scene.reordered([places[name] for name in first.bands.names])


def _opening_notes(scenes: Sequence[Scene]) -> list[str]:
    return [f"{scene.name}: {note}" for scene in scenes for note in scene.notes]


def _scene_notes(scenes: Sequence[Scene]) -> list[str]:
    notes = []
    sizes = [scene.grid.gsd_m for scene in scenes]
    known = [size for size in sizes if size is not None]
    if known and max(known) > (1 + _GSD_TOLERANCE) * min(known):
        notes.append(
            f"a pixel is {min(known):.3g} to {max(known):.3g} m on the ground, scene by scene; --gsd METRES brings all to one"
        )
    kinds = sorted({scene.dtype for scene in scenes})
    if len(kinds) > 1 and all(band.unscaled for scene in scenes for band in scene.bands):
        notes.append(
            f"scenes store {' and '.join(kinds)} without a scale; their values are taken as they are"
        )
    return notes


def common_gsd(scenes: Sequence[Scene], gsd_m: float | None) -> float | None:
    """The ground size of a pixel that the chips have: the asked-for one, else the median of the scenes; None
    without CRS.
    """
    known = [size for scene in scenes if (size := scene.grid.gsd_m) is not None]
    return gsd_m if gsd_m is not None else float(np.median(known)) if known else None


def common_side(scenes: Sequence[Scene]) -> int:
    """The longer side that most scenes have, pixels."""
    sides = Counter(max(scene.grid.height, scene.grid.width) for scene in scenes)
    return min(max(sides, key=lambda side: (sides[side], side)), _MOST_PX)


def chip_size(
    scenes: Sequence[Scene],
    size_px: int | None,
    size_m: float | None,
    gsd_m: float | None,
    default_px: int = DEFAULT_PX,
) -> int:
    """Side of a chip in pixels. Raises `ConfigError` where it is not one number for all scenes."""
    if size_px is not None and size_m is not None:
        raise ConfigError("tile: give the chip size in pixels or in metres, not both")
    if size_m is None:
        size = default_px if size_px is None else size_px
    else:
        known = [scene.grid.gsd_m for scene in scenes]
        found = [gsd for gsd in known if gsd is not None]
        if len(found) < len(known):
            bare = next(scene for scene in scenes if scene.grid.crs is None)
            raise ConfigError(
                f"{bare.path}: has no CRS, so a chip of {size_m:g} m has no size in its pixels; give --size in pixels"
            )
        if max(found) > 1.05 * min(found):
            raise ConfigError(
                f"tile: a pixel is {min(found):.3g} to {max(found):.3g} m, scene by scene, so a chip of {size_m:g} m is no one number of pixels; add --gsd METRES"
            )
        size = round(size_m / (gsd_m if gsd_m is not None else float(np.median(found))))
    if not 8 <= size <= _MOST_PX:
        raise ConfigError(f"tile: a chip of {size} px is outside 8 to {_MOST_PX}; choose another --size")
    return size


def with_annotated(labels: LabelSet, annotated: str | Path, scenes: Sequence[Scene]) -> LabelSet:
    """The labels, complete only inside the polygons of a file (and of what they already said)."""
    if labels.annotated is not None:
        raise LabelError(
            f"{annotated}: the labels of {labels.source} already say where they are complete; give one `annotated`"
        )
    polygons, crs = _polygons(annotated)
    if labels.crs is not None:
        if crs is None:
            raise InputError(f"{annotated}: has no CRS, but the labels do; give it one (ogr2ogr -a_srs)")
        return replace(labels, annotated=reproject(polygons, crs, labels.crs, str(annotated)))
    parts, images = [], []
    for scene in scenes:
        found = _in_pixels(polygons, crs, scene, annotated, native=True)
        parts.append(found)
        images += [scene.name] * len(found)
    return replace(labels, annotated=np.concatenate(parts), annotated_images=np.array(images, dtype=object))


def region_in(source: str | Path | None, scenes: Sequence[Scene]) -> list[shapely.Geometry | None]:
    """The polygons of a file (an AOI) in the pixels of each scene; None for each where there is no file."""
    if source is None:
        return [None] * len(scenes)
    polygons, crs = _polygons(source)
    return [
        shapely.union_all(shapely.make_valid(_in_pixels(polygons, crs, scene, source, native=False)))
        for scene in scenes
    ]


def _polygons(source: str | Path) -> tuple[GeometryArray, CRS | None]:
    table = read_layer(source)
    shapes = np.asarray(
        shapely.make_valid(shapely.force_2d(np.asarray(table.geometry.array, dtype=object))), dtype=object
    ).reshape(-1)
    shapes = shapes[~missing_or_empty(shapes) & (shapely.area(shapes) > 0)]
    if not len(shapes):
        raise InputError(f"{source}: holds no polygon; draw the ground as polygons")
    return shapes, table.crs


def _in_pixels(
    polygons: GeometryArray, crs: CRS | None, scene: Scene, source: str | Path, native: bool
) -> GeometryArray:
    grid = scene.native if native else scene.grid
    if crs is None or grid.crs is None:
        raise InputError(
            f"{source}: polygons in map coordinates need a scene with a CRS, and {scene.path if grid.crs is None else source} has none"
        )
    return grid.geometries_to_pixel(reproject(polygons, crs, grid.crs, str(source)))
