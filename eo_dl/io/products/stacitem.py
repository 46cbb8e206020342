"""STAC items as scenes: bands by `eo:common_name`, quality by name, date; items of a collection by their id.

An item is text from somebody else. Files that it names lie in or below its own folder; hosts are only asked
if the user named them, or the item itself came from there.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ...core.bands import Band, BandSet, canonical_name
from ...errors import InputError, SceneError
from ..confined import leads_outside
from ..discover import RASTER_SUFFIXES, host_of, is_remote, refuse_unnamed_hosts
from ..download import fetch_bytes
from ..filestate import FileState
from ..scenefile import SceneFile, describe
from .landsat import CLOUDS_OF_QA
from .sentinel2 import CLOUDS_OF_SCL
from .stack import Layer, stacked

Values = dict[str, Any]

_MOST_BYTES = 64 * 2**20
_MOST_ITEMS = 10_000
_ON_REQUEST = {"scl", "qa_pixel", "qa_radsat", "fmask", "cloud", "snow", "aot", "wvp", "qa", "udm2", "pan"}
_CATEGORIES = {"scl", "qa_pixel", "qa_radsat", "fmask", "qa"}
_NO_DATA_ROLES = {"thumbnail", "overview", "visual", "metadata"}
_QUALITY_ROLES = {"cloud", "cloud-shadow", "snow-ice", "data-mask", "saturation", "water-mask"}
_SIZE = re.compile(r"_(\d+)m$")
_MASKS = {"scl": CLOUDS_OF_SCL, "qa_pixel": CLOUDS_OF_QA}


def is_stac(address: str) -> bool:
    """True for a STAC item or collection of items: a local file that says so, or an address that ends so."""
    place = address.partition("#")[0]
    if is_remote(place):
        return place.startswith(("https://", "http://")) and _is_json(urllib.parse.urlsplit(place).path)
    if not _is_json(place) or not Path(place).is_file():
        return False
    try:
        return _is_item(_document(place, _stamp(place)))
    except SceneError:
        return False


def item_addresses(address: str) -> list[str]:
    """The address of every item of a collection, as FILE#ID; of an item its own address.

    Raises:
        SceneError: The text is no item and no collection of items, or holds none.
    """
    place, _, wanted = address.partition("#")
    document = _document(place, _stamp(place))
    if wanted or document.get("type") == "Feature":
        return [address]
    items = _items(address, document)
    return [f"{place}#{item.get('id')}" for item in items]


def stac_scene(address: str, trust_links: bool, allowed: Sequence[str]) -> SceneFile:
    """The scene of an item.

    Args:
        address: Path or URL of the item, or FILE#ID for one of a collection.
        trust_links: Open local files outside the item's own folder.
        allowed: Hosts that the user named, as `host_of` gives them.

    Raises:
        SceneError: It is no item, has no band, or names files that it must not.
    """
    place, _, wanted = address.partition("#")
    item = _item(address, _document(place, _stamp(place)), wanted)
    layers: list[Layer] = []
    finest: dict[str, int] = {}
    for key, asset in sorted(_assets(address, item).items()):
        bands = _band_entries(asset)
        if not _is_raster(asset) or not _is_used(key, asset, bands):
            continue
        names = [_name(key, band) for band in bands] or [canonical_name(_SIZE.sub("", key))]
        known = finest.get("+".join(names))
        layer = _layer(address, place, asset, bands, names, trust_links, allowed)
        if known is None:
            finest["+".join(names)] = len(layers)
            layers.append(layer)
        elif _px(layer) < _px(layers[known]):
            layers[known] = layer
    if not any(not layer.on_request for layer in layers):
        raise SceneError(
            f"{address}: has no asset that is a GeoTIFF or JPEG 2000 with bands "
            f"({', '.join(item['assets'])}); name the rasters themselves"
        )
    sizes = [(layer.on_request, _px(layer)) for layer in layers]
    scene = stacked(address, layers, sizes.index(min(sizes)))
    names_asked = [band.name for band in scene.on_request]
    masks = [_MASKS[name] for name in names_asked if name in _MASKS]
    own = () if is_remote(place) else (FileState.of(place),)
    properties = item.get("properties")
    if not isinstance(properties, dict):
        raise SceneError(f"{address}: its properties are not as STAC has them; expected an object")
    note = f"STAC item {item.get('id')}: {len(layers)} assets"
    return replace(
        scene,
        acquired=str(properties.get("datetime") or properties.get("start_datetime") or "") or None,
        offered_mask=masks[0] if masks else "",
        notes=(note,),
        states=(*scene.states, *own),
    )


def _layer(
    address: str,
    place: str,
    asset: Values,
    bands: Sequence[Values],
    names: Sequence[str],
    trust_links: bool,
    allowed: Sequence[str],
) -> Layer:
    path = _path_of(address, place, str(asset["href"]), trust_links, allowed)
    file = describe(path, nodata=None, crs=None, trust_vrt=False)
    if len(names) != len(file.bands):
        raise SceneError(
            f"{address}: says that {path} has the bands {', '.join(names)}, but it has {len(file.bands)}; "
            "name the rasters themselves"
        )
    rasters = _objects(asset.get("raster:bands"))
    changed = []
    for index, (own, name) in enumerate(zip(file.bands, names, strict=True)):
        entry = bands[index] if index < len(bands) else {}
        facts = {**(rasters[index] if index < len(rasters) else {}), **_of_raster(entry)}
        changed.append(_band(address, own, name, entry, facts))
    asked = names[0] in _ON_REQUEST or bool(_roles(asset) & _QUALITY_ROLES)
    return Layer(
        replace(file, bands=BandSet(tuple(changed))),
        on_request=asked,
        categories=names[0] in _CATEGORIES,
    )


def _band(address: str, own: Band, name: str, entry: Values, facts: Values) -> Band:
    centre = entry.get("eo:center_wavelength", entry.get("center_wavelength"))
    scale = _number(address, facts, "scale", own.scale)
    nodata = facts.get("nodata")
    return replace(
        own,
        name=name,
        named=True,
        scale=own.scale if scale == 0 else scale,
        offset=_number(address, facts, "offset", own.offset),
        nodata=own.nodata if not isinstance(nodata, int | float) else float(nodata),
        wavelength_um=float(centre) if isinstance(centre, int | float) and centre > 0 else own.wavelength_um,
    )


def _number(address: str, facts: Values, name: str, default: float) -> float:
    value = facts.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e30:
        raise SceneError(f"{address}: the {name} of a band is {value!r}, expected a number")
    return float(value)


def _of_raster(entry: Values) -> Values:
    """Scale, offset and nodata of a band as STAC 1.1 has them."""
    return {
        key.removeprefix("raster:"): value
        for key, value in entry.items()
        if key in ("raster:scale", "raster:offset", "nodata")
    }


def _path_of(address: str, place: str, href: str, trust_links: bool, allowed: Sequence[str]) -> str:
    """Where an asset lies: an absolute local path, or an address that GDAL opens."""
    if is_remote(place) and "://" not in href:
        href = urllib.parse.urljoin(place, href)
    if "://" in href:
        path = href.replace("s3://", "/vsis3/", 1) if href.startswith("s3://") else href
        own = [host_of(place)] if is_remote(place) else []
        advice = "allow it with `allow_remote={host}`"
        refuse_unnamed_hosts([path], address, advice, {*allowed, *own})
        return path
    folder = Path(place).resolve().parent
    file = folder / href  # an absolute path stays as it is
    has_drive_or_control = leads_outside(href) and not href.startswith(("/", "./", "../"))
    inside = file.resolve().is_relative_to(folder) and not has_drive_or_control
    if not trust_links and not inside:
        raise SceneError(_outside(address, href))
    return str(file)


def _outside(address: str, href: str) -> str:
    return (
        f"{address}: names the file {href[:80]!r} outside its own folder, which is not opened; if you wrote "
        "it yourself, set `trust_vrt=True`"
    )


def _px(layer: Layer) -> float:
    return layer.file.grid.gsd_m or 0.0


def _is_used(key: str, asset: Values, bands: Sequence[Values]) -> bool:
    roles = _roles(asset)
    if roles & _NO_DATA_ROLES:
        return False
    is_quality = canonical_name(key) in _ON_REQUEST or bool(roles & _QUALITY_ROLES)
    return is_quality or bool(bands) or bool(roles & {"data", "reflectance", "temperature"})


def _roles(asset: Values) -> set[str]:
    roles = asset.get("roles") or []
    return {str(role).lower() for role in roles} if isinstance(roles, list) else set()


def _is_raster(asset: Values) -> bool:
    kind = str(asset.get("type", "")).lower()
    href = str(asset.get("href", ""))
    suffix = PurePosixPath(urllib.parse.urlsplit(href).path).suffix.lower()
    return suffix in RASTER_SUFFIXES or "geotiff" in kind or "jp2" in kind


def _band_entries(asset: Values) -> list[Values]:
    return _objects(asset.get("bands") or asset.get("eo:bands"))


def _objects(entries: object) -> list[Values]:
    """The objects in a list; none if it is no list."""
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _name(key: str, band: Values) -> str:
    """The common name of a band, else its name, else the key of its asset."""
    name = band.get("eo:common_name") or band.get("common_name") or band.get("name") or key
    return canonical_name(str(name)) or canonical_name(key)


def _assets(address: str, item: Values) -> Mapping[str, Values]:
    assets = item.get("assets")
    if not isinstance(assets, dict) or not all(isinstance(asset, dict) for asset in assets.values()):
        raise SceneError(f"{address}: its assets are not as STAC has them; expected an item with assets")
    return {key: asset for key, asset in assets.items() if isinstance(asset.get("href"), str)}


def _item(address: str, document: Values, wanted: str) -> Values:
    if document.get("type") == "Feature":
        return document
    items = _items(address, document)
    named = [item for item in items if str(item.get("id")) == wanted]
    if len(named) == 1:
        return named[0]
    if not wanted and len(items) == 1:
        return items[0]
    examples = ", ".join(str(item.get("id")) for item in items[:3])
    raise SceneError(
        f"{address}: holds {len(items)} items ({examples}); name one, as in FILE.json#{items[0].get('id')}"
    )


def _items(address: str, document: Values) -> list[Values]:
    items = document.get("features")
    if not isinstance(items, list) or not items or not all(_is_item(item) for item in items):
        raise SceneError(f"{address}: is neither a STAC item nor a collection of items")
    if len(items) > _MOST_ITEMS:
        raise SceneError(f"{address}: holds {len(items)} items, more than {_MOST_ITEMS}; search for fewer")
    return items


def _is_item(document: object) -> bool:
    if not isinstance(document, dict):
        return False
    if document.get("type") == "FeatureCollection":
        items = document.get("features")
        return isinstance(items, list) and bool(items) and _is_item(items[0])
    return document.get("type") == "Feature" and "stac_version" in document and "assets" in document


def _is_json(path: str) -> bool:
    return path.lower().endswith((".json", ".geojson"))


def _stamp(place: str) -> tuple[int, int]:
    """What changes with a local file, so that it is read again; of an address nothing."""
    if is_remote(place):
        return 0, 0
    try:
        status = Path(place).stat()
    except OSError as cause:
        raise SceneError(f"{place}: no such file") from cause
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _document(place: str, stamp: tuple[int, int]) -> Values:
    """The JSON object of a file or address; `stamp` makes a changed file another one."""
    try:
        if is_remote(place):
            data = fetch_bytes(place, _MOST_BYTES)
        elif stamp[0] > _MOST_BYTES:
            raise SceneError(f"{place}: is larger than {_MOST_BYTES >> 20} MB, so it is no STAC item")
        else:
            data = Path(place).read_bytes()
        document = json.loads(data)
    except InputError as cause:
        raise SceneError(str(cause)) from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise SceneError(
            f"{place}: is not readable JSON ({str(cause)[:100]}); expected a STAC item"
        ) from cause
    if not isinstance(document, dict):
        raise SceneError(f"{place}: is JSON, but no STAC item or collection of items")
    return document
