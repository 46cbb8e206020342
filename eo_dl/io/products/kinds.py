"""Which folders, archives and files are one product, by the names in them. Nothing is opened but an archive's
list of names, and no raster."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..confined import leads_outside

SENTINEL2, LANDSAT, BAND_FILES = "sentinel2", "landsat", "band files"

_METADATA = (
    (SENTINEL2, re.compile(r"MTD_MSIL(1C|2A)\.xml", re.IGNORECASE)),
    (LANDSAT, re.compile(r"L[COTEM]\d\d_\w+_MTL\.txt", re.IGNORECASE)),
)
_BAND = re.compile(
    r"(?P<before>.*?)(?P<sep>^|[_.\- ])(?P<band>B\d{1,2}A?|SR_B\d|ST_B\d{1,2}|coastal|blue|green|red|"
    r"rededge\d*|red_edge_?\d?|nir\d*|nir_narrow|swir\d*|pan|cirrus|lwir\d*|thermal|SCL|QA_PIXEL)(?P<size>_\d0m)?",
    re.IGNORECASE,
)
_MOST_NAMES = 20_000


def product_kind(path: Path, raster_suffixes: Iterable[str]) -> str:
    """What a path is besides a raster: "sentinel2", "landsat", "band files", or "" for something else.

    Args:
        path: A folder, a zip archive, or the metadata file of a product.
        raster_suffixes: Suffixes of rasters, in lower case.
    """
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return _kind_of_metadata(PurePosixPath(name).name for name in archive_names(path))
        return _kind_of_metadata([path.name])
    if not path.is_dir():
        return ""
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError:
        return ""
    kind = _kind_of_metadata(names)
    if kind:
        return kind
    rasters = [name for name in names if PurePosixPath(name).suffix.lower() in set(raster_suffixes)]
    return BAND_FILES if band_file_names(rasters) else ""


def metadata_name(names: Iterable[str], kind: str) -> str:
    """The first of these names that is the metadata file of a product; "" if none is."""
    pattern = dict(_METADATA)[kind]
    for name in sorted(names):
        if pattern.fullmatch(PurePosixPath(name).name):
            return name
    return ""


def band_file_names(names: Iterable[str]) -> dict[str, str]:
    """File name by band, if each of these rasters is one band of one scene; else nothing.

    That is so if they are two or more, all end in the name of a band, all begin alike, and no two are one
    band: "B02.tif", "B03.tif", or "north_red.tif", "north_nir.tif".
    """
    visible = [name for name in sorted(names) if not name.startswith(".")]
    found: dict[str, str] = {}
    beginnings = set()
    for name in visible:
        match = _BAND.fullmatch(PurePosixPath(name).stem)
        if match is None or match["band"].lower() in found:
            return {}
        beginnings.add(match["before"])
        found[match["band"].lower()] = name
    return found if len(found) > 1 and len(beginnings) == 1 else {}


def archive_names(path: Path) -> list[str]:
    """Names of the files in a zip archive, sorted, without those that lead out of it; none if it is damaged,
    or none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return []
    names = [name for name in files if not leads_outside(name)]
    return sorted(names) if len(names) <= _MOST_NAMES else []


def _kind_of_metadata(names: Iterable[str]) -> str:
    for name in names:
        for kind, pattern in _METADATA:
            if pattern.fullmatch(name):
                return kind
    return ""
