"""Which driver may open a file: decided by its first bytes, never by GDAL's own guess.

GDAL goes by content, so a `.tif` that is really XML can read any file, open connections or write files
(docs/design/reliability.md, 3). Opening with exactly one driver closes that door, but not the one
behind it: overviews and masks, beside the file or named in its tags, are opened with any driver again (GDAL
3.10: a plain TIFF with an OVERVIEW_FILE tag shows /etc/passwd), so these are looked at too. A VRT is text
that names other files; it is let in only as `.vrt`, and only with local files in or below its own folder.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from ..errors import EoDlError, LabelError, SceneError
from .discover import is_remote
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


def raster_driver(path: str, trust_vrt: bool = False) -> str:
    """The only GDAL driver that may open this raster.

    Raises `SceneError` for a missing file, for content that is no raster we read, and for a VRT that
    reaches outside its own folder (unless `trust_vrt`).
    """
    if is_remote(path):
        return _remote_driver(path)
    head = _head(path, SceneError)
    driver = driver_of_bytes(head)
    if driver is not None:
        if driver not in registered_drivers():
            raise SceneError(
                f"{path}: is {driver.removesuffix('OpenJPEG')}, and the GDAL of this rasterio was built without it; convert it, e.g. gdal_translate IN OUT.tif"
            )
        check_sidecars(Path(path))
        return driver
    if Path(path).suffix.lower() == ".vrt" and b"<VRTDataset" in head:
        if not trust_vrt:
            check_sidecars(Path(path))
            check_vrt(Path(path), _check_vrt_source)
        return "VRT"
    raise SceneError(
        f"{path}: is not a raster that is read here ({_kind_of(head)}); expected {_RASTERS}; convert it, e.g. gdal_translate IN OUT.tif"
    )


def driver_of_bytes(head: bytes) -> str | None:
    """The driver that the first bytes of a file name, None where they name none."""
    return next((driver for magic, driver in _RASTER_MAGIC if head.startswith(magic)), None)


def vector_driver(path: str) -> str:
    """What a vector file is by content: GPKG, GeoJSON, "ESRI Shapefile", FlatGeobuf or Parquet.

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
    if head.startswith(b"fgb\x03fgb"):
        return "FlatGeobuf"
    if head.startswith(b"PAR1"):
        return "Parquet"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return "GeoJSON"
    advice = (
        "give the .shp of a Shapefile"
        if suffix in {".dbf", ".shx", ".prj"}
        else "convert it, e.g. ogr2ogr OUT.gpkg IN"
    )
    raise LabelError(
        f"{path}: is not a vector file that is read here ({_kind_of(head)}); expected {_VECTORS}; {advice}"
    )


def check_sidecars(path: Path) -> None:
    """Refuse sidecars that GDAL would open with a driver of its own choice: overviews and masks must be
    TIFFs.

    An overview file named in a tag or in the `.aux.xml` is refused by `open_dataset`.
    """
    for suffix in (".ovr", ".msk", ".msk.ovr"):
        sidecar = path.with_name(path.name + suffix)
        if not sidecar.is_file():
            continue
        if driver_of_bytes(_head(str(sidecar), SceneError)) != "GTiff":
            raise SceneError(
                f"{sidecar}: is no TIFF, as an overview or mask beside {path.name} must be; remove it"
            )
        open_dataset(str(sidecar), "GTiff").close()  # its tags are looked at there


def _check_vrt_source(path: Path) -> bool:
    """Check a file that a VRT names; True where it is a VRT itself. Raises `SceneError`."""
    head = _head(str(path), SceneError)
    if driver_of_bytes(head) is not None:
        # GDAL opens it by content, and drivers that look for text stop at the first zero byte: real images
        # have one at once.
        if b"\0" not in head[:16]:
            raise SceneError(
                f"{path}: starts like an image but continues like text; convert it, e.g. gdal_translate IN OUT.tif"
            )
        check_sidecars(path)
        open_dataset(str(path), str(driver_of_bytes(head))).close()  # its tags are looked at there
        return False
    if path.suffix.lower() == ".vrt" and b"<VRTDataset" in head:
        return True
    raise SceneError(
        f"{path}: is named by a VRT but is not a raster that is read here ({_kind_of(head)}); expected {_RASTERS}"
    )


def _remote_driver(path: str) -> str:
    if "header_file=" in path:
        raise SceneError(
            f"{path.split('?')[0]}: takes request headers from a file, which is not allowed; set GDAL_HTTP_HEADERS in the environment"
        )
    if path.startswith(("/vsistdin", "/vsisubfile", "/vsisparse")):
        raise SceneError(
            f"{path}: is not a place of a file that is read here; give a path, an https:// address or /vsicurl/, /vsis3/, /vsigs/, /vsiaz/, /vsizip/"
        )
    return "GTiff"


def _head(path: str, error: type[EoDlError]) -> bytes:
    file = Path(path)
    if file.is_dir():
        raise error(f"{path}: is a folder; give a file")
    if not file.exists():
        raise error(f"{path}: no such file")
    if not file.is_file():
        raise error(f"{path}: is not a regular file; give a file on disk")
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as cause:
        raise error(f"{path}: cannot be read ({cause.strerror}); check its rights") from cause
    if not head:
        raise error(f"{path}: is empty (0 bytes); copy or download it again")
    return head


def _check_geopackage(path: str, head: bytes) -> None:
    if head[68:72] not in (b"GPKG", b"GP10", b"GP11") and Path(path).suffix.lower() != ".gpkg":
        raise LabelError(f"{path}: is an SQLite file but no GeoPackage; convert it, e.g. ogr2ogr OUT.gpkg IN")
    try:
        with sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True) as database:
            rows = database.execute(
                "SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'"
            ).fetchall()
    except sqlite3.Error as cause:
        raise LabelError(
            f"{path}: is a damaged GeoPackage ({cause}); copy it again or repair it with ogr2ogr"
        ) from cause
    finally:
        if "database" in locals():
            database.close()
    foreign = [sql for (sql,) in rows if not re.search(r"\bUSING\s+\"?(rtree|fts[345])", sql, re.IGNORECASE)]
    if foreign:
        raise LabelError(
            f"{path}: holds tables that read other files ({foreign[0][:60]}...); copy its layers with ogr2ogr"
        )


def _kind_of(head: bytes) -> str:
    known = (
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
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    named = next((name for magic, name in known if head.startswith(magic)), None)
    return named or (
        "XML text" if text == b"<" else "JSON text" if text in (b"{", b"[") else "content of an unknown kind"
    )
