"""Paths of scenes: which rasters a list of paths, folders and patterns names."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ..errors import EoDlError, InputError, SceneError
from .products.kinds import BAND_FILES, product_kind

GEOTIFF_SUFFIXES = (".tif", ".tiff")
"""Suffixes of rasters that are written."""

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".fgb", ".parquet")
"""Suffixes of vector files that are written."""

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".gtif", ".gtiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2"})


def is_remote(path: str) -> bool:
    """True for `/vsi...` paths and URLs, which GDAL opens itself; such strings are passed on untouched."""
    return path.startswith("/vsi") or "://" in path


def host_of(path: str) -> str:
    """Where a remote path leads: the host of a URL ("tiles.example.org"), else GDAL's file system and what it
    is asked for first ("/vsis3/bucket").
    """
    hosts = re.findall(r"://([^/?#\s]+)", path)
    if hosts:
        return str(hosts[-1]).rpartition("@")[2].lower()
    parts = [part for part in path.split("/") if part]
    return "/" + "/".join(parts[:2])


def refuse_unnamed_hosts(
    paths: Iterable[str], source: str | Path, advice: str, allowed: Collection[str] = ()
) -> None:
    """Refuse remote scenes that a file names and nobody typed: opening them tells their host about this run.

    Args:
        paths: The paths that the file names.
        source: The file, for the message.
        advice: What to do, with "{host}" for the host.
        allowed: Hosts that were typed, as `host_of` gives them.

    Raises:
        SceneError: A path leads to another host.
    """
    for path in paths:
        if is_remote(path) and host_of(path) not in allowed:
            raise SceneError(
                f"{source}: names the raster {path[:200]!r} on another machine, which was not asked for; if "
                f"you trust it, {advice.replace('{host}', host_of(path))}"
            )


def own_path(path: str | Path) -> Path:
    """The absolute path, with links among its folders resolved.

    A link to the file itself is kept: its name was chosen on purpose, and labels are found by it.
    """
    unresolved = Path(path)
    return unresolved.parent.resolve() / unresolved.name


def relative_path(path: str, folder: Path) -> str:
    """A path relative to `folder`, with forward slashes, and "./" in front of paths inside it.

    Remote paths, and absolute ones on another drive, stay as they are.
    """
    if is_remote(path):
        return path
    try:
        relative = os.path.relpath(own_path(path), folder.resolve()).replace(os.sep, "/")
    except ValueError:  # another drive of Windows
        return str(own_path(path))
    return relative if relative.startswith("../") else f"./{relative}"


def refuse_other_encodings(path: str | Path, error: type[EoDlError] = InputError) -> None:
    """Refuse, as `error`, a path whose absolute form is not UTF-8 on disk: GDAL asks for no other names."""
    absolute = os.path.abspath(path)  # noqa: PTH100 - as it is typed, without links resolved
    shown = os.fsencode(absolute).decode(errors="backslashreplace")
    if "utf" not in sys.getfilesystemencoding() and not absolute.isascii():
        raise error(
            f"{shown}: this system's names are read as {sys.getfilesystemencoding()}, where GDAL needs "
            "UTF-8; set PYTHONUTF8=1, or a UTF-8 locale such as LC_ALL=C.UTF-8"
        )
    try:
        absolute.encode()
    except UnicodeEncodeError:
        raise error(
            f"{shown}: the name of this file or of its folders is not UTF-8, which GDAL needs; rename it, "
            "e.g. with the program convmv"
        ) from None


def scene_paths(sources: Sequence[str | Path], below: bool = False) -> tuple[str, ...]:
    """Paths of all named rasters, each once, in a stable order.

    Args:
        sources: Files in their order, and folders and patterns ("tiles/*.tif"), whose files are sorted.
        below: Search folders with all their subfolders, instead of only the files directly in them.

    Raises:
        SceneError: A folder holds no raster, or a pattern matches no file.
    """
    paths: list[str] = []
    for source in map(str, sources):
        if is_remote(source) or Path(source).is_file() or is_product(source):
            paths.append(source)
        elif Path(source).is_dir():
            paths += _in_folder(Path(source), below)
        elif any(sign in source for sign in "*?["):
            matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - the pattern may be absolute
            if not matches:
                raise SceneError(f"{source}: no file matches this pattern; check the path")
            paths += matches
        else:
            paths.append(source)  # opening it gives the best error message
    return tuple(dict.fromkeys(paths))


def is_product(path: str) -> bool:
    """True for a folder or archive that is one scene: a product, or one file per band."""
    return not is_remote(path) and bool(product_kind(Path(path), RASTER_SUFFIXES))


def named_scenes(sources: Sequence[str | Path]) -> tuple[str, ...]:
    """As `scene_paths`, for sources that are opened later, which raises if they hold nothing: none then."""
    try:
        return scene_paths(sources)
    except SceneError:
        return ()


def rasters_below(folder: Path) -> tuple[str, ...]:
    """All rasters in a folder and its subfolders, sorted, without hidden ones."""
    rasters = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in RASTER_SUFFIXES and not hidden and path.is_file():
            rasters.append(str(path))
    return tuple(sorted(rasters))


def _in_folder(folder: Path, below: bool) -> list[str]:
    if below:
        return list(rasters_below(folder)) or _in_folder(folder, False)
    rasters = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        is_raster = path.suffix.lower() in RASTER_SUFFIXES and path.is_file()
        if is_raster or _is_product_in_folder(path):
            rasters.append(str(path))
    if not rasters:
        raise SceneError(
            f"{folder}: this folder holds no raster ({', '.join(sorted(RASTER_SUFFIXES))}); name the files"
        )
    return sorted(rasters)


def _is_product_in_folder(path: Path) -> bool:
    """True for a product in a folder of scenes. Folders of band files are named themselves: by their names
    alone they could be something else.
    """
    if path.is_file() and path.suffix.lower() != ".zip":
        return False
    return product_kind(path, RASTER_SUFFIXES) not in ("", BAND_FILES)
