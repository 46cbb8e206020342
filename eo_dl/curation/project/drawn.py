"""`Drawn`: label features as they lie in a file, nothing repaired or dropped, an empty layer included."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS

from ...core.arraytypes import GeometryArray
from ...core.geometries import missing_or_empty
from ...core.labelset import LabelSet
from ...errors import LabelError
from ...io.vectorlayers import read_layer
from ...labels.classnames import value_text
from ...labels.labeloptions import LabelOptions
from ...labels.labelsources import find_sources
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, announced, is_project
from ...labels.reading import labels_of
from ...labels.review import ticked_rows
from ...labels.vector.buffers import is_point_or_line
from ...labels.vector.fields import class_column


@dataclass(frozen=True)
class Drawn:
    """Features (N) that have a geometry, with their class (None: not said) and what a review said of them.

    `annotated`: the areas drawn (None: the file has no such layer). `class_names`: those announced, then
    others met. `announced`: class names that the project was made with. `without_geometry`: features that are
    none.
    """

    source: str
    crs: CRS | None
    geometries: GeometryArray
    values: tuple[str | None, ...]
    feature_ids: npt.NDArray[np.object_]
    reviewed: npt.NDArray[np.bool_]
    statuses: tuple[str | None, ...]
    annotated: GeometryArray | None
    announced: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    without_geometry: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.geometries)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, those announced first."""
        return tuple(
            dict.fromkeys([*self.announced, *sorted({value for value in self.values if value is not None})])
        )

    @property
    def without_class(self) -> int:
        """Features whose class is not said."""
        return sum(value is None for value in self.values)

    @property
    def point_count(self) -> int:
        """Features that are points or lines."""
        return int(is_point_or_line(self.geometries).sum()) if len(self) else 0


def read_drawn(path: str | Path, options: LabelOptions = LabelOptions()) -> Drawn:
    """The features of one vector file as they are; of any other format as `read_labels` understands it.
    Raises `LabelError`.
    """
    found = find_sources(path)
    if not found.format.vector or len(found.paths) != 1:
        return _of_labels(labels_of(path, options))
    return _of_vectors(Path(found.paths[0]), options)


def _of_vectors(path: Path, options: LabelOptions) -> Drawn:
    project = is_project(path, options.layer)
    frame = read_layer(path, layer=LABELS if project else options.layer, crs=options.label_crs)
    if frame.crs is None:
        raise LabelError(f"{path}: has no CRS; give it one, e.g. ogr2ogr -a_srs EPSG:32633 OUT.gpkg IN")
    geometries = np.asarray(frame.geometry.array, dtype=object)
    there = ~missing_or_empty(geometries)
    field = options.class_field or (CLASS_FIELD if project and CLASS_FIELD in frame.columns else None)
    column = class_column(frame, field, str(path)) if len(frame) else None
    said = announced(path) if project else None
    kept = frame[there]
    return Drawn(
        source=str(path),
        crs=CRS(frame.crs),
        geometries=np.asarray(shapely.force_2d(geometries[there]), dtype=object).reshape(-1),
        values=tuple(v for v, t in zip(column.values, there, strict=True) if t) if column else (),
        feature_ids=np.array([f"#{index}" for index in kept.index], dtype=object),
        reviewed=ticked_rows(kept),
        statuses=_texts(kept, "status"),
        annotated=_annotated(path, CRS(frame.crs)) if project else None,
        announced=said.classes.names if said else (),
        scenes=said.scenes if said else (),
        without_geometry=int((~there).sum()),
        notes=(column.note,) if column and column.note else (),
    )


def _annotated(path: Path, crs: CRS) -> GeometryArray:
    areas = read_layer(path, layer=ANNOTATED)
    areas = areas if areas.crs is None or CRS(areas.crs) == crs else areas.to_crs(crs)
    geometries = np.asarray(areas.geometry.array, dtype=object)
    drawn = geometries[~missing_or_empty(geometries)]
    return np.asarray(shapely.force_2d(drawn), dtype=object).reshape(-1)


def _texts(frame: gpd.GeoDataFrame, name: str) -> tuple[str | None, ...]:
    return (
        tuple(value_text(value) for value in frame[name]) if name in frame.columns else (None,) * len(frame)
    )


def _of_labels(labels: LabelSet) -> Drawn:
    if labels.masks:
        raise LabelError(
            f"{labels.source}: label rasters have no objects to count; see their classes with `eo-dl inspect`, or check them with `eo-dl labels check`"
        )
    names = {info.id: info.name for info in labels.classes}
    return Drawn(
        source=labels.source,
        crs=labels.crs,
        geometries=labels.geometries,
        values=tuple(names.get(int(class_id)) for class_id in labels.class_ids),
        feature_ids=labels.feature_ids,
        reviewed=np.zeros(len(labels), np.bool_),
        statuses=(None,) * len(labels),
        annotated=None,
        announced=labels.classes.names,
        notes=labels.notes,
    )
