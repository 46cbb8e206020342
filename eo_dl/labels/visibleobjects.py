"""The objects that a chip shows, cut at its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from ..core.arrays import BoxTarget
from ..core.arraytypes import BoolArray, Float32Array, Float64Array, GeometryArray, Int64Array
from ..core.boxes import areas
from ..core.classes import IGNORE_ID, ClassSet
from ..core.pixellabels import PixelLabels
from ..core.pixelpolygons import polygonize

_LEAST_SIDE_PX = 1.0
_LEAST_AREA = 1e-12  # for divisions
_LEAST_ANNOTATED = 0.5
"""An object with a smaller share of its area on annotated ground counts neither way."""


@dataclass(frozen=True)
class VisibleObjects:
    """The N objects of a chip's labels that touch the chip."""

    geometries: GeometryArray
    """(N,) whole outlines, also beyond the chip."""
    boxes: Float32Array
    """(N, 4) boxes cut at the border of the chip, each side at least 1 px."""
    class_ids: Int64Array
    """(N,) class ids; 255 for objects that count neither way."""

    def target(self) -> BoxTarget:
        """The boxes and classes."""
        return BoxTarget(self.boxes, self.class_ids)


def visible_objects(
    labels: PixelLabels, classes: ClassSet, min_visible: float, height: int, width: int
) -> VisibleObjects:
    """The objects of a chip.

    An object counts neither way (class 255) where the labels ignore it, its class is not one of `classes`,
    less than `min_visible` of its box lies in the chip, or less than half of it on annotated ground. In
    raster labels each 4-connected patch of a class is an object.

    Args:
        labels: Labels in the pixels of the chip.
        classes: The classes to look for.
        min_visible: Least share of an object's box inside the chip.
        height: Rows of the chip.
        width: Columns of the chip.
    """
    geometries, class_ids, ignore = _features(labels, classes)
    whole = shapely.bounds(geometries).reshape(-1, 4)
    cut = np.clip(whole, 0, [width, height, width, height])
    inside = (cut[:, 2] >= cut[:, 0]) & (cut[:, 3] >= cut[:, 1]) & _touching(whole, height, width)
    visible = areas(cut) / np.maximum(areas(whole), _LEAST_AREA)
    annotated = _annotated_share(geometries, labels.annotated)
    of_interest = np.isin(class_ids, classes.ids) & ~ignore
    counts = of_interest & (visible >= min_visible) & (annotated >= _LEAST_ANNOTATED)
    ids = np.where(counts, class_ids, IGNORE_ID)
    boxes = at_least_one_pixel(cut[inside], height, width).astype(np.float32)
    return VisibleObjects(geometries[inside], boxes, ids[inside].astype(np.int64))


def at_least_one_pixel(boxes: Float64Array, height: int, width: int) -> Float64Array:
    """Boxes (N, 4) with those narrower than a pixel grown to one, within the chip."""
    size = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum(size, _LEAST_SIDE_PX)
    low = np.clip(centre - side / 2, 0, np.maximum(np.array([width, height]) - side, 0))
    grown = np.concatenate([low, low + side], axis=1)
    narrow = (size < _LEAST_SIDE_PX).any(axis=1, keepdims=True)
    return np.where(narrow, grown, boxes)


def _features(labels: PixelLabels, classes: ClassSet) -> tuple[GeometryArray, Int64Array, BoolArray]:
    """Outlines, class ids and ignore flags of vector labels, or of the patches of raster labels."""
    if labels.mask is None:
        return labels.geometries, labels.class_ids, labels.ignore
    geometries, values = polygonize(labels.mask, np.isin(labels.mask, [*classes.ids, IGNORE_ID]))
    return geometries, values, np.zeros(len(values), np.bool_)


def _touching(boxes: Float64Array, height: int, width: int) -> BoolArray:
    starts_inside = (boxes[:, 0] < width) & (boxes[:, 1] < height)
    ends_inside = (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    return np.asarray(starts_inside & ends_inside, np.bool_)


def _annotated_share(geometries: GeometryArray, annotated: shapely.Geometry | None) -> Float64Array:
    """(N,) the share of each object's area on annotated ground."""
    if annotated is None:
        return np.ones(len(geometries))
    shapely.prepare(annotated)
    share = np.asarray(shapely.covers(annotated, geometries), np.float64)
    # Only objects that are not covered as a whole need an intersection, which is slow.
    partly = np.flatnonzero(share == 0)
    whole_area = np.maximum(shapely.area(geometries[partly]), _LEAST_AREA)
    share[partly] = shapely.area(shapely.intersection(geometries[partly], annotated)) / whole_area
    return share
