"""A layer of one date for `diff`: what is compared of it, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from pyproj import CRS, Proj, Transformer

from ..core.arraytypes import Float64Array, GeometryArray, ObjectArray
from ..core.geometries import missing_or_empty, reproject
from ..core.pixelgrid import PixelGrid
from ..errors import LabelError
from ..io.vectorlayers import read_layer
from .objectmatching import CentresOf


@dataclass(frozen=True)
class DatedLayer:
    """N objects of one date."""

    path: str
    """Their file."""
    crs: CRS | None
    """Their CRS; None: pixels."""
    geometries: GeometryArray
    """(N,) valid points or polygons."""
    ids: ObjectArray
    """(N,) how the file calls them."""
    class_names: ObjectArray
    """(N,) classes; "" where the layer has none."""
    scores: Float64Array
    """(N,) scores; NaN where the layer has none."""
    notes: tuple[str, ...] = ()
    """What was left out or repaired."""

    def __len__(self) -> int:
        return len(self.geometries)

    def in_crs(self, crs: CRS | None, other: str) -> GeometryArray:
        """The geometries in another CRS.

        Args:
            crs: That CRS.
            other: What lies in it, for messages.

        Raises:
            LabelError: One of both has no CRS, or a point cannot be transformed.
        """
        if (self.crs is None) != (crs is None):
            without, place = (self.path, other) if self.crs is None else (other, self.path)
            raise LabelError(
                f"{without}: has no CRS, but {Path(place).name} has; state it (`old_crs`, `new_crs`)"
            )
        if self.crs is None or crs is None:
            return self.geometries
        return reproject(self.geometries, self.crs, crs, self.path)

    def placed_in(self, crs: CRS | None, other: str | Path) -> DatedLayer:
        """The same objects in another CRS; see `in_crs`."""
        return replace(self, geometries=self.in_crs(crs, str(other)), crs=crs)

    @property
    def has_areas(self) -> bool:
        """True if all objects are polygons."""
        return bool((shapely.get_dimensions(self.geometries) == 2).all())


def read_dated_layer(
    path: str | Path,
    *,
    layer: str | None = None,
    crs: str | None = None,
    class_field: str | None = None,
    id_field: str | None = None,
) -> DatedLayer:
    """The objects of a layer that `diff` compares.

    Args:
        path: The file: a result of `predict`, a cadastre, an extract of OpenStreetMap.
        layer: Name of the layer, for files with several.
        crs: CRS in place of the file's own.
        class_field: Field with the class (default: class_name, if there is one).
        id_field: Field with the name of an object (default: its id in the file).

    Raises:
        LabelError: The file cannot be read, or has no such field.
    """
    frame = read_layer(path, layer=layer, crs=crs)
    geometries = np.asarray(frame.geometry.array, dtype=object)
    there = ~missing_or_empty(geometries)
    notes = []
    if not there.all():
        notes.append(f"{path}: {int((~there).sum())} features without geometry were left out")
        frame, geometries = frame[there], geometries[there]
    geometries = np.asarray(shapely.force_2d(geometries), dtype=object)
    wrong = ~shapely.is_valid(geometries)
    if wrong.any():
        geometries[wrong] = shapely.make_valid(geometries[wrong], method="structure", keep_collapsed=False)
        notes.append(f"{path}: {int(wrong.sum())} outlines that cross themselves were repaired")
    lines = shapely.get_dimensions(geometries) == 1
    if lines.any():
        raise LabelError(f"{path}: {int(lines.sum())} features are lines; expected polygons or points")
    class_names = texts_of(frame, class_field, "class_name", path, "class_field")
    ids = texts_of(frame, id_field, None, path, "id_field")
    if id_field is None:
        ids = np.asarray(frame.index.astype(str), dtype=object)
    scores = np.full(len(frame), np.nan)
    if "score" in frame.columns:
        scores = np.asarray(pd.to_numeric(frame["score"], errors="coerce"), np.float64)
    return DatedLayer(
        str(path), frame.crs and CRS(frame.crs), geometries, ids, class_names, scores, tuple(notes)
    )


def texts_of(
    frame: gpd.GeoDataFrame, field: str | None, default: str | None, path: str | Path, parameter: str
) -> ObjectArray:
    """(N,) a field as text; "" where it is empty or there is none."""
    if field is not None and field not in frame.columns:
        names = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
        raise LabelError(f"{path}: has no field {field!r} (`{parameter}`); its fields are {names or 'none'}")
    name = field or default
    if name is None or name not in frame.columns:
        return np.full(len(frame), "", dtype=object)
    column = frame[name].astype(object)
    return np.asarray(column.where(column.notna(), "").astype(str), dtype=object)


def centres_around(geometries: GeometryArray, crs: CRS | None) -> CentresOf:
    """Gives centres of geometries in metres of a plane around all of these; in pixels without a CRS.

    The plane is a Lambert azimuthal equal-area projection. A hundred kilometres from its middle, distances
    differ from those on the ground by 0.01 %.
    """
    if crs is None or not len(geometries):
        return _centroids
    west, south, east, north = shapely.total_bounds(geometries)
    to_degrees = Transformer.from_crs(crs, CRS.from_epsg(4326), always_xy=True)
    lon, lat = to_degrees.transform((west + east) / 2, (south + north) / 2)
    plane = Proj(proj="laea", lon_0=lon, lat_0=lat, ellps="WGS84")

    def centres(some: GeometryArray) -> Float64Array:
        xy = _centroids(some)
        return np.column_stack(plane(*to_degrees.transform(xy[:, 0], xy[:, 1])))

    return centres


def _centroids(geometries: GeometryArray) -> Float64Array:
    return np.asarray(shapely.get_coordinates(shapely.centroid(geometries)), np.float64)


def ground_areas_m2(geometries: GeometryArray, crs: CRS | None) -> Float64Array:
    """(N,) areas on the ellipsoid, square metres; in pixels without a CRS; 0 for points."""
    return PixelGrid(crs, Affine.identity(), 1, 1).areas_m2(geometries)
