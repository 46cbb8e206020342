"""Reading and writing vector layers: one door, by content, whole or not at all.

Formats: GeoPackage (the default: many layers, styles inside), GeoJSON (always longitude/latitude),
FlatGeobuf, GeoParquet; Shapefile is read only. Results in pixels have no CRS: GeoPackage, FlatGeobuf and
GeoParquet can say so, GeoJSON cannot.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.classes import ClassSet
from ..core.extras import needs_extra
from ..errors import ConfigError, LabelError, WriteError
from .atomic import atomic_file, write_bytes
from .gate import vector_driver
from .geojson import geojson_bytes, plain_value, read_geojson
from .qgisstyles import GeometryKind, add_layer_styles, categories_qml
from .rasterwriter import write_style

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".fgb", ".parquet")
"""What `write_layer` writes, by suffix."""

_STYLE_LAYER = "layer_styles"
# GeoPackage wants a date of last change; a fixed one makes the same result the same bytes.
_FIXED_DATE = "2000-01-01T00:00:00.000Z"

# What "no CRS" is called in a GeoPackage (srs_id -1); written so in FlatGeobuf too.
_NO_CRS = (
    'ENGCRS["Undefined Cartesian SRS",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["(E)",east,ORDER[1]],AXIS["(N)",north,ORDER[2]],LENGTHUNIT["metre",1]]'
)


# Reading


def read_layer(
    path: str | Path, *, layer: str | None = None, crs: str | None = None
) -> geopandas.GeoDataFrame:
    """A layer with all its features, null geometries included; the index ("fid") is the features' ids in the
    file.

    `layer`: by name; not needed where one layer has geometries. `crs`: in place of the file's. A result
    without CRS says that the file names none (never so for GeoJSON, see `read_geojson`). Raises `LabelError`.
    """
    source = str(path)
    driver = vector_driver(source)
    if driver == "GeoJSON":
        return read_geojson(source, crs)
    frame = _read_parquet(source) if driver == "Parquet" else _read_ogr(source, layer)
    return _with_crs(frame, crs, source)


def layer_names(path: str | Path) -> tuple[str, ...]:
    """The layers of a file that have geometries, in its order. Raises `LabelError`."""
    source = str(path)
    if vector_driver(source) in ("GeoJSON", "Parquet"):
        return (Path(source).stem,)
    with _read_errors(source):
        layers = pyogrio.list_layers(source)
    return tuple(str(name) for name, kind in layers if kind is not None and name != _STYLE_LAYER)


def layer_length(path: str | Path, layer: str) -> int:
    """How many features a layer has. Raises `LabelError`."""
    with _read_errors(str(path)):
        return int(pyogrio.read_info(path, layer=layer, force_feature_count=True)["features"])


def read_metadata(path: str | Path, layer: str) -> dict[str, str]:
    """The texts that a vector file carries about itself (`metadata` of `write_layers`). Raises `LabelError`."""
    source = str(path)
    vector_driver(source)
    with _read_errors(source):
        found = pyogrio.read_info(source, layer=layer)["dataset_metadata"]
    return dict(found or {})


def field_names(path: str | Path) -> tuple[str, ...]:
    """The attributes of a file with one layer, without reading its features; none where it has several.
    Raises `LabelError`.
    """
    source = str(path)
    if vector_driver(source) == "Parquet":
        with needs_extra(f"{source}: GeoParquet"):
            from pyarrow import parquet  # lazy: an extra

        return tuple(str(name) for name in parquet.read_schema(source).names)
    with _read_errors(source):
        return (
            tuple(str(name) for name in pyogrio.read_info(source)["fields"])
            if len(layer_names(source)) == 1
            else ()
        )


def read_styles(path: str | Path) -> dict[str, str]:
    """The default QML of each layer of a GeoPackage; empty where it has no styles."""
    with contextlib.closing(
        sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)
    ) as database:
        try:
            rows = database.execute(
                "SELECT f_table_name, styleQML FROM layer_styles WHERE useAsDefault ORDER BY id"
            ).fetchall()
        except sqlite3.DatabaseError:
            return {}
    return {str(layer): str(qml) for layer, qml in rows if layer and qml}


def _read_ogr(source: str, layer: str | None) -> geopandas.GeoDataFrame:
    names = layer_names(source)
    if layer is not None and layer not in names:
        raise LabelError(
            f"{source}: has no layer {layer!r} with geometries; it has {_listed(names)}; choose with --layer"
        )
    if layer is None and len(names) != 1:
        advice = "choose one with --layer" if names else "choose another file"
        raise LabelError(
            f"{source}: one layer with geometries was expected, it has {_listed(names)}; {advice}"
        )
    with _read_errors(source):
        return pyogrio.read_dataframe(source, layer=layer or names[0], fid_as_index=True)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _read_parquet(source: str) -> geopandas.GeoDataFrame:
    with needs_extra(f"{source}: GeoParquet"):
        import pyarrow  # lazy: an extra

    try:
        frame = geopandas.read_parquet(source)
    except (ValueError, pyarrow.ArrowException, OSError, KeyError) as cause:
        raise LabelError(
            f"{source}: cannot be read as GeoParquet ({' '.join(str(cause).split())[:120]}); convert it, e.g. ogr2ogr OUT.gpkg IN"
        ) from cause
    return frame.rename_geometry("geometry") if frame.geometry.name != "geometry" else frame


def _with_crs(frame: geopandas.GeoDataFrame, given: str | None, source: str) -> geopandas.GeoDataFrame:
    if given is not None:
        try:
            return frame.set_crs(CRS.from_user_input(given), allow_override=True)
        except CRSError as cause:
            raise LabelError(
                f"{source}: the CRS {given!r} is not known; give a code such as EPSG:32633"
            ) from cause
    if frame.crs is not None and frame.crs.is_engineering:
        # "Undefined Cartesian SRS" of a GeoPackage: pixels, or a CRS that nobody wrote down.
        return frame.set_crs(None, allow_override=True)
    return frame


@contextlib.contextmanager
def _read_errors(source: str) -> Iterator[None]:
    try:
        yield
    except (
        DataSourceError,
        pyogrio.errors.DataLayerError,
        shapely.errors.ShapelyError,
        RuntimeError,
        ValueError,
        CRSError,
    ) as cause:
        raise LabelError(
            f"{source}: cannot be read ({' '.join(str(cause).split())[:160]}); repair it, e.g. ogr2ogr OUT.gpkg IN"
        ) from cause


# Writing


def check_vector_suffix(path: str | Path) -> str:
    """The suffix by which a vector output is written. Raises `ConfigError` for any other, and
    `MissingExtraError` for GeoParquet without pyarrow: before any work, not after it.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        raise ConfigError(
            f"{path}: the suffix {suffix!r} names no vector format that is written here; expected {', '.join(VECTOR_SUFFIXES)}"
        )
    if suffix == ".parquet":
        with needs_extra(f"{path}: GeoParquet"):
            import pyarrow  # noqa: F401 - lazy: an extra
    return suffix


def write_layer(
    path: str | Path,
    frame: geopandas.GeoDataFrame,
    *,
    layer: str = "objects",
    classes: ClassSet | None = None,
    style_field: str = "class_name",
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """One layer by suffix (`VECTOR_SUFFIXES`), verified before it gets its name, styled by `classes` over
    `style_field`.

    The style lies inside a GeoPackage and as `NAME.qml` beside the others. Raises `ConfigError`,
    `OutputExistsError`, `WriteError`.
    """
    suffix = check_vector_suffix(path)
    target = Path(path)
    style = (
        None
        if classes is None
        else categories_qml(style_field, {c.name: c.color for c in classes}, geometry_kind(frame))
    )
    if suffix == ".gpkg":
        write_layers(
            target, {layer: frame}, {layer: style} if style else {}, metadata=metadata, overwrite=overwrite
        )
        return
    with atomic_file(target, overwrite=overwrite) as temporary, _write_errors(target):
        if suffix == ".geojson":
            write_bytes(temporary, geojson_bytes(frame, layer, metadata or {}, str(target)))
        elif suffix == ".parquet":
            _write_parquet(temporary, target, frame)
        else:
            # the index cannot hold null geometries
            index = {"SPATIAL_INDEX": "NO" if frame.geometry.isna().any() else "YES"}
            pyogrio.write_dataframe(
                _writable(frame),
                temporary,
                driver="FlatGeobuf",
                layer=layer,
                geometry_type=_geometry_type(frame),
                layer_options=index,
            )
            _check_count(
                target, pyogrio.read_info(temporary, force_feature_count=True)["features"], len(frame)
            )
    if style is not None and suffix != ".parquet":
        write_style(target, style, overwrite)


def _write_parquet(temporary: Path, target: Path, frame: geopandas.GeoDataFrame) -> None:
    import pyarrow  # lazy: an extra, and `check_vector_suffix` found it
    from pyarrow import parquet

    try:
        frame.to_parquet(temporary, index=False)
    except pyarrow.ArrowException as cause:
        raise _write_error(target, cause) from cause
    _check_count(target, parquet.read_metadata(temporary).num_rows, len(frame))


def write_layers(
    path: str | Path,
    layers: Mapping[str, geopandas.GeoDataFrame],
    styles: Mapping[str, str] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    geometry_types: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Several layers as one GeoPackage, with a QML style for some; the same input gives the same bytes.

    `geometry_types` of layers, e.g. "MultiPolygon" (default: what is in them); features of a plain type
    become multiparts where it says so. Raises `OutputExistsError`, `WriteError`.
    """
    target = Path(path)
    with atomic_file(target, overwrite=overwrite) as temporary, _write_errors(target):
        with _geopackage_settings():
            for number, (name, frame) in enumerate(layers.items()):
                pyogrio.write_dataframe(
                    _writable(frame),
                    temporary,
                    layer=name,
                    driver="GPKG",
                    geometry_type=(geometry_types or {}).get(name) or _geometry_type(frame),
                    promote_to_multi=(geometry_types or {}).get(name, "").startswith("Multi") or None,
                    append=number > 0,
                    dataset_options={"VERSION": "1.3"},  # 1.4 makes older readers warn (QGIS 3.22)
                    layer_options={"GEOMETRY_NAME": "geom", "FID": "fid"},
                    dataset_metadata=dict(sorted((metadata or {}).items())) if number == 0 else None,
                )
        if styles:
            add_layer_styles(temporary, styles)
        _check_geopackage(target, temporary, {name: len(frame) for name, frame in layers.items()})


def geometry_kind(frame: geopandas.GeoDataFrame) -> GeometryKind:
    """How a layer is drawn: as its first geometry; polygons where there is none."""
    kinds = frame.geometry.geom_type.dropna()
    first = str(kinds.iloc[0]) if len(kinds) else "Polygon"
    return "point" if first.endswith("Point") else "line" if first.endswith("LineString") else "polygon"


def _geometry_type(frame: geopandas.GeoDataFrame) -> str:
    """The layer's type: that of all geometries, the multi type of a mixture, "Unknown" of different kinds."""
    kinds = set(frame.geometry.geom_type.dropna())
    if not kinds:
        return "Polygon"
    if len(kinds) == 1:
        return str(kinds.pop())
    bases = {kind.removeprefix("Multi") for kind in kinds}
    return f"Multi{bases.pop()}" if len(bases) == 1 else "Unknown"


def _writable(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The same as OGR's formats can hold it: list and dict values as JSON text, no CRS as one that is not
    defined.
    """
    frame = frame if frame.crs is not None else frame.set_crs(_NO_CRS)
    nested = [
        name
        for name in frame.columns
        if name != frame.geometry.name
        and frame[name].dtype == object
        and frame[name].map(lambda v: isinstance(v, list | tuple | dict | np.ndarray)).any()
    ]
    return frame.assign(**{name: frame[name].map(_as_json) for name in nested}) if nested else frame


def _as_json(value: object) -> str | None:
    plain = plain_value(value)
    return None if plain is None else json.dumps(plain, ensure_ascii=False)


@contextlib.contextmanager
def _geopackage_settings() -> Iterator[None]:
    """A fixed date, and no waiting for the disk after every layer: the finished file is synced once, before
    it gets its name.
    """
    wanted = {"OGR_CURRENT_DATE": _FIXED_DATE, "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    before = {name: pyogrio.get_gdal_config_option(name) for name in wanted}
    pyogrio.set_gdal_config_options(wanted)
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


_WRITE_FAILURES = (
    DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.FieldError,
    pyogrio.errors.FeatureError,
    sqlite3.Error,
)


@contextlib.contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except _WRITE_FAILURES as cause:
        raise _write_error(target, cause) from cause


def _write_error(target: Path, cause: Exception) -> WriteError:
    reason = " ".join(str(cause).split())[:160]
    return WriteError(
        f"{target}: could not be written ({reason}); check the free space and the folder's permissions"
    )


def _check_geopackage(target: Path, temporary: Path, counts: Mapping[str, int]) -> None:
    with contextlib.closing(sqlite3.connect(f"{temporary.resolve().as_uri()}?mode=ro", uri=True)) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise WriteError(
                f"{target}: did not read back as it was written ({verdict[:100]}); the disk is full or failing, write elsewhere"
            )
        for name, expected in counts.items():
            quoted = name.replace('"', '""')
            _check_count(target, database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0], expected)


def _check_count(target: Path, found: int, expected: int) -> None:
    if found != expected:
        raise WriteError(
            f"{target}: holds {found} of {expected} features after writing; the disk is full or failing, write elsewhere"
        )
