"""Outlines: missing, invalid, drawn twice, or lying on each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

from ...core.arraytypes import GeometryArray
from ...core.geometries import missing_or_empty
from ...labels.records import Records
from .finding import Finding

_TWIN_IOU = 0.95
_BOX_TWIN_IOU = 0.9
_OVERLAP_SHARE = 0.1
"""Share of the smaller object; neighbours that are drawn by hand overlap by slivers."""

Index = npt.NDArray[np.int64]


def check_geometries(records: Records) -> Iterator[Finding]:
    """Features without a geometry, without an area, or with an outline that is not valid."""
    geometries = records.geometries
    gone = missing_or_empty(geometries)
    if gone.any():
        ids = tuple(str(i) for i in records.feature_ids[gone])
        yield Finding(
            "no geometry",
            "warning",
            f"{len(ids)} features have no geometry and are left out; delete them or draw them",
            ids,
        )
    for place in np.flatnonzero(~gone):
        found = _wrong(geometries[place])
        if found is not None:
            text, where = found
            yield Finding(
                "invalid geometry",
                "error",
                text,
                (str(records.feature_ids[place]),),
                records.values[place] or "",
                where,
                image_of(records, int(place)),
            )


def image_of(records: Records, place: int) -> str | None:
    """The image in whose pixels a feature lies; None where it has map coordinates."""
    return None if records.crs is not None or records.images is None else str(records.images[place])


def _wrong(geometry: shapely.Geometry) -> tuple[str, shapely.Geometry | None] | None:
    coordinates = shapely.get_coordinates(geometry)
    if not np.isfinite(coordinates).all():
        return "a coordinate is no finite number; delete the feature or draw it again", None
    if not shapely.is_valid(geometry):
        reason = str(shapely.is_valid_reason(geometry))
        return (
            f"the outline is not valid ({reason.split('[')[0].strip().lower()}); it is repaired when read; `fix` repairs the file",
            _around(geometry),
        )
    if shapely.area(geometry) <= 0:
        return "has no area and is left out; delete it or draw it again", _around(geometry)
    return None


def _around(geometry: shapely.Geometry) -> shapely.Geometry:
    """A polygon that shows where a geometry is: one that is not valid cannot be drawn."""
    box = shapely.box(*geometry.bounds)
    side = max(box.bounds[2] - box.bounds[0], box.bounds[3] - box.bounds[1])
    return (
        box
        if box.area > 0
        else shapely.box(
            *shapely.buffer(
                shapely.Point(*geometry.centroid.coords[0]) if not geometry.is_empty else box, max(side, 1e-6)
            ).bounds
        )
    )


def usable(records: Records) -> Index:
    """Places of the features that have an area once they are repaired."""
    geometries = records.geometries
    index = np.flatnonzero(~missing_or_empty(geometries))
    finite = np.array([np.isfinite(shapely.get_coordinates(g)).all() for g in geometries[index]], np.bool_)
    index = index[finite]
    solid = shapely.area(shapely.make_valid(geometries[index])) > 0 if len(index) else np.zeros(0, np.bool_)
    return np.asarray(index[solid], np.int64)


def twins(
    geometries: GeometryArray, least_iou: float
) -> tuple[Index, Index, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pairs (i < j) that share area: places, intersection over union, and share of the smaller one that is
    covered.
    """
    tree = shapely.STRtree(geometries)
    first, second = tree.query(geometries, predicate="intersects")
    once = first < second
    first, second = first[once].astype(np.int64), second[once].astype(np.int64)
    common = shapely.area(shapely.intersection(geometries[first], geometries[second]))
    one, other = shapely.area(geometries[first]), shapely.area(geometries[second])
    iou = common / np.maximum(one + other - common, 1e-300)
    share = common / np.maximum(np.minimum(one, other), 1e-300)
    kept = (share >= _OVERLAP_SHARE) | (iou >= least_iou)
    return first[kept], second[kept], iou[kept], share[kept]


def check_overlaps(records: Records) -> Iterator[Finding]:
    """Objects drawn twice, and objects that lie on each other (of boxes only the former: they overlap by
    nature).
    """
    index = usable(records)
    for members in _frames(records, index):
        geometries = np.asarray(shapely.make_valid(records.geometries[members]), dtype=object)
        boxes = _are_boxes(geometries)
        twin_iou = _BOX_TWIN_IOU if boxes else _TWIN_IOU
        for i, j, iou, share in zip(*twins(geometries, twin_iou), strict=True):
            if iou >= twin_iou:
                yield _duplicate(records, int(members[i]), int(members[j]), float(iou), geometries[j])
            elif not boxes:
                yield _overlap(
                    records,
                    int(members[i]),
                    int(members[j]),
                    float(share),
                    shapely.intersection(geometries[i], geometries[j]),
                )


def _frames(records: Records, index: Index) -> Iterator[Index]:
    """Features that lie in one frame: all in map coordinates (of one image each, where they are bound to
    images), else by image.
    """
    if records.images is None:
        yield index
        return
    images = records.images[index].astype(str)
    for name in np.unique(images):
        yield index[images == name]


def _are_boxes(geometries: GeometryArray) -> bool:
    return bool(len(geometries)) and bool(
        (
            np.abs(shapely.area(shapely.envelope(geometries)) - shapely.area(geometries))
            <= 1e-6 * shapely.area(geometries)
        ).mean()
        > 0.95
    )


def _duplicate(records: Records, i: int, j: int, iou: float, where: shapely.Geometry) -> Finding:
    one, other = records.values[i], records.values[j]
    ids = (str(records.feature_ids[i]), str(records.feature_ids[j]))
    said = "the same outline as" if iou > 0.999 else f"nearly the outline (IoU {iou:.2f}) of"
    if one == other:
        text = f"{ids[1]} is {said} {ids[0]}, of the same class; keep one (`fix` removes exact ones)"
    else:
        text = f"{ids[1]} ('{other}') is {said} {ids[0]} ('{one}'); keep the right one"
    return Finding(
        "duplicate",
        "error" if one != other or iou > 0.999 else "warning",
        text,
        ids,
        other or "",
        where,
        image_of(records, j),
    )


def _overlap(records: Records, i: int, j: int, share: float, where: shapely.Geometry) -> Finding:
    one, other = records.values[i], records.values[j]
    ids = (str(records.feature_ids[i]), str(records.feature_ids[j]))
    classes = f"both '{one}'" if one == other else f"'{one}' and '{other}': the later one wins in a class map"
    text = f"{ids[0]} and {ids[1]} share {share:.0%} of the smaller one ({classes}); correct the outlines"
    return Finding(
        "overlap",
        "warning" if one != other or share > 0.5 else "note",
        text,
        ids,
        other or "",
        _around(where) if shapely.area(where) <= 0 else where,
        image_of(records, j),
    )
