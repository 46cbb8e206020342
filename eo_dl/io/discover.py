"""Which rasters a person means by a list of paths, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import SceneError

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".gtif", ".gtiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2"})


def is_remote(path: str) -> bool:
    """True for what GDAL opens by itself: `/vsi...` and URLs; such strings are handed on untouched."""
    return path.startswith("/vsi") or "://" in path


def own_path(path: str | Path) -> Path:
    """The absolute path, links among its folders resolved but not the file's: a link's name is one that
    somebody gave on purpose, and labels are found by it.
    """
    given = Path(path)
    return given.parent.resolve() / given.name


def relative_path(path: str, folder: Path) -> str:
    """A path as seen from `folder`, with forward slashes and "./" in front of what lies in it; remote ones
    and those on another drive as they are.
    """
    if is_remote(path):
        return path
    try:
        found = os.path.relpath(own_path(path), folder.resolve()).replace(os.sep, "/")
    except ValueError:  # another drive of Windows
        return str(own_path(path))
    return found if found.startswith("../") else f"./{found}"


def scene_paths(sources: Sequence[str | Path], below: bool = False) -> tuple[str, ...]:
    """Every raster named, in a stable order: files as given, folders and patterns sorted by name.

    A folder gives the rasters directly in it, with `below` also those in the folders below it (by suffix;
    sidecars and masks of other suffixes are not rasters). Raises `SceneError` for a folder or a pattern that
    holds none.
    """
    found: list[str] = []
    for source in map(str, sources):
        if is_remote(source) or Path(source).is_file():
            found.append(source)
        elif Path(source).is_dir():
            found += _in_folder(Path(source), below)
        elif any(sign in source for sign in "*?["):
            matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - the pattern may be absolute
            if not matches:
                raise SceneError(f"{source}: no file matches this pattern; check the path")
            found += matches
        else:
            found.append(source)  # opening it says best what is wrong
    return tuple(dict.fromkeys(found))


def rasters_below(folder: Path) -> tuple[str, ...]:
    """All rasters in a folder and in those below it, sorted; hidden ones left out."""
    found = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in RASTER_SUFFIXES and not hidden and path.is_file():
            found.append(str(path))
    return tuple(sorted(found))


def _in_folder(folder: Path, below: bool) -> list[str]:
    if below:
        return list(rasters_below(folder)) or _in_folder(folder, False)
    rasters = sorted(
        str(p)
        for p in folder.iterdir()
        if p.suffix.lower() in RASTER_SUFFIXES and p.is_file() and not p.name.startswith(".")
    )
    if not rasters:
        raise SceneError(
            f"{folder}: this folder holds no raster ({', '.join(sorted(RASTER_SUFFIXES))}); name the files"
        )
    return rasters
