"""Polygons of a class map, made from strips of rows.

A polygon is finished once it does not reach the last row added. Unfinished polygons wait as parts, together
with the polygon that each column of the last row belongs to; polygons of the next strip are joined to them
where a column continues in the same class. Memory is thus bounded by the polygons that cross the open seam,
and only the parts of one polygon are ever dissolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, GeometryArray, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID
from ..core.geometries import shifted
from ..io.rasterize import polygonize
from .components import connected_groups

ClassOutlines = tuple[GeometryArray, Int64Array]
"""(N,) polygons and their (N,) class ids."""

_NO_POLYGON = -1


@dataclass
class _OpenPolygon:
    """A polygon that may continue below: its class and its parts so far."""

    class_id: int
    parts: list[shapely.Geometry]


class RowPolygonizer:
    """Takes rows of class ids from top to bottom and gives finished polygons, in pixel coordinates.

    Polygons surround 4-connected pixels of one id. The result equals that of polygonizing the whole raster at
    once, without needless vertices at seams (compare after `shapely.normalize`).

    Args:
        width: Columns of the raster.
        skip: Ids that become no polygons.
    """

    def __init__(self, width: int, skip: Sequence[int] = (IGNORE_ID,)) -> None:
        self._width = width
        self._wanted = np.ones(256, np.bool_)
        self._wanted[list(skip)] = False
        self._next_row: int | None = None
        self._open: list[_OpenPolygon] = []
        # Index of the open polygon that each column of the last row belongs to.
        self._seam: Int64Array = np.full(width, _NO_POLYGON, np.int64)

    @property
    def waiting(self) -> int:
        """Number of parts of unfinished polygons."""
        return sum(len(polygon.parts) for polygon in self._open)

    def add(self, row0: int, rows: UInt8Array) -> ClassOutlines:
        """The polygons that are finished by the (R, W) class ids `rows`, which start at row `row0`."""
        if rows.ndim != 2 or rows.shape[1] != self._width or self._next_row not in (None, row0):
            raise ValueError(
                f"expected rows of {self._width} px from row {self._next_row} on, found {rows.shape} from "
                f"row {row0}"
            )
        self._next_row = row0 + len(rows)
        if not len(rows):
            return _assembled([])
        polygons, class_ids = polygonize(rows, valid=self._wanted[rows])
        polygons = shifted(polygons, 0, row0)
        top = _polygon_per_column(polygons, row0, self._width)
        bottom = _polygon_per_column(polygons, self._next_row, self._width)
        return self._join(polygons, class_ids, top, bottom)

    def close(self) -> ClassOutlines:
        """The polygons that reach the last row."""
        rest, self._open = self._open, []
        self._seam[:] = _NO_POLYGON
        return _assembled(rest)

    def _join(
        self, polygons: GeometryArray, class_ids: Int64Array, top: Int64Array, bottom: Int64Array
    ) -> ClassOutlines:
        """Join new polygons to the open ones; `top` and `bottom` are those at the strip's edges."""
        open_count = len(self._open)
        open_class_ids = np.array([polygon.class_id for polygon in self._open], np.int64)
        both = (self._seam >= 0) & (top >= 0)
        continues = np.zeros(self._width, np.bool_)
        continues[both] = open_class_ids[self._seam[both]] == class_ids[top[both]]
        group = connected_groups(
            open_count + len(polygons), (self._seam[continues], open_count + top[continues])
        )

        at_bottom = bottom >= 0
        bottom_groups = group[open_count + bottom[at_bottom]]
        stays_open = np.zeros(int(group.max(initial=-1)) + 1, np.bool_)
        stays_open[bottom_groups] = True

        # Most polygons lie within one strip and need no joining at all.
        alone = np.bincount(group, minlength=len(stays_open)) == 1
        simple = (alone & ~stays_open)[group[open_count:]]
        joined = self._gathered(polygons, class_ids, group, simple)

        open_groups = np.flatnonzero(stays_open)
        self._open = [joined[number] for number in open_groups.tolist()]
        open_index = np.full(len(stays_open), _NO_POLYGON, np.int64)
        open_index[open_groups] = np.arange(len(open_groups))
        self._seam = np.full(self._width, _NO_POLYGON, np.int64)
        self._seam[at_bottom] = open_index[bottom_groups]

        finished = _assembled([polygon for number, polygon in joined.items() if not stays_open[number]])
        return (
            np.concatenate([polygons[simple], finished[0]]),
            np.concatenate([class_ids[simple], finished[1]]),
        )

    def _gathered(
        self, polygons: GeometryArray, class_ids: Int64Array, group: Int64Array, simple: BoolArray
    ) -> dict[int, _OpenPolygon]:
        """Polygons by group number, parts of open ones first; new polygons that are `simple` are left out."""
        open_count = len(self._open)
        joined: dict[int, _OpenPolygon] = {}
        for number, polygon in zip(group[:open_count].tolist(), self._open, strict=True):
            whole = joined.setdefault(number, _OpenPolygon(polygon.class_id, []))
            whole.parts.extend(polygon.parts)
        for index in np.flatnonzero(~simple).tolist():
            number = int(group[open_count + index])
            whole = joined.setdefault(number, _OpenPolygon(int(class_ids[index]), []))
            whole.parts.append(polygons[index])
        return joined


def _polygon_per_column(polygons: GeometryArray, line: int, width: int) -> Int64Array:
    """(W,) index of the polygon at a horizontal line in each column, found by the edges along that line.

    For the first and the last line of a strip, which only outer rings reach.
    """
    per_column = np.full(width, _NO_POLYGON, np.int64)
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    touching = np.flatnonzero((bounds[:, 1] == line) | (bounds[:, 3] == line))
    rings = shapely.get_exterior_ring(polygons[touching])
    coordinates, ring_number = shapely.get_coordinates(rings, return_index=True)
    on_line = coordinates[:, 1] == line
    same_ring = ring_number[:-1] == ring_number[1:]
    edges = np.flatnonzero(on_line[:-1] & on_line[1:] & same_ring)
    cols = coordinates[:, 0].astype(np.int64)
    owners = touching[ring_number[edges]].tolist()
    for polygon, start, stop in zip(owners, cols[edges].tolist(), cols[edges + 1].tolist(), strict=True):
        per_column[min(start, stop) : max(start, stop)] = polygon
    return per_column


def _assembled(polygons: list[_OpenPolygon]) -> ClassOutlines:
    geometries = np.empty(len(polygons), dtype=object)
    for index, polygon in enumerate(polygons):
        geometries[index] = polygon.parts[0] if len(polygon.parts) == 1 else _union(polygon.parts)
    return geometries, np.array([polygon.class_id for polygon in polygons], np.int64)


def _union(parts: list[shapely.Geometry]) -> shapely.Geometry:
    """One polygon without the vertices that its seams left on straight edges."""
    # Normalized rings start at a corner; simplify(0) would otherwise keep the start wherever it lies.
    return shapely.simplify(shapely.normalize(shapely.union_all(parts)), 0)
