"""GeoJSON without OGR: read strictly, written as RFC 7946.

Why not OGR: it takes a missing, unknown or contradicting CRS for EPSG:4326 without a word
(docs/design/reliability.md, 7), its other JSON drivers can run pipelines and open files named inside
the text, and its RFC 7946 writer rounds to 1.1 cm. Here projected numbers without a CRS are an error, and 9
decimals (0.1 mm) are written.
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
# A whole turn is meant even where rounding went a little over it.
_SLACK_DEG = 1e-6


def read_geojson(path: str, crs: str | None = None) -> geopandas.GeoDataFrame:
    """All features with their properties as they are (lists survive, null geometries too).

    The index is the features' `id` where all have one and no two share it, else their place, from 0. CRS: the
    given one, else the file's `crs` member, else longitude/latitude - refused where numbers are outside
    +-180/90. Raises `LabelError`.
    """
    document = _parse(path)
    features = _features(document, path)
    geometries = np.empty(len(features), dtype=object)
    for place, feature in enumerate(features):
        geometries[place] = _geometry(feature, place, path)
    found = _crs(document, crs, path)
    if found is None:
        _check_degrees(geometries, path)
        found = CRS.from_epsg(4326)
    properties = pd.DataFrame(
        [feature.get("properties") or {} for feature in features], index=_index(features)
    )
    properties = properties.rename(columns={"geometry": "geometry_1"})
    return geopandas.GeoDataFrame(properties, geometry=geometries, crs=found)


def geojson_bytes(
    frame: geopandas.GeoDataFrame,
    name: str,
    metadata: Mapping[str, str],
    target: str,
    decimals: int = _DECIMALS,
) -> bytes:
    """A frame as an RFC 7946 FeatureCollection in WGS 84, exteriors counter-clockwise; `metadata` as a
    foreign member.

    Raises `WriteError` for a frame without CRS (every reader would take pixels for degrees).
    """
    if frame.crs is None:
        raise WriteError(
            f"{target}: GeoJSON is always longitude and latitude, and this result has no CRS; write .gpkg, .fgb or .parquet"
        )
    geometries = np.asarray(frame.geometry.to_crs(4326).array, dtype=object)
    if not np.isfinite(shapely.get_coordinates(geometries)).all():
        raise WriteError(
            f"{target}: some of the coordinates have no longitude and latitude; check the CRS of the scene or write .gpkg"
        )
    geometries = shapely.orient_polygons(shapely.force_2d(geometries))
    properties = frame.drop(columns=frame.geometry.name)
    short = {
        name: [float(f"{value:.7g}") for value in properties[name]]
        for name in properties.columns
        if properties[name].dtype == np.float32
    }
    properties = properties.assign(**short)  # 0.1, not the 0.10000000149011612 that float32 makes of it
    head = json.dumps(
        {
            "type": "FeatureCollection",
            "name": name,
            **({"eo_dl": dict(sorted(metadata.items()))} if metadata else {}),
        },
        ensure_ascii=False,
    )
    rows = [
        _feature_text(record, geometry, decimals)
        for record, geometry in zip(properties.to_dict("records"), geometries, strict=True)
    ]
    return (head[:-1] + ', "features": [\n' + ",\n".join(rows) + "\n]}\n").encode()


# Reading


def _parse(path: str) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as cause:
        raise LabelError(f"{path}: is not UTF-8 text, as GeoJSON must be; save it as UTF-8") from cause
    except (json.JSONDecodeError, RecursionError) as cause:
        raise LabelError(
            f"{path}: is not one whole JSON text ({cause}); write it again, e.g. ogr2ogr OUT.gpkg IN"
        ) from cause
    if not isinstance(document, dict) or document.get("type") not in {
        "FeatureCollection",
        "Feature",
        *_GEOMETRIES,
    }:
        found = document.get("type") if isinstance(document, dict) else type(document).__name__
        raise LabelError(
            f"{path}: is JSON but no GeoJSON (its type is {str(found)[:40]!r}); expected a FeatureCollection"
        )
    return document


def _features(document: dict[str, Any], path: str) -> list[dict[str, Any]]:
    if document["type"] == "FeatureCollection":
        features = document.get("features")
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise LabelError(
                f"{path}: its 'features' is no list of features; write it again, e.g. ogr2ogr OUT.gpkg IN"
            )
        return features
    return (
        [document]
        if document["type"] == "Feature"
        else [{"type": "Feature", "properties": {}, "geometry": document}]
    )


def _geometry(feature: dict[str, Any], place: int, path: str) -> shapely.Geometry | None:
    geometry = feature.get("geometry")
    if geometry is None:
        return None
    try:
        return shape(geometry)
    except (
        shapely.errors.ShapelyError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
    ) as cause:
        raise LabelError(
            f"{path}: feature {feature.get('id', place)}: its geometry cannot be read ({' '.join(str(cause).split())[:80]}); correct or delete it"
        ) from cause


def _index(features: list[dict[str, Any]]) -> pd.Index[Any]:
    ids = [feature.get("id") for feature in features]
    usable = all(isinstance(value, str | int) for value in ids) and len(set(ids)) == len(ids)
    return pd.Index(ids if usable and ids else range(len(ids)), name="fid")


def _crs(document: dict[str, Any], given: str | None, path: str) -> CRS | None:
    """The CRS given or named in the file, None where neither is."""
    member = document.get("crs")
    if given is None and member is None:
        return None
    text = given if given is not None else _crs_name(member)
    try:
        crs = CRS.from_user_input(text)
    except CRSError as cause:
        raise LabelError(
            f"{path}: its CRS {str(text)[:60]!r} is not known; give the right one with --label-crs"
        ) from cause
    # CRS84 is WGS 84 in longitude, latitude order, which is the order of every GeoJSON.
    return CRS.from_epsg(4326) if "CRS84" in str(text) else crs


def _crs_name(member: object) -> str:
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return str(name if name is not None else member)


def _check_degrees(geometries: GeometryArray, path: str) -> None:
    coordinates = shapely.get_coordinates(geometries)
    outside = (np.abs(coordinates) > np.array([180 + _SLACK_DEG, 90 + _SLACK_DEG])).any(
        axis=1
    ) | ~np.isfinite(coordinates).all(axis=1)
    if outside.any():
        x, y = coordinates[outside][0]
        raise LabelError(
            f"{path}: names no CRS, so its numbers must be longitude and latitude, and ({x:.10g}, {y:.10g}) is none; give its CRS with --label-crs, e.g. EPSG:32633"
        )


# Writing


def _feature_text(record: Mapping[Any, object], geometry: shapely.Geometry | None, decimals: int) -> str:
    properties = {str(key): plain_value(value) for key, value in record.items()}
    place = None if geometry is None else _rounded(shapely.geometry.mapping(geometry), decimals)
    return json.dumps({"type": "Feature", "properties": properties, "geometry": place}, ensure_ascii=False)


def _rounded(value: Any, decimals: int) -> Any:
    if isinstance(value, float):
        return round(value, decimals)
    if isinstance(value, dict):
        return {key: _rounded(item, decimals) for key, item in value.items()}
    return [_rounded(item, decimals) for item in value] if isinstance(value, list | tuple) else value


def plain_value(value: Any) -> Any:
    """A cell of a frame as JSON has it: numpy's types as Python's, missing and not-finite numbers as null,
    times as ISO text.
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
    return (
        value
        if isinstance(value, str | int | bool)
        else value.isoformat()
        if hasattr(value, "isoformat")
        else str(value)
    )
