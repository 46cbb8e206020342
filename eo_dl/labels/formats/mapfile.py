"""Labels in map coordinates: GeoPackage, GeoJSON, FlatGeobuf and GeoParquet, with class, score and all
attributes.

A GeoPackage gets the layers `labels` and `annotated` of a labelling project, so QGIS opens it styled and
`tile` knows where the labels are complete. How vector layers are read is in `labels/vector`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely

from ...core.arraytypes import GeometryArray
from ...core.labelset import LabelSet
from ...core.maplabels import MapLabels
from ...errors import LabelError
from ...io.atomic import atomic_file, write_bytes
from ...io.geojson import geojson_bytes
from ...io.qgisstyles import outline_qml, polygons_qml
from ...io.vectorlayers import write_layer, write_layers
from ..projectlayout import ANNOTATED, CLASS_FIELD, LABELS, metadata
from ..vector.vectorlabels import read_vectors
from .labelfile import LabelFile
from .labelformat import VECTOR_OPTIONS, Capabilities, LabelFormat, Recognition, WrittenFormat

_EXACT_DECIMALS = 15
_GEOMETRY = "geometry"
_OUTLINE_COLOR = "#5b5b5b"


def labels_frame(labels: MapLabels) -> geopandas.GeoDataFrame:
    """Labels in map coordinates as a table.

    Attributes keep their names; those that clash with a column of ours get "_1" at the end. Objects without a
    class have an empty class name.
    """
    features = labels.features
    name_of = {info.id: info.name for info in labels.classes}
    feature_ids = [str(feature_id) for feature_id in features.feature_ids]
    for index, original in enumerate(features.attributes.get("feature_id", ())):
        if original is not None:  # the id of the object before it was exported
            feature_ids[index] = str(original)
    table: dict[str, object] = {
        CLASS_FIELD: [name_of.get(int(class_id)) for class_id in features.class_ids],
        "class_id": features.class_ids,
        "feature_id": feature_ids,
    }
    if features.scores is not None:
        table["score"] = features.scores
    if features.images is not None:
        table["image_id"] = [str(name) for name in features.images]
    if features.ignore.any():
        table["ignore"] = features.ignore
    for name, values in features.attributes.items():
        if name == "feature_id" or (name in table and _same(values, table[name])):
            continue
        clashes = name in table or name == _GEOMETRY
        table[f"{name}_1" if clashes else name] = pd.Series(values, dtype=object).infer_objects()
    return geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(features.geometries, crs=labels.crs))


def _same(values: GeometryArray, column: object) -> bool:
    """Whether an attribute repeats a column of ours, as in a file that was written here."""
    return [str(value) for value in values] == [str(value) for value in column]  # type: ignore[attr-defined]


def write_map_labels(
    labels: LabelSet, out: Path, scenes: Sequence[str] = (), overwrite: bool = False
) -> None:
    """Write labels in the format of the suffix of `out`.

    Args:
        labels: Labels in map coordinates.
        out: The output: .gpkg, .geojson, .fgb or .parquet.
        scenes: Paths of the scenes of the labels, which a GeoPackage records.
        overwrite: Replace an existing output.

    Raises:
        LabelError: The labels are in pixels of images.
        OutputExistsError: `out` exists.
    """
    if not isinstance(labels, MapLabels):
        raise LabelError(
            f"{out}: {labels.source} is in pixels of images without a CRS; "
            "georeference them, or set `out_format` to one in pixels"
        )
    frame = labels_frame(labels)
    suffix = out.suffix.lower()
    if suffix == ".geojson":
        # All decimals, since a label that comes back must lie where it lay.
        content = geojson_bytes(frame, LABELS, {}, str(out), decimals=_EXACT_DECIMALS)
        with atomic_file(out, overwrite=overwrite) as temporary:
            write_bytes(temporary, content)
    elif suffix == ".gpkg":
        write_layers(
            out,
            {ANNOTATED: _annotated_frame(labels), LABELS: frame},
            {LABELS: polygons_qml(labels.classes, CLASS_FIELD), ANNOTATED: outline_qml(_OUTLINE_COLOR)},
            metadata=metadata(labels.classes, "polygon", scenes, out.parent),
            geometry_types={LABELS: "MultiPolygon", ANNOTATED: "MultiPolygon"},
            overwrite=overwrite,
        )
    else:
        write_layer(
            out, frame, layer=LABELS, classes=labels.classes, style_field=CLASS_FIELD, overwrite=overwrite
        )


def _annotated_frame(labels: MapLabels) -> geopandas.GeoDataFrame:
    """The areas in which the labels are complete; empty if they are complete everywhere."""
    areas = np.empty(0, dtype=object) if labels.annotated is None else labels.annotated.geometries
    polygons = np.asarray(shapely.get_parts(areas), dtype=object)
    geometry = geopandas.GeoSeries(polygons, crs=labels.crs)
    return geopandas.GeoDataFrame({"note": [""] * len(polygons)}, geometry=geometry)


_GEOJSON_TYPES = {
    "FeatureCollection",
    "Feature",
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
}


def _is_vector(file: LabelFile) -> bool:
    """Only .json has to be looked into: the other suffixes belong to vector layers."""
    if file.suffix != ".json":
        return True
    outline = file.json
    features = outline.members.get("features") == "["
    return outline.outer == "{" and (features or outline.texts.get("type") in _GEOJSON_TYPES)


def _written(name: str, title: str) -> WrittenFormat:
    return WrittenFormat(
        name=name,
        title=title,
        holds=Capabilities(
            shape="polygons",
            holes="yes",
            parts="yes",
            scores=True,
            attributes=True,
            ignore=True,
            partial=name == "gpkg",
        ),
        label_files=(f"labels.{name}",),
        write_map=write_map_labels,
        single_file=f"labels.{name}",
        default_suffix=f".{name}",
    )


FORMAT = LabelFormat(
    name="vector",
    title="vector layers (GeoPackage, GeoJSON, Shapefile, FlatGeobuf, GeoParquet)",
    recognition=Recognition(
        suffixes=frozenset({".gpkg", ".geojson", ".json", ".shp", ".fgb", ".parquet", ".geoparquet"}),
        content=_is_vector,
        hint="GeoJSON features",
        other_suffixes=True,  # the vector reader looks at the content and names what it expects
    ),
    read_records=read_vectors,
    options=frozenset(VECTOR_OPTIONS),
    vector=True,
    written=(
        _written("gpkg", "GeoPackage"),
        _written("geojson", "GeoJSON"),
        _written("fgb", "FlatGeobuf"),
        _written("parquet", "GeoParquet"),
    ),
)
