"""The inputs of `tile` in one shape: scenes with the same bands, annotated ground, regions, the size of a
chip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from pyproj import CRS

from ..core.arraytypes import GeometryArray
from ..core.bandmatching import with_names_of
from ..core.geometries import missing_or_empty, reproject
from ..core.gsdratio import NOTED_RESAMPLED, factor_between
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labeloutlines import ImageOutlines, MapOutlines
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.pixelgrid import PixelGrid
from ..core.rasterlabels import RasterLabels
from ..errors import BandError, ConfigError, InputError, LabelError
from ..io.gsdchange import resampled
from ..io.scene import Scene, SceneSources, open_scenes
from ..io.vectorlayers import read_layer

_GSD_TOLERANCE = 0.25  # scenes that differ by more are reported
_GSD_TOLERANCE_IN_METRES = 0.05  # chips of a size in metres need scenes of nearly one GSD
_LEAST_PX, _MOST_PX = 8, 8192


def prepare_scenes(
    scenes: SceneSources, gsd_m: float | None, below: bool = False
) -> tuple[tuple[Scene, ...], tuple[str, ...]]:
    """Open scenes with the bands of the first one, in its order, on the grids to cut.

    Args:
        scenes: Opened scenes, paths, folders or patterns.
        gsd_m: Resample to this GSD, metres.
        below: Of folders, also take the rasters in the folders below.

    Returns:
        The scenes, and notes on what was found.

    Raises:
        BandError: A scene lacks a band.
        InputError: There is no scene, one occurs twice, or one would be resampled by more than a factor of 4.
    """
    opened = open_scenes(scenes, below=below)
    if not opened:
        raise InputError("`scenes`: expected at least one raster, found none")
    twice = sorted(path for path, times in Counter(scene.path for scene in opened).items() if times > 1)
    if twice:
        raise InputError(f"{twice[0]}: occurs twice among the scenes; name each scene once")
    ready = tuple(_with_bands_of(opened[0], scene) for scene in opened)
    size_notes: list[str] = []
    if gsd_m is not None:
        size_notes = _resampling_notes(ready, gsd_m)
        ready = tuple(resampled(scene, gsd_m, wanted_by="`gsd_m` is") for scene in ready)
    opening_notes = [f"{scene.name}: {note}" for scene in ready for note in scene.notes]
    return ready, (*opening_notes, *size_notes, *_scene_notes(ready))


def _resampling_notes(scenes: Sequence[Scene], gsd_m: float) -> list[str]:
    """A note on scenes that are resampled by more than a little."""
    own = [scene.native.gsd_m for scene in scenes]
    far = [gsd for gsd in own if gsd is not None and factor_between(gsd, gsd_m) > NOTED_RESAMPLED]
    if not far:
        return []
    factor = max(factor_between(gsd, gsd_m) for gsd in far)
    return [
        f"{len(far)} of {len(scenes)} scenes ({min(far):.3g} to {max(far):.3g} m GSD) are resampled to "
        f"{gsd_m:.3g} m, by a factor of up to {factor:.3g}"
    ]


def _with_bands_of(first: Scene, scene: Scene) -> Scene:
    """A scene with the bands of the first one: by name, sensor or wavelength if they have names, by position
    if neither has.
    """
    names = first.bands.names
    if names == scene.bands.names:
        return scene
    match = with_names_of(first.bands, scene.bands)
    file = replace(scene.file, notes=(*scene.notes, *match.notes))
    scene = replace(scene, bands=match.bands, file=file)
    index_of = {name: index for index, name in enumerate(scene.bands.names)}
    missing = [name for name in names if name not in index_of]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise BandError(
            f"{scene.path}: lacks band{plural} {', '.join(missing)} of {first.name}; it has "
            f"{scene.bands.describe()}; choose bands that all scenes have, or name them, with `bands`"
        )
    return scene.reordered([index_of[name] for name in names])


def _scene_notes(scenes: Sequence[Scene]) -> list[str]:
    notes = []
    gsds_m = [gsd_m for scene in scenes if (gsd_m := scene.grid.gsd_m) is not None]
    if gsds_m and max(gsds_m) > (1 + _GSD_TOLERANCE) * min(gsds_m):
        notes.append(
            f"the GSD of the scenes is {min(gsds_m):.3g} to {max(gsds_m):.3g} m; `gsd_m` resamples all to one"
        )
    dtypes = sorted({scene.dtype for scene in scenes})
    unscaled = all(band.unscaled for scene in scenes for band in scene.bands)
    if len(dtypes) > 1 and unscaled:
        notes.append(f"scenes store {' and '.join(dtypes)} without a scale; values are taken as they are")
    return notes


def common_gsd(scenes: Sequence[Scene], gsd_m: float | None) -> float | None:
    """The GSD of the chips, metres: the wanted one, else the median of the scenes; None without a CRS."""
    if gsd_m is not None:
        return gsd_m
    known = [gsd for scene in scenes if (gsd := scene.grid.gsd_m) is not None]
    return float(np.median(known)) if known else None


def common_side(scenes: Sequence[Scene]) -> int:
    """The longer side that most scenes have, pixels."""
    sides = Counter(max(scene.grid.height, scene.grid.width) for scene in scenes)
    most_frequent = max(sides, key=lambda side: (sides[side], side))
    return min(most_frequent, _MOST_PX)


def chip_size(
    scenes: Sequence[Scene],
    size_px: int | None,
    size_m: float | None,
    gsd_m: float | None,
    default_px: int | None = None,
) -> int | None:
    """Side of a chip, pixels; None if it is to be chosen.

    Args:
        scenes: The scenes.
        size_px: The wanted side in pixels.
        size_m: The wanted side in metres.
        gsd_m: The GSD that scenes are resampled to; None: their own.
        default_px: The side if none is wanted; None: to be chosen.

    Raises:
        ConfigError: The side is out of range, or a different number of pixels in each scene.
    """
    if size_px is not None and size_m is not None:
        raise ConfigError("`size`: the side of a chip is given in pixels and in metres; give one of them")
    side_px = default_px if size_px is None else size_px
    if size_m is not None:
        side_px = round(size_m / _one_gsd(scenes, size_m, gsd_m))
    if side_px is None:
        return None
    if not _LEAST_PX <= side_px <= _MOST_PX:
        raise ConfigError(f"`size`: a chip has {_LEAST_PX} to {_MOST_PX} px a side, found {side_px}")
    return side_px


def _one_gsd(scenes: Sequence[Scene], size_m: float, gsd_m: float | None) -> float:
    """The one GSD of all scenes, metres."""
    gsds_m = []
    for scene in scenes:
        if scene.grid.gsd_m is None:
            raise ConfigError(
                f"{scene.path}: has no CRS, so {size_m:g} m is no number of its pixels; give `size` in pixels"
            )
        gsds_m.append(scene.grid.gsd_m)
    if max(gsds_m) > (1 + _GSD_TOLERANCE_IN_METRES) * min(gsds_m):
        raise ConfigError(
            f"`size`: {size_m:g} m is a different number of pixels in each scene (GSD {min(gsds_m):.3g} to "
            f"{max(gsds_m):.3g} m); add `gsd_m`"
        )
    return gsd_m if gsd_m is not None else float(np.median(gsds_m))


def with_annotated(labels: LabelSet, annotated: str | Path, scenes: Sequence[Scene]) -> LabelSet:
    """The labels, complete only inside the polygons of a file.

    Raises:
        LabelError: The labels already state where they are complete.
        InputError: The file holds no polygon, or has no CRS.
    """
    if labels.annotated is not None:
        raise LabelError(
            f"{annotated}: the labels of {labels.source} already state where they are complete; omit "
            "`annotated`"
        )
    polygons, crs = _polygons(annotated)
    match labels:
        case MapLabels():
            if crs is None:
                raise InputError(
                    f"{annotated}: has no CRS, but the labels have one; assign it, for example with "
                    "ogr2ogr -a_srs"
                )
            moved = reproject(polygons, crs, labels.crs, str(annotated))
            return replace(labels, areas=MapOutlines(moved, labels.crs, str(annotated)))
        case ImageLabels() | WholeImageLabels() | RasterLabels():
            return replace(labels, areas=_areas_by_image(polygons, crs, scenes, annotated))
        case _:
            raise TypeError(f"{labels.source}: unknown kind of labels {type(labels).__name__}")


def _areas_by_image(
    polygons: GeometryArray, crs: CRS | None, scenes: Sequence[Scene], source: str | Path
) -> ImageOutlines:
    """Polygons in pixels of the file of each scene."""
    parts: list[GeometryArray] = []
    names: list[str] = []
    for scene in scenes:
        in_file = _in_pixels(polygons, crs, scene.native, scene.path, source)
        parts.append(in_file)
        names += [scene.name] * len(in_file)
    return ImageOutlines(np.concatenate(parts), np.array(names, dtype=object))


def region_in(source: str | Path | None, scenes: Sequence[Scene]) -> list[shapely.Geometry | None]:
    """The polygons of a file (an AOI) in the pixels of each scene; None for each if there is no file.

    Raises:
        InputError: The file holds no polygon, or the file or a scene has no CRS.
    """
    if source is None:
        return [None] * len(scenes)
    polygons, crs = _polygons(source)
    regions: list[shapely.Geometry | None] = []
    for scene in scenes:
        in_scene = _in_pixels(polygons, crs, scene.grid, scene.path, source)
        regions.append(shapely.union_all(shapely.make_valid(in_scene)))
    return regions


def _polygons(source: str | Path) -> tuple[GeometryArray, CRS | None]:
    table = read_layer(source)
    flat = shapely.force_2d(np.asarray(table.geometry.array, dtype=object))
    shapes = np.asarray(shapely.make_valid(flat), dtype=object).reshape(-1)
    shapes = shapes[~missing_or_empty(shapes) & (shapely.area(shapes) > 0)]
    if not len(shapes):
        raise InputError(f"{source}: holds no polygon; draw the ground as polygons")
    return shapes, table.crs


def _in_pixels(
    polygons: GeometryArray, crs: CRS | None, grid: PixelGrid, scene_path: str, source: str | Path
) -> GeometryArray:
    if crs is None or grid.crs is None:
        without_crs = source if crs is None else scene_path
        raise InputError(
            f"{source}: polygons on the map need a file and a scene with a CRS, and {without_crs} has none"
        )
    return grid.geometries_to_pixel(reproject(polygons, crs, grid.crs, str(source)))
