"""`merge_labels`: corrected pre-labels taken back into the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...core.arraytypes import BoolArray
from ...core.classes import ClassSet
from ...core.htmlcard import card
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.outputlock import locks_output
from ...io.vectorlayers import read_layer, write_layers
from ...labels.labeloptions import LabelOptions
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, is_project, metadata
from ...labels.review import ACCEPTED, CHANGED, PROPOSED, REJECTED, REVIEW, statuses_of, ticked_rows
from ...labels.vector.fields import class_column
from .corrected import (
    ID_FIELD,
    Corrections,
    check_corrected,
    id_of,
    read_corrected,
    without_background,
)
from .start import annotated_style, labels_style

KEPT, REPLACED, ADDED = "kept", "replaced", "added"
OUTCOMES = (KEPT, REPLACED, ACCEPTED, CHANGED, ADDED, REJECTED, PROPOSED)
"""What may become of a feature, in the order of reports."""

_OUTCOME = "_outcome"  # columns that are not written
_DELETED = "_deleted"
_FIELDS = (CLASS_FIELD, "status", "reviewed", "score", "source", "note")
_SAME_IOU = 0.5


@dataclass(frozen=True)
class MergedLabels:
    """The merged project."""

    path: Path
    """The GeoPackage."""

    classes: ClassSet
    """Its classes."""

    counts: Mapping[str, int]
    """Number of features by what became of them: kept (of the old labels), replaced (an old label gave way),
    accepted, changed, added, rejected, proposed (not reviewed yet)."""

    notes: tuple[str, ...] = ()
    """What was left out or is easily overlooked."""

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("classes", ", ".join(self.classes.names)), *self.counts.items()]
        rows += [("note", note) for note in self.notes]
        return card(self.path.name, rows)


@locks_output
def merge_labels(
    labels: str | Path | None,
    corrected: str | Path,
    *,
    out: str | Path,
    label_options: LabelOptions = LabelOptions(),
    overwrite: bool = False,
) -> MergedLabels:
    """Merge labels and corrected pre-labels (`prelabel`) into one project that `tile` reads.

    Every feature is compared with what was proposed. Those whose status is accepted, or that were ticked as
    reviewed, are accepted. Those with another outline or class are changed. Those whose status is rejected,
    and those that were deleted, are rejected: they stay in the file as hard negatives. (In a map without
    background they stay proposed, which is ignored: the ground belongs to another class, and which is not
    known.) New ones are added. All others stay proposed, which is not a label yet. An old label gives way to
    a corrected one that covers the same ground (IoU of at least half).

    Args:
        labels: The old labels; None: there are none.
        corrected: The corrected project, or a prediction that was itself reviewed (fields `status` and
            `reviewed`). There `status` alone tells what became of each feature, since what it was before is
            not known.
        out: The GeoPackage to write.
        label_options: How `labels` are read.
        overwrite: Replace an existing file.

    Raises:
        LabelError: The corrections cannot be understood: a field was lost, a status is unknown, a label has
            no class or is not a polygon.
        ConfigError: `out` is not a GeoPackage.
        OutputExistsError: `out` exists.

    Example:
        >>> merge_labels("hand.gpkg", "to_correct.gpkg", out="merged.gpkg").counts  # doctest: +SKIP
    """
    target, source = Path(out), Path(corrected)
    if target.suffix.lower() != ".gpkg":
        raise ConfigError(f"{target}: merged labels are a GeoPackage; give `out` a name that ends in .gpkg")
    refuse_existing(target, overwrite)
    corrections = read_corrected(source)
    check_corrected(corrections, source)
    crs = CRS(corrections.current.crs)
    new = _with_outcomes(corrections)
    counts: Counter[str] = Counter(new[_OUTCOME].tolist())
    notes = []
    deleted = int(new[_DELETED].sum())
    if deleted:
        notes.append(f"{deleted} of the rejected features were deleted in the project")

    parts = [new]
    if labels is not None:
        old = _read_old(Path(labels), label_options, crs)
        replaced = _covers_same(old, new[new[_OUTCOME].isin([ACCEPTED, CHANGED, ADDED])])
        # A rejected feature where an old label remains would make that label background.
        contradicted = _covers_same(new, old[~replaced]) & (new[_OUTCOME] == REJECTED).to_numpy(bool)
        parts = [old[~replaced], new[~contradicted]]
        counts[KEPT], counts[REPLACED] = int((~replaced).sum()), int(replaced.sum())
        counts[REJECTED] -= int(contradicted.sum())
        if contradicted.any():
            notes.append(
                f"{contradicted.sum()} rejected features are dropped: a label of {labels} covers the same"
            )
    merged = gpd.GeoDataFrame(
        pd.concat([part.astype(object) for part in parts], ignore_index=True), geometry="geometry", crs=crs
    )
    if corrections.without_outline:
        notes.append(
            f"{corrections.without_outline} features of {source.name} have no outline and count as deleted"
        )
    if counts[PROPOSED]:
        notes.append(
            f"{counts[PROPOSED]} features are still proposed: not labels yet, and their ground is ignored"
        )
    table = _table(merged)
    if without_background(source):
        table = _ignoring_rejected(table, (merged[_OUTCOME] == REJECTED).to_numpy(bool))
        if counts[REJECTED]:
            notes.append(
                f"the {counts[REJECTED]} rejected features are ignored: every pixel of the map has a class, "
                "and the right one was not chosen"
            )
    areas = _annotated_areas(source, None if labels is None else Path(labels), crs)
    notes += _notes_on_areas(merged, areas)

    names = [str(name) for name in dict.fromkeys(merged[CLASS_FIELD]) if not pd.isna(name)]
    classes = ClassSet.of_names(sorted(names))
    write_layers(
        target,
        {ANNOTATED: areas, LABELS: table},
        {LABELS: labels_style(classes, "polygon", REVIEW), ANNOTATED: annotated_style()},
        metadata=metadata(classes, "polygon", [], target.parent),
        geometry_types={LABELS: "MultiPolygon", ANNOTATED: "MultiPolygon"},
        overwrite=overwrite,
    )
    return MergedLabels(target, classes, {name: counts[name] for name in OUTCOMES}, tuple(notes))


# What became of each feature


def _with_outcomes(corrections: Corrections) -> gpd.GeoDataFrame:
    """All features with their outcome; deleted ones are back, as rejected."""
    current, proposed = corrections.current, corrections.proposed
    proposals: dict[int | None, tuple[shapely.Geometry, object]] = {}
    for key, outline, name in zip(proposed[ID_FIELD], proposed.geometry, proposed[CLASS_FIELD], strict=True):
        proposals[id_of(key)] = (outline, name)
    ids = [id_of(key) for key in current[ID_FIELD]]
    outcomes = []
    for key, outline, name, status in zip(
        ids, current.geometry, current[CLASS_FIELD], statuses_of(current), strict=True
    ):
        outcomes.append(_outcome(proposals.get(key), outline, name, status))
    deleted = proposed[[id_of(key) not in ids for key in proposed[ID_FIELD]]]
    outcomes += [REJECTED] * len(deleted)

    table = pd.concat([_project_columns(current), _project_columns(deleted)], ignore_index=True)
    table[_OUTCOME] = outcomes
    table[_DELETED] = [False] * len(current) + [True] * len(deleted)
    table["status"] = [ACCEPTED if outcome == ADDED else outcome for outcome in outcomes]
    table["reviewed"] = [outcome != PROPOSED for outcome in outcomes]
    return gpd.GeoDataFrame(table, geometry="geometry", crs=current.crs)


def _outcome(
    proposal: tuple[shapely.Geometry, object] | None, outline: shapely.Geometry, name: object, status: object
) -> str:
    """What became of a feature, compared with its proposal (None: it has none)."""
    if status == REJECTED:
        return REJECTED
    if proposal is None:
        return ADDED
    proposed_outline, proposed_name = proposal
    if status == CHANGED or name != proposed_name or not _same_outline(outline, proposed_outline):
        return CHANGED
    return ACCEPTED if status == ACCEPTED else PROPOSED


def _same_outline(outline: shapely.Geometry, other: shapely.Geometry) -> bool:
    """A polygon is the same as a multipolygon of it: tools write either."""
    first, second = (
        shapely.normalize(shapely.multipolygons(shapely.get_parts(shape))) for shape in (outline, other)
    )
    return bool(first.equals_exact(second, 1e-6))


def _project_columns(table: gpd.GeoDataFrame) -> pd.DataFrame:
    """The fields of a project, empty if the layer does not have them."""
    columns: dict[str, object] = {}
    for name in (ID_FIELD, *_FIELDS):
        columns[name] = table[name] if name in table.columns else None
    columns["geometry"] = np.asarray(table.geometry.array, dtype=object)
    return pd.DataFrame(columns, index=table.index).astype(object)


# Old labels


def _read_old(path: Path, options: LabelOptions, crs: CRS) -> gpd.GeoDataFrame:
    """The old labels with the fields of a project, in a CRS."""
    project = is_project(path, options.layer)
    table = read_layer(path, layer=LABELS if project else options.layer, crs=options.label_crs)
    if table.crs is None:
        raise LabelError(
            f"{path}: has no CRS; name it with `label_crs`, or assign it with ogr2ogr -a_srs EPSG:32633 "
            "OUT.gpkg IN"
        )
    if CRS(table.crs) != crs:
        table = table.to_crs(crs)
    class_field = options.class_field
    if class_field is None and project:
        class_field = CLASS_FIELD
    columns = _project_columns(table)
    columns[CLASS_FIELD] = list(class_column(table, class_field, str(path)).values) if len(table) else []
    columns["reviewed"] = ticked_rows(columns)
    columns[_OUTCOME], columns[_DELETED] = KEPT, False
    return gpd.GeoDataFrame(columns, geometry="geometry", crs=crs.to_wkt())


def _covers_same(table: gpd.GeoDataFrame, others: gpd.GeoDataFrame) -> BoolArray:
    """(N,) features that cover the same ground as one of `others`."""
    same = np.zeros(len(table), np.bool_)
    if not len(table) or not len(others):
        return same
    shapes, other_shapes = (
        np.asarray(shapely.make_valid(np.asarray(frame.geometry.array, dtype=object)), dtype=object)
        for frame in (table, others)
    )
    index, other = shapely.STRtree(other_shapes).query(shapes, predicate="intersects")
    common = shapely.area(shapely.intersection(shapes[index], other_shapes[other]))
    union = shapely.area(shapes[index]) + shapely.area(other_shapes[other]) - common
    same[index[common >= _SAME_IOU * union]] = True
    return same


# The merged project


def _table(merged: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The layer as it is written."""
    table = merged.drop(columns=[_OUTCOME, _DELETED, ID_FIELD], errors="ignore")
    table["reviewed"] = ticked_rows(table)
    table["score"] = table["score"].astype(float)
    return table


def _ignoring_rejected(table: gpd.GeoDataFrame, rejected: BoolArray) -> gpd.GeoDataFrame:
    """Rejected features as undecided proposals: in a map without background they are not background."""
    notes = []
    for note, name, is_rejected in zip(table["note"], table[CLASS_FIELD], rejected, strict=True):
        notes.append(f"rejected: not {name}" if is_rejected else note)
    status = np.where(rejected, PROPOSED, table["status"])
    reviewed = np.asarray(table["reviewed"], np.bool_) & ~rejected
    return table.assign(note=notes, status=status, reviewed=reviewed)


def _annotated_areas(source: Path, labels: Path | None, crs: CRS) -> gpd.GeoDataFrame:
    """The annotated areas of both projects."""
    shapes: list[shapely.Geometry] = []
    for path in (source, labels):
        if path is not None and is_project(path):
            areas = read_layer(path, layer=ANNOTATED).to_crs(crs)
            shapes += areas.geometry[~(areas.geometry.isna() | areas.geometry.is_empty)].tolist()
    columns = {"note": [None] * len(shapes)}
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=crs), crs=crs)


def _notes_on_areas(merged: gpd.GeoDataFrame, areas: gpd.GeoDataFrame) -> Sequence[str]:
    """Where the labels count as complete: easily overlooked, and decisive for training."""
    if not len(areas):
        return [f"nothing is drawn in {ANNOTATED}: the labels count as complete everywhere"]
    labels = merged[~merged[_OUTCOME].isin([REJECTED, PROPOSED])]
    ground = shapely.union_all(shapely.make_valid(np.asarray(areas.geometry.array, dtype=object)))
    shapely.prepare(ground)
    inside = shapely.intersects(ground, np.asarray(labels.geometry.array, dtype=object))
    outside = int((~inside).sum())
    if not outside:
        return []
    return [
        f"{outside} of {len(labels)} labels lie outside {ANNOTATED} and do not count until the areas include "
        "them"
    ]
