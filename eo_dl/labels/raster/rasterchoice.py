"""Which label raster belongs to which scene: by name, else by place, else by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from ...core.geometries import reproject
from ...core.rasterlabels import LabelRaster, RasterLabels
from ...errors import LabelError
from ...io.scene import Scene
from ..pairing import best_named
from .maskvalues import source_of

_OUTLINE_PARTS = 64  # a footprint has so many vertices when it is reprojected
_COVERED_SHARE = 0.01  # a raster that covers less of a scene does not count


def raster_of(labels: RasterLabels, scene: Scene) -> LabelRaster | None:
    """The label raster of a scene; None: it has none, so nothing is known about it.

    Rasters are matched by name, else by place. A single raster without CRS, or with a scene without one, is
    matched by its size.

    Args:
        labels: The label rasters.
        scene: The scene.

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
    without_crs = source_of(only).grid.crs is None or scene.native.crs is None
    return only if len(labels.rasters) == 1 and without_crs else None


def footprint_in(raster: LabelRaster, scene: Scene) -> shapely.Geometry:
    """The ground of a label raster in the CRS of a scene; empty if one of them has none."""
    grid = source_of(raster).grid
    if grid.crs is None or scene.grid.crs is None:
        return shapely.Polygon()
    footprint = grid.footprint()
    outline = shapely.segmentize(footprint, footprint.length / _OUTLINE_PARTS)
    reprojected = reproject(np.array([outline], dtype=object), grid.crs, scene.grid.crs, raster.path)
    return shapely.make_valid(reprojected[0])


def _by_place(rasters: Sequence[LabelRaster], scene: Scene) -> LabelRaster | None:
    """The label raster that covers most of a scene.

    Raises `LabelError` if others cover as much, or cover the rest: which one to use is then not known.
    """
    if scene.native.crs is None:
        return None
    ground = scene.grid.footprint()
    footprints = np.array([footprint_in(raster, scene) for raster in rasters], dtype=object)
    shares = shapely.area(shapely.intersection(footprints, ground)) / ground.area
    best = int(np.argmax(shares))
    if shares[best] <= 0:
        return None
    rest = shapely.difference(ground, footprints[best])
    shares_of_rest = shapely.area(shapely.intersection(footprints, rest)) / ground.area
    others = np.flatnonzero(shares_of_rest > _COVERED_SHARE)
    if len(others):
        first, second = Path(rasters[best].path).name, Path(rasters[others[0]].path).name
        raise LabelError(
            f"{scene.path}: several label rasters cover parts of it ({first}, {second}); join them first, "
            "e.g. gdalbuildvrt masks.vrt *.tif"
        )
    as_much = np.flatnonzero((shares > shares[best] - _COVERED_SHARE) & (shares > _COVERED_SHARE))
    if len(as_much) > 1:
        first, second = [Path(rasters[index].path).name for index in as_much[:2]]
        raise LabelError(
            f"{scene.path}: several label rasters cover the same ground of it ({first}, {second}); read one "
            "of them, or name each like its scene"
        )
    return rasters[best]
