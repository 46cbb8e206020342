"""Vector layers as labels: polygons as they are, points and lines with a buffer in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ...core.arraytypes import BoolArray, Float64Array, GeometryArray, ObjectArray
from ...core.geometries import missing_or_empty, reproject
from ...core.wording import listed
from ...errors import LabelError
from ...io.vectorlayers import NOTES, read_layer
from ..classnames import Known
from ..cleaning import clean_polygons
from ..labeloptions import ReadingOptions
from ..projectlayout import ANNOTATED, LABELS, is_project
from ..records import OutlineRecords
from ..review import review_of
from .buffers import buffered, is_point_or_line
from .fields import FILE_FIELD, class_column, matching_rows

_CURVES = frozenset({"CircularString", "CompoundCurve", "CurvePolygon", "MultiCurve", "MultiSurface"})
_SCORES = ("score", "confidence")
_IGNORE = "ignore"


def read_vectors(paths: Sequence[Path], source: str, options: ReadingOptions) -> OutlineRecords:
    """The features of one or several files, in the CRS of the first.

    Args:
        paths: The files.
        source: All of them, for messages.
        options: How they are read.

    Raises:
        LabelError: A file cannot be read or has no CRS, or no field or several could be the class.
    """
    notes: list[str] = []
    table = _read_table(paths, source, options, notes)
    used_field = None
    if options.where is not None:
        selected, used_field = matching_rows(table.frame, options.where, source)
        notes.append(f"{int(selected.sum())} of {len(selected)} features have {options.where}")
        table = table.take(selected)
    review = review_of(table.frame)
    notes += review.notes
    rejected = table.geometries[review.rejected]
    table, proposed = table.take(~review.rejected), review.proposed[~review.rejected]
    geometries = _areas(table, options.buffer_m, source, notes)
    column = class_column(table.frame, options.class_field, source, used_field)
    values = column.values
    if options.class_field == FILE_FIELD and column.name is None:
        values = tuple(Path(file).stem for file in table.files)
    if column.note:
        notes.append(column.note)
    several_files = len(paths) > 1
    return OutlineRecords(
        source=source,
        crs=table.crs,
        geometries=geometries,
        values=values,
        feature_ids=table.feature_ids,
        ignore=_ignored(table.frame, proposed, notes),
        rejected=_rejected(rejected),
        files=table.files if several_files else None,
        file_names=tuple(map(str, paths)) if several_files else (),
        known=Known(ids=column.ids),
        class_field=column.name,
        notes=tuple(notes),
        scores=_scores(table.frame) if options.attributes else None,
        attributes=_attributes(table.frame, column.name) if options.attributes else {},
    )


@dataclass(frozen=True)
class _Table:
    """Features of all files: their attributes, (N,) names for messages, and (N,) files."""

    frame: geopandas.GeoDataFrame
    feature_ids: ObjectArray
    files: ObjectArray
    crs: CRS

    @property
    def geometries(self) -> GeometryArray:
        return np.asarray(self.frame.geometry.array, dtype=object)

    def take(self, rows: BoolArray) -> _Table:
        return _Table(self.frame[rows], self.feature_ids[rows], self.files[rows], self.crs)


def _read_table(paths: Sequence[Path], source: str, options: ReadingOptions, notes: list[str]) -> _Table:
    frames = [_frame(path, options) for path in paths]
    for frame in frames:
        notes += frame.attrs.get(NOTES, ())
    crs = _crs_of(frames[0], paths[0])
    feature_ids: list[str] = []
    files: list[str] = []
    for path, frame in zip(paths, frames, strict=True):
        prefix = path.name if len(paths) > 1 else ""
        feature_ids += [f"{prefix}#{index}" for index in frame.index]
        files += [str(path)] * len(frame)
    if not files:
        raise LabelError(
            f"{source}: holds no features; label something first, or name another file or `layer`"
        )
    return _Table(
        _joined(frames, crs, paths), np.array(feature_ids, dtype=object), np.array(files, dtype=object), crs
    )


def _frame(path: Path, options: ReadingOptions) -> geopandas.GeoDataFrame:
    layer = options.layer or (LABELS if is_project(path) else None)
    return read_layer(path, layer=layer, crs=options.label_crs)


def _crs_of(frame: geopandas.GeoDataFrame, path: Path) -> CRS:
    if frame.crs is None:
        raise LabelError(
            f"{path}: has no CRS; state the one of its coordinates with `label_crs`, e.g. EPSG:32633"
        )
    return CRS(frame.crs)


def _joined(
    frames: Sequence[geopandas.GeoDataFrame], crs: CRS, paths: Sequence[Path]
) -> geopandas.GeoDataFrame:
    """One table in one CRS; attributes that a file lacks are empty for its features."""
    if len(frames) == 1:
        return frames[0].copy()
    parts = []
    for frame, path in zip(frames, paths, strict=True):
        if not len(frame):
            continue
        geometries = np.asarray(frame.geometry.array, dtype=object).copy()
        present = ~missing_or_empty(geometries)
        geometries[present] = reproject(geometries[present], _crs_of(frame, path), crs, str(path))
        part = pd.DataFrame(frame.drop(columns=frame.geometry.name)).astype(object)
        part["geometry"] = geometries
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return geopandas.GeoDataFrame(table.infer_objects(), geometry="geometry", crs=crs)


def _areas(table: _Table, buffer_m: float | None, source: str, notes: list[str]) -> GeometryArray:
    """The geometries of the features, with points and lines as areas."""
    geometries = table.geometries
    curves = {geometry.geom_type for geometry in geometries if geometry is not None} & _CURVES
    if curves:
        raise LabelError(
            f"{source}: has curved geometries ({', '.join(sorted(curves))}); make them straight first, e.g. "
            "ogr2ogr -nlt CONVERT_TO_LINEAR OUT.gpkg IN"
        )
    thin = is_point_or_line(geometries) & ~shapely.is_empty(geometries)
    if not thin.any():
        return geometries
    count = int(thin.sum())
    if buffer_m is None:
        raise LabelError(
            f"{source}: {count} of {len(geometries)} features are points or lines "
            f"({listed(table.feature_ids[thin])}), expected areas; state a radius in metres with `buffer_m`, "
            "or choose features with `where=FIELD=VALUE`"
        )
    areas = geometries.copy()
    areas[thin] = buffered(geometries[thin], table.crs, buffer_m, source)
    notes.append(f"{count} points and lines were buffered by {buffer_m:g} m")
    return areas


def _rejected(geometries: GeometryArray) -> GeometryArray | None:
    """Rejected objects as valid areas; None where there are none."""
    if not len(geometries):
        return None
    return np.asarray(shapely.make_valid(shapely.force_2d(geometries)), dtype=object)


def _ignored(frame: geopandas.GeoDataFrame, proposed: BoolArray, notes: list[str]) -> BoolArray | None:
    """Features that count neither for nor against: proposed ones, and those whose field `ignore` is true, as
    `labels import` writes it; None: all count.
    """
    marked = np.zeros(len(frame), np.bool_)
    if _IGNORE in frame.columns and pd.api.types.is_bool_dtype(frame[_IGNORE]):
        marked = np.asarray(frame[_IGNORE].to_numpy(np.bool_, na_value=False), np.bool_)
    if marked.any():
        notes.append(
            f"{int(marked.sum())} of {len(marked)} features are ignored, as their field {_IGNORE!r} states"
        )
    ignored = marked | proposed
    return ignored if ignored.any() else None


def _scores(frame: geopandas.GeoDataFrame) -> Float64Array | None:
    """The confidence of each feature, from the first field of numbers that holds it; None: there is none."""
    for name in _SCORES:
        if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name]):
            scores = np.asarray(frame[name].to_numpy(np.float64, na_value=np.nan), np.float64)
            return None if np.isnan(scores).all() else scores
    return None


def _attributes(frame: geopandas.GeoDataFrame, class_field: str | None) -> dict[str, ObjectArray]:
    """All other fields; None for missing values."""
    others = {frame.geometry.name, class_field, *_SCORES}
    attributes = {}
    for name in frame.columns:
        if name not in others:
            column = frame[name].astype(object).where(frame[name].notna(), None)
            attributes[str(name)] = column.to_numpy(dtype=object)
    return attributes


def read_areas(path: Path, crs: CRS | None = None) -> tuple[GeometryArray, CRS, tuple[str, ...]]:
    """The polygons of a file; of a labelling project, its annotated ground.

    Args:
        path: The file.
        crs: The CRS to bring them to; None: that of the file.

    Returns:
        (N,) the polygons, their CRS, and notes.

    Raises:
        LabelError: The file has no polygons or no CRS, or holds points or lines.
    """
    frame = read_layer(path, layer=ANNOTATED if is_project(path) else None)
    feature_ids = np.array([f"#{index}" for index in frame.index], dtype=object)
    geometries = np.asarray(frame.geometry.array, dtype=object)
    if is_point_or_line(geometries[~missing_or_empty(geometries)]).any():
        raise LabelError(f"{path}: expected polygons as areas, found points or lines; draw polygons")
    clean = clean_polygons(geometries, feature_ids, str(path))
    if not len(clean.index):
        raise LabelError(f"{path}: holds no polygon; draw the areas first")
    file_crs = _crs_of(frame, path)
    target = crs or file_crs
    areas = reproject(clean.geometries, file_crs, target, str(path))
    return areas, target, tuple(f"{path.name}: {note}" for note in clean.notes)
