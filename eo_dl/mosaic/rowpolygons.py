"""Polygons of a class map, made band of rows by band of rows.

A polygon is finished when it does not reach the last row that was given. Others wait in parts, with which
column of that last row belongs to which of them; the next band's polygons are joined to them where a column
goes on in the same class. So memory is bounded by the polygons that cross the open seam. Nothing is dissolved
but the parts of one polygon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..core.arraytypes import BoolArray, GeometryArray, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID
from ..io.rasterize import polygonize

Found = tuple[GeometryArray, Int64Array]


@dataclass
class _Open:
    """A polygon that may go on below: its parts so far."""

    class_id: int
    parts: list[shapely.Geometry]


class RowPolygonizer:
    """Rows of class ids in, finished polygons in pixel coordinates out.

    Polygons surround 4-connected pixels of one id; ids in `skip` are no polygons. The result is that of
    polygonising the whole raster at once, without needless vertices at seams (compare after
    `shapely.normalize`).
    """

    def __init__(self, width: int, skip: Sequence[int] = (IGNORE_ID,)) -> None:
        self._width = width
        self._wanted = np.ones(256, np.bool_)
        self._wanted[list(skip)] = False
        self._next_row: int | None = None
        self._open: list[_Open] = []
        # Which open polygon each column of the last row belongs to; -1 for none.
        self._seam: Int64Array = np.full(width, -1, np.int64)

    @property
    def waiting(self) -> int:
        """Parts of polygons that are not finished yet."""
        return sum(len(polygon.parts) for polygon in self._open)

    def add(self, row0: int, rows: UInt8Array) -> Found:
        """Polygons (N,) and class ids (N,) that `rows` (R, W), which start at `row0`, finish."""
        if rows.ndim != 2 or rows.shape[1] != self._width or self._next_row not in (None, row0):
            raise ValueError(
                f"rows of {self._width} px from row {self._next_row} on were expected, found {rows.shape} from row {row0}"
            )
        self._next_row = row0 + len(rows)
        if not len(rows):
            return _found([])
        polygons, class_ids = polygonize(rows, valid=self._wanted[rows])
        polygons = shapely.transform(polygons, lambda xy: np.add(xy, (0, row0)))
        first, last = (_owners(polygons, line, self._width) for line in (row0, self._next_row))
        return self._join(polygons, class_ids, first, last)

    def close(self) -> Found:
        """The polygons that reach the last row."""
        rest, self._open = self._open, []
        self._seam[:] = -1
        return _found(rest)

    def _join(
        self, polygons: GeometryArray, class_ids: Int64Array, first: Int64Array, last: Int64Array
    ) -> Found:
        before = len(self._open)
        open_ids = np.array([polygon.class_id for polygon in self._open], np.int64)
        both = (self._seam >= 0) & (first >= 0)
        same = np.zeros(self._width, np.bool_)
        same[both] = open_ids[self._seam[both]] == class_ids[first[both]]
        group = _components(before + len(polygons), self._seam[same], before + first[same])
        reaches = np.zeros(int(group.max(initial=-1)) + 1, np.bool_)
        reaches[group[before + last[last >= 0]]] = True
        alone = np.bincount(group, minlength=len(reaches)) == 1
        # Most polygons lie within one band: they need no joining at all.
        simple = (alone & ~reaches)[group[before:]]
        joined = self._gather(
            polygons, class_ids, group, np.concatenate([np.zeros(before, np.bool_), simple])
        )
        self._open = [joined[number] for number in np.flatnonzero(reaches).tolist()]
        place = np.full(len(reaches) + 1, -1, np.int64)
        place[np.flatnonzero(reaches)] = np.arange(int(reaches.sum()))
        self._seam = np.full(self._width, -1, np.int64)
        self._seam[last >= 0] = place[group[before + last[last >= 0]]]
        done = _found([polygon for number, polygon in joined.items() if not reaches[number]])
        return np.concatenate([polygons[simple], done[0]]), np.concatenate([class_ids[simple], done[1]])

    def _gather(
        self, polygons: GeometryArray, class_ids: Int64Array, group: Int64Array, simple: BoolArray
    ) -> dict[int, _Open]:
        """Parts by group number, open ones first; those that are `simple` left out."""
        before = len(self._open)
        joined: dict[int, _Open] = {}
        for number, polygon in zip(group[:before].tolist(), self._open, strict=True):
            joined.setdefault(number, _Open(polygon.class_id, [])).parts.extend(polygon.parts)
        for place in np.flatnonzero(~simple[before:]).tolist():
            joined.setdefault(int(group[before + place]), _Open(int(class_ids[place]), [])).parts.append(
                polygons[place]
            )
        return joined


def _owners(polygons: GeometryArray, line: int, width: int) -> Int64Array:
    """(W,) which polygon lies at a horizontal line in each column, by the edges that run along it; -1 for
    none.

    For the first and the last line of a band: only outer rings reach those.
    """
    owners = np.full(width, -1, np.int64)
    bounds = shapely.bounds(polygons).reshape(-1, 4)
    touching = np.flatnonzero((bounds[:, 1] == line) | (bounds[:, 3] == line))
    coordinates, number = shapely.get_coordinates(
        shapely.get_exterior_ring(polygons[touching]), return_index=True
    )
    on_line = coordinates[:, 1] == line
    edge = np.flatnonzero(on_line[:-1] & on_line[1:] & (number[:-1] == number[1:]))
    ends = coordinates[:, 0].astype(np.int64)
    for polygon, start, stop in zip(
        touching[number[edge]].tolist(), ends[edge].tolist(), ends[edge + 1].tolist(), strict=True
    ):
        owners[min(start, stop) : max(start, stop)] = polygon
    return owners


def _components(count: int, first: Int64Array, second: Int64Array) -> Int64Array:
    if not count:
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _found(polygons: list[_Open]) -> Found:
    geometries = np.empty(len(polygons), dtype=object)
    for place, polygon in enumerate(polygons):
        geometries[place] = polygon.parts[0] if len(polygon.parts) == 1 else _union(polygon.parts)
    return geometries, np.array([polygon.class_id for polygon in polygons], np.int64)


def _union(parts: list[shapely.Geometry]) -> shapely.Geometry:
    """One polygon without the vertices that its seams left on straight edges."""
    # Normalised rings start at a corner, which simplify(0) would otherwise keep wherever it lies.
    return shapely.simplify(shapely.normalize(shapely.union_all(parts)), 0)
