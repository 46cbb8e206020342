"""`merge_labels`: corrected pre-labels taken back into the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...core.classes import ClassSet
from ...core.htmlcard import card
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.vectorlayers import read_layer, write_layers
from ...labels.labeloptions import LabelOptions
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, is_project, metadata
from ...labels.review import ACCEPTED, CHANGED, PROPOSED, REJECTED, REVIEW, statuses_of, ticked_rows
from ...labels.vector.fields import class_column
from .corrected import ID_FIELD, check_corrected, id_of, read_corrected, without_background
from .start import annotated_style, labels_style

ADDED = "added"

_SAME_IOU = 0.5


@dataclass(frozen=True)
class MergedLabels:
    """The project at `path`. `counts`: features by what became of them: kept (of the old labels), replaced
    (an old label gave way), accepted, changed, added, rejected (of these `deleted` ones were removed),
    proposed (not reviewed yet).
    """

    path: Path
    classes: ClassSet
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return card(
            self.path.name,
            [
                ("classes", ", ".join(self.classes.names)),
                *self.counts.items(),
                *(("note", note) for note in self.notes),
            ],
        )


def merge_labels(
    labels: str | Path | None,
    corrected: str | Path,
    *,
    out: str | Path,
    label_options: LabelOptions = LabelOptions(),
    overwrite: bool = False,
) -> MergedLabels:
    """The labels and what a person made of pre-labels (`labels prelabel`), as one project that `tile` takes.

    Compared with what was proposed: features whose status is accepted, or that were ticked as reviewed, are
    accepted; those with another outline or class are changed; those set to rejected, and those deleted, are
    rejected and stay in the file, as hard negatives (of a map without background as proposed, which is
    ignored: it is of another class, not known which); new ones are added; the rest stays proposed, which is
    no label yet. A prediction that was itself reviewed (`status`, `reviewed`) is taken as well: there
    `status` alone says what became of each, as nobody knows what it was before. An old label gives way to a
    corrected one that covers the same (IoU of half).

    `label_options`: how `labels` are read (`class_field`, `layer`, `label_crs`).

    Raises `LabelError` for a file that is neither, and where what was corrected cannot be understood: a lost
    field, a word in `status` that is none of ours, a label without a class, points or lines.
    """
    target, source = Path(out), Path(corrected)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: merged labels are a GeoPackage; give `out` a name that ends in .gpkg")
    refuse_existing(target, overwrite)
    now, before, empty = read_corrected(source)
    check_corrected(now, before, source)
    new = _judged(now, before)
    partition = without_background(source)
    counts = Counter(str(what) for what in new["_what"])
    deleted, held_back = int(new["_deleted"].sum()), 0
    old = None if labels is None else _old(Path(labels), label_options, CRS(new.crs))
    parts = [new]
    if old is not None:
        replaced = _same_place(old, new[new["_what"].isin([ACCEPTED, CHANGED, ADDED])])
        held = _same_place(new, old[~replaced]) & (new["_what"] == REJECTED).to_numpy(bool)
        parts = [old[~replaced], new[~held]]
        counts.update(kept=int((~replaced).sum()), replaced=int(replaced.sum()))
        held_back = int(held.sum())
        counts[REJECTED] -= held_back
    together = gpd.GeoDataFrame(
        pd.concat([part.astype(object) for part in parts], ignore_index=True),
        geometry="geometry",
        crs=new.crs,
    )
    names = [
        str(name) for name in dict.fromkeys(together[CLASS_FIELD]) if name is not None and not pd.isna(name)
    ]
    classes = ClassSet.of_names(sorted(names))
    table = together.drop(columns=["_what", "_deleted", ID_FIELD], errors="ignore")
    table["reviewed"] = ticked_rows(table)
    table["score"] = table["score"].astype(float)
    if partition:
        table = _rejected_ignored(table, (together["_what"] == REJECTED).to_numpy(bool))
    areas = _areas(source, None if labels is None else Path(labels), CRS(new.crs))
    styles = {LABELS: labels_style(classes, "polygon", REVIEW), ANNOTATED: annotated_style()}
    write_layers(
        target,
        {ANNOTATED: areas, LABELS: table},
        styles,
        metadata=metadata(classes, "polygon", [], target.parent),
        geometry_types={LABELS: "MultiPolygon", ANNOTATED: "MultiPolygon"},
        overwrite=overwrite,
    )
    notes = [f"{deleted} of the rejected were deleted in the project"] if deleted else []
    notes += (
        [f"{held_back} rejected ones are dropped: a label of {labels} covers the same"] if held_back else []
    )
    if partition and counts[REJECTED]:
        notes.append(
            f"the {counts[REJECTED]} rejected are ignored: every pixel of the map had a class, and of which "
            "class this ground is was not said"
        )
    notes += [f"{empty} features of {source.name} have no outline and count as deleted"] if empty else []
    notes += (
        [f"{counts[PROPOSED]} are still proposed: not labels yet, their ground is ignored"]
        if counts[PROPOSED]
        else []
    )
    notes += _where_complete(together, areas)
    return MergedLabels(
        target,
        classes,
        {name: counts[name] for name in ("kept", "replaced", ACCEPTED, CHANGED, ADDED, REJECTED, PROPOSED)},
        tuple(notes),
    )


def _rejected_ignored(
    table: gpd.GeoDataFrame, rejected: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> gpd.GeoDataFrame:
    """Rejected ones as proposals that nobody has decided on: background they are not, where there is none."""
    told = [
        f"rejected: not {name}" if no else note
        for note, name, no in zip(table["note"], table[CLASS_FIELD], rejected, strict=True)
    ]
    status = np.where(rejected, PROPOSED, table["status"])
    return table.assign(
        note=told, status=status, reviewed=np.asarray(table["reviewed"], np.bool_) & ~rejected
    )


def _where_complete(features: gpd.GeoDataFrame, areas: gpd.GeoDataFrame) -> list[str]:
    """What the merged project says of where its labels are complete: easily overlooked, and training goes by
    it.
    """
    if not len(areas):
        return [f"nothing is drawn in {ANNOTATED}: the labels count as complete everywhere"]
    counted = features[~features["_what"].isin([REJECTED, PROPOSED])]
    ground = shapely.union_all(shapely.make_valid(np.asarray(areas.geometry.array, dtype=object)))
    shapely.prepare(ground)
    outside = int((~shapely.intersects(ground, np.asarray(counted.geometry.array, dtype=object))).sum())
    return (
        [
            f"{outside} of {len(counted)} labels lie outside {ANNOTATED} and do not count until it is drawn "
            "around them"
        ]
        if outside
        else []
    )


def _judged(now: gpd.GeoDataFrame, before: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """All features with what became of them in `_what`; deleted ones are back, as rejected."""
    proposed = {
        id_of(key): (shape, name)
        for key, shape, name in zip(before[ID_FIELD], before.geometry, before[CLASS_FIELD], strict=True)
    }
    said, ids = statuses_of(now), [id_of(key) for key in now[ID_FIELD]]
    what = [
        _verdict(proposed, key, shape, name, status)
        for key, shape, name, status in zip(ids, now.geometry, now[CLASS_FIELD], said, strict=True)
    ]
    gone = before[[id_of(key) not in ids for key in before[ID_FIELD]]]
    frame = pd.concat([_plain(now), _plain(gone)], ignore_index=True)
    frame["_what"] = [*what, *[REJECTED] * len(gone)]
    frame["_deleted"] = [False] * len(now) + [True] * len(gone)
    frame["status"] = [ACCEPTED if verdict == ADDED else verdict for verdict in frame["_what"]]
    frame["reviewed"] = [verdict != PROPOSED for verdict in frame["_what"]]
    return gpd.GeoDataFrame(frame, geometry="geometry", crs=now.crs)


def _verdict(
    proposed: Mapping[int | None, tuple[shapely.Geometry, object]],
    key: int | None,
    shape: shapely.Geometry,
    name: object,
    status: object,
) -> str:
    if status == REJECTED:
        return REJECTED
    if key not in proposed:
        return ADDED
    outline, given = proposed[key]
    if name != given or not _same_outline(shape, outline) or status == CHANGED:
        return CHANGED
    return ACCEPTED if status == ACCEPTED else PROPOSED


def _same_outline(shape: shapely.Geometry, outline: shapely.Geometry) -> bool:
    """One polygon is the same as a multipolygon of it: tools write either."""
    first, second = (
        shapely.normalize(shapely.multipolygons(shapely.get_parts(one))) for one in (shape, outline)
    )
    return bool(first.equals_exact(second, 1e-6))


def _plain(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """The columns of a project, whatever the layer has."""
    kept = {
        name: frame[name] if name in frame.columns else None
        for name in (ID_FIELD, CLASS_FIELD, "status", "reviewed", "score", "source", "note")
    }
    return pd.DataFrame(
        {**kept, "geometry": np.asarray(frame.geometry.array, dtype=object)}, index=frame.index
    ).astype(object)


def _old(path: Path, options: LabelOptions, crs: CRS) -> gpd.GeoDataFrame:
    project = is_project(path, options.layer)
    frame = read_layer(path, layer=LABELS if project else options.layer, crs=options.label_crs)
    if frame.crs is None:
        raise LabelError(f"{path}: has no CRS; give it one, e.g. ogr2ogr -a_srs EPSG:32633 OUT.gpkg IN")
    frame = frame if CRS(frame.crs) == crs else frame.to_crs(crs)
    field = options.class_field or (CLASS_FIELD if project else None)
    column = class_column(frame, field, str(path)) if len(frame) else None
    plain = _plain(frame)
    plain[CLASS_FIELD] = list(column.values) if column else []
    plain["reviewed"] = ticked_rows(plain)
    return gpd.GeoDataFrame(plain.assign(_what="kept", _deleted=False), geometry="geometry", crs=crs.to_wkt())


def _same_place(
    frame: gpd.GeoDataFrame, others: gpd.GeoDataFrame
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """(N,) which features cover the same as one of `others`."""
    found = np.zeros(len(frame), np.bool_)
    own, there = (
        np.asarray(frame.geometry.array, dtype=object),
        np.asarray(others.geometry.array, dtype=object),
    )
    own, there = (np.asarray(shapely.make_valid(shapes), dtype=object) for shapes in (own, there))
    mine, theirs = (
        shapely.STRtree(there).query(own, predicate="intersects")
        if len(there) and len(own)
        else (np.empty(0, int), np.empty(0, int))
    )
    common = shapely.area(shapely.intersection(own[mine], there[theirs]))
    union = shapely.area(own[mine]) + shapely.area(there[theirs]) - common
    found[mine[common >= _SAME_IOU * union]] = True
    return found


def _areas(source: Path, labels: Path | None, crs: CRS) -> gpd.GeoDataFrame:
    """The annotated ground of both."""
    files = [path for path in (source, labels) if path is not None and is_project(path)]
    shapes = [
        shape
        for path in files
        for shape in read_layer(path, layer=ANNOTATED).to_crs(crs).geometry
        if shape is not None and not shape.is_empty
    ]
    return gpd.GeoDataFrame({"note": [None] * len(shapes)}, geometry=gpd.GeoSeries(shapes, crs=crs), crs=crs)
