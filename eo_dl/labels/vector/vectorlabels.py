"""Vector layers as labels: polygons as they are, points and lines with a buffer in metres, one file or
several.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS

from ...core.arraytypes import GeometryArray
from ...core.geometries import missing_or_empty, reproject
from ...core.wording import listed
from ...errors import LabelError
from ...io.vectorlayers import read_layer
from ..classnames import Known
from ..cleaning import clean_polygons
from ..labeloptions import LabelOptions
from ..projectlayout import ANNOTATED, LABELS, is_project
from ..records import OutlineRecords
from ..review import review_of
from .buffers import buffered, is_point_or_line
from .fields import FILE_FIELD, class_column, matching

_CURVES = frozenset({"CircularString", "CompoundCurve", "CurvePolygon", "MultiCurve", "MultiSurface"})


def read_vectors(paths: Sequence[Path], source: str, options: LabelOptions) -> OutlineRecords:
    """The features of one or several files, in the CRS of the first. Raises `LabelError`."""
    frames = [_frame(path, options) for path in paths]
    crs = _crs(frames[0], paths[0])
    notes: list[str] = []
    several = len(paths) > 1
    together = _joined(frames, crs, paths)
    ids = np.array(
        [
            f"{path.name}#{index}" if several else f"#{index}"
            for path, frame in zip(paths, frames, strict=True)
            for index in frame.index
        ],
        dtype=object,
    )
    origin = np.array(
        [str(path) for path, frame in zip(paths, frames, strict=True) for _ in range(len(frame))],
        dtype=object,
    )
    if not len(together):
        raise LabelError(
            f"{source}: holds no features; label something first, or name another file or `layer`"
        )
    used = None
    if options.where is not None:
        together["_place"] = np.arange(len(together))
        before = len(together)
        together, used = matching(together, options.where, source)
        kept = together.pop("_place").to_numpy(np.int64)
        ids, origin = ids[kept], origin[kept]
        notes.append(f"{len(together)} of {before} features have {options.where}")
    review = review_of(together)
    all_geometries = np.asarray(together.geometry.array, dtype=object)
    together, ids, origin = together[~review.rejected], ids[~review.rejected], origin[~review.rejected]
    notes += review.notes
    geometries = _areas(np.asarray(together.geometry.array, dtype=object), crs, options, ids, source, notes)
    column = class_column(together, options.class_field, source, used)
    values = (
        tuple(Path(path).stem for path in origin)
        if options.class_field == FILE_FIELD and column.name is None
        else column.values
    )
    notes += [column.note] if column.note else []
    return OutlineRecords(
        source=source,
        crs=crs,
        geometries=geometries,
        values=values,
        feature_ids=ids,
        ignore=_ignored(together, review.proposed[~review.rejected], notes),
        rejected=_rejected(all_geometries[review.rejected]),
        files=origin if several else None,
        file_names=tuple(map(str, paths)) if several else (),
        known=Known(ids=column.ids),
        class_field=column.name,
        notes=tuple(notes),
        scores=_scores(together) if options.attributes else None,
        attributes=_attributes(together, column.name) if options.attributes else {},
    )


def _rejected(geometries: GeometryArray) -> GeometryArray | None:
    """Rejected objects as valid areas; None where there are none."""
    if not len(geometries):
        return None
    return np.asarray(shapely.make_valid(shapely.force_2d(geometries)), dtype=object)


def read_areas(path: Path, crs: CRS | None = None) -> tuple[GeometryArray, CRS, tuple[str, ...]]:
    """Polygons of a file (of a labelling project: its annotated ground) brought to `crs` (None: in their
    own), their CRS, and remarks. Raises `LabelError`.
    """
    frame = read_layer(path, layer=ANNOTATED if is_project(path) else None)
    ids = np.array([f"#{index}" for index in frame.index], dtype=object)
    geometries = np.asarray(frame.geometry.array, dtype=object)
    if is_point_or_line(geometries[~missing_or_empty(geometries)]).any():
        raise LabelError(f"{path}: polygons were expected as areas, found points or lines; draw polygons")
    clean = clean_polygons(geometries, ids, str(path))
    if not len(clean.index):
        raise LabelError(f"{path}: holds no polygon; draw the areas first")
    file_crs = _crs(frame, path)
    target = crs or file_crs
    areas = reproject(clean.geometries, file_crs, target, str(path))
    return areas, target, tuple(f"{path.name}: {note}" for note in clean.notes)


_SCORES = ("score", "confidence")
_IGNORE = "ignore"


def _ignored(
    frame: geopandas.GeoDataFrame, proposed: npt.NDArray[np.bool_], notes: list[str]
) -> npt.NDArray[np.bool_] | None:
    """Objects that count neither way: proposals, and those of which a field of yes and no says so, as `labels
    import` writes it.
    """
    said = np.zeros(len(frame), np.bool_)
    if _IGNORE in frame.columns and pd.api.types.is_bool_dtype(frame[_IGNORE]):
        said = np.asarray(frame[_IGNORE].to_numpy(np.bool_, na_value=False), np.bool_)
    if said.any():
        notes.append(
            f"{int(said.sum())} of {len(said)} features are ignored, as their field {_IGNORE!r} says"
        )
    return said | proposed if (said | proposed).any() else None


def _scores(frame: geopandas.GeoDataFrame) -> npt.NDArray[np.float64] | None:
    """The field that says how sure its maker was, where there is one and it holds numbers."""
    name = next(
        (name for name in _SCORES if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name])),
        None,
    )
    found = (
        None if name is None else np.asarray(frame[name].to_numpy(np.float64, na_value=np.nan), np.float64)
    )
    return None if found is None or np.isnan(found).all() else found


def _attributes(frame: geopandas.GeoDataFrame, class_field: str | None) -> dict[str, GeometryArray]:
    """All other fields; missing values as None."""
    left = {frame.geometry.name, class_field, *_SCORES}
    return {
        str(name): frame[name].astype(object).where(frame[name].notna(), None).to_numpy(dtype=object)
        for name in frame.columns
        if name not in left
    }


def _frame(path: Path, options: LabelOptions) -> geopandas.GeoDataFrame:
    layer = options.layer or (LABELS if is_project(path) else None)
    return read_layer(path, layer=layer, crs=options.label_crs)


def _crs(frame: geopandas.GeoDataFrame, path: Path) -> CRS:
    if frame.crs is None:
        raise LabelError(
            f"{path}: has no CRS; state the one of its coordinates with `label_crs`, e.g. EPSG:32633"
        )
    return CRS(frame.crs)


def _joined(
    frames: Sequence[geopandas.GeoDataFrame], crs: CRS, paths: Sequence[Path]
) -> geopandas.GeoDataFrame:
    """One frame in one CRS; attributes that a file lacks are empty there."""
    if len(frames) == 1:
        return frames[0].copy()
    parts = []
    for frame, path in zip(frames, paths, strict=True):
        geometry = np.asarray(frame.geometry.array, dtype=object)
        own = _crs(frame, path)
        if own != crs and len(frame):
            geometry = geometry.copy()
            drawn = ~missing_or_empty(geometry)
            geometry[drawn] = reproject(geometry[drawn], own, crs, str(path))
        plain = pd.DataFrame(frame.drop(columns=frame.geometry.name)).astype(object)
        plain["geometry"] = geometry
        parts.append(plain)
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else parts[0]
    return geopandas.GeoDataFrame(table.infer_objects(), geometry="geometry", crs=crs)


def _areas(
    geometries: GeometryArray,
    crs: CRS,
    options: LabelOptions,
    ids: GeometryArray,
    source: str,
    notes: list[str],
) -> GeometryArray:
    """Geometries with points and lines made areas. Raises `LabelError` where a buffer is needed and not
    given.
    """
    thin = is_point_or_line(geometries)
    kinds = {g.geom_type for g in geometries if g is not None} & _CURVES
    if kinds:
        raise LabelError(
            f"{source}: holds curved geometries ({', '.join(sorted(kinds))}); make them straight first, e.g. ogr2ogr -nlt CONVERT_TO_LINEAR OUT.gpkg IN"
        )
    thin &= ~shapely.is_empty(geometries)
    if not thin.any():
        return geometries
    count = int(thin.sum())
    if options.buffer_m is None:
        raise LabelError(
            f"{source}: {count} of {len(geometries)} features are points or lines ({listed(ids[thin])}), areas were expected; "
            "give their radius in metres with `buffer_m`, or choose features with `where=FIELD=VALUE`"
        )
    out = geometries.copy()
    out[thin] = buffered(geometries[thin], crs, options.buffer_m, source)
    notes.append(f"{count} points and lines became areas of {options.buffer_m:g} m around them")
    return out
