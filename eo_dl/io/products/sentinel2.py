"""Sentinel-2 products (SAFE, L1C and L2A, in a folder or zip) as scenes.

Bands of 10, 20 and 60 m lie on one grid of 10 m on reading, each from its finest file. They hold reflectance:
(stored + offset) / quantification, both from the product's metadata; the offset of -1000 came with processing
baseline 04.00 in January 2022 (ESA, Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD-V14.9).
0 is "no data". The scene classification SCL, and masks of clouds, are used only where they are named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

from ...core.bands import BandSet, canonical_name, unpadded
from ...core.spectral import SENSORS, WAVELENGTHS_UM
from ...errors import SceneError
from ..scenefile import SceneFile
from .kinds import SENTINEL2, metadata_name
from .productfiles import ProductFiles, name_of, product_files
from .stack import Layer, stacked

_IMAGE = re.compile(
    r".*_(?P<band>B(?:0\d|1[0-2]|8A)|SCL|AOT|WVP)(?:_(?P<size>10|20|60)m)?\.(?:jp2|tif)", re.IGNORECASE
)
_CLOUD_PROBABILITY = re.compile(r".*MSK_CLDPRB_20m\.(?:jp2|tif)", re.IGNORECASE)
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_SIZES_M = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
_OTHER_SIZE_M = 20
_CATEGORIES = {"SCL"}
CLOUDS_OF_SCL = "SCL in 3,8,9,10"
"""Cloud shadows, clouds of medium and high probability, and thin cirrus (ESA, Sen2Cor)."""
CLOUDS_OF_PROBABILITY = "CLDPRB > 40"


@dataclass(frozen=True)
class _Units:
    """How stored values become reflectance."""

    quantification: float
    offsets: Mapping[str, float]
    """By the number of a band, as the metadata has them."""

    def of(self, place: int) -> tuple[float, float]:
        """Scale and offset of the band at this place of the sensor."""
        offset = self.offsets.get(str(place), 0.0)
        return 1 / self.quantification, offset / self.quantification


def sentinel2(address: str, trust_links: bool) -> SceneFile:
    """The scene of a SAFE folder, its zip archive or its metadata file.

    Args:
        address: Path of the product.
        trust_links: Follow links that lead out of the folder.

    Raises:
        SceneError: The product is incomplete or damaged, or holds several tiles.
    """
    files = product_files(Path(address), trust_links)
    names = files.names()
    metadata = metadata_name(names, SENTINEL2)
    root = files.xml(metadata)
    images = _images(address, names)
    units = _units(address, root)
    layers = []
    for band in _BANDS:
        if band in images:
            layers.append(_measured(files.raster(images[band]), band, units))
    if not layers:
        raise SceneError(f"{address}: holds no image of a band in GRANULE/*/IMG_DATA; download it again")
    sizes = [layer.file.grid.pixel_size_m[0] for layer in layers]
    finest = sizes.index(min(sizes))
    layers += _others(files, names, images)
    scene = stacked(address, layers, finest)
    offered = _offered_mask(scene)
    return replace(
        scene,
        acquired=_text(root, "PRODUCT_START_TIME") or None,
        offered_mask=offered,
        notes=tuple(_notes(root, units, sizes, offered)),
        states=(*scene.states, *files.states(metadata)) if not files.zipped else files.states(),
    )


def _images(address: str, names: Sequence[str]) -> dict[str, str]:
    """The finest image of each band by the band's name."""
    finest: dict[str, tuple[int, str]] = {}
    tiles = set()
    for name in names:
        match = _IMAGE.fullmatch(name_of(name))
        if match is None or "IMG_DATA" not in name.split("/"):
            continue
        band = match["band"].upper()
        size_m = int(match["size"] or _SIZES_M.get(band, _OTHER_SIZE_M))
        tiles.add(name.split("/IMG_DATA")[0])
        if band not in finest or size_m < finest[band][0]:
            finest[band] = size_m, name
    if len(tiles) > 1:
        raise SceneError(
            f"{address}: holds {len(tiles)} tiles, as products before 2016 do; name the images of one, e.g. "
            "B02.jp2+B03.jp2+B04.jp2"
        )
    return {band: name for band, (_, name) in finest.items()}


def _measured(file: SceneFile, band: str, units: _Units) -> Layer:
    own = file.bands[0]
    number = unpadded(canonical_name(band))
    scale, offset = units.of(_BANDS.index(band))
    measured = replace(
        own,
        name=SENSORS[SENTINEL2][number],
        named=True,
        scale=scale,
        offset=offset,
        nodata=0.0,
        wavelength_um=WAVELENGTHS_UM[SENTINEL2][number],
        sensor_band=f"{SENTINEL2}:{band}",
    )
    return Layer(replace(file, bands=BandSet((measured,))))


def _others(files: ProductFiles, names: Sequence[str], images: Mapping[str, str]) -> list[Layer]:
    """What is used only where it is named: classes, aerosol, water vapour, probability of clouds."""
    layers = []
    found = {band: images[band] for band in ("SCL", "AOT", "WVP") if band in images}
    probability = [name for name in names if _CLOUD_PROBABILITY.fullmatch(name)]
    if probability:
        found["CLDPRB"] = probability[0]
    for band, name in found.items():
        file = files.raster(name)
        named = replace(file.bands[0], name=band.lower(), named=True)
        layers.append(
            Layer(replace(file, bands=BandSet((named,))), on_request=True, categories=band in _CATEGORIES)
        )
    return layers


def _units(address: str, root: Element) -> _Units:
    quantification = _text(root, "BOA_QUANTIFICATION_VALUE") or _text(root, "QUANTIFICATION_VALUE")
    offsets = {}
    for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        for element in root.iter(tag):
            offsets[element.get("band_id", "")] = _number(address, tag, element.text)
    value = _number(address, "QUANTIFICATION_VALUE", quantification)
    if value <= 0:
        raise SceneError(f"{address}: its metadata has the quantification value {value:g}, expected 10000")
    return _Units(value, offsets)


def _offered_mask(scene: SceneFile) -> str:
    """The rule of clouds by the best band that the product has; "": it has none."""
    names = {band.name for band in scene.on_request}
    if "scl" in names:
        return CLOUDS_OF_SCL
    return CLOUDS_OF_PROBABILITY if "cldprb" in names else ""


def _notes(root: Element, units: _Units, sizes: Sequence[float], offered: str) -> list[str]:
    level = (_text(root, "PROCESSING_LEVEL") or "of an unknown level").replace("Level-", "L")
    baseline = _text(root, "PROCESSING_BASELINE") or "unknown"
    shifts = sorted(set(units.offsets.values())) or [0.0]
    shift = ", ".join(f"{value:+g}" for value in shifts)
    notes = [
        f"Sentinel-2 {level}, processing baseline {baseline}: reflectance = (value {shift}) / "
        f"{units.quantification:g}"
    ]
    coarser = [size for size in sizes if size > min(sizes) * 1.5]
    if coarser:
        notes.append(
            f"{len(coarser)} of {len(sizes)} bands have pixels of {min(coarser):.0f} to {max(coarser):.0f} m "
            f"and are brought to {min(sizes):.0f} m on reading"
        )
    if not offered:
        notes.append("clouds are part of it, and no file of it says where; give a cloud mask with `mask`")
    return notes


def _text(root: Element, tag: str) -> str:
    """The text of the first element of this name."""
    for element in root.iter(tag):
        return (element.text or "").strip()
    return ""


def _number(address: str, what: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SceneError(
            f"{address}: its metadata has no number for {what} (found {text!r}); download the product again"
        )
    return value
