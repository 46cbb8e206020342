"""Reading and writing vector layers: format by content, complete or not at all.

Formats: GeoPackage (the default: many layers, styles inside), GeoJSON (always longitude/latitude),
FlatGeobuf, GeoParquet; Shapefile for reading only. Results in pixels have no CRS, which GeoPackage,
FlatGeobuf and GeoParquet can express, but not GeoJSON.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from pandas.api.types import is_integer_dtype
from pyogrio.errors import DataSourceError
from pyogrio.util import vsi_path
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.classes import ClassSet
from ..core.extras import needs_extra
from ..errors import ConfigError, LabelError, WriteError
from .atomic import atomic_file, write_verified
from .discover import VECTOR_SUFFIXES
from .gate import flatgeobuf_header, vector_driver
from .geojson import geojson_bytes, plain_value, read_geojson
from .layermerge import add_layers
from .outputtags import PARQUET_TAGS
from .polygontable import PolygonTable
from .qgisstyles import GeometryKind, add_layer_styles, categories_qml
from .rasterwriter import write_style

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NOTES = "eo_dl_notes"
"""The key of `GeoDataFrame.attrs` with what was guessed on reading."""
_STYLE_LAYER = "layer_styles"
_CODE_PAGE_BYTE, _DBF_HEADER = 29, 32
_MOST_TEXT = 16 * 2**20
# A GeoPackage needs a date of last change; with a fixed one, the same result has the same bytes.
_SETTINGS = threading.Lock()
_FIXED_DATE = "2000-01-01T00:00:00.000Z"

# "No CRS" in a GeoPackage (srs_id -1), also used for FlatGeobuf.
_NO_CRS = (
    'ENGCRS["Undefined Cartesian SRS",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["(E)",east,ORDER[1]],AXIS["(N)",north,ORDER[2]],LENGTHUNIT["metre",1]]'
)


# Reading


def read_layer(
    path: str | Path, *, layer: str | None = None, crs: str | None = None
) -> geopandas.GeoDataFrame:
    """A layer with all its features, null geometries included. The index ("fid") holds their ids in the file.

    Args:
        path: The file.
        layer: Name of the layer; may be omitted if only one layer has geometries.
        crs: CRS to use instead of the file's own.

    Returns:
        The features. Without a CRS if the file names none (GeoJSON always has one, see `read_geojson`).

    Raises:
        LabelError: The file cannot be read, or the layer is not found or ambiguous.
    """
    source = str(path)
    driver = vector_driver(source)
    if driver == "GeoJSON":
        return read_geojson(source, crs)
    frame = _read_parquet(source) if driver == "Parquet" else _read_ogr(source, layer)
    return _with_crs(frame, crs, source)


def layer_names(path: str | Path) -> tuple[str, ...]:
    """Names of the layers with geometries, in the order of the file. Raises `LabelError`."""
    source = str(path)
    if vector_driver(source) in ("GeoJSON", "Parquet"):
        return (Path(source).stem,)
    with _read_errors(source):
        layers = pyogrio.list_layers(ogr_name(source))
    return tuple(str(name) for name, kind in layers if kind is not None and name != _STYLE_LAYER)


def layer_length(path: str | Path, layer: str) -> int:
    """Number of features of a layer. Raises `LabelError`."""
    with _read_errors(str(path)):
        return int(pyogrio.read_info(ogr_name(path), layer=layer, force_feature_count=True)["features"])


def read_metadata(path: str | Path, layer: str) -> dict[str, str]:
    """The metadata of a vector file (`metadata` of `write_layers`). Raises `LabelError`."""
    source = str(path)
    vector_driver(source)
    with _read_errors(source):
        metadata = pyogrio.read_info(ogr_name(source), layer=layer)["dataset_metadata"]
    return dict(metadata or {})


def field_names(path: str | Path) -> tuple[str, ...]:
    """Names of the attributes of a file with one layer, without reading its features.

    Empty for a file with several layers. Raises `LabelError`.
    """
    source = str(path)
    if vector_driver(source) == "Parquet":
        with needs_extra(f"{source}: GeoParquet"):
            from pyarrow import parquet  # lazy: an extra

        return tuple(str(name) for name in parquet.read_schema(source).names)
    with _read_errors(source):
        if len(layer_names(source)) != 1:
            return ()
        return tuple(str(name) for name in pyogrio.read_info(ogr_name(source))["fields"])


def read_styles(path: str | Path) -> dict[str, str]:
    """The default QML of each styled layer of a GeoPackage."""
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
            f"{source}: has no layer {layer!r} with geometries; it has {_listed(names)}; choose one with "
            "`layer`"
        )
    if layer is None and len(names) != 1:
        advice = "choose one with `layer`" if names else "choose another file"
        raise LabelError(f"{source}: expected one layer with geometries, it has {_listed(names)}; {advice}")
    with _read_errors(source):
        chosen = layer or names[0]
        # With a condition, GDAL counts the features of a GeoPackage instead of believing the table in which
        # other programs may have left any number, and of which it reads no more than that.
        every = "1 = 1" if _has_wrong_count(source, chosen) else None
        encoding = unstated_encoding(source) if driver_is_shapefile(source) else None
        frame = pyogrio.read_dataframe(
            ogr_name(source), layer=chosen, fid_as_index=True, where=every, encoding=encoding
        )
    if encoding is not None:
        frame.attrs[NOTES] = (
            f"{Path(source).name}: states no encoding (.cpg), its texts are read as {encoding}; otherwise "
            "write the right one into a file of the same name that ends in .cpg",
        )
    return frame


def driver_is_shapefile(source: str) -> bool:
    """Whether a vector file is a Shapefile."""
    return source.lower().endswith(".shp")


def unstated_encoding(source: str) -> str | None:
    """The encoding of the texts of a Shapefile that states none; None where it does, or where all is ASCII.

    UTF-8 if the texts are valid in it, which those of another encoding hardly are; else that of Windows.
    """
    table = next((path for path in _siblings(source, ".dbf")), None)
    if table is None or any(_siblings(source, ".cpg")):
        return None
    with table.open("rb") as file:
        head = file.read(_DBF_HEADER)
        if len(head) < _DBF_HEADER or head[_CODE_PAGE_BYTE] != 0:
            return None
        file.seek(int.from_bytes(head[8:10], "little"))  # after the descriptions of the fields
        text = file.read(_MOST_TEXT)
    if text.isascii():
        return None
    # the end may be cut within a letter
    return "UTF-8" if _is_utf8(text) else "cp1252"


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(text) - 4 and len(text) == _MOST_TEXT
    return True


def _siblings(source: str, suffix: str) -> Iterator[Path]:
    """The file of the same name with another suffix, in any case."""
    path = Path(source)
    for other in path.parent.iterdir():
        if other.stem == path.stem and other.suffix.lower() == suffix:
            yield other


def ogr_name(path: str | Path) -> str:
    """The absolute path, which OGR takes for nothing but a file ("PG:x.gpkg" would be a database).

    Raises `LabelError` for names that pyogrio reads otherwise: "a;b.gpkg" as "a", "a.zip" as an archive.
    """
    name = str(Path.cwd() / path)
    if vsi_path(name) != name:
        raise LabelError(
            f"{path}: '!', ';' and '?' and the suffix .zip have a meaning in names of vector files; rename it"
        )
    return name


def _has_wrong_count(source: str, layer: str) -> bool:
    """True if a GeoPackage states another number of features than the layer has.

    Raises `LabelError` for another file that states a number that it cannot hold.
    """
    if vector_driver(source) == "GPKG":
        return _geopackage_miscounts(source, layer)
    size, stated = Path(source).stat().st_size, pyogrio.read_info(ogr_name(source), layer=layer)["features"]
    # OGR counts in 32 bits, so that a large number may show as none.
    if stated > size or (stated == 0 and size > flatgeobuf_header(source)):
        raise LabelError(
            f"{source}: states a number of features that {size} bytes cannot hold; it is damaged, copy it "
            "again or repair it, e.g. ogr2ogr OUT.gpkg IN"
        )
    return False


def _geopackage_miscounts(source: str, layer: str) -> bool:
    quoted = layer.replace('"', '""')
    uri = f"{Path(source).resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        try:
            stated = database.execute(
                "SELECT feature_count FROM gpkg_ogr_contents WHERE lower(table_name) = lower(?)", (layer,)
            ).fetchone()
            if stated is None or stated[0] is None:
                return False
            count = database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()
        except sqlite3.Error:  # no such table, or a view with functions of OGR
            return False
    return bool(stated[0] != count[0])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _read_parquet(source: str) -> geopandas.GeoDataFrame:
    with needs_extra(f"{source}: GeoParquet"):
        import pyarrow  # lazy: an extra

    try:
        frame = geopandas.read_parquet(source)
    except (ValueError, pyarrow.ArrowException, OSError, KeyError) as cause:
        raise LabelError(
            f"{source}: cannot be read as GeoParquet ({_one_line(cause)[:120]}); convert it, e.g. ogr2ogr "
            "OUT.gpkg IN"
        ) from cause
    return frame if frame.geometry.name == "geometry" else frame.rename_geometry("geometry")


def _with_crs(frame: geopandas.GeoDataFrame, override: str | None, source: str) -> geopandas.GeoDataFrame:
    if override is not None:
        try:
            return frame.set_crs(CRS.from_user_input(override), allow_override=True)
        except CRSError as cause:
            raise LabelError(
                f"{source}: the CRS {override!r} is not known; use a code such as EPSG:32633"
            ) from cause
    if frame.crs is not None and frame.crs.is_engineering:
        # "Undefined Cartesian SRS" of a GeoPackage: pixels, or a CRS that was never recorded.
        return frame.set_crs(None, allow_override=True)
    return frame


@contextlib.contextmanager
def _read_errors(source: str) -> Iterator[None]:
    try:
        yield
    except LabelError:
        raise
    except UnicodeDecodeError as cause:
        advice = "repair it, e.g. ogr2ogr OUT.gpkg IN"
        if source.lower().endswith(".shp"):
            advice = "write its encoding into a text file of the same name that ends in .cpg, e.g. ISO-8859-1"
        raise LabelError(
            f"{source}: a name of a field or a text is not in the encoding that the file states "
            f"({_one_line(cause)[:160]}); {advice}"
        ) from cause
    except (
        DataSourceError,
        pyogrio.errors.DataLayerError,
        shapely.errors.ShapelyError,
        RuntimeError,
        ValueError,
        CRSError,
        MemoryError,
        sqlite3.Error,
    ) as cause:
        raise LabelError(
            f"{source}: cannot be read ({_one_line(cause)[:160]}); repair it, e.g. ogr2ogr OUT.gpkg IN"
        ) from cause


# Writing


def check_vector_suffix(path: str | Path) -> str:
    """The suffix of a vector output, checked before any work.

    Raises:
        ConfigError: The suffix is no supported vector format.
        MissingExtraError: The suffix is .parquet and pyarrow is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in VECTOR_SUFFIXES:
        raise ConfigError(
            f"{path}: the suffix {suffix!r} is no supported vector format; expected "
            f"{', '.join(VECTOR_SUFFIXES)}"
        )
    if suffix == ".parquet":
        with needs_extra(f"{path}: GeoParquet"):
            import pyarrow  # noqa: F401 - lazy: an extra
    return suffix


def write_layer(
    path: str | Path,
    features: geopandas.GeoDataFrame | PolygonTable,
    *,
    layer: str = "objects",
    classes: ClassSet | None = None,
    style_field: str = "class_name",
    outlines: bool = False,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write one layer, in the format of the suffix, verified before the file gets its name.

    Args:
        path: The file, with one of `VECTOR_SUFFIXES`.
        features: The features.
        layer: Name of the layer.
        classes: Classes to style the layer by: inside a GeoPackage, as `NAME.qml` beside other files.
        style_field: The field that holds the class name.
        outlines: Style polygons as outlines, for objects that must not hide the image.
        metadata: Tags of the file.
        overwrite: Replace an existing file.

    Raises:
        ConfigError: The suffix is no supported vector format.
        OutputExistsError: The file exists and `overwrite` is False.
        WriteError: The file cannot be written, or does not read back.
    """
    suffix = check_vector_suffix(path)
    target = Path(path)
    style = None
    if classes is not None:
        colors = {info.name: info.color for info in classes}
        style = categories_qml(style_field, colors, geometry_kind(features), filled=not outlines)
    if suffix == ".gpkg":
        styles = {} if style is None else {layer: style}
        write_layers(target, {layer: features}, styles, metadata=metadata, overwrite=overwrite)
        return
    with atomic_file(target, overwrite=overwrite) as temporary, _write_errors(target):
        data: bytes | memoryview
        if suffix == ".geojson":
            data = geojson_bytes(_frame(features), layer, metadata or {}, str(target))
        elif suffix == ".parquet":
            data = _parquet(target, _frame(features), metadata or {})
        else:
            data = _flatgeobuf(features, layer, metadata or {})
        write_verified(temporary, data, target)
        if suffix == ".fgb":
            count = pyogrio.read_info(temporary, force_feature_count=True)["features"]
            _check_count(target, count, len(features))
    if style is not None and suffix != ".parquet":
        write_style(target, style, overwrite)


def _frame(features: geopandas.GeoDataFrame | PolygonTable) -> geopandas.GeoDataFrame:
    return features.frame() if isinstance(features, PolygonTable) else features


def _flatgeobuf(
    features: geopandas.GeoDataFrame | PolygonTable, layer: str, metadata: Mapping[str, str]
) -> memoryview:
    return _layer_bytes(
        features,
        geometry_type=_geometry_type(features),
        driver="FlatGeobuf",
        layer=layer,
        layer_options={"SPATIAL_INDEX": "NO" if _has_null_geometries(features) else "YES"},
        layer_metadata=dict(sorted(metadata.items())) or None,
    )


def _has_null_geometries(features: geopandas.GeoDataFrame | PolygonTable) -> bool:
    """Whether a spatial index of FlatGeobuf could not hold the features."""
    return not isinstance(features, PolygonTable) and bool(features.geometry.isna().any())


def _layer_bytes(
    features: geopandas.GeoDataFrame | PolygonTable, *, geometry_type: str, **options: Any
) -> memoryview:
    """A file of one layer, made in memory, where no write fails: GDAL does not report those that do.

    `options` are those that both functions of pyogrio have.
    """
    file = _FileInOneWrite()
    if not isinstance(features, PolygonTable):
        pyogrio.write_dataframe(_writable(features), file, geometry_type=geometry_type, **options)
        return file.content
    crs = CRS(_NO_CRS if features.crs is None else features.crs.to_wkt())
    epsg = crs.to_epsg()
    pyogrio.raw.write(
        file,
        features.outlines,
        list(features.columns.values()),
        list(features.columns),
        crs=f"EPSG:{epsg}" if epsg else crs.to_wkt("WKT1_GDAL"),
        geometry_type=geometry_type,
        **options,
    )
    return file.content


class _FileInOneWrite(io.BytesIO):
    """What pyogrio writes a file into: in one write, whose bytes are kept instead of copied once more."""

    content = memoryview(b"")

    def write(self, data: ReadableBuffer, /) -> int:
        """Keep the file."""
        if self.content:
            raise ValueError("the file came in several pieces")
        self.content = memoryview(data)
        return len(self.content)


def _parquet(target: Path, frame: geopandas.GeoDataFrame, metadata: Mapping[str, str]) -> memoryview:
    import pyarrow  # lazy: an extra, and `check_vector_suffix` found it
    from pyarrow import parquet

    buffer = io.BytesIO()
    try:
        frame.to_parquet(buffer, index=False)
        if metadata:
            table = parquet.read_table(buffer)
            tags = json.dumps(dict(sorted(metadata.items())), ensure_ascii=False).encode()
            buffer = io.BytesIO()
            parquet.write_table(
                table.replace_schema_metadata({**(table.schema.metadata or {}), PARQUET_TAGS: tags}), buffer
            )
    except pyarrow.ArrowException as cause:
        raise _write_error(target, cause) from cause
    _check_count(target, parquet.read_metadata(buffer).num_rows, len(frame))
    return buffer.getbuffer()


def write_layers(
    path: str | Path,
    layers: Mapping[str, geopandas.GeoDataFrame | PolygonTable],
    styles: Mapping[str, str] | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    geometry_types: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write several layers as one GeoPackage. The same input gives the same bytes.

    Args:
        path: The GeoPackage.
        layers: Features by layer name.
        styles: QML by layer name, for layers with a style.
        metadata: Tags of the file.
        geometry_types: Geometry type by layer name, e.g. "MultiPolygon", which makes single parts
            multiparts (default: the type of the features).
        overwrite: Replace an existing file.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        WriteError: The file cannot be written, or does not read back.
    """
    target = Path(path)
    types = geometry_types or {}
    with atomic_file(target, overwrite=overwrite) as temporary, _write_errors(target):
        with _geopackage_settings():
            first, *others = [
                _layer_bytes(
                    features,
                    geometry_type=types.get(name) or _geometry_type(features),
                    layer=name,
                    driver="GPKG",
                    promote_to_multi=types.get(name, "").startswith("Multi") or None,
                    dataset_options={"VERSION": "1.3"},  # 1.4 makes older readers warn (QGIS 3.22)
                    layer_options={"GEOMETRY_NAME": "geom", "FID": _id_column(target, features)},
                    dataset_metadata=dict(sorted((metadata or {}).items())) if number == 0 else None,
                )
                for number, (name, features) in enumerate(layers.items())
            ]
        write_verified(temporary, first, target)
        if others:
            add_layers(temporary, others)
        if styles:
            add_layer_styles(temporary, styles)
        _check_geopackage(target, temporary, {name: len(features) for name, features in layers.items()})


def _id_column(target: Path, features: geopandas.GeoDataFrame | PolygonTable) -> str:
    """The column for the ids of a GeoPackage's features: "fid", unless a field of that name holds anything
    but ids. Unique whole numbers in it become the ids.

    Raises:
        WriteError: Two fields differ in upper and lower case only, which a GeoPackage cannot tell apart.
    """
    if isinstance(features, PolygonTable):
        return "fid"
    fields = [str(name) for name in features.columns if name != features.geometry.name]
    folded = [name.casefold() for name in fields]
    for name in {"geom", *folded}:
        alike = [field for field in ("geom", *fields) if field.casefold() == name]
        if len(alike) > 1:
            raise WriteError(
                f"{target}: a GeoPackage cannot hold the columns {alike[0]!r} and {alike[1]!r} at once; "
                "rename the field, or write another format (.geojson, .fgb)"
            )
    if "fid" not in folded:
        return "fid"
    if fields.count("fid") == folded.count("fid") == 1:
        values = features["fid"]
        if is_integer_dtype(values.dtype) and values.is_unique and not (values < 0).any():
            return "fid"
    free = (f"fid_{number}" for number in itertools.count(1))
    return next(name for name in free if name not in folded)


def geometry_kind(features: geopandas.GeoDataFrame | PolygonTable) -> GeometryKind:
    """Symbol type for a layer, by its first geometry; "polygon" for a layer without geometries."""
    if isinstance(features, PolygonTable):
        return "polygon"
    kinds = features.geometry.geom_type.dropna()
    first = str(kinds.iloc[0]) if len(kinds) else "Polygon"
    if first.endswith("Point"):
        return "point"
    if first.endswith("LineString"):
        return "line"
    return "polygon"


def _geometry_type(features: geopandas.GeoDataFrame | PolygonTable) -> str:
    """The common type of all geometries, the multi type of single and multi parts, or "Unknown"."""
    if isinstance(features, PolygonTable):
        return "Polygon"
    kinds = set(features.geometry.geom_type.dropna())
    if not kinds:
        return "Polygon"
    if len(kinds) == 1:
        return str(kinds.pop())
    bases = {kind.removeprefix("Multi") for kind in kinds}
    return f"Multi{bases.pop()}" if len(bases) == 1 else "Unknown"


def _writable(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The frame as OGR's formats can hold it: lists and dicts as JSON text, no CRS as an undefined one."""
    if frame.crs is None:
        frame = frame.set_crs(_NO_CRS)
    as_text = {}
    for name in frame.columns:
        column = frame[name]
        if name != frame.geometry.name and column.dtype == object and column.map(_is_nested).any():
            as_text[name] = column.map(_as_json)
    return frame.assign(**as_text) if as_text else frame


def _is_nested(value: object) -> bool:
    return isinstance(value, list | tuple | dict | np.ndarray)


def _as_json(value: object) -> str | None:
    plain = plain_value(value)
    return None if plain is None else json.dumps(plain, ensure_ascii=False)


@contextlib.contextmanager
def _geopackage_settings() -> Iterator[None]:
    """A fixed date, and no syncs, which memory does not need.

    They hold for all threads, so only one writes at a time: the first to end would unset them for the others.
    """
    options = {"OGR_CURRENT_DATE": _FIXED_DATE, "OGR_SQLITE_SYNCHRONOUS": "OFF"}
    with _SETTINGS:
        before = {name: pyogrio.get_gdal_config_option(name) for name in options}
        pyogrio.set_gdal_config_options(options)
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
    return WriteError(
        f"{target}: could not be written ({_one_line(cause)[:160]}); check the free space and the folder's "
        "permissions"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_geopackage(target: Path, temporary: Path, counts: Mapping[str, int]) -> None:
    with contextlib.closing(sqlite3.connect(f"{temporary.resolve().as_uri()}?mode=ro", uri=True)) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            raise WriteError(
                f"{target}: does not read back ({verdict[:100]}); the disk is full or failing, write "
                "elsewhere"
            )
        for name, expected in counts.items():
            quoted = name.replace('"', '""')
            count = database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
            _check_count(target, count, expected)


def _check_count(target: Path, count: int, expected: int) -> None:
    if count != expected:
        raise WriteError(
            f"{target}: holds {count} of {expected} features after writing; the disk is full or failing, "
            "write elsewhere"
        )
