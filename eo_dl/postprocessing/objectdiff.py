"""Objects of two dates as one table of changes."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from ..core.arraytypes import BoolArray, Float64Array, Int64Array, ObjectArray
from .changerow import ChangeRow
from .datedlayer import DatedLayer, centres_around, ground_areas_m2
from .objectmatching import (
    CHANGES,
    GONE,
    SAME,
    DatedObjects,
    MatchRules,
    ObjectMatches,
    PartnerLinks,
    match_objects,
)


@dataclass(frozen=True)
class _Side:
    """The objects of one date, measured."""

    layer: DatedLayer
    objects: DatedObjects
    areas_m2: Float64Array


@dataclass(frozen=True)
class ObjectChanges:
    """What changed between two layers."""

    changes: gpd.GeoDataFrame
    """One row per new object and per object that is gone, in the order of their review (`rank`)."""
    before: gpd.GeoDataFrame
    """The old outlines of objects that changed, were split or merged."""
    rows: tuple[ChangeRow, ...]
    """Numbers and areas by kind of change."""


def object_changes(
    old: DatedLayer, new: DatedLayer, rules: MatchRules, *, with_same: bool = False
) -> ObjectChanges:
    """Match two layers and describe what changed.

    Args:
        old: The earlier objects.
        new: The later ones; the result lies in their CRS.
        rules: When two objects are the same one.
        with_same: Also list objects that are the same.

    Raises:
        LabelError: One of the layers has no CRS, or coordinates that do not fit.
    """
    moved = old.in_crs(new.crs, new.path)
    both = np.concatenate([moved, new.geometries])
    centres = centres_around(both, new.crs)
    class_ids = np.unique(
        np.concatenate([old.class_names, new.class_names]).astype(str), return_inverse=True
    )[1].astype(np.int64)
    if not (old.class_names != "").any() or not (new.class_names != "").any():
        class_ids = np.zeros(len(both), np.int64)  # a layer without classes has all of them
    sides = [
        _Side(
            layer,
            DatedObjects(geometries, class_ids[part], centres),
            ground_areas_m2(geometries, new.crs),
        )
        for layer, geometries, part in (
            (old, moved, slice(0, len(old))),
            (new, new.geometries, slice(len(old), None)),
        )
    ]
    before, after = sides
    matches = match_objects(before.objects, after.objects, rules)
    table = _changes(before, after, matches, with_same)
    return ObjectChanges(table, _before(before, new, matches), _rows(before, after, matches))


def _rows(before: _Side, after: _Side, matches: ObjectMatches) -> tuple[ChangeRow, ...]:
    count = len(CHANGES)
    olds = np.bincount(matches.old_change, minlength=count)
    news = np.bincount(matches.new_change, minlength=count)
    old_areas = np.bincount(matches.old_change, before.areas_m2, minlength=count)
    new_areas = np.bincount(matches.new_change, after.areas_m2, minlength=count)
    return tuple(
        ChangeRow(
            name, int(olds[number]), int(news[number]), float(old_areas[number]), float(new_areas[number])
        )
        for number, name in enumerate(CHANGES)
    )


def _changes(before: _Side, after: _Side, matches: ObjectMatches, with_same: bool) -> gpd.GeoDataFrame:
    same, gone = CHANGES.index(SAME), CHANGES.index(GONE)
    shown = np.flatnonzero((matches.new_change != same) | with_same)
    lost = np.flatnonzero(matches.old_change == gone)
    partners = _partners(before, len(after.objects), matches.links)
    count = np.concatenate([partners.count[shown], np.ones(len(lost), np.int64)])
    change = np.concatenate([matches.new_change[shown], matches.old_change[lost]])
    area_old = np.concatenate([partners.areas_m2[shown], before.areas_m2[lost]])
    area_new = np.concatenate([after.areas_m2[shown], np.zeros(len(lost))])
    empty, none = np.full(len(lost), "", dtype=object), np.full(len(lost), np.nan)
    class_old = np.concatenate([partners.class_names[shown], before.layer.class_names[lost]])
    class_new = np.concatenate([after.layer.class_names[shown], empty])
    columns = {
        "change": np.array(CHANGES, dtype=object)[change],
        "class_name": np.where(class_new != "", class_new, class_old),
        "class_old": class_old,
        "class_new": class_new,
        "score_old": np.concatenate([partners.scores[shown], before.layer.scores[lost]]).round(4),
        "score_new": np.concatenate([after.layer.scores[shown], none]).round(4),
        "area_m2": np.where(change == gone, area_old, area_new).round(3),
        "area_old_m2": area_old.round(3),
        "area_new_m2": area_new.round(3),
        "iou": np.concatenate([partners.iou[shown], none]).round(4),
        "moved_m": np.concatenate([_moved(before, after, partners, shown), none]).round(3),
        "id_old": np.concatenate([partners.ids[shown], before.layer.ids[lost]]),
        "id_new": np.concatenate([after.layer.ids[shown], empty]),
        "old_objects": count.astype(np.int32),
        "group": np.concatenate([matches.new_group[shown], matches.old_group[lost]]).astype(np.int64),
    }
    order = np.lexsort((-columns["area_m2"], change))
    columns = {name: values[order] for name, values in columns.items()}
    columns["rank"] = np.arange(1, len(order) + 1, dtype=np.int32)
    columns["status"] = np.full(len(order), None, dtype=object)
    columns["reviewed"] = np.zeros(len(order), np.bool_)
    columns["group"] = pd.factorize(columns["group"])[0] + 1
    geometries = np.concatenate([after.objects.geometries[shown], before.objects.geometries[lost]])[order]
    return gpd.GeoDataFrame(columns, geometry=geometries, crs=after.layer.crs)


def _before(before: _Side, new: DatedLayer, matches: ObjectMatches) -> gpd.GeoDataFrame:
    names = np.array(CHANGES, dtype=object)[matches.old_change]
    altered = np.flatnonzero(~np.isin(names, (SAME, GONE)))
    columns = {
        "change": names[altered],
        "class_name": before.layer.class_names[altered],
        "score": before.layer.scores[altered].round(4),
        "area_m2": before.areas_m2[altered].round(3),
        "id_old": before.layer.ids[altered],
    }
    return gpd.GeoDataFrame(columns, geometry=before.objects.geometries[altered], crs=new.crs)


@dataclass(frozen=True)
class _Partners:
    """What is known of the old partners of M new objects."""

    count: Int64Array
    """(M,) how many there are."""
    only: Int64Array
    """(M,) the partner, where there is one; -1 elsewhere."""
    ids: ObjectArray
    """(M,) their names, "; " between several."""
    class_names: ObjectArray
    """(M,) their classes, each once."""
    areas_m2: Float64Array
    """(M,) sum of their areas."""
    scores: Float64Array
    """(M,) mean of their scores; NaN without partner."""
    iou: Float64Array
    """(M,) IoU with the partner; NaN where there is not one."""


def _partners(before: _Side, count_new: int, links: PartnerLinks) -> _Partners:
    count = np.bincount(links.new, minlength=count_new)
    alone = count[links.new] == 1
    only = np.full(count_new, -1)
    only[links.new[alone]] = links.old[alone]
    iou = np.full(count_new, np.nan)
    iou[links.new[alone]] = links.iou[alone]
    sums = np.bincount(links.new, before.layer.scores[links.old], minlength=count_new)
    scores = np.divide(sums, count, out=np.full(count_new, np.nan), where=count > 0)
    ids, class_names = _single(before.layer.ids, only), _single(before.layer.class_names, only)
    for new, olds in _several(links, ~alone):
        ids[new] = "; ".join(str(before.layer.ids[old]) for old in olds)
        class_names[new] = "; ".join(sorted({str(before.layer.class_names[old]) for old in olds} - {""}))
    return _Partners(
        count=count,
        only=only,
        ids=ids,
        class_names=class_names,
        areas_m2=np.bincount(links.new, before.areas_m2[links.old], minlength=count_new).astype(np.float64),
        scores=scores,
        iou=iou,
    )


def _single(values: ObjectArray, only: Int64Array) -> ObjectArray:
    """(M,) the value of the only partner; "" where there is not one."""
    chosen = np.full(len(only), "", dtype=object)
    chosen[only >= 0] = values[only[only >= 0]]
    return chosen


def _several(links: PartnerLinks, wanted: BoolArray) -> list[tuple[int, list[int]]]:
    """New objects with several partners, and these."""
    olds: dict[int, list[int]] = {}
    for new, old in zip(links.new[wanted].tolist(), links.old[wanted].tolist(), strict=True):
        olds.setdefault(new, []).append(old)
    return list(olds.items())


def _moved(before: _Side, after: _Side, partners: _Partners, shown: Int64Array) -> Float64Array:
    """(K,) distance of some new objects to the centre of their only partner, metres; NaN without one."""
    moved = np.full(len(shown), np.nan)
    has_one = np.flatnonzero(partners.only[shown] >= 0)
    olds = partners.only[shown[has_one]]
    apart = after.objects.centres_m(shown[has_one]) - before.objects.centres_m(olds)
    moved[has_one] = np.hypot(apart[:, 0], apart[:, 1])
    return moved
