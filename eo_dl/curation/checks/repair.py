"""`fix_labels`: what can be repaired without a decision, in a new file, with a list of every change.

Safe is what reading would do anyway, or what cannot change the meaning: invalid outlines, features without a
geometry or an area, exact duplicates of one class, and class names that differ in case, spaces or punctuation
only. Spelling mistakes, overlaps and positions are for users to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from ...core.arraytypes import BoolArray, GeometryArray, ObjectArray
from ...core.geometries import missing_or_empty
from ...core.htmlcard import grid_table
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.outputlock import locks_output
from ...io.vectorlayers import layer_names, read_layer, read_metadata, read_styles, write_layer, write_layers
from ...labels.classnames import counted, same_letters
from ...labels.cleaning import polygonal_part
from ...labels.labeloptions import LabelOptions
from ...labels.labelsources import find_sources
from ...labels.projectlayout import LABELS, is_project
from ...labels.reading import LabelFiles
from ...labels.vector.fields import class_column
from .shapechecks import overlapping

_EXACT_IOU = 0.999
_AREA_CHANGE = 0.01  # from which a repaired outline should be looked at


@dataclass(frozen=True)
class Change:
    """One repair."""

    feature_id: str
    """The feature, as the source calls it."""

    kind: str
    """The kind of finding that was repaired; see `finding.KINDS`."""

    text: str
    """What was done."""

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {"feature_id": self.feature_id, "kind": self.kind, "text": self.text}


@dataclass(frozen=True)
class FixedLabels:
    """The new file and every change."""

    path: Path
    """The new file. Features that stay keep their ids."""

    changes: tuple[Change, ...]
    """Every change."""

    kept: int
    """Number of features in the new file."""

    removed: int
    """Number of features that were removed."""

    def values(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {
            "output": str(self.path),
            "kept": self.kept,
            "removed": self.removed,
            "changes": [change.values() for change in self.changes],
        }

    def _repr_html_(self) -> str:
        rows = [(change.feature_id, change.kind, change.text) for change in self.changes]
        title = f"{self.path.name}: {len(self.changes)} changes"
        return grid_table(("feature", "kind", "change"), rows, title)


@locks_output
def fix_labels(
    labels: LabelFiles,
    *,
    out: str | Path,
    label_options: LabelOptions = LabelOptions(),
    overwrite: bool = False,
) -> FixedLabels:
    """A copy of a vector file with everything repaired that is safe to repair.

    Attributes, other layers, styles and feature ids stay.

    Args:
        labels: One vector file.
        out: The file to write.
        label_options: Of these only `class_field`, `layer` and `label_crs` matter: the whole layer is
            repaired.
        overwrite: Replace an existing file.

    Raises:
        LabelError: The labels are not one vector file.
        ConfigError: `out` is the input.
        OutputExistsError: `out` exists.

    Example:
        >>> fix_labels("labels.gpkg", out="labels_fixed.gpkg").changes  # doctest: +SKIP
    """
    sources = find_sources(labels)
    if not sources.format.vector:
        raise LabelError(
            f"{sources.name}: only vector files can be repaired, these labels are {sources.format.name}; "
            "convert them with `eo-dl labels convert`"
        )
    if len(sources.paths) != 1:
        raise LabelError(f"{sources.name}: expected one vector file, found {len(sources.paths)}; name one")
    source, target = Path(sources.paths[0]), Path(out)
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target}: is the input, which is never overwritten; choose another `out`")
    refuse_existing(target, overwrite)
    layer = label_options.layer
    if layer is None and is_project(source):
        layer = LABELS
    table = read_layer(source, layer=layer, crs=label_options.label_crs)
    repaired, changes = _repaired(table, label_options.class_field, str(source))
    _write(source, target, layer, repaired, overwrite)
    return FixedLabels(target, tuple(changes), len(repaired), len(table) - len(repaired))


def _repaired(
    table: gpd.GeoDataFrame, class_field: str | None, source: str
) -> tuple[gpd.GeoDataFrame, list[Change]]:
    column = class_column(table, class_field, source)
    ids = np.array([f"#{index}" for index in table.index], dtype=object)
    changes: list[Change] = []
    geometries = np.asarray(table.geometry.array, dtype=object).copy()
    _repair_outlines(geometries, ids, changes)
    names: list[str | None] = list(column.values)
    if column.name is not None:
        names = _unified_names(column.values, ids, changes)
    kept = ~missing_or_empty(geometries)
    for index in np.flatnonzero(~kept).tolist():
        text = "removed: it has no geometry, or none with an area"
        changes.append(Change(str(ids[index]), "no geometry", text))
    _drop_duplicates(geometries, names, ids, kept, changes)

    repaired = table.set_geometry(gpd.GeoSeries(geometries, index=table.index, crs=table.crs))
    if column.name is not None:
        stored = table[column.name]
        pairs = zip(names, column.values, stored, strict=True)
        texts = [new if new != old else value for new, old, value in pairs]  # others stay as they are stored
        repaired[column.name] = pd.Series(texts, index=table.index, dtype=stored.dtype)
    return repaired[kept], changes


def _repair_outlines(geometries: GeometryArray, ids: ObjectArray, changes: list[Change]) -> None:
    """Make outlines valid in place; those without an area become empty."""
    for index, geometry in enumerate(geometries):
        if geometry is None or geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon"):
            continue
        if not np.isfinite(shapely.get_coordinates(geometry)).all():
            continue  # which point was meant is for the user to decide; the check reports it
        area = shapely.area(geometry)
        if shapely.is_valid(geometry) and area > 0:
            continue
        fixed = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
        if fixed.geom_type not in ("Polygon", "MultiPolygon"):
            fixed = polygonal_part(fixed)
        fixed_area = shapely.area(fixed)
        if fixed_area <= 0:
            geometries[index] = shapely.Polygon()
            continue
        geometries[index] = fixed
        change = abs(fixed_area - area) / max(fixed_area, area)
        warning = f"; its area changed by {change:.0%}, please check it" if change > _AREA_CHANGE else ""
        changes.append(Change(str(ids[index]), "invalid geometry", f"outline made valid{warning}"))


def _unified_names(
    values: tuple[str | None, ...], ids: ObjectArray, changes: list[Change]
) -> list[str | None]:
    """Class names of the same letters, all written as the most frequent of them."""
    preferred: dict[str, str] = {}
    by_frequency = sorted(counted(values).items(), key=lambda item: (-item[1], item[0]))
    for spelling, _ in by_frequency:
        preferred.setdefault(same_letters(spelling) or spelling, spelling)
    names: list[str | None] = []
    for feature_id, value in zip(ids, values, strict=True):
        name: str | None = None
        if value is not None:
            name = preferred[same_letters(value) or value]
        if name != value:
            changes.append(Change(str(feature_id), "class spelling", f"'{value}' written as '{name}'"))
        names.append(name)
    return names


def _drop_duplicates(
    geometries: GeometryArray,
    names: list[str | None],
    ids: ObjectArray,
    kept: BoolArray,
    changes: list[Change],
) -> None:
    """Mark the second of two features of the same outline and class as not kept, in place."""
    polygons = shapely.is_valid(geometries) & (shapely.get_dimensions(geometries) == 2)
    index = np.flatnonzero(kept & polygons)
    pairs = overlapping(np.asarray(shapely.force_2d(geometries[index]), dtype=object), _EXACT_IOU)
    exact = pairs.iou >= _EXACT_IOU
    for first, second in zip(index[pairs.first[exact]], index[pairs.second[exact]], strict=True):
        if names[first] == names[second] and kept[first] and kept[second]:
            kept[second] = False
            text = f"removed: the same outline and class as {ids[first]}"
            changes.append(Change(str(ids[second]), "duplicate", text))


def _write(
    source: Path, target: Path, layer: str | None, repaired: gpd.GeoDataFrame, overwrite: bool
) -> None:
    """Write the repaired layer, and, into a GeoPackage, all other layers and styles of the file."""
    name = layer or layer_names(source)[0]
    if target.suffix.lower() != ".gpkg":
        write_layer(target, repaired, layer=name, overwrite=overwrite)
        return
    layers = {}
    for other in layer_names(source):
        table = repaired if other == name else read_layer(source, layer=other)
        layers[other] = _with_feature_ids(table)
    if source.suffix.lower() != ".gpkg":
        write_layers(target, layers, overwrite=overwrite)
        return
    styles = {other: qml for other, qml in read_styles(source).items() if other in layers}
    write_layers(
        target,
        layers,
        styles,
        metadata=read_metadata(source, name),
        geometry_types=_geometry_types(layers),
        overwrite=overwrite,
    )


def _with_feature_ids(table: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The features with the ids that they had, and without heights."""
    outlines = shapely.force_2d(np.asarray(table.geometry.array, dtype=object))
    flat = table.set_geometry(gpd.GeoSeries(outlines, index=table.index, crs=table.crs))
    if pd.api.types.is_integer_dtype(table.index):
        if any(str(name).casefold() == "fid" for name in flat.columns):
            return flat  # a field of that name stays what it is; the features get new ids
        return flat.assign(fid=np.asarray(table.index, np.int64))
    return flat


def _geometry_types(layers: Mapping[str, gpd.GeoDataFrame]) -> dict[str, str]:
    """Multipolygons for layers of polygons, as QGIS prefers for drawing; others stay as they are."""
    return {
        name: "MultiPolygon"
        for name, table in layers.items()
        if set(table.geometry.geom_type.dropna()) <= {"Polygon", "MultiPolygon"}
    }
