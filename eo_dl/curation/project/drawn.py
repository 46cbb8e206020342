"""`Drawn`: label features as they are in a file, nothing repaired or dropped, even from an empty layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS

from ...core.arraytypes import BoolArray, GeometryArray, ObjectArray
from ...core.features import LabelRows
from ...core.geometries import missing_or_empty
from ...core.imagelabels import WholeImageLabels
from ...core.labelset import LabelSet, features_of
from ...core.rasterlabels import RasterLabels
from ...errors import LabelError
from ...io.vectorlayers import read_layer
from ...labels.classrequest import value_text
from ...labels.labeloptions import LabelOptions
from ...labels.labelsources import find_sources
from ...labels.projectlayout import ANNOTATED, CLASS_FIELD, LABELS, announced, is_project
from ...labels.reading import classes_of
from ...labels.review import ticked_rows
from ...labels.vector.buffers import is_point_or_line
from ...labels.vector.fields import class_column


@dataclass(frozen=True)
class Drawn:
    """The features of a label file that have a geometry."""

    source: str
    """The file."""

    crs: CRS | None
    """CRS of the geometries; None: pixels of images."""

    geometries: GeometryArray
    """(N,) outlines, points and lines, as drawn."""

    values: tuple[str | None, ...]
    """(N,) the class of each; None: it has none."""

    feature_ids: ObjectArray
    """(N,) how the file calls each."""

    reviewed: BoolArray
    """(N,) features that were ticked as reviewed."""

    statuses: tuple[str | None, ...]
    """(N,) status of the review; None: none."""

    annotated: GeometryArray | None
    """The areas in which labels are complete; None: the file has no such layer."""

    project_classes: tuple[str, ...] = ()
    """The classes that a labelling project was made with."""

    scenes: tuple[str, ...] = ()
    """The scenes that a labelling project was made for."""

    without_geometry: int = 0
    """Number of features without a geometry."""

    notes: tuple[str, ...] = ()
    """What was decided when the file was read."""

    def __len__(self) -> int:
        return len(self.geometries)

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes, those of the project first."""
        drawn = sorted({value for value in self.values if value is not None})
        return tuple(dict.fromkeys([*self.project_classes, *drawn]))

    @property
    def without_class(self) -> tuple[str, ...]:
        """The features without a class."""
        pairs = zip(self.feature_ids, self.values, strict=True)
        return tuple(str(feature_id) for feature_id, value in pairs if value is None)

    @property
    def unknown_classes(self) -> tuple[str, ...]:
        """Classes that the project was not made with."""
        if not self.project_classes:
            return ()
        return tuple(name for name in self.class_names if name not in self.project_classes)

    @property
    def point_count(self) -> int:
        """Number of points and lines."""
        return int(is_point_or_line(self.geometries).sum()) if len(self) else 0


def read_drawn(path: str | Path, options: LabelOptions = LabelOptions()) -> Drawn:
    """The features of one vector file as they are; of any other format as `read_labels` reads them.

    Args:
        path: The label file.
        options: How it is read.

    Raises:
        LabelError: The file cannot be read, or holds label rasters.
    """
    sources = find_sources(path)
    if not sources.format.vector or len(sources.paths) != 1:
        return _of_labels(classes_of(path, options))
    return _of_vectors(Path(sources.paths[0]), options)


def _of_vectors(path: Path, options: LabelOptions) -> Drawn:
    layer, class_field, project = options.layer, options.class_field, None
    has_project_layers = is_project(path, options.layer)
    if has_project_layers:
        layer, project = LABELS, announced(path)
    table = read_layer(path, layer=layer, crs=options.label_crs)
    if table.crs is None:
        raise LabelError(
            f"{path}: has no CRS; name it with `label_crs`, or assign it with ogr2ogr -a_srs EPSG:32633 "
            "OUT.gpkg IN"
        )
    if class_field is None and has_project_layers and CLASS_FIELD in table.columns:
        class_field = CLASS_FIELD
    geometries = np.asarray(table.geometry.array, dtype=object)
    present = ~missing_or_empty(geometries)
    values: list[str | None] = []
    notes: tuple[str, ...] = ()
    if len(table):
        column = class_column(table, class_field, str(path))
        values = [value for value, has_geometry in zip(column.values, present, strict=True) if has_geometry]
        notes = (column.note,) if column.note else ()
    drawn = table[present]
    return Drawn(
        source=str(path),
        crs=CRS(table.crs),
        geometries=np.asarray(shapely.force_2d(geometries[present]), dtype=object).reshape(-1),
        values=tuple(values),
        feature_ids=np.array([f"#{index}" for index in drawn.index], dtype=object),
        reviewed=ticked_rows(drawn),
        statuses=_texts(drawn, "status"),
        annotated=_annotated(path, CRS(table.crs)) if has_project_layers else None,
        project_classes=() if project is None else project.classes.names,
        scenes=() if project is None else project.scenes,
        without_geometry=int((~present).sum()),
        notes=notes,
    )


def _annotated(path: Path, crs: CRS) -> GeometryArray:
    """The annotated areas of a project, in the CRS of its labels."""
    areas = read_layer(path, layer=ANNOTATED)
    if areas.crs is not None and CRS(areas.crs) != crs:
        areas = areas.to_crs(crs)
    geometries = np.asarray(areas.geometry.array, dtype=object)
    drawn = geometries[~missing_or_empty(geometries)]
    return np.asarray(shapely.force_2d(drawn), dtype=object).reshape(-1)


def _texts(table: gpd.GeoDataFrame, name: str) -> tuple[str | None, ...]:
    """A field as texts; None for each feature if there is no such field."""
    if name not in table.columns:
        return (None,) * len(table)
    return tuple(value_text(value) for value in table[name])


def _of_labels(labels: LabelSet) -> Drawn:
    if isinstance(labels, RasterLabels):
        raise LabelError(
            f"{labels.source}: label rasters have no objects to count; list their classes with `eo-dl "
            "inspect`, or check them with `eo-dl labels check`"
        )
    rows: LabelRows = features_of(labels)
    geometries = features_of(labels).geometries
    if isinstance(labels, WholeImageLabels):
        rows = labels.rows
        geometries = np.full(len(rows), shapely.Polygon(), dtype=object)  # the sizes of images are not known
    names = {info.id: info.name for info in labels.classes}
    return Drawn(
        source=labels.source,
        crs=labels.crs,
        geometries=geometries,
        values=tuple(names.get(class_id) for class_id in rows.class_ids.tolist()),
        feature_ids=rows.feature_ids,
        reviewed=np.zeros(len(labels), np.bool_),
        statuses=(None,) * len(labels),
        annotated=None,
        project_classes=labels.classes.names,
        notes=labels.notes,
    )
