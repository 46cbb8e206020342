"""How many areas or objects of each class a map holds, and how much ground they cover."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.classes import IGNORE_ID
from ..errors import LabelError
from ..io.classmap import ClassMap, open_class_map
from ..io.discover import GEOTIFF_SUFFIXES
from .mapcleaning import row_areas_m2

_COLUMNS = ("class_name", "area_m2")
_UNNAMED = "(none)"


@dataclass(frozen=True)
class ClassTotal:
    """One class of a map."""

    name: str
    """The class."""
    area_m2: float
    """Area on the ground, square metres; pixels without a CRS."""
    share: float
    """Share of the area of all classes, the background of a class raster included."""
    count: int | None = None
    """Number of polygons or objects; None for a raster."""

    def values(self) -> dict[str, object]:
        """The total as JSON-ready values."""
        values: dict[str, object] = {"class": self.name, "area_m2": round(self.area_m2, 3)}
        if self.count is not None:
            values["count"] = self.count
        values["share"] = round(self.share, 6)
        return values

    @property
    def text(self) -> str:
        """E.g. "roof: 122 features, 8412.5 m2 (31.0 % of all classes)"."""
        counted = "" if self.count is None else f"{self.count} features, "
        return f"{self.name}: {counted}{self.area_m2:.10g} m2 ({100 * self.share:.1f} % of all classes)"


def class_totals(path: str | Path) -> tuple[ClassTotal, ...]:
    """Numbers and areas by class of a class map or of a layer that eo_dl has written.

    Areas are those of the attribute `area_m2`, on the ellipsoid; those of a raster add up its pixels, each
    row's on the ground (`PixelGrid.areas_m2`). Objects that overlap count with their whole area each.

    Returns:
        The classes that occur, in the order of their ids (raster) or names (layer).

    Raises:
        InputError: The file cannot be read, or a layer has no attributes `class_name` and `area_m2`.
    """
    if Path(path).suffix.lower() in GEOTIFF_SUFFIXES:
        return _raster_totals(open_class_map(path))
    rows = _geopackage_sums(path) if Path(path).suffix.lower() == ".gpkg" else _layer_sums(path)
    whole = sum(area for _, area, _ in rows)
    return tuple(
        ClassTotal(_UNNAMED if name is None else str(name), area, _share(area, whole), count)
        for name, area, count in rows
    )


def sum_of_totals(several: Sequence[Sequence[ClassTotal]]) -> tuple[ClassTotal, ...]:
    """The totals of several maps as one, classes by name."""
    areas: dict[str, float] = {}
    counts: dict[str, int | None] = {}
    for totals in several:
        for total in totals:
            areas[total.name] = areas.get(total.name, 0.0) + total.area_m2
            known = counts.get(total.name)
            counts[total.name] = total.count if known is None else known + (total.count or 0)
    whole = sum(areas.values())
    return tuple(ClassTotal(name, area, _share(area, whole), counts[name]) for name, area in areas.items())


def _raster_totals(class_map: ClassMap) -> tuple[ClassTotal, ...]:
    row_areas = row_areas_m2(class_map.grid)
    areas = np.zeros(256)
    for row0, ids in class_map.row_strips():
        for row, row_ids in enumerate(ids, start=row0):
            areas += np.bincount(row_ids, minlength=256) * row_areas[row]
    areas[IGNORE_ID] = 0
    names = {} if class_map.classes is None else {info.id: info.name for info in class_map.classes}
    whole = float(areas.sum())
    return tuple(
        ClassTotal(names.get(class_id, str(class_id)), float(areas[class_id]), _share(areas[class_id], whole))
        for class_id in np.flatnonzero(areas).tolist()
    )


def _geopackage_sums(path: str | Path) -> list[tuple[object, float, int]]:
    """(class, area, number) by class; SQLite reads neither outlines nor other attributes."""
    uri = f"{Path(path).resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        try:
            (layer,) = database.execute("SELECT table_name FROM gpkg_geometry_columns").fetchone()
            quoted = str(layer).replace('"', '""')
            rows = database.execute(
                f'SELECT class_name, total(area_m2), count(*) FROM "{quoted}" GROUP BY class_name'
                " ORDER BY class_name"
            ).fetchall()
        except (sqlite3.Error, TypeError) as cause:
            raise _no_classes(path) from cause
    return [(name, float(area), int(count)) for name, area, count in rows]


def _layer_sums(path: str | Path) -> list[tuple[object, float, int]]:
    from ..io.vectorlayers import read_layer  # lazy: loads pandas, which rasters do not need

    frame = read_layer(path)
    if not set(_COLUMNS) <= set(frame.columns):
        raise _no_classes(path)
    sums = frame.groupby("class_name", dropna=False)["area_m2"].agg(["sum", "size"])
    return [(name, float(area), int(count)) for name, area, count in sums.itertuples()]


def _no_classes(path: str | Path) -> LabelError:
    return LabelError(
        f"{path}: expected a layer with the attributes class_name and area_m2; choose a result of `predict` "
        "or `vectorize`"
    )


def _share(area: float, whole: float) -> float:
    return float(area) / whole if whole and math.isfinite(whole) else 0.0
