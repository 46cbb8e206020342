"""GeoJSON without OGR: read strictly, written as RFC 7946.

Why not OGR: it silently takes a missing, unknown or contradicting CRS for EPSG:4326
(docs/design/reliability.md, 7), its other JSON drivers can run pipelines and open files named in the text,
and its RFC 7946 writer rounds to 1.1 cm. Here projected numbers without a CRS are an error, and 9 decimals
(0.1 mm) are written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.geometry import shape

from ..core.arraytypes import GeometryArray
from ..errors import LabelError, WriteError

_GEOMETRIES = {
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
}
_DECIMALS = 9
# Longitudes of 180 degrees may have been rounded to slightly more.
_SLACK_DEG = 1e-6
_GEOMETRY_ERRORS = (
    shapely.errors.ShapelyError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
)


def read_geojson(path: str, crs: str | None = None) -> geopandas.GeoDataFrame:
    """All features with their properties, including lists and null geometries.

    The index holds the features' `id` if all have one and no two share it, else their number, from 0.

    Args:
        path: The file.
        crs: CRS to use instead of the file's `crs` member. Without either, coordinates are longitude and
            latitude.

    Raises:
        LabelError: The file is no GeoJSON, or names no CRS and has coordinates outside +-180/90 degrees.
    """
    document = _parse(path)
    features = _features(document, path)
    geometries = np.empty(len(features), dtype=object)
    for index, feature in enumerate(features):
        geometries[index] = _geometry(feature, index, path)
    frame_crs = _crs(document, crs, path)
    if frame_crs is None:
        _check_degrees(geometries, path)
        frame_crs = CRS.from_epsg(4326)
    rows = [feature.get("properties") or {} for feature in features]
    properties = pd.DataFrame(rows, index=_index(features)).rename(columns={"geometry": "geometry_1"})
    return geopandas.GeoDataFrame(properties, geometry=geometries, crs=frame_crs)


def geojson_bytes(
    frame: geopandas.GeoDataFrame,
    name: str,
    metadata: Mapping[str, str],
    target: str,
    decimals: int = _DECIMALS,
) -> bytes:
    """A frame as an RFC 7946 FeatureCollection in WGS 84, exterior rings counter-clockwise.

    Args:
        frame: The features.
        name: Name of the collection.
        metadata: Tags, written as the foreign member "eo_dl".
        target: The output, for messages.
        decimals: Decimals of coordinates, degrees.

    Raises:
        WriteError: The frame has no CRS (readers would take pixels for degrees), or coordinates without
            longitude and latitude.
    """
    if frame.crs is None:
        raise WriteError(
            f"{target}: GeoJSON is always longitude and latitude, and this result has no CRS; write .gpkg, "
            ".fgb or .parquet"
        )
    geometries = np.asarray(frame.geometry.to_crs(4326).array, dtype=object)
    if not np.isfinite(shapely.get_coordinates(geometries)).all():
        raise WriteError(
            f"{target}: some coordinates have no longitude and latitude; check the CRS of the scene or write "
            ".gpkg"
        )
    geometries = shapely.orient_polygons(shapely.force_2d(geometries))
    collection: dict[str, object] = {"type": "FeatureCollection", "name": name}
    if metadata:
        collection["eo_dl"] = dict(sorted(metadata.items()))
    records = _with_short_floats(frame.drop(columns=frame.geometry.name)).to_dict("records")
    features = [
        _feature_text(record, geometry, decimals)
        for record, geometry in zip(records, geometries, strict=True)
    ]
    head = json.dumps(collection, ensure_ascii=False).removesuffix("}")
    # One feature per line.
    return (head + ', "features": [\n' + ",\n".join(features) + "\n]}\n").encode()


# Reading


def _parse(path: str) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as cause:
        raise LabelError(f"{path}: is not UTF-8 text, as GeoJSON must be; save it as UTF-8") from cause
    except (json.JSONDecodeError, RecursionError) as cause:
        raise LabelError(
            f"{path}: is not valid JSON ({cause}); write it again, e.g. ogr2ogr OUT.gpkg IN"
        ) from cause
    kind = document.get("type") if isinstance(document, dict) else type(document).__name__
    if not isinstance(document, dict) or str(kind) not in {"FeatureCollection", "Feature", *_GEOMETRIES}:
        raise LabelError(
            f"{path}: is JSON but no GeoJSON (its type is {str(kind)[:40]!r}); expected a FeatureCollection"
        )
    return document


def _features(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    if document["type"] == "Feature":
        return [document]
    if document["type"] != "FeatureCollection":
        return [{"type": "Feature", "properties": {}, "geometry": document}]
    features = document.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise LabelError(
            f"{path}: 'features' is not a list of features; write it again, e.g. ogr2ogr OUT.gpkg IN"
        )
    return features


def _geometry(feature: dict[str, Any], index: int, path: str) -> shapely.Geometry | None:
    geometry = feature.get("geometry")
    if geometry is None:
        return None
    try:
        return shape(geometry)
    except _GEOMETRY_ERRORS as cause:
        reason = " ".join(str(cause).split())[:80]
        raise LabelError(
            f"{path}: feature {feature.get('id', index)}: its geometry cannot be read ({reason}); correct or "
            "delete it"
        ) from cause


def _index(features: list[dict[str, Any]]) -> pd.Index[Any]:
    ids = [feature.get("id") for feature in features]
    usable = all(isinstance(value, str | int) for value in ids) and len(set(ids)) == len(ids)
    return pd.Index(ids if usable and ids else range(len(ids)), name="fid")


def _crs(document: dict[str, Any], override: str | None, path: str) -> CRS | None:
    """The CRS of the caller or else of the file; None without either."""
    member = document.get("crs")
    if override is None and member is None:
        return None
    text = _crs_name(member) if override is None else override
    try:
        crs = CRS.from_user_input(text)
    except CRSError as cause:
        raise LabelError(
            f"{path}: its CRS {str(text)[:60]!r} is not known; state the right one with `label_crs`"
        ) from cause
    # CRS84 is WGS 84 in the order longitude, latitude, which is the order of every GeoJSON.
    return CRS.from_epsg(4326) if "CRS84" in str(text) else crs


def _crs_name(member: object) -> str:
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return str(member if name is None else name)


def _check_degrees(geometries: GeometryArray, path: str) -> None:
    coordinates = shapely.get_coordinates(geometries)
    limits = np.array([180 + _SLACK_DEG, 90 + _SLACK_DEG])
    impossible = (np.abs(coordinates) > limits).any(axis=1) | ~np.isfinite(coordinates).all(axis=1)
    if impossible.any():
        x, y = coordinates[impossible][0]
        raise LabelError(
            f"{path}: names no CRS, so coordinates must be longitude and latitude, but ({x:.10g}, {y:.10g}) "
            "is not; state its CRS with `label_crs`, e.g. EPSG:32633"
        )


# Writing


def _with_short_floats(properties: pd.DataFrame) -> pd.DataFrame:
    """float32 columns with 7 digits: 0.1, not the 0.10000000149011612 that float32 makes of it."""
    short = {}
    for name in properties.columns:
        if properties[name].dtype == np.float32:
            short[name] = [float(f"{value:.7g}") for value in properties[name]]
    return properties.assign(**short)


def _feature_text(record: Mapping[Any, object], geometry: shapely.Geometry | None, decimals: int) -> str:
    feature = {
        "type": "Feature",
        "properties": {str(key): plain_value(value) for key, value in record.items()},
        "geometry": None if geometry is None else _rounded(shapely.geometry.mapping(geometry), decimals),
    }
    return json.dumps(feature, ensure_ascii=False)


def _rounded(value: Any, decimals: int) -> Any:
    if isinstance(value, float):
        return round(value, decimals)
    if isinstance(value, dict):
        return {key: _rounded(item, decimals) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, decimals) for item in value]
    return value


def plain_value(value: Any) -> Any:
    """A cell of a frame as a JSON value.

    numpy types become Python's, missing and non-finite numbers null, times ISO text.
    """
    if isinstance(value, np.ndarray):
        return [plain_value(item) for item in value.tolist()]
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain_value(item) for key, item in value.items()}
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | bool):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
