"""Outlines: missing, invalid, drawn twice, or overlapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely

from ...core.arraytypes import Float64Array, GeometryArray, Int64Array
from ...core.geometries import missing_or_empty
from ...labels.records import OutlineRecords, Records
from .finding import Finding

_DUPLICATE_IOU = 0.95
_DUPLICATE_BOX_IOU = 0.9
_SAME_IOU = 0.999
_OVERLAP_SHARE = 0.1
"""Share of the smaller object; neighbours that are drawn by hand overlap by slivers."""


def check_geometries(records: OutlineRecords) -> Iterator[Finding]:
    """Features without a geometry, without an area, or with an invalid outline."""
    missing = missing_or_empty(records.geometries)
    if missing.any():
        feature_ids = tuple(str(feature_id) for feature_id in records.feature_ids[missing])
        text = f"{len(feature_ids)} features have no geometry and are left out; delete or draw them"
        yield Finding("no geometry", "warning", text, feature_ids=feature_ids)
    for index in np.flatnonzero(~missing).tolist():
        geometry = records.geometries[index]
        problem = _problem(geometry)
        if problem is None:
            continue
        finite = np.isfinite(shapely.get_coordinates(geometry)).all()
        yield Finding(
            "invalid geometry",
            "error",
            problem,
            feature_ids=(str(records.feature_ids[index]),),
            class_name=records.values[index] or "",
            geometry=_box_around(geometry) if finite else None,
            image=image_of(records, index),
        )


def image_of(records: Records, index: int) -> str | None:
    """The image in whose pixels a feature lies; None for map coordinates."""
    if records.images is None:
        return None
    return str(records.images[index])


def _problem(geometry: shapely.Geometry) -> str | None:
    """What is wrong with an outline; None if nothing is."""
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return "a coordinate is not a finite number; delete the feature or draw it again"
    if not shapely.is_valid(geometry):
        reason = str(shapely.is_valid_reason(geometry)).split("[")[0].strip().lower()
        return f"the outline is not valid ({reason}); it is repaired when it is read, and for good with `fix`"
    if shapely.area(geometry) <= 0:
        return "has no area and is left out; delete it or draw it again"
    return None


def _box_around(geometry: shapely.Geometry) -> shapely.Geometry:
    """A box that shows where a geometry is; an invalid one cannot be drawn."""
    box = shapely.box(*geometry.bounds)
    if box.area > 0:
        return box
    col0, row0, col1, row1 = geometry.bounds
    radius = max(col1 - col0, row1 - row0, 1e-6)
    centre = geometry.centroid if not geometry.is_empty else box.centroid
    return shapely.box(*shapely.buffer(centre, radius).bounds)


def usable(records: OutlineRecords) -> Int64Array:
    """Indices of the features that have an area once they are repaired."""
    index = np.flatnonzero(~missing_or_empty(records.geometries))
    finite = [np.isfinite(shapely.get_coordinates(geometry)).all() for geometry in records.geometries[index]]
    index = index[np.array(finite, np.bool_)]
    if not len(index):
        return index.astype(np.int64)
    has_area = shapely.area(shapely.make_valid(records.geometries[index])) > 0
    return np.asarray(index[has_area], np.int64)


@dataclass(frozen=True)
class OverlappingPairs:
    """Pairs of geometries that share area."""

    first: Int64Array
    """(P,) indices of the first of each pair; always the lower one."""

    second: Int64Array
    """(P,) indices of the second."""

    iou: Float64Array
    """(P,) intersection over union."""

    covered: Float64Array
    """(P,) share of the smaller one that is covered."""


def overlapping(geometries: GeometryArray, least_iou: float) -> OverlappingPairs:
    """All pairs that share a tenth of the smaller one, or have at least this intersection over union."""
    first, second = shapely.STRtree(geometries).query(geometries, predicate="intersects")
    once = first < second
    first, second = first[once].astype(np.int64), second[once].astype(np.int64)
    common = shapely.area(shapely.intersection(geometries[first], geometries[second]))
    area, other_area = shapely.area(geometries[first]), shapely.area(geometries[second])
    iou = common / np.maximum(area + other_area - common, 1e-300)
    covered = common / np.maximum(np.minimum(area, other_area), 1e-300)
    kept = (covered >= _OVERLAP_SHARE) | (iou >= least_iou)
    return OverlappingPairs(first[kept], second[kept], iou[kept], covered[kept])


def check_overlaps(records: OutlineRecords) -> Iterator[Finding]:
    """Objects drawn twice, and objects that overlap. Boxes overlap by nature: of them only duplicates
    count.
    """
    for members in _frames(records, usable(records)):
        geometries = np.asarray(shapely.make_valid(records.geometries[members]), dtype=object)
        are_boxes = _are_boxes(geometries)
        least_iou = _DUPLICATE_BOX_IOU if are_boxes else _DUPLICATE_IOU
        pairs = overlapping(geometries, least_iou)
        columns = zip(pairs.first, pairs.second, pairs.iou.tolist(), pairs.covered.tolist(), strict=True)
        for first, second, iou, covered in columns:
            pair = (int(members[first]), int(members[second]))
            if iou >= least_iou:
                yield _duplicate(records, pair, iou, geometries[second])
            elif not are_boxes:
                common = shapely.intersection(geometries[first], geometries[second])
                yield _overlap(records, pair, covered, common)


def _frames(records: OutlineRecords, index: Int64Array) -> Iterator[Int64Array]:
    """Features that lie in one frame: those of one image if they are bound to images, else all."""
    if records.images is None:
        yield index
        return
    images = records.images[index].astype(str)
    for name in np.unique(images):
        yield index[images == name]


def _are_boxes(geometries: GeometryArray) -> bool:
    """True if nearly all geometries are upright rectangles."""
    if not len(geometries):
        return False
    areas = shapely.area(geometries)
    fill_their_box = np.abs(shapely.area(shapely.envelope(geometries)) - areas) <= 1e-6 * areas
    return bool(fill_their_box.mean() > 0.95)


def _duplicate(
    records: OutlineRecords, pair: tuple[int, int], iou: float, outline: shapely.Geometry
) -> Finding:
    first_class, second_class = (records.values[index] for index in pair)
    first_id, second_id = (str(records.feature_ids[index]) for index in pair)
    exact, same_class = iou > _SAME_IOU, first_class == second_class
    relation = "has the same outline as" if exact else f"has nearly the same outline (IoU {iou:.2f}) as"
    text = f"{second_id} ('{second_class}') {relation} {first_id} ('{first_class}'); keep the right one"
    if same_class:
        text = f"{second_id} {relation} {first_id}, of the same class; keep one (`fix` removes exact ones)"
    return Finding(
        "duplicate",
        "error" if exact or not same_class else "warning",
        text,
        feature_ids=(first_id, second_id),
        class_name=second_class or "",
        geometry=outline,
        image=image_of(records, pair[1]),
    )


def _overlap(
    records: OutlineRecords, pair: tuple[int, int], covered: float, common: shapely.Geometry
) -> Finding:
    first_class, second_class = (records.values[index] for index in pair)
    first_id, second_id = (str(records.feature_ids[index]) for index in pair)
    same_class = first_class == second_class
    classes = f"'{first_class}' and '{second_class}': in a class map the later one wins"
    if same_class:
        classes = f"both '{first_class}'"
    return Finding(
        "overlap",
        "warning" if covered > 0.5 or not same_class else "note",
        f"{first_id} and {second_id} share {covered:.0%} of the smaller one ({classes}); correct the "
        "outlines",
        feature_ids=(first_id, second_id),
        class_name=second_class or "",
        geometry=common if shapely.area(common) > 0 else _box_around(common),
        image=image_of(records, pair[1]),
    )
