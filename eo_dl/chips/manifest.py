"""`chips.json`: everything about a chip set that is not a table in `chips.gpkg`. Written last: a folder
without it is not a chip set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError

from ..core.bands import Band, BandSet, Derivation
from ..core.classes import IGNORE_ID, ClassInfo, ClassSet
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labeloutlines import ImageOutlines, MapOutlines, Outlines
from ..core.labelset import FeatureLabels, LabelSet
from ..core.maplabels import MapLabels
from ..core.pixelgrid import PixelGrid
from ..core.rasterlabels import LabelRaster, RasterLabels
from ..core.valueinfo import ValueInfo
from ..errors import ChipSetError, EoDlError, SceneError
from ..io.derivedpixels import base_bands
from ..io.discover import host_of, is_remote, own_path, refuse_unnamed_hosts
from ..io.maskrules import mask_below, mask_rule, own_mask, relative_mask
from ..io.scene import Scene, open_scenes
from ..io.sceneaddress import address_below, address_parts, exists, own_address, relative_address
from ..io.sceneoptions import SceneOptions
from ..io.validity import ALL
from .chiprecord import ChipRecord
from .manifestcheck import check_values
from .sampling import Sampling
from .splits import Split

FORMAT = "eo_dl chip set"
FORMAT_VERSION = 1
MANIFEST = "chips.json"
INDEX = "chips.gpkg"
CONTACT_SHEET = "contact_sheet.png"
_END_BYTES = 65536
_MOST_BYTES = 2**29
_ALWAYS = ("nodata", "wavelength_um")
_KEPT_OPTIONS = ("nodata", "crs", "scale", "offset")

PlainValues = dict[str, Any]
"""Values as JSON holds them."""


def read_manifest(folder: Path) -> PlainValues:
    """The manifest of a chip set.

    Raises:
        ChipSetError: The folder is not a finished chip set, or was made by a newer version.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ChipSetError(
            f"{folder}: is not a folder; expected the folder of a chip set, made by `eo-dl tile`"
        )
    for name in (MANIFEST, INDEX):
        if not (folder / name).is_file():
            raise ChipSetError(
                f"{folder}: has no {name}, so it is not a finished chip set; make it with `eo-dl tile`"
            )
    if path.stat().st_size > _MOST_BYTES:
        raise ChipSetError(f"{path}: is larger than {_MOST_BYTES >> 20} MB; run `eo-dl tile` again")
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as cause:
        raise ChipSetError(f"{path}: is not readable JSON ({cause}); run `eo-dl tile` again") from cause
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ChipSetError(f"{path}: is not the manifest of a chip set; make one with `eo-dl tile`")
    version = manifest.get("format_version", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ChipSetError(
            f"{path}: was made by eo_dl {manifest.get('eo_dl')} in format {version}; this version reads "
            f"formats up to {FORMAT_VERSION}; update eo_dl"
        )
    check_values(manifest, str(path))
    return manifest


def manifest_text(values: PlainValues) -> str:
    """The manifest as written; the same values give the same bytes."""
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **values}
    return json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def options_entry(sampling: Sampling, split: Split) -> PlainValues:
    """How chips were cut and divided, so that others can be cut in the same way."""
    return {
        "sampling": {**asdict(sampling), "aoi": _full_path(sampling.aoi)},
        "split": {**asdict(split), "like": _full_path(split.like)},
    }


def _full_path(path: str | Path | None) -> str | None:
    if path is None:
        return None
    return str(path) if is_remote(str(path)) else str(own_path(path))


def sampling_of(manifest: PlainValues) -> Sampling:
    """How the chips of a set were sampled."""
    return Sampling(**manifest["options"]["sampling"])


def split_of(manifest: PlainValues) -> Split:
    """How the chips of a set were divided among splits."""
    options = manifest["options"]["split"]
    return Split(**{**options, "shares": tuple(options["shares"])})


# Scenes


def scene_entry(scene: Scene, folder: Path) -> PlainValues:
    """How to find and open a scene again, and how to recognize it.

    Args:
        scene: The scene.
        folder: The folder of the chip set, from which a relative path is recorded as well.
    """
    return {
        "path": own_address(scene.path),
        "relative": None if scene.remote else _relative_address(scene.path, folder.resolve()),
        "bands": [_band_entry(band) for band in scene.bands],
        # `bands` has the bands, with their names. What a scene may do is decided by each run for itself.
        "options": _kept_options(scene, folder),
        "native": _grid_entry(scene.native),
        "size": [scene.grid.height, scene.grid.width],
        "fingerprint": scene.fingerprint(),
    }


def _kept_options(scene: Scene, folder: Path) -> PlainValues:
    kept = {name: getattr(scene.options, name) for name in _KEPT_OPTIONS}
    if scene.valid != ALL:
        kept["valid"] = scene.valid
    if scene.options.mask:
        rules = scene.options.mask
        kept["mask"] = [own_mask(rule) for rule in rules]
        kept["mask_relative"] = [relative_mask(rule, folder) for rule in rules]
    return kept


def reopen_scene(entry: PlainValues, folder: Path, trust: SceneOptions) -> Scene:
    """The scene of an entry.

    Args:
        entry: The entry.
        folder: The folder of the chip set.
        trust: What this run lets scenes do (`trust_vrt`, `allow_remote`); what the entry says of it does not
            count.

    Raises:
        ChipSetError: The file is missing, cannot be opened or has changed.
    """
    path = _find(entry, folder, "scene", trust)
    native = _grid(entry["native"])
    try:
        scene = _open(path, entry, native, folder, trust)
    except EoDlError as cause:
        raise ChipSetError(
            f"{folder}: its scene {path} can no longer be opened ({cause}); restore the file or tile again"
        ) from cause
    bands = BandSet(tuple(_band(band) for band in entry["bands"]))
    scene = replace(scene, bands=bands, options=replace(scene.options, bands=None))
    same_size = (scene.native.height, scene.native.width) == (native.height, native.width)
    if not same_size or not _is_same_file(scene, entry):
        raise ChipSetError(
            f"{folder}: its scene {path} is not the file that was tiled, it changed since; restore the old "
            "one, or run `eo-dl tile` again"
        )
    height, width = entry["size"]
    if (height, width) == (native.height, native.width):
        return scene
    return replace(scene, grid=scene.native.resized(height, width))


def _band_entry(band: Band) -> PlainValues:
    """A band as plain values, without what it does not have."""
    values = asdict(band)
    return {name: value for name, value in values.items() if value not in ("", None) or name in _ALWAYS}


def _band(entry: PlainValues) -> Band:
    derived = entry.get("derived")
    if derived is None:
        return Band(**entry)
    inputs = tuple(_band(source) for source in derived["inputs"])
    return Band(**{**entry, "derived": Derivation(str(derived["text"]), inputs)})


def _mask_of(options: PlainValues, folder: Path, trust: SceneOptions) -> list[str]:
    """The rules of ground that is not used, with the files of a project folder that moved as a whole."""
    rules = []
    for text, moved in zip(options.get("mask", []), options.get("mask_relative", []), strict=True):
        source = mask_rule(text).source
        refuse_unnamed_hosts([source], folder, "set `allow_remote={host}`", trust.allow_remote)
        missing = mask_rule(text).names_file and not is_remote(source) and not Path(source).exists()
        rules.append(mask_below(moved, folder) if missing else text)
    return rules


def _open(path: str, entry: PlainValues, native: PixelGrid, folder: Path, trust: SceneOptions) -> Scene:
    stated = {name: value for name, value in entry["options"].items() if name in (*_KEPT_OPTIONS, "valid")}
    mask = _mask_of(entry["options"], folder, trust)
    options = SceneOptions(**stated, mask=mask, trust_vrt=trust.trust_vrt, allow_remote=trust.allow_remote)
    # By number, so that a band that is tagged as transparency is the band that it was.
    numbers = [str(band.number) for band in base_bands([_band(band) for band in entry["bands"]])]
    options = replace(options, bands=numbers)
    (scene,) = open_scenes(path, options)
    if native.crs is not None and scene.native.crs != native.crs:
        (scene,) = open_scenes(path, replace(options, crs=native.crs.to_wkt()))
    return scene


def _find(entry: PlainValues, folder: Path, kind: str, trust: SceneOptions) -> str:
    """The recorded path, else the path relative to the chip set, for project folders that moved as a
    whole.
    """
    path, relative = str(entry["path"]), entry["relative"]
    parts = [part.path for part in address_parts(path)]
    try:
        refuse_unnamed_hosts(parts, folder, "set `allow_remote={host}`", trust.allow_remote)
    except SceneError as cause:
        raise ChipSetError(str(cause)) from cause
    if exists(path):
        return path
    if relative is not None:
        moved = address_below(relative, folder)
        if exists(moved):
            return moved
    raise ChipSetError(
        f"{folder}: its {kind} {path} is missing; restore it, move it together with the chip set ({relative} "
        "from there), or tile again"
    )


def _is_same_file(scene: Scene, entry: PlainValues) -> bool:
    # The modification time is not compared: copying a file changes it.
    now, then = scene.fingerprint(), entry["fingerprint"]
    return all(now[key] == then[key] for key in ("size", "header_sha256"))


def _relative_address(address: str, folder: Path) -> str | None:
    relative = relative_address(address, folder)
    parts = address_parts(relative)
    return None if any(Path(part.path).is_absolute() for part in parts) else relative


def _relative(path: Path, folder: Path) -> str | None:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return None


def _grid_entry(grid: PixelGrid) -> PlainValues:
    """A grid as plain values."""
    return {
        "crs": None if grid.crs is None else _crs_text(grid.crs),
        "transform": list(grid.transform)[:6],
        "height": grid.height,
        "width": grid.width,
    }


def _grid(entry: PlainValues) -> PixelGrid:
    return PixelGrid(_crs(entry["crs"]), Affine(*entry["transform"]), entry["height"], entry["width"])


def _crs_text(crs: CRS) -> str:
    """The code of a CRS if it has one that means the same, else WKT."""
    authority = crs.to_authority(min_confidence=100)
    if authority:
        code = ":".join(authority)
        if CRS.from_user_input(code) == crs:
            return code
    return str(crs.to_wkt())


def _crs(text: str | None) -> CRS | None:
    if text is None:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as cause:
        raise ChipSetError(
            f"{MANIFEST}: this version of PROJ does not know the CRS {text!r}; tile again"
        ) from cause


# Labels and classes


def classes_entry(classes: ClassSet) -> list[PlainValues]:
    """Classes as plain values."""
    entries = [asdict(info) for info in classes]
    for entry in entries:
        if entry["value"] is None:
            del entry["value"]  # as chip sets of older versions have it
    return entries


def classes_of(entry: Sequence[PlainValues]) -> ClassSet:
    """The classes of an entry."""
    infos = []
    for info in entry:
        value = info.get("value")
        infos.append(ClassInfo(**{**info, "value": None if value is None else ValueInfo(**value)}))
    return ClassSet(tuple(infos))


def labels_entry(labels: LabelSet, folder: Path) -> PlainValues:
    """What the layer `labels` cannot hold.

    Args:
        labels: The labels.
        folder: The folder of the chip set, from which relative paths of label rasters are recorded as well.
    """
    areas = labels.annotated
    crs = labels.crs
    by_image = False
    image_names: tuple[str, ...] = ()
    accept_shift_m: float | None = None
    rasters: tuple[LabelRaster, ...] = ()
    match labels:
        case MapLabels():
            by_image, image_names = labels.features.images is not None, labels.image_names
            accept_shift_m = labels.accept_shift_m
        case ImageLabels():
            by_image, image_names = True, labels.image_names
        case RasterLabels():
            rasters = labels.rasters
            crs = areas.crs if isinstance(areas, MapOutlines) else None
        case _:
            raise TypeError(f"a chip set cannot hold labels of the kind {type(labels).__name__}")
    return {
        "source": labels.source,
        "crs": None if crs is None else _crs_text(crs),
        "class_field": labels.class_field,
        "accept_shift_m": accept_shift_m,
        "image_names": list(image_names),
        "by_image": by_image,
        "everywhere": areas is None,
        "annotated_by_image": areas is not None and areas.images is not None,
        "rasters": [_raster_entry(raster, folder) for raster in rasters],
        "notes": list(labels.notes),
        "report": labels.report.values(),
    }


def _raster_entry(raster: LabelRaster, folder: Path) -> PlainValues:
    remote = is_remote(raster.path)
    return {
        "path": raster.path if remote else str(own_path(raster.path)),
        "relative": None if remote else _relative(own_path(raster.path), folder.resolve()),
        "values": [[stored, class_id] for stored, class_id in raster.values.items()],
        "ignore_values": list(raster.ignore_values),
        "hidden_id": raster.hidden_id,
        "band_ids": list(raster.band_ids),
        **({"holds_values": True} if raster.holds_values else {}),
    }


def typed_hosts(labels: LabelSet) -> set[str]:
    """Hosts of the label rasters that a user named by a URL; empty for labels of other kinds."""
    if not isinstance(labels, RasterLabels):
        return set()
    return {host_of(raster.path) for raster in labels.rasters if is_remote(raster.path)}


def rasters_of(entry: PlainValues, folder: Path, trust: SceneOptions) -> tuple[LabelRaster, ...]:
    """The label rasters of an entry, where they are now.

    Args:
        entry: The entry of the labels.
        folder: The folder of the chip set.
        trust: As for `reopen_scene`.

    Raises:
        ChipSetError: One is missing.
    """
    return tuple(
        LabelRaster(
            path=_find(raster, folder, "label raster", trust),
            values=dict(raster["values"]),
            ignore_values=tuple(raster["ignore_values"]),
            hidden_id=int(raster.get("hidden_id", IGNORE_ID)),
            band_ids=tuple(raster["band_ids"]),
            holds_values=bool(raster.get("holds_values", False)),
        )
        for raster in entry["rasters"]
    )


def labels_crs(entry: PlainValues) -> CRS | None:
    """The CRS of the labels, of label rasters that of their annotated areas; None: pixels."""
    return _crs(entry["crs"])


# Content


def content_hash(
    scenes: Sequence[Scene], labels: LabelSet, records: Sequence[ChipRecord], chip_px: int
) -> str:
    """SHA-256 of what training sees: scenes, bands, grids, labels, and which chip is in which split. Paths
    and modification times do not count.
    """
    digest = hashlib.sha256()
    for scene in scenes:
        fingerprint = scene.fingerprint()
        size = f"{scene.grid.height} {scene.grid.width}"
        text = f"{fingerprint['size']} {fingerprint['header_sha256']} {scene.bands.bands} {size}\n"
        digest.update(text.encode())
    for part in _label_content(labels):
        digest.update(part)
    rows = [(r.chip_id, r.scene_index, r.window.box, r.split, r.fold, r.keep) for r in records]
    digest.update(f"{chip_px} {rows}".encode())
    return digest.hexdigest()


def labels_sha256(labels: LabelSet) -> str:
    """SHA-256 of everything in labels that training sees; of label rasters of their files' ends."""
    digest = hashlib.sha256()
    for part in _label_content(labels):
        digest.update(part)
    return digest.hexdigest()


def _label_content(labels: LabelSet) -> Iterator[bytes]:
    """Everything in labels that training sees."""
    yield repr([(info.id, info.name) for info in labels.classes]).encode()
    if labels.classes.are_values:
        yield repr(labels.classes.value_infos).encode()
    if isinstance(labels, WholeImageLabels):
        yield repr([*zip(labels.images.tolist(), labels.rows.class_ids.tolist(), strict=True)]).encode()
    if isinstance(labels, FeatureLabels):
        yield _outline_bytes(labels.outlines)
        yield np.ascontiguousarray(labels.features.class_ids, "<i8").tobytes()
        if labels.features.values is not None:
            yield np.ascontiguousarray(labels.features.values, "<f8").tobytes()
    if labels.annotated is not None:
        yield _outline_bytes(labels.annotated)
    if isinstance(labels, RasterLabels):
        for raster in labels.rasters:
            yield _file_summary(raster.path) + repr(raster.values or raster.band_ids).encode()


def _outline_bytes(outlines: Outlines) -> bytes:
    geometries = outlines.geometries
    if isinstance(outlines, ImageOutlines):
        # They pass through map coordinates, whose last bits may differ with another version of PROJ.
        geometries = shapely.transform(geometries, lambda xy: np.round(xy, 4) + 0.0)
    return b"".join(shapely.to_wkb(geometries, byte_order=1))


def _file_summary(path: str) -> bytes:
    """Size, first and last 64 KiB of a file; reading all of it would make opening a chip set slow.

    Of a remote file only the address, as in `Scene.fingerprint`: every opening would ask the server.
    """
    if is_remote(path):
        return path.encode()
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        start = file.read(_END_BYTES)
        file.seek(max(size - _END_BYTES, 0))
        return f"{size} {hashlib.sha256(start + file.read()).hexdigest()}".encode()
