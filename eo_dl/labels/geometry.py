"""Polygons as labels need them: two-dimensional, valid, with an area; what had to be done for that is
counted_are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from ..core.arraytypes import GeometryArray
from ..core.geometries import missing_or_empty
from ..errors import LabelError

Index = npt.NDArray[np.int64]

_NAMED = 5
_AREA_CHANGE = 0.01


@dataclass(frozen=True)
class Cleaned:
    """`geometries` (M,) polygons or multipolygons, `index` (M,) their places in what was given, `notes` what
    was done.
    """

    geometries: GeometryArray
    index: Index
    notes: tuple[str, ...]


def clean_polygons(geometries: GeometryArray, feature_ids: npt.NDArray[np.object_], source: str) -> Cleaned:
    """Polygons flattened, repaired and without those that hold nothing, in the old order.

    Invalid ones are repaired by GEOS's structure method (shells merged, holes cut out), of which the
    polygonal part is kept. Missing, empty and areless ones are dropped and counted_are. Raises `LabelError` for
    coordinates that are not finite.
    """
    notes: list[str] = []
    gone = missing_or_empty(geometries)
    if gone.any():
        count = _count(int(gone.sum()), "missing or empty geometry", "missing or empty geometries")
        notes.append(f"{count} dropped: {named(feature_ids[gone])}")
    index = np.flatnonzero(~gone).astype(np.int64)
    found = geometries[index]
    _check_finite(found, feature_ids[index], source)
    heights = int(shapely.has_z(found).sum())
    if heights:
        notes.append(f"{_count(heights, 'geometry', 'geometries')} with heights (Z) flattened")
    found = _repaired(
        np.asarray(shapely.force_2d(found), dtype=object).reshape(-1), feature_ids[index], notes
    )
    solid = shapely.area(found) > 0
    if not solid.all():
        notes.append(
            f"{_count(int((~solid).sum()), 'geometry', 'geometries')} without area dropped: {named(feature_ids[index[~solid]])}"
        )
    return Cleaned(found[solid], index[solid], tuple(notes))


def named(feature_ids: Sequence[object] | npt.NDArray[np.object_]) -> str:
    """The first five feature ids, for a message."""
    shown = ", ".join(str(feature_id) for feature_id in feature_ids[:_NAMED])
    return shown + (f" and {len(feature_ids) - _NAMED} more" if len(feature_ids) > _NAMED else "")


def counted_are(count: int, what: str) -> str:
    """ "1 image is" or "2 images are"."""
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"


def lie(count: int, total: int, what: str) -> str:
    """ "1 of 3 labels lies" or "2 of 3 labels lie"."""
    return f"{count} of {total} {what}s {'lies' if count == 1 else 'lie'}"


def _check_finite(geometries: GeometryArray, feature_ids: npt.NDArray[np.object_], source: str) -> None:
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    bad = owner[~np.isfinite(coordinates).all(axis=1)]
    if len(bad):
        raise LabelError(
            f"{source}: feature {feature_ids[bad[0]]} has a coordinate that is no finite number; correct or delete it"
        )


def _repaired(
    geometries: GeometryArray, feature_ids: npt.NDArray[np.object_], notes: list[str]
) -> GeometryArray:
    geometries = geometries.copy()
    broken = np.flatnonzero(~shapely.is_valid(geometries))
    if len(broken):
        before = np.array([shapely.area(g) for g in geometries[broken]], np.float64)
        geometries[broken] = shapely.make_valid(geometries[broken], method="structure", keep_collapsed=False)
    kinds = shapely.get_type_id(geometries)
    mixed = np.flatnonzero((kinds != 3) & (kinds != 6))
    for place in mixed:
        geometries[place] = polygonal_part(geometries[place])
    unmixed = np.setdiff1d(mixed, broken)
    if len(unmixed):
        notes.append(
            f"{_count(len(unmixed), 'mixed geometry', 'mixed geometries')} reduced to the polygons in them: {named(feature_ids[unmixed])}"
        )
    if len(broken):
        after = shapely.area(geometries[broken])
        changed = broken[np.abs(after - before) > _AREA_CHANGE * np.maximum(before, after)]
        tail = (
            f"; the area of {named(feature_ids[changed])} changed by more than {_AREA_CHANGE:.0%}"
            if len(changed)
            else ""
        )
        notes.append(f"{_count(len(broken), 'invalid geometry', 'invalid geometries')} repaired{tail}")
    return geometries


def polygonal_part(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry collection as one geometry; an empty polygon where it has none."""
    parts = np.asarray(shapely.get_parts(geometry), dtype=object).reshape(-1)
    while (shapely.get_type_id(parts) == 7).any():
        parts = np.concatenate(
            [np.asarray(shapely.get_parts(part), dtype=object).reshape(-1) for part in parts]
        )
    return shapely.union_all(
        [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")] or [shapely.Polygon()]
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
