"""The ground of a scene that a model was trained on, so that `evaluate` can tell it from new ground."""

from __future__ import annotations

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from ..bundle import Bundle
from ..errors import BundleError
from ..io.outputtags import trained_ground_tag
from ..io.scene import Scene
from ..modelspec import GroundSpec

_SEGMENTS = 32
"""A footprint gets at least so many vertices, because its edges are curved in another CRS."""
_MOST_VERTICES = 4000


def trained_ground_tags(bundle: Bundle, scene: Scene) -> dict[str, str]:
    """The tag that names the ground of a scene on which the model was trained; none where there is none.

    Raises:
        BundleError: The model's ground cannot be read.
    """
    areas = [_in_file(bundle, ground, scene) for ground in bundle.spec.provenance.trained_ground]
    frame = shapely.box(0, 0, scene.native.width, scene.native.height)
    area = shapely.intersection(shapely.union_all(np.array([*areas, shapely.Polygon()], dtype=object)), frame)
    tolerance = 0.5
    while shapely.get_num_coordinates(area) > _MOST_VERTICES:
        tolerance *= 2
        area = shapely.simplify(area, tolerance)
    return trained_ground_tag(area)


def _in_file(bundle: Bundle, ground: GroundSpec, scene: Scene) -> shapely.Geometry:
    """Training ground in pixels of the scene's file; empty where it is other ground."""
    if ground.crs:
        return _from_map(bundle, ground, scene)
    if ground.header_sha256 != scene.fingerprint()["header_sha256"]:
        return shapely.Polygon()
    return _area(bundle, ground)


def _from_map(bundle: Bundle, ground: GroundSpec, scene: Scene) -> shapely.Geometry:
    if scene.native.crs is None:
        return shapely.Polygon()
    try:
        crs = CRS.from_user_input(ground.crs)
        there = _moved(_segmented(scene.native.footprint()), scene.native.crs, crs)
        near = shapely.box(*there.bounds) if np.isfinite(there.bounds).all() else None
        if near is None:
            return shapely.Polygon()
        here = _moved(shapely.intersection(_area(bundle, ground), near), crs, scene.native.crs)
    except (CRSError, ProjError) as error:
        raise BundleError(
            f"{bundle.path}: the CRS of its training ground cannot be used ({error}); train it again"
        ) from error
    in_pixels = scene.native.geometries_to_pixel(np.array([here], dtype=object))[0]
    return shapely.make_valid(in_pixels)


def _segmented(outline: shapely.Geometry) -> shapely.Geometry:
    return shapely.segmentize(outline, outline.length / _SEGMENTS)


def _moved(geometry: shapely.Geometry, source: CRS, target: CRS) -> shapely.Geometry:
    if source == target:
        return geometry
    transformer = Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(geometry, lambda xy: np.column_stack(transformer.transform(*xy.T)))


def _area(bundle: Bundle, ground: GroundSpec) -> shapely.Geometry:
    try:
        return shapely.make_valid(shapely.from_wkt(ground.area))
    except shapely.errors.GEOSException as error:
        raise BundleError(
            f"{bundle.path}: its training ground is no geometry ({str(error)[:80]}); train it again"
        ) from error
