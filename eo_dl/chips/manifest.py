"""`chips.json`: everything about a chip set that is not a table in `chips.gpkg`. Written last: a folder
without it is no chip set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.arraytypes import GeometryArray
from ..core.bands import Band, BandSet
from ..core.classes import ClassInfo, ClassSet
from ..core.labelset import LabelSet, MaskLabels
from ..core.pixelgrid import PixelGrid
from ..errors import ChipSetError, EoDlError
from ..io.discover import is_remote, own_path
from ..io.scene import Scene, open_scenes
from ..io.sceneoptions import SceneOptions
from .chiprecord import ChipRecord

FORMAT = "eo_dl chip set"
FORMAT_VERSION = 1
MANIFEST = "chips.json"
INDEX = "chips.gpkg"
CONTACT_SHEET = "contact_sheet.png"
_END_BYTES = 65536

Plain = dict[str, Any]


def read_manifest(folder: Path) -> Plain:
    """The manifest of a chip set. Raises `ChipSetError` where the folder is none, or a newer one."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ChipSetError(f"{folder}: is not a folder; give the one that `eo-dl tile -o` made")
    if not path.is_file() or not (folder / INDEX).is_file():
        missing = MANIFEST if not path.is_file() else INDEX
        raise ChipSetError(
            f"{folder}: holds no {missing}, so it is not a (finished) chip set; make it with `eo-dl tile ... -o {folder}`"
        )
    try:
        found = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as cause:
        raise ChipSetError(
            f"{path}: is not readable JSON ({cause}); make the chip set again with `eo-dl tile`"
        ) from cause
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ChipSetError(f"{path}: is not the manifest of a chip set; make one with `eo-dl tile`")
    if found.get("format_version", 0) > FORMAT_VERSION:
        raise ChipSetError(
            f"{path}: was made by eo_dl {found.get('eo_dl')} in format {found['format_version']}; this one reads up to {FORMAT_VERSION}; update eo_dl"
        )
    return found


def manifest_text(values: Plain) -> str:
    """The manifest as it is written; the same values give the same bytes."""
    return (
        json.dumps(
            {"format": FORMAT, "format_version": FORMAT_VERSION, **values},
            indent=1,
            ensure_ascii=False,
            allow_nan=False,
        )
        + "\n"
    )


# Scenes


def scene_entry(scene: Scene, folder: Path) -> Plain:
    """How to find and open a scene again, and how to tell that it is still the same."""
    return {
        "path": scene.path if scene.remote else str(own_path(scene.path)),
        "relative": None if scene.remote else _relative(own_path(scene.path), folder.resolve()),
        "bands": [asdict(band) for band in scene.bands],
        "dtype": scene.dtype,
        "options": {**asdict(scene.options), "bands": None},  # `bands` has them, with their names
        "native": grid_entry(scene.native),
        "size": [scene.grid.height, scene.grid.width],
        "fingerprint": scene.fingerprint(),
    }


def reopen_scene(entry: Plain, folder: Path) -> Scene:
    """The scene of an entry. Raises `ChipSetError` where it is not there any more or has become another."""
    path = _find(entry, folder)
    native = _grid(entry["native"])
    try:
        scene = _open(path, entry, native)
    except EoDlError as cause:
        raise ChipSetError(
            f"{folder}: its scene {path} cannot be opened any more ({cause}); put the file back or tile again"
        ) from cause
    bands = BandSet(tuple(Band(**band) for band in entry["bands"]))
    scene = replace(scene, bands=bands, dtype=entry["dtype"])
    height, width = entry["size"]
    if (scene.native.height, scene.native.width) != (native.height, native.width) or not _same(scene, entry):
        raise ChipSetError(
            f"{folder}: its scene {path} is not the file that was tiled (it changed since); put the old one back, or run `eo-dl tile` again"
        )
    return (
        scene
        if (height, width) == (native.height, native.width)
        else replace(scene, grid=scene.native.resized(height, width))
    )


def _open(path: str, entry: Plain, native: PixelGrid) -> Scene:
    options = SceneOptions(**entry["options"])
    (scene,) = open_scenes(path, options)
    if native.crs is not None and scene.native.crs != native.crs:
        (scene,) = open_scenes(path, replace(options, crs=native.crs.to_wkt()))
    return scene


def _find(entry: Plain, folder: Path) -> str:
    """The recorded path, else the same place relative to the chip set (a project folder moved as a whole)."""
    path = str(entry["path"])
    if is_remote(path) or Path(path).exists():
        return path
    moved = (
        None if entry["relative"] is None else Path(os.path.normpath(folder.resolve() / entry["relative"]))
    )
    if moved is not None and moved.exists():
        return str(moved)
    raise ChipSetError(
        f"{folder}: its scene {path} is not there any more; put it back, move it together with the chip set ({entry['relative']} from here), or tile again"
    )


def _same(scene: Scene, entry: Plain) -> bool:
    # The time of change is not compared: copying a file changes it.
    now, then = scene.fingerprint(), entry["fingerprint"]
    return all(now[key] == then[key] for key in ("size", "header_sha256"))


def _relative(path: Path, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return None


def grid_entry(grid: PixelGrid) -> Plain:
    """A grid as plain values."""
    return {
        "crs": None if grid.crs is None else _crs_text(grid.crs),
        "transform": list(grid.transform)[:6],
        "height": grid.height,
        "width": grid.width,
    }


def _grid(entry: Plain) -> PixelGrid:
    return PixelGrid(_crs(entry["crs"]), Affine(*entry["transform"]), entry["height"], entry["width"])


def _crs_text(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    return (
        ":".join(authority)
        if authority and CRS.from_user_input(":".join(authority)) == crs
        else str(crs.to_wkt())
    )


def _crs(text: str | None) -> CRS | None:
    try:
        return None if text is None else CRS.from_user_input(text)
    except CRSError as cause:
        raise ChipSetError(
            f"{MANIFEST}: the CRS {text!r} is not understood by this PROJ; tile again"
        ) from cause


# Labels and classes


def classes_entry(classes: ClassSet) -> list[Plain]:
    """Classes as plain values."""
    return [asdict(info) for info in classes]


def classes_of(entry: Sequence[Plain]) -> ClassSet:
    """Classes of their entry."""
    return ClassSet(tuple(ClassInfo(**info) for info in entry))


def labels_entry(labels: LabelSet, folder: Path) -> Plain:
    """What the layer `labels` cannot hold."""
    return {
        "source": labels.source,
        "crs": None if labels.crs is None else _crs_text(labels.crs),
        "class_field": labels.class_field,
        "image_names": list(labels.image_names),
        "by_image": labels.images is not None,
        "everywhere": labels.annotated is None,
        "annotated_by_image": labels.annotated_images is not None,
        "masks": [
            {
                "path": str(own_path(mask.path)),
                "relative": _relative(own_path(mask.path), folder.resolve()),
                "values": [[stored, class_id] for stored, class_id in mask.values.items()],
                "ignore_values": list(mask.ignore_values),
                "band_ids": list(mask.band_ids),
            }
            for mask in labels.masks
        ],
        "notes": list(labels.notes),
    }


def masks_of(entry: Plain, folder: Path) -> tuple[MaskLabels, ...]:
    """The label rasters of an entry, where they lie now."""
    return tuple(
        MaskLabels(
            _find_mask(mask, folder),
            dict(mask["values"]),
            tuple(mask["ignore_values"]),
            tuple(mask.get("band_ids", ())),
        )
        for mask in entry["masks"]
    )


def _find_mask(mask: Plain, folder: Path) -> str:
    if Path(mask["path"]).exists():
        return str(mask["path"])
    moved = None if mask["relative"] is None else Path(os.path.normpath(folder.resolve() / mask["relative"]))
    if moved is not None and moved.exists():
        return str(moved)
    raise ChipSetError(
        f"{folder}: its label raster {mask['path']} is not there any more; put it back or tile again"
    )


def labels_crs(entry: Plain) -> CRS | None:
    """The CRS of the labels; None where they lie in pixels."""
    return _crs(entry["crs"])


# Content


def content_hash(
    scenes: Sequence[Scene], labels: LabelSet, records: Sequence[ChipRecord], chip_px: int
) -> str:
    """SHA-256 of what training sees: scenes, bands, grids, labels, and which chip is in which split; not of
    paths and times.
    """
    digest = hashlib.sha256()
    for scene in scenes:
        seen = scene.fingerprint()
        digest.update(
            f"{seen['size']} {seen['header_sha256']} {scene.bands.bands} {scene.grid.height} {scene.grid.width}\n".encode()
        )
    digest.update(repr([(c.id, c.name) for c in labels.classes]).encode())
    digest.update(
        _shapes(labels.geometries, labels.crs is None)
        + np.ascontiguousarray(labels.class_ids, "<i8").tobytes()
    )
    if labels.annotated is not None:
        digest.update(_shapes(labels.annotated, labels.crs is None))
    for mask in labels.masks:
        digest.update(_ends(Path(mask.path)) + repr(mask.values or mask.band_ids).encode())
    digest.update(
        f"{chip_px} {[(r.chip_id, r.scene_index, r.window.box, r.split, r.fold, r.keep) for r in records]}".encode()
    )
    return digest.hexdigest()


def _shapes(geometries: GeometryArray, pixels: bool) -> bytes:
    # Pixels pass through map coordinates, whose last bits may come out otherwise with another PROJ.
    rounded = shapely.transform(geometries, lambda xy: np.round(xy, 4) + 0.0) if pixels else geometries
    return b"".join(shapely.to_wkb(rounded, byte_order=1))


def _ends(path: Path) -> bytes:
    """Size, first and last 64 KiB of a file; all of it would make opening a chip set slow."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(_END_BYTES)
        file.seek(max(size - _END_BYTES, 0))
        return f"{size} {hashlib.sha256(first + file.read()).hexdigest()}".encode()
