"""Which GDAL driver may open a file: decided by its first bytes, never by GDAL's own guess.

GDAL guesses by content, so a `.tif` that is really XML can read any file, open connections or write files
(docs/design/reliability.md, 3). Opening with exactly one driver prevents that, but not for overviews and
masks: whether beside the file or named in its tags, GDAL opens them with any driver (GDAL 3.10: a plain TIFF
with an OVERVIEW_FILE tag shows /etc/passwd), so these are checked too. A VRT is text that names other files;
it is accepted only as `.vrt`, and only with local files in or below its own folder.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import sqlite3
from pathlib import Path

from ..errors import EoDlError, LabelError, SceneError
from .discover import is_remote, refuse_other_encodings
from .gdal import open_dataset, registered_drivers
from .vrt import check_vrt

_RASTER_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "GTiff"),
    (b"MM\0*", "GTiff"),
    (b"II+\0", "GTiff"),
    (b"MM\0+", "GTiff"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_RASTERS = "GeoTIFF, JPEG 2000, PNG, JPEG and local VRT"
_VECTORS = "GeoPackage, GeoJSON, Shapefile, FlatGeobuf and GeoParquet"
_HEAD_BYTES = 4096
_SIDECAR = re.compile(r"(\.(ovr|msk))*\.(ovr|msk|aux)")
_MOST_LISTED = 1000  # names of a folder: GDAL's default
_MOST_SUFFIXES = 3
_HARMLESS_MODULES = ("rtree", "fts3", "fts4", "fts5")
_OWN_OBJECTS = ("table", "index", "unique", "view", "trigger")
# A comment, a quoted name or text, a word, or a sign.
_SQL_WORD = re.compile(
    r"""--[^\n]*|/\*.*?(?:\*/|\Z)|"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]|\w+|[^\s\w]""",
    re.DOTALL,
)
_OTHER_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"CDF", "netCDF"),
    (b"\x89HDF", "HDF5"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3", "an SQLite file"),
    (b"GRIB", "GRIB"),
    (b"NITF", "NITF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
)


def raster_driver(path: str, trust_vrt: bool = False) -> str:
    """The only GDAL driver that may open this raster.

    Args:
        path: Path or URL.
        trust_vrt: Accept a VRT without checking what it names.

    Raises:
        SceneError: The file does not exist, is no supported raster, or is a VRT that names files outside its
            own folder.
    """
    if is_remote(path):
        return _remote_driver(path)
    head = _head(path, SceneError)
    driver = driver_of_bytes(head)
    if driver is not None:
        if driver not in registered_drivers():
            raise SceneError(
                f"{path}: is {driver.removesuffix('OpenJPEG')}, which the GDAL of this rasterio was built "
                "without; convert it, e.g. gdal_translate IN OUT.tif"
            )
        check_sidecars(Path(path))
        return driver
    if Path(path).suffix.lower() == ".vrt" and b"<VRTDataset" in head:
        if not trust_vrt:
            check_sidecars(Path(path))
            check_vrt(Path(path), _check_vrt_source)
        return "VRT"
    raise SceneError(
        f"{path}: is not a supported raster ({_kind_of(head)}); expected {_RASTERS}; convert it, e.g. "
        "gdal_translate IN OUT.tif"
    )


def driver_of_bytes(head: bytes) -> str | None:
    """The raster driver for a file with these first bytes, or None."""
    for magic, driver in _RASTER_MAGIC:
        if head.startswith(magic):
            return driver
    return None


def vector_driver(path: str) -> str:
    """The format of a vector file, by content: GPKG, GeoJSON, "ESRI Shapefile", FlatGeobuf or Parquet.

    Raises `LabelError` for anything else.
    """
    if is_remote(path):
        raise LabelError(f"{path}: vectors are read from local files only; download it first")
    head = _head(path, LabelError)
    suffix = Path(path).suffix.lower()
    if head.startswith(b"SQLite format 3\0"):
        _check_geopackage(path, head)
        return "GPKG"
    if head.startswith(b"\0\0\x27\x0a") and suffix == ".shp":
        return "ESRI Shapefile"
    if head.startswith(b"fgb\x03fgb") and b"\0" in head[:12]:
        # The size of its header has a zero byte, at which drivers that look for text stop.
        return "FlatGeobuf"
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "GeoJSON"
    advice = "convert it, e.g. ogr2ogr OUT.gpkg IN"
    if suffix in {".dbf", ".shx", ".prj"}:
        advice = "open the .shp of the Shapefile"
    raise LabelError(
        f"{path}: is not a supported vector file ({_kind_of(head)}); expected {_VECTORS}; {advice}"
    )


def flatgeobuf_header(path: str) -> float:
    """Bytes up to the end of the header of a FlatGeobuf file; infinite for another file."""
    head = _head(path, LabelError)
    if not head.startswith(b"fgb"):
        return math.inf
    return 12 + int.from_bytes(head[8:12], "little")


def check_sidecars(path: Path) -> None:
    """Refuse overviews and masks beside a raster that are not TIFFs: GDAL chooses their driver itself.

    GDAL finds them in whatever case they are spelt (`.OVR`, `.Msk`), and overviews of masks and masks of
    overviews, too. An overview file named in a tag or in the `.aux.xml` is refused by `open_dataset`.
    """
    for sidecar in sidecars(path):
        head = _head(str(sidecar), SceneError)
        if sidecar.suffix.lower() == ".aux":
            _check_erdas(sidecar, head)
            continue
        if driver_of_bytes(head) != "GTiff":
            raise SceneError(
                f"{sidecar}: an overview or mask beside {path.name} must be a TIFF, this is none; remove it"
            )
        open_dataset(str(sidecar), "GTiff", alone=True).close()  # checks its tags


def _check_erdas(path: Path, head: bytes) -> None:
    """Refuse an ERDAS file (statistics, pyramids of ArcGIS) that could be one of another kind: GDAL goes by
    its first 15 bytes, and drivers that look for text stop at the zero byte that follows in a real one.
    """
    if head[:15].upper() == b"EHFA_HEADER_TAG" and head[15:16] != b"\0":
        raise SceneError(f"{path}: starts like an ERDAS file but continues like text; remove it")


def sidecars(path: Path) -> list[Path]:
    """Files beside a raster that GDAL takes for its overviews and masks, sorted."""
    names = _siblings(path.parent)
    if names is None:
        return sorted(_exact_sidecars(path))
    name, aux = path.name.casefold(), f"{path.stem.casefold()}.aux"
    found = []
    for sibling in names:
        folded = sibling.casefold()
        is_sidecar = folded.startswith(name) and _SIDECAR.fullmatch(folded, len(name))
        if is_sidecar or folded == aux:
            found.append(path.with_name(sibling))
    return sorted(found)


def _siblings(folder: Path) -> list[str] | None:
    """The names in a folder; None if there are so many that GDAL does not list them either."""
    most = int(os.environ.get("GDAL_READDIR_LIMIT_ON_OPEN", _MOST_LISTED))
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in itertools.islice(entries, most + 1)]
    except OSError:
        return None
    return names if len(names) <= most else None


def _exact_sidecars(path: Path) -> set[Path]:
    """As `sidecars`, by asking for the names that GDAL asks for where it does not list the folder."""
    found = {path.with_suffix(suffix) for suffix in (".aux", ".AUX")}
    last = [path]
    for _ in range(_MOST_SUFFIXES):
        suffixes = (".ovr", ".OVR", ".msk", ".MSK", ".aux", ".AUX")
        last = [file.with_name(file.name + suffix) for file in last for suffix in suffixes]
        last = [file for file in last if file.exists()]
        found.update(last)
    return {file for file in found if file.exists()}


def _check_vrt_source(path: Path) -> bool:
    """Check a file that a VRT names; True if it is a VRT itself. Raises `SceneError`."""
    head = _head(str(path), SceneError)
    driver = driver_of_bytes(head)
    if driver is not None:
        # GDAL opens it by content, and drivers that look for text stop at the first zero byte, which real
        # images have within their first bytes.
        if b"\0" not in head[:16]:
            raise SceneError(
                f"{path}: starts like an image but continues like text; convert it, e.g. gdal_translate IN "
                "OUT.tif"
            )
        check_sidecars(path)
        open_dataset(str(path), driver).close()  # checks its tags
        return False
    if path.suffix.lower() == ".vrt" and b"<VRTDataset" in head:
        return True
    raise SceneError(
        f"{path}: is named by a VRT but is not a supported raster ({_kind_of(head)}); expected {_RASTERS}"
    )


def _remote_driver(path: str) -> str:
    if "header_file=" in path:
        raise SceneError(
            f"{path.split('?')[0]}: reads request headers from a file, which is not allowed; set "
            "GDAL_HTTP_HEADERS in the environment"
        )
    if path.startswith(("/vsistdin", "/vsisubfile", "/vsisparse")):
        raise SceneError(
            f"{path}: this file system of GDAL is not supported; use a path, an https:// URL, /vsicurl/, "
            "/vsis3/, /vsigs/, /vsiaz/ or /vsizip/"
        )
    return "GTiff"


def _head(path: str, error: type[EoDlError]) -> bytes:
    refuse_other_encodings(path, error)
    file = Path(path)
    if file.is_dir():
        raise error(f"{path}: is a folder; name a file")
    if not file.exists():
        raise error(f"{path}: no such file")
    if not file.is_file():
        raise error(f"{path}: is not a regular file; name a file on disk")
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as cause:
        raise error(f"{path}: cannot be read ({cause.strerror}); check its permissions") from cause
    if not head:
        raise error(f"{path}: is empty (0 bytes); copy or download it again")
    return head


def _check_geopackage(path: str, head: bytes) -> None:
    if head[68:72] not in (b"GPKG", b"GP10", b"GP11") and Path(path).suffix.lower() != ".gpkg":
        raise LabelError(f"{path}: is an SQLite file but no GeoPackage; convert it, e.g. ogr2ogr OUT.gpkg IN")
    uri = f"{Path(path).resolve().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    except sqlite3.Error as cause:
        raise LabelError(
            f"{path}: is a damaged GeoPackage ({cause}); copy it again or repair it with ogr2ogr"
        ) from cause
    for (sql,) in rows:
        if not is_harmless(str(sql)):
            start = " ".join(str(sql).split())[:60]
            raise LabelError(
                f"{path}: holds tables that may read other files ({start}...); copy its layers with ogr2ogr"
            )


def is_harmless(sql: str) -> bool:
    """True for a statement of a schema that reads nothing but its own database.

    Virtual tables may read other files; spatial indices and full-text search do not. The statement is read
    word by word as SQLite reads it: comments and names do not count.
    """
    words = [word.lower() for word in _SQL_WORD.findall(sql) if not word.startswith(("--", "/*"))]
    if words[:1] != ["create"]:
        return False
    if words[1:2] != ["virtual"]:
        return len(words) > 1 and words[1] in _OWN_OBJECTS
    rest = words[2:]
    if rest[:1] != ["table"]:
        return False
    rest = rest[1:]
    if rest[:3] == ["if", "not", "exists"]:
        rest = rest[3:]
    if rest[1:2] == ["."]:
        rest = rest[2:]
    return len(rest) > 2 and rest[1] == "using" and rest[2].strip("\"'`[]") in _HARMLESS_MODULES


def _kind_of(head: bytes) -> str:
    for magic, name in _OTHER_MAGIC:
        if head.startswith(magic):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if text == b"<":
        return "XML text"
    if text in (b"{", b"["):
        return "JSON text"
    return "unknown content"
