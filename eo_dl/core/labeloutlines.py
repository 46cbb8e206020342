"""Outlines on the map or in images, and how they get into the pixels of a scene.

This is the only place where labels change their frame: from here on every outline is in pixels and nobody
thinks about CRS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import shapely
from pyproj import CRS

from ..errors import LabelError
from .arraytypes import BoolArray, GeometryArray, Int64Array, ObjectArray
from .geometries import reproject, scaled
from .imagenames import ImageNames, composed, stem_of
from .pixelgrid import PixelGrid


class Outlines(Protocol):
    """Polygons that can be placed on the grid of a scene."""

    @property
    def geometries(self) -> GeometryArray:
        """(N,) the polygons, in their own frame."""
        ...

    @property
    def images(self) -> ObjectArray | None:
        """(N,) the image that each belongs to; None: they belong to the ground on which they lie."""
        ...

    def on_grid(
        self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None
    ) -> tuple[Int64Array, GeometryArray]:
        """The polygons that touch a scene.

        Args:
            grid: The working grid of the scene.
            image_name: Path (forward slashes) or file name of the scene.
            native: The grid of the scene's file, if `grid` is a resampled one.

        Returns:
            (M,) indices of the polygons, ascending, and (M,) these in pixels of `grid`.
        """
        ...


NOWHERE = shapely.Polygon()
"""The annotated ground of an image that labels do not refer to."""


class RowsByImage:
    """Rows of a table that name an image each, found by the path of the image.

    The full name decides; where no row has it, the name without its suffix. A dictionary, because with
    thousands of images nobody compares all rows for each of them.
    """

    def __init__(self, images: ObjectArray) -> None:
        names = [composed(str(name)) for name in images]
        self._names = ImageNames(names)
        self._by_name = _grouped(names)
        self._by_stem = _grouped(map(stem_of, names))

    def of(self, image_name: str) -> Int64Array:
        """(M,) indices of the rows of an image, ascending."""
        name = self._names.exact(image_name)
        if name is not None:
            return self._by_name[name]
        stem = self._names.by_stem(image_name)
        return np.empty(0, np.int64) if stem is None else self._by_stem[stem]


@dataclass(frozen=True)
class MapOutlines:
    """Polygons in map coordinates.

    Each CRS is reprojected to once, whatever the number of scenes that have it. Raises `LabelError` for a
    scene without CRS.
    """

    geometries: GeometryArray
    """(N,) polygons, (x, y) of `crs`."""

    crs: CRS
    """Their coordinate reference system."""

    source: str
    """Where they come from, for messages."""

    images: ObjectArray | None = None
    """(N,) the only image that each may be placed on, as for one place on several dates; None: any image."""

    _in_crs: dict[str, tuple[GeometryArray, shapely.STRtree]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def on_grid(
        self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None
    ) -> tuple[Int64Array, GeometryArray]:
        """See `Outlines`."""
        if grid.crs is None:
            raise LabelError(
                f"{self.source}: labels are in map coordinates ({self.crs.name}), but the scene has no CRS; "
                "georeference the scene or give labels in pixels (masks, VOC, COCO)"
            )
        geometries, tree = self._reprojected(grid.crs)
        # The margin leaves the decision about what touches the edge to the exact test in pixels below.
        near = tree.query(grid.footprint(grid.window.buffered(1)), predicate="intersects")
        index = np.sort(near).astype(np.int64)
        if self.images is not None:
            index = index[self._is_unbound[index] | np.isin(index, self._rows_by_image.of(image_name))]
        in_pixels = grid.geometries_to_pixel(geometries[index])
        touching = touches_frame(in_pixels, grid)
        return index[touching], in_pixels[touching]

    def _reprojected(self, crs: CRS) -> tuple[GeometryArray, shapely.STRtree]:
        key = crs.to_wkt()
        if key not in self._in_crs:
            geometries = reproject(self.geometries, self.crs, crs, self.source)
            self._in_crs[key] = geometries, shapely.STRtree(geometries)
        return self._in_crs[key]

    @cached_property
    def _is_unbound(self) -> BoolArray:
        images = self._names_of_images
        return np.array([image is None for image in images], np.bool_)

    @cached_property
    def _rows_by_image(self) -> RowsByImage:
        return RowsByImage(self._names_of_images)

    @property
    def _names_of_images(self) -> ObjectArray:
        return np.empty(0, dtype=object) if self.images is None else self.images


@dataclass(frozen=True)
class ImageOutlines:
    """Polygons in pixels (col, row) of the files of named images."""

    geometries: GeometryArray
    """(N,) polygons."""

    images: ObjectArray
    """(N,) the image of each."""

    def on_grid(
        self, grid: PixelGrid, image_name: str, native: PixelGrid | None = None
    ) -> tuple[Int64Array, GeometryArray]:
        """See `Outlines`."""
        index = self._rows_by_image.of(image_name)
        in_pixels = self.geometries[index]
        if native is not None and (native.height, native.width) != (grid.height, grid.width):
            in_pixels = scaled(in_pixels, grid.width / native.width, grid.height / native.height)
        touching = touches_frame(in_pixels, grid)
        return index[touching], in_pixels[touching]

    @cached_property
    def _rows_by_image(self) -> RowsByImage:
        return RowsByImage(self.images)


def ground_on_grid(
    areas: Outlines | None, grid: PixelGrid, image_name: str, native: PixelGrid | None = None
) -> shapely.Geometry | None:
    """The ground that areas cover of a scene, in pixels of `grid`; None where there are no areas."""
    if areas is None:
        return None
    _, in_pixels = areas.on_grid(grid, image_name, native)
    return shapely.union_all(shapely.make_valid(in_pixels)) if len(in_pixels) else shapely.Polygon()


def frame_of(grid: PixelGrid) -> shapely.Geometry:
    """The rectangle of all pixels of a grid."""
    return shapely.box(0, 0, grid.width, grid.height)


def touches_frame(geometries: GeometryArray, grid: PixelGrid) -> BoolArray:
    """(N,) True for geometries in pixels of a grid that touch its frame."""
    return np.asarray(shapely.intersects(geometries, frame_of(grid)), np.bool_)


def _grouped(names: Iterable[str]) -> dict[str, Int64Array]:
    """The indices at which each name occurs."""
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(name, []).append(index)
    return {name: np.array(found, np.int64) for name, found in indices.items()}
