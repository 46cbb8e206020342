"""`PixelLabels`: labels in the pixels of one scene or one chip."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import shapely

from .arraytypes import BoolArray, Float32Array, Float64Array, GeometryArray, Int64Array, UInt8Array
from .classes import ClassSet
from .features import LabelRows
from .geometries import shifted
from .window import Window


@dataclass(frozen=True)
class PixelLabels:
    """Labels in the pixels of one scene or one chip: features, or a label raster."""

    classes: ClassSet
    """Classes of the label set."""

    geometries: GeometryArray
    """(N,) outlines in pixels (col, row); they may reach beyond the scene or chip."""

    class_ids: Int64Array
    """(N,) class of each feature."""

    ignore: BoolArray
    """(N,) True for features that count neither for nor against."""

    index: Int64Array
    """(N,) row of each feature in the label set."""

    annotated: shapely.Geometry | None = None
    """Ground on which labels are complete; None: everywhere."""

    mask: UInt8Array | None = field(default=None, repr=False)
    """(H, W) class ids of a chip whose labels are a raster, 255 where ignored; None: labels are features."""

    soft: Float32Array | None = field(default=None, repr=False)
    """(K, H, W) probabilities of `classes` in their order, where the raster has them; 0 where `mask`, then
    the likeliest class, is 255."""

    values: Float32Array | None = field(default=None, repr=False)
    """(K, H, W) the numbers of a chip whose labels are a raster of values, NaN where they are not known."""

    feature_values: Float64Array | None = field(default=None, repr=False)
    """(N, K) the numbers of each feature, NaN where it has none; None: features are classes."""

    valid: BoolArray | None = field(default=None, repr=False)
    """(H, W) True where the chip was measured; None: everywhere, as far as is known."""

    @classmethod
    def of_rows(
        cls,
        classes: ClassSet,
        rows: LabelRows,
        index: Int64Array,
        geometries: GeometryArray,
        annotated: shapely.Geometry | None = None,
    ) -> PixelLabels:
        """Some labels of a set, with their outlines in pixels.

        Args:
            classes: Classes of the set.
            rows: All labels of the set.
            index: (N,) rows that are meant.
            geometries: (N,) their outlines in pixels.
            annotated: Ground on which labels are complete, in pixels; None: everywhere.
        """
        return cls(
            classes=classes,
            geometries=geometries,
            class_ids=rows.class_ids[index],
            ignore=rows.ignore[index],
            index=index,
            annotated=annotated,
            feature_values=None if rows.values is None else rows.values[index],
        )

    @classmethod
    def none(cls, classes: ClassSet, annotated: shapely.Geometry | None = None) -> PixelLabels:
        """No features, as of label rasters and of images that labels do not list."""
        empty = np.empty(0, dtype=object), np.empty(0, np.int64), np.empty(0, np.bool_)
        return cls(classes, *empty, np.empty(0, np.int64), annotated)

    def __len__(self) -> int:
        return len(self.geometries)

    @cached_property
    def bounds(self) -> Float64Array:
        """(N, 4) boxes (col0, row0, col1, row1)."""
        return np.asarray(shapely.bounds(self.geometries), np.float64).reshape(-1, 4)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """The outlines, to search those near a place."""
        return shapely.STRtree(self.geometries)

    def take(self, index: Int64Array) -> PixelLabels:
        """The features of an index, in its order."""
        return replace(
            self,
            geometries=self.geometries[index],
            class_ids=self.class_ids[index],
            ignore=self.ignore[index],
            index=self.index[index],
            feature_values=None if self.feature_values is None else self.feature_values[index],
        )

    def within(self, window: Window) -> PixelLabels:
        """The features that share area with a window, in its pixels, in the same order.

        Geometries are not cut at the window; `annotated` is.
        """
        frame = shapely.box(*window.box)
        near = np.sort(self.tree.query(frame, predicate="intersects"))
        bounds = self.bounds[near]
        starts_inside = (bounds[:, :2] > (window.col, window.row)).all(axis=1)
        ends_inside = (bounds[:, 2:] < (window.col1, window.row1)).all(axis=1)
        inside = starts_inside & ends_inside
        # Only what reaches the edge of the window is worth an intersection: it may touch the edge alone.
        at_edge = np.where(inside, None, self.geometries[near])
        shares_area = inside | (shapely.area(shapely.intersection(at_edge, frame)) > 0)
        part = self.take(near[shares_area])
        annotated = None
        if self.annotated is not None:
            annotated = shifted(shapely.intersection(self.annotated, frame), -window.col, -window.row)
        return replace(
            part, geometries=shifted(part.geometries, -window.col, -window.row), annotated=annotated
        )
