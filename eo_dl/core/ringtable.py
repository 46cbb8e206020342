"""`RingTable`: the rings of many polygons as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from .arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array


@dataclass(frozen=True)
class RingTable:
    """R closed rings of polygons, with V vertices in all."""

    coordinates: Float64Array
    """(V, 2) vertices, ring after ring; the last one of a ring is its first one again."""
    ring_of_vertex: Int64Array
    """(V,) ring of each vertex, ascending."""
    polygon_of_ring: Int64Array
    """(R,) polygon of each ring."""
    is_hole: BoolArray
    """(R,) True for inner rings."""

    @classmethod
    def of(cls, polygons: GeometryArray) -> RingTable:
        """The rings of polygons and multipolygons; other and empty geometries have none.

        Polygons without holes come first: their vertices are those of their only ring, so that no ring has to
        be made.
        """
        plain = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
        plain &= shapely.get_num_interior_rings(polygons) == 0
        plain &= ~shapely.is_empty(polygons)
        chosen, others = np.flatnonzero(plain), np.flatnonzero(~plain)
        coordinates, ring = shapely.get_coordinates(polygons[chosen], return_index=True)
        if not len(others):
            return cls(coordinates, ring, chosen, np.zeros(len(chosen), np.bool_))
        parts, other_of_part = shapely.get_parts(polygons[others], return_index=True)
        rings, part_of_ring = shapely.get_rings(parts, return_index=True)
        more, ring_of_more = shapely.get_coordinates(rings, return_index=True)
        is_hole = np.diff(part_of_ring, prepend=-1) == 0
        return cls(
            np.concatenate([coordinates, more]),
            np.concatenate([ring, ring_of_more + len(chosen)]),
            np.concatenate([chosen, others[other_of_part[part_of_ring]]]),
            np.concatenate([np.zeros(len(chosen), np.bool_), is_hole]),
        )

    @property
    def first_vertex(self) -> Int64Array:
        """(R,) first vertex of each ring."""
        return np.flatnonzero(np.diff(self.ring_of_vertex, prepend=-1))
