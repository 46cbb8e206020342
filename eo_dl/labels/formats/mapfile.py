"""Labels in map coordinates as a GeoPackage, GeoJSON, FlatGeobuf or GeoParquet, with class, score and all
other fields.

A GeoPackage has the layers `labels` and `annotated` of a labelling project, so that QGIS opens it coloured
and `tile` knows where labels are complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely

from ...core.labelset import GeometryArray, LabelSet
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


def labels_frame(labels: LabelSet) -> geopandas.GeoDataFrame:
    """Labels in map coordinates as a table; objects of no class have none. Fields keep their names, those
    that clash get a "_1".
    """
    names = {info.id: info.name for info in labels.classes}
    table: dict[str, object] = {
        CLASS_FIELD: [names.get(int(i)) for i in labels.class_ids],
        "class_id": labels.class_ids,
        "feature_id": [
            str(own if said is None else said)
            for own, said in zip(
                labels.feature_ids, labels.attributes.get("feature_id", labels.feature_ids), strict=True
            )
        ],
    }
    if labels.scores is not None:
        table["score"] = labels.scores
    if labels.images is not None:
        table["image_id"] = [str(name) for name in labels.images]
    if labels.ignore is not None and labels.ignore.any():
        table["ignore"] = labels.ignore
    for name, values in labels.attributes.items():
        if name != "feature_id" and not (name in table and _same(values, table[name])):
            table[f"{name}_1" if name in table or name == _GEOMETRY else name] = pd.Series(
                values, dtype=object
            ).infer_objects()
    return geopandas.GeoDataFrame(table, geometry=geopandas.GeoSeries(labels.geometries, crs=labels.crs))


def _same(values: GeometryArray, own: object) -> bool:
    """True where a field says what a column of ours says, as in a file that was written here."""
    return [str(value) for value in values] == [str(value) for value in own]  # type: ignore[attr-defined]


def write_map_labels(
    labels: LabelSet, out: Path, scenes: Sequence[str] = (), overwrite: bool = False
) -> None:
    """Labels with a CRS, by the suffix of `out`. Raises `LabelError` for labels in pixels."""
    if labels.crs is None:
        raise LabelError(
            f"{out}: {labels.source} is in pixels of images without a place on the ground; georeference them, or choose a pixel --format"
        )
    frame = labels_frame(labels)
    suffix = out.suffix.lower()
    if suffix == ".geojson":
        # All decimals, since a label that comes back has to lie where it lay.
        with atomic_file(out, overwrite=overwrite) as temporary:
            write_bytes(temporary, geojson_bytes(frame, LABELS, {}, str(out), decimals=_EXACT_DECIMALS))
    elif suffix == ".gpkg":
        areas = np.empty(0, dtype=object) if labels.annotated is None else labels.annotated
        polygons = np.array([part for area in areas for part in shapely.get_parts(area)], dtype=object)
        annotated = geopandas.GeoDataFrame(
            {"note": [""] * len(polygons)}, geometry=geopandas.GeoSeries(polygons, crs=labels.crs)
        )
        write_layers(
            out,
            {ANNOTATED: annotated, LABELS: frame},
            {LABELS: polygons_qml(labels.classes, CLASS_FIELD), ANNOTATED: outline_qml("#5b5b5b")},
            metadata=metadata(labels.classes, "polygon", scenes, out.parent),
            geometry_types={LABELS: "MultiPolygon", ANNOTATED: "MultiPolygon"},
            overwrite=overwrite,
        )
    else:
        write_layer(
            out, frame, layer=LABELS, classes=labels.classes, style_field=CLASS_FIELD, overwrite=overwrite
        )


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
