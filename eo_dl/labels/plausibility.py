"""`report_on_pixels`: what a class map cannot show of labels: objects smaller than a pixel, without a pixel's
centre, or covered by later ones.

Outlines alone are compared, no pixel is read and nothing is burnt: areas, pixel centres of the few objects
that are thin or small enough to miss all of them, and pairs of objects of which the later one holds a point
inside the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, GeometryArray, Int64Array
from ..core.classes import ClassSet
from ..core.features import Features
from ..core.geometries import shifted
from ..core.imagelabels import ImageLabels
from ..core.labeloutlines import RowsByImage
from ..core.labelreport import ClassPixels, LabelReport
from ..core.pixellabels import PixelLabels
from ..io.rasterize import burn

_THIN_PX = 1.0  # objects of a larger mean width hold a pixel's centre
_FEW_CENTRES = 64
_MOST_CENTRES = 4_000_000
_PORTION = 50_000  # objects that are compared with the others at a time
_COVERED_SHARE = 0.9
_MOST_INTERSECTIONS = 20_000


def report_on_pixels(
    report: LabelReport, parts: Iterable[PixelLabels], features: Features, classes: ClassSet
) -> LabelReport:
    """The report of reading, completed by what the pixels of scenes can show of the labels.

    Args:
        report: What reading found.
        parts: The labels of each scene or image, in its pixels; `index` are rows of `features`.
        features: All labels.
        classes: Their classes.

    Returns:
        The report with the counts of objects that no part shows whole, and the pixels of each class. An
        object on several scenes counts only where all of them agree.
    """
    count = len(features)
    placed, small = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    missed, hidden = np.ones(count, np.bool_), np.ones(count, np.bool_)
    outlined_px, seen_px = np.zeros(256), np.zeros(256)
    for part in parts:
        if not len(part):
            continue
        areas_px = np.asarray(shapely.area(part.geometries), np.float64)
        without_centre = _without_centre(part.geometries, areas_px)
        hidden_px = _hidden_px(part, areas_px)
        covered = ~without_centre & (hidden_px >= _COVERED_SHARE * areas_px)
        placed[part.index] = True
        small[part.index] &= areas_px < 1
        missed[part.index] &= without_centre
        hidden[part.index] &= covered
        counts = ~part.ignore
        shown_px = np.where(without_centre, 0.0, areas_px - hidden_px)
        np.add.at(outlined_px, part.class_ids[counts], areas_px[counts])
        np.add.at(seen_px, part.class_ids[counts], shown_px[counts])
    counting = placed & ~features.ignore
    pixels = [
        ClassPixels(info.name, float(outlined_px[info.id]), float(seen_px[info.id])) for info in classes
    ]
    return replace(
        report,
        used=int(placed.sum()),
        outside=int((~placed).sum()),
        below_a_pixel=int((counting & small).sum()),
        without_a_pixel=int((counting & missed).sum()),
        covered=int((counting & hidden).sum()),
        classes=tuple(one for one in pixels if one.outlined_px > 0),
    )


def parts_by_image(labels: ImageLabels) -> Iterator[PixelLabels]:
    """The labels of each image, in pixels of its file; without those outside of it, where its size is
    known.
    """
    rows = RowsByImage(labels.images)
    for image in labels.covered:
        index = rows.of(image.name)
        outlines = labels.features.geometries[index]
        if image.size_px is not None:
            inside = shapely.intersects(outlines, shapely.box(0, 0, *image.size_px))
            index, outlines = index[inside], outlines[inside]
        yield PixelLabels.of_rows(labels.classes, labels.features, index, outlines)


def _without_centre(geometries: GeometryArray, areas_px: Float64Array) -> BoolArray:
    """(N,) True for polygons that hold no pixel's centre."""
    lengths = np.asarray(shapely.length(geometries), np.float64)
    result = np.zeros(len(geometries), np.bool_)
    thin = np.flatnonzero(2 * areas_px < _THIN_PX * lengths)
    if not len(thin):
        return result
    # The first and last row and column whose centres lie in the box.
    bounds = shapely.bounds(geometries[thin])
    first = np.ceil(bounds[:, :2] - 0.5).astype(np.int64)
    counts = np.maximum(np.floor(bounds[:, 2:] - 0.5).astype(np.int64) - first + 1, 0)
    centres = counts.prod(axis=1)
    few = centres <= _FEW_CENTRES
    result[thin[few]] = ~_any_centre(geometries[thin[few]], first[few], counts[few])
    for number in np.flatnonzero(~few & (centres <= _MOST_CENTRES)):
        (cols, rows), corner = counts[number], first[number]
        outline = shifted(geometries[thin[number]], -float(corner[0]), -float(corner[1]))
        result[thin[number]] = not burn([outline], [1], int(rows), int(cols)).any()
    return result


def _any_centre(geometries: GeometryArray, first: Int64Array, counts: Int64Array) -> BoolArray:
    """(N,) True for polygons that hold one of the pixel centres in their boxes.

    Args:
        geometries: (N,) polygons.
        first: (N, 2) column and row of the first centre.
        counts: (N, 2) columns and rows of centres.
    """
    centres = counts.prod(axis=1)
    owner = np.repeat(np.arange(len(geometries)), centres)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(centres) - centres, centres)
    cols = first[owner, 0] + place % np.maximum(counts[owner, 0], 1) + 0.5
    rows = first[owner, 1] + place // np.maximum(counts[owner, 0], 1) + 0.5
    inside = shapely.intersects_xy(geometries[owner], cols, rows)
    return np.bincount(owner[inside], minlength=len(geometries)) > 0


def _hidden_px(labels: PixelLabels, areas_px: Float64Array) -> Float64Array:
    """(N,) the area of each object that a single later object of another class covers, pixels; ignored
    objects are drawn last, as in class maps.
    """
    hidden = np.zeros(len(labels))
    if len(np.unique(labels.class_ids)) < 2 and not labels.ignore.any():
        return hidden
    drawn = np.empty(len(labels), np.int64)
    drawn[np.argsort(labels.ignore, kind="stable")] = np.arange(len(labels))
    points = shapely.point_on_surface(labels.geometries)
    for start in range(0, len(labels), _PORTION):
        pairs = labels.tree.query(points[start : start + _PORTION])
        below, above = pairs[0] + start, pairs[1]
        other = (labels.class_ids[below] != labels.class_ids[above]) | labels.ignore[above]
        later = other & (drawn[above] > drawn[below]) & ~labels.ignore[below]
        _add_hidden(hidden, labels.geometries, areas_px, below[later], above[later], points)
    return hidden


def _add_hidden(
    hidden: Float64Array,
    geometries: GeometryArray,
    areas_px: Float64Array,
    below: Int64Array,
    above: Int64Array,
    points: GeometryArray,
) -> None:
    """Raise the hidden area of the lower objects of some pairs to what the upper one covers."""
    shapely.prepare(geometries[np.unique(above)])
    holds = shapely.intersects(geometries[above], points[below])
    below, above = below[holds], above[holds]
    whole = shapely.covers(geometries[above], geometries[below])
    hidden[below[whole]] = areas_px[below[whole]]
    partly = np.flatnonzero(~whole)[:_MOST_INTERSECTIONS]  # beyond it, what is hidden is underrated
    common = shapely.area(shapely.intersection(geometries[below[partly]], geometries[above[partly]]))
    np.maximum.at(hidden, below[partly], common)
