"""`fix_labels`: what can be mended without a decision, in a new file, with a list of every change.

Safe is what reading would do anyway, or what cannot change the meaning: outlines that are not valid, features
without a geometry or an area, exact duplicates of one class, and class names that differ by case, spaces or
signs alone. Spelling mistakes, overlaps and places are for people to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from ...core.arraytypes import GeometryArray
from ...core.geometries import missing_or_empty
from ...core.htmlcard import grid_table
from ...errors import ConfigError, LabelError
from ...io.atomic import refuse_existing
from ...io.vectorlayers import layer_names, read_layer, read_metadata, read_styles, write_layer, write_layers
from ...labels.classnames import counted, same_letters
from ...labels.geometry import polygonal_part
from ...labels.labeloptions import LabelOptions
from ...labels.labelsources import find_sources
from ...labels.projectlayout import LABELS, is_project
from ...labels.reading import LabelFiles
from ...labels.vector.fields import class_column
from .shapechecks import twins

_EXACT_IOU = 0.999
_AREA_CHANGE = 0.01


@dataclass(frozen=True)
class Change:
    """One thing that was mended: which feature, as the source calls it, and what."""

    feature_id: str
    kind: str
    text: str

    def values(self) -> dict[str, object]:
        """For JSON."""
        return {"feature_id": self.feature_id, "kind": self.kind, "text": self.text}


@dataclass(frozen=True)
class FixedLabels:
    """The new file and every change; features that stay keep their ids."""

    path: Path
    changes: tuple[Change, ...]
    kept: int
    removed: int

    def values(self) -> dict[str, object]:
        """For JSON."""
        return {
            "output": str(self.path),
            "kept": self.kept,
            "removed": self.removed,
            "changes": [change.values() for change in self.changes],
        }

    def _repr_html_(self) -> str:
        return grid_table(
            ("feature", "kind", "change"),
            [(c.feature_id, c.kind, c.text) for c in self.changes],
            f"{self.path.name}: {len(self.changes)} changes",
        )


def fix_labels(
    labels: LabelFiles,
    *,
    out: str | Path,
    label_options: LabelOptions = LabelOptions(),
    overwrite: bool = False,
) -> FixedLabels:
    """A copy of a vector file with what is safe mended; attributes, other layers, styles and feature ids
    stay.

    Of `label_options` only `class_field`, `layer` and `label_crs` matter: the whole layer is mended. Raises
    `LabelError` for labels that are no single vector file, `OutputExistsError`.

    >>> fix_labels("labels.gpkg", out="labels_fixed.gpkg").changes  # doctest: +SKIP
    """
    found = find_sources(labels)
    if not found.format.vector or len(found.paths) != 1:
        what = (
            f"labels of the format {found.format.name}"
            if not found.format.vector
            else f"{len(found.paths)} files"
        )
        raise LabelError(
            f"{found.name}: one vector file can be mended, these are {what}; convert them first: eo-dl labels convert"
        )
    source, target = Path(found.paths[0]), Path(out)
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target}: is the input, which is never overwritten; choose another `out`")
    refuse_existing(target, overwrite)
    name = label_options.layer or (LABELS if is_project(source) else None)
    frame = read_layer(source, layer=name, crs=label_options.label_crs)
    mended, changes = _mended(frame, label_options.class_field, str(source))
    _write(source, target, name, mended, overwrite)
    return FixedLabels(target, tuple(changes), len(mended), len(frame) - len(mended))


def _mended(
    frame: gpd.GeoDataFrame, class_field: str | None, source: str
) -> tuple[gpd.GeoDataFrame, list[Change]]:
    column = class_column(frame, class_field, source)
    ids = np.array([f"#{index}" for index in frame.index], dtype=object)
    changes: list[Change] = []
    geometries = np.asarray(frame.geometry.array, dtype=object).copy()
    _repair(geometries, ids, changes)
    names = _spelt(column.values, column.name, ids, changes)
    kept = ~missing_or_empty(geometries)
    for place in np.flatnonzero(~kept):
        changes.append(
            Change(
                str(ids[place]),
                "no geometry",
                "removed: it has no geometry, or none that is left with an area",
            )
        )
    _drop_twins(geometries, names, ids, kept, changes)
    out = frame.set_geometry(gpd.GeoSeries(geometries, index=frame.index, crs=frame.crs))
    if column.name is not None:
        texts = [
            new if new != old else given
            for new, old, given in zip(names, column.values, frame[column.name], strict=True)
        ]
        out[column.name] = pd.Series(texts, index=frame.index, dtype=frame[column.name].dtype)
    return out[kept], changes


def _repair(geometries: GeometryArray, ids: GeometryArray, changes: list[Change]) -> None:
    """Outlines made valid in place; what has no area is emptied."""
    for place, geometry in enumerate(geometries):
        if geometry is None or geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon"):
            continue
        if not np.isfinite(shapely.get_coordinates(geometry)).all():
            continue  # which point was meant is for a person to say; the check names it
        if shapely.is_valid(geometry) and shapely.area(geometry) > 0:
            continue
        before = shapely.area(geometry)
        fixed = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
        fixed = fixed if fixed.geom_type in ("Polygon", "MultiPolygon") else polygonal_part(fixed)
        geometries[place] = fixed
        after = shapely.area(fixed)
        if after > 0:
            change = abs(after - before) / max(after, before)
            much = f"; its area changed by {change:.0%}, look at it" if change > _AREA_CHANGE else ""
            changes.append(Change(str(ids[place]), "invalid geometry", f"outline made valid{much}"))
        else:
            geometries[place] = shapely.Polygon()


def _spelt(
    values: tuple[str | None, ...], field: str | None, ids: GeometryArray, changes: list[Change]
) -> list[str | None]:
    """Class names with those that have the same letters written as the most frequent of them."""
    if field is None:
        return list(values)
    chosen: dict[str, str] = {}
    for value, _ in sorted(counted(values).items(), key=lambda item: (-item[1], item[0])):
        chosen.setdefault(same_letters(value) or value, value)
    names = [None if value is None else chosen[same_letters(value) or value] for value in values]
    for place, (old, new) in enumerate(zip(values, names, strict=True)):
        if old != new:
            changes.append(Change(str(ids[place]), "class spelling", f"'{old}' written as '{new}'"))
    return names


def _drop_twins(
    geometries: GeometryArray,
    names: list[str | None],
    ids: GeometryArray,
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]],
    changes: list[Change],
) -> None:
    index = np.flatnonzero(kept & shapely.is_valid(geometries) & (shapely.get_dimensions(geometries) == 2))
    flat = np.asarray(shapely.force_2d(geometries[index]), dtype=object)
    for i, j, iou, _ in zip(*twins(flat, _EXACT_IOU), strict=True):
        first, second = int(index[i]), int(index[j])
        if iou >= _EXACT_IOU and names[first] == names[second] and kept[first] and kept[second]:
            kept[second] = False
            changes.append(
                Change(str(ids[second]), "duplicate", f"removed: the same outline and class as {ids[first]}")
            )


def _write(source: Path, target: Path, name: str | None, mended: gpd.GeoDataFrame, overwrite: bool) -> None:
    """The mended layer with all others of the file, styled as they were."""
    own = name or layer_names(source)[0]
    if target.suffix.lower() != ".gpkg":
        write_layer(target, mended, layer=own, overwrite=overwrite)
        return
    layers = {
        other: _numbered(mended if other == own else read_layer(source, layer=other))
        for other in layer_names(source)
    }
    if source.suffix.lower() != ".gpkg":
        write_layers(target, layers, overwrite=overwrite)
        return
    styles = {layer: qml for layer, qml in read_styles(source).items() if layer in layers}
    write_layers(
        target,
        layers,
        styles,
        metadata=read_metadata(source, own),
        geometry_types=_types(layers),
        overwrite=overwrite,
    )


def _numbered(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """With the feature ids that the features had, and without heights."""
    flat = frame.set_geometry(
        gpd.GeoSeries(
            shapely.force_2d(np.asarray(frame.geometry.array, dtype=object)), index=frame.index, crs=frame.crs
        )
    )
    return (
        flat.assign(fid=np.asarray(frame.index, np.int64))
        if pd.api.types.is_integer_dtype(frame.index)
        else flat
    )


def _types(layers: Mapping[str, gpd.GeoDataFrame]) -> dict[str, str]:
    """Multipolygons for layers of polygons, as QGIS likes to draw in; others as they are."""
    return {
        name: "MultiPolygon"
        for name, frame in layers.items()
        if set(frame.geometry.geom_type.dropna()) <= {"Polygon", "MultiPolygon"}
    }
