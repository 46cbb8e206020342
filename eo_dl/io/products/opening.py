"""`describe_scene`: what a person names becomes one scene, whatever it is made of."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ...core.imagenames import stem_of
from ...errors import SceneError
from ..discover import RASTER_SUFFIXES, is_remote
from ..sceneaddress import AddressPart, address_parts
from ..scenefile import SceneFile, describe
from ..sceneoptions import SceneOptions
from .bandfiles import band_files
from .kinds import BAND_FILES, LANDSAT, SENTINEL2, product_kind
from .landsat import landsat
from .masking import masked
from .sentinel2 import sentinel2
from .stacitem import is_stac, stac_scene
from .stack import Layer, stacked

_ABOUT_ONE_FILE = ("nodata", "crs", "scale", "offset")


def describe_scene(address: str, options: SceneOptions) -> SceneFile:
    """What a raster, several rasters on one ground, or a product says about itself.

    Args:
        address: Path or URL, or several with "+" between (`sceneaddress`).
        options: How it is opened.

    Raises:
        SceneError: A file cannot be opened, or does not fit the others.
        BandError: A band is not there, or two have one name.
    """
    parts = address_parts(address)
    if len(parts) == 1:
        file = _described(parts[0], options)
    else:
        _refuse_options_about_one_file(address, options)
        plain = SceneOptions(trust_vrt=options.trust_vrt, allow_remote=options.allow_remote)
        file = stacked(address, [Layer(_described(part, plain), part.name) for part in parts])
    if file.offered_mask and not options.mask:
        note = f"clouds are part of it; `mask='clouds'` takes them away ({file.offered_mask})"
        file = replace(file, notes=(*file.notes, note))
    return masked(
        file,
        options.mask,
        stem=scene_stem(address),
        wanted=options.band_names,
        own_nodata=options.nodata is None,
        trust_vrt=options.trust_vrt,
    )


def scene_name(address: str) -> str:
    """File name of a scene; of several rasters their names with "+" between."""
    return "+".join(_name(part.path) for part in address_parts(address))


def scene_stem(address: str) -> str:
    """File name of a scene without its suffix; of several rasters that of the first."""
    name = _name(address_parts(address)[0].path)
    file, _, item = name.partition("#")
    if item and file.endswith(("json", "JSON")):  # of a collection of items, each has a name of its own
        return re.sub(r"[^\w.-]", "_", item)
    return stem_of(name)


def _name(path: str) -> str:
    text = path.split("?")[0] if is_remote(path) else path.replace("\\", "/")
    return PurePosixPath(text).name


def _described(part: AddressPart, options: SceneOptions) -> SceneFile:
    if is_stac(part.path):
        _refuse_options_about_one_file(part.path, options)
        return stac_scene(part.path, options.trust_vrt, options.allow_remote)
    kind = "" if is_remote(part.path) else product_kind(Path(part.path), RASTER_SUFFIXES)
    if kind:
        _refuse_options_about_one_file(part.path, options)
    if kind == SENTINEL2:
        return sentinel2(part.path, options.trust_vrt)
    if kind == LANDSAT:
        return landsat(part.path, options.trust_vrt)
    if kind == BAND_FILES:
        return band_files(part.path, options.trust_vrt)
    return describe(
        part.path,
        nodata=options.nodata,
        crs=options.crs,
        trust_vrt=options.trust_vrt,
        wanted=options.band_names,
    )


def _refuse_options_about_one_file(address: str, options: SceneOptions) -> None:
    stated = [name for name in _ABOUT_ONE_FILE if getattr(options, name) is not None]
    if stated:
        raise SceneError(
            f"{address}: `{stated[0]}` is about one raster, but these are several; correct the file that "
            "lacks it, e.g. with gdal_edit.py"
        )
