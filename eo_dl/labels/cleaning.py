"""Polygons as labels need them: two-dimensional, valid, with an area. What had to be done for that is
counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import shapely

from ..core.arraytypes import GeometryArray, Int64Array, ObjectArray
from ..core.geometries import missing_or_empty
from ..core.labelreport import added
from ..core.wording import count_of, listed
from ..errors import LabelError

_PORTION = 100_000  # geometries whose coordinates are looked at in one go
_AREA_CHANGE = 0.01  # a repair that changes the area by more is reported by feature


@dataclass(frozen=True)
class Cleaned:
    """Polygons that are left of some geometries."""

    geometries: GeometryArray
    """(M,) polygons or multipolygons."""

    index: Int64Array
    """(M,) their indices among all geometries, ascending."""

    notes: tuple[str, ...]
    """What was repaired or dropped, counted."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    """Geometries that were dropped, by kind."""


def clean_polygons(geometries: GeometryArray, feature_ids: ObjectArray, source: str) -> Cleaned:
    """Polygons flattened, repaired, and without those that hold nothing, in the same order.

    Invalid polygons are repaired by the structure method of GEOS (shells merged, holes cut out), and their
    polygonal part is kept. Missing, empty and areless ones are dropped and counted.

    Args:
        geometries: (N,) geometries; None where one is missing.
        feature_ids: (N,) how the source calls each, for notes.
        source: The file, for messages.

    Raises:
        LabelError: A coordinate is not finite.
    """
    notes: list[str] = []
    gone = missing_or_empty(geometries)
    if gone.any():
        count = count_of(int(gone.sum()), "missing or empty geometry", "missing or empty geometries")
        notes.append(f"{count} dropped: {listed(feature_ids[gone])}")
    index = np.flatnonzero(~gone).astype(np.int64)
    present = geometries[index]
    _refuse_infinite(present, feature_ids[index], source)
    with_height = int(shapely.has_z(present).sum())
    if with_height:
        notes.append(f"{count_of(with_height, 'geometry', 'geometries')} with heights (Z) flattened")
    repaired = _repaired(_flat(present), feature_ids[index], notes)
    has_area = shapely.area(repaired) > 0
    if not has_area.all():
        count = count_of(int((~has_area).sum()), "geometry", "geometries")
        notes.append(f"{count} without area dropped: {listed(feature_ids[index[~has_area]])}")
    dropped = {"missing or empty": int(gone.sum()), "without area": int((~has_area).sum())}
    return Cleaned(repaired[has_area], index[has_area], tuple(notes), added(dropped, {}))


def _flat(geometries: GeometryArray) -> GeometryArray:
    """Geometries without heights. Those that have none are not copied: millions would take memory twice."""
    flat = geometries.copy()
    deep = shapely.get_coordinate_dimension(geometries) != 2
    flat[deep] = shapely.force_2d(geometries[deep])
    return flat


def _refuse_infinite(geometries: GeometryArray, feature_ids: ObjectArray, source: str) -> None:
    for start in range(0, len(geometries), _PORTION):
        coordinates, owner = shapely.get_coordinates(geometries[start : start + _PORTION], return_index=True)
        owners = owner[~np.isfinite(coordinates).all(axis=1)]
        if len(owners):
            raise LabelError(
                f"{source}: feature {feature_ids[start + owners[0]]} has a coordinate that is not a finite "
                "number; correct or delete it"
            )


def _repaired(geometries: GeometryArray, feature_ids: ObjectArray, notes: list[str]) -> GeometryArray:
    """Invalid geometries made valid, and mixed ones reduced to their polygons."""
    geometries = geometries.copy()
    invalid = np.flatnonzero(~shapely.is_valid(geometries))
    areas_before = shapely.area(geometries[invalid])
    geometries[invalid] = shapely.make_valid(geometries[invalid], method="structure", keep_collapsed=False)
    polygonal = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    mixed = np.flatnonzero(~np.isin(shapely.get_type_id(geometries), polygonal))
    for number in mixed:
        geometries[number] = polygonal_part(geometries[number])
    mixed_in_source = np.setdiff1d(mixed, invalid)  # repairs make mixed ones, too
    if len(mixed_in_source):
        count = count_of(len(mixed_in_source), "mixed geometry", "mixed geometries")
        notes.append(f"{count} reduced to the polygons in them: {listed(feature_ids[mixed_in_source])}")
    if len(invalid):
        note = f"{count_of(len(invalid), 'invalid geometry', 'invalid geometries')} repaired"
        areas = shapely.area(geometries[invalid])
        changed = np.abs(areas - areas_before) > _AREA_CHANGE * np.maximum(areas, areas_before)
        if changed.any():
            ids = listed(feature_ids[invalid[changed]])
            note += f"; the area of {ids} changed by more than {_AREA_CHANGE:.0%}"
        notes.append(note)
    return geometries


def polygonal_part(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry collection as one geometry; an empty polygon where it has none."""
    parts = np.asarray(shapely.get_parts(geometry), dtype=object).reshape(-1)
    while (shapely.get_type_id(parts) == shapely.GeometryType.GEOMETRYCOLLECTION).any():
        parts = np.asarray(shapely.get_parts(parts), dtype=object).reshape(-1)
    polygons = [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(polygons) if polygons else shapely.Polygon()
