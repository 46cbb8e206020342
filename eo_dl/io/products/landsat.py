"""Landsat Collection 2 products (Level 1 and 2, Landsat 4 to 9, in a folder or zip) as scenes.

Bands, files, scales and offsets are those of the file `*_MTL.txt` (USGS, Landsat 8-9 Collection 2 Level 2
Science Product Guide, LSDS-1619). Surface reflectance = stored * 0.0000275 - 0.2; reflectance at the top of
the atmosphere is divided by the sine of the sun's elevation (LSDS-1822). 0 is "no data". Heat, cirrus, the
panchromatic band and quality bands are used only where they are named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ...core.bands import BandSet
from ...core.spectral import SENSORS, WAVELENGTHS_UM
from ...errors import SceneError
from ..confined import leads_outside
from ..scenefile import SceneFile
from .kinds import LANDSAT, metadata_name
from .productfiles import ProductFiles, product_files
from .stack import Layer, stacked

_LINE = re.compile(r"\s*(?P<key>[A-Z0-9_]+)\s*=\s*(?P<value>.*?)\s*")
_SENSORS = {
    "LANDSAT_4": "landsat_tm",
    "LANDSAT_5": "landsat_tm",
    "LANDSAT_7": "landsat_etm",
    "LANDSAT_8": "landsat_oli",
    "LANDSAT_9": "landsat_oli",
}
_GROUP_OF_SOURCE = "LEVEL1_PROCESSING_RECORD"
_ON_REQUEST = ("pan", "cirrus", "lwir")
_QUALITY = {
    "FILE_NAME_QUALITY_L1_PIXEL": "qa_pixel",
    "FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION": "qa_radsat",
}
CLOUDS_OF_QA = "QA_PIXEL bits 1,2,3,4"
"""Dilated cloud, cirrus, cloud and cloud shadow."""


@dataclass(frozen=True)
class _Metadata:
    """The values of an MTL file."""

    address: str
    values: Mapping[str, str]

    def number(self, key: str) -> float:
        """A number. Raises `SceneError` if it is missing or none."""
        try:
            value = float(self.values[key])
        except (KeyError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise SceneError(
                f"{self.address}: its MTL file has no number for {key} (found {self.values.get(key)!r}); "
                "download the product again"
            )
        return value

    @property
    def level(self) -> str:
        """Processing level, e.g. "L2SP"."""
        return self.values.get("PROCESSING_LEVEL", "")


def landsat(address: str, trust_links: bool) -> SceneFile:
    """The scene of a Landsat product's folder, zip archive or MTL file.

    Args:
        address: Path of the product.
        trust_links: Follow links that lead out of the folder.

    Raises:
        SceneError: The product is incomplete or damaged, or of a satellite that is not known.
    """
    files = product_files(Path(address), trust_links)
    names = files.names()
    mtl = metadata_name(names, LANDSAT)
    metadata = _Metadata(address, _read(files.text(mtl)))
    sensor = _SENSORS.get(metadata.values.get("SPACECRAFT_ID", ""))
    if sensor is None:
        found = metadata.values.get("SPACECRAFT_ID")
        raise SceneError(
            f"{address}: its MTL file names the spacecraft {found!r}; expected {', '.join(_SENSORS)}"
        )
    folder = PurePosixPath(mtl).parent
    layers: list[Layer] = []
    missing: list[str] = []
    base = 0
    for own_name, common in SENSORS[sensor].items():
        name = _file_of(metadata, own_name)
        if not name:
            continue
        path = _inside(address, folder, name)
        if path not in names:
            missing.append(name)
            continue
        if common == "red":
            base = len(layers)
        layers.append(_measured(files.raster(path), metadata, sensor, own_name))
    if not layers:
        raise SceneError(f"{address}: none of the bands that its MTL file names is there; download it again")
    quality = _quality(files, metadata, folder, names)
    scene = stacked(address, [*layers, *quality], base)
    has_clouds = any(band.name == "qa_pixel" for band in scene.on_request)
    return replace(
        scene,
        acquired=_acquired(metadata),
        offered_mask=CLOUDS_OF_QA if has_clouds else "",
        notes=tuple(_notes(metadata, missing, scene)),
        states=files.states() if files.zipped else (*scene.states, *files.states(mtl)),
    )


def _read(text: str) -> dict[str, str]:
    """The values by key. Level 2 products also describe the Level 1 product that they were made of: its files
    are left out, and of a key that comes twice the first counts.
    """
    values: dict[str, str] = {}
    group = ""
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        if match["key"] == "GROUP":
            group = match["value"]
        elif match["key"] != "END_GROUP" and group != _GROUP_OF_SOURCE:
            values.setdefault(match["key"], match["value"].strip('"'))
    return values


def _file_of(metadata: _Metadata, band: str) -> str:
    number = band.removeprefix("b").upper()
    own = metadata.values.get(f"FILE_NAME_BAND_{number}", "")
    if own or number.endswith("_VCID_2"):  # Level 2 has one temperature of the two gains of Landsat 7
        return own
    return metadata.values.get(f"FILE_NAME_BAND_ST_B{_plain(number)}", "")


def _plain(number: str) -> str:
    return number.partition("_")[0]


def _inside(address: str, folder: PurePosixPath, name: str) -> str:
    if leads_outside(name) or "/" in name:
        raise SceneError(f"{address}: its MTL file names {name[:80]!r}, which leads out of the product")
    return (folder / name).as_posix()


def _measured(file: SceneFile, metadata: _Metadata, sensor: str, own_name: str) -> Layer:
    own, common = file.bands[0], SENSORS[sensor][own_name]
    scale, offset = _units(metadata, own_name.removeprefix("b").upper(), common)
    measured = replace(
        own,
        name=common,
        named=True,
        scale=scale,
        offset=offset,
        nodata=0.0,
        wavelength_um=WAVELENGTHS_UM[sensor][own_name],
        sensor_band=f"{sensor}:{own_name.upper()}",
    )
    asked = common.startswith(_ON_REQUEST)
    return Layer(replace(file, bands=BandSet((measured,))), on_request=asked)


def _units(metadata: _Metadata, number: str, common: str) -> tuple[float, float]:
    """Scale and offset: to reflectance, or of heat to kelvin (Level 2) or radiance (Level 1)."""
    is_heat = common.startswith("lwir")
    if is_heat and metadata.level.startswith("L2"):
        key = f"BAND_ST_B{_plain(number)}"
        return metadata.number(f"TEMPERATURE_MULT_{key}"), metadata.number(f"TEMPERATURE_ADD_{key}")
    if is_heat:
        return metadata.number(f"RADIANCE_MULT_BAND_{number}"), metadata.number(f"RADIANCE_ADD_BAND_{number}")
    scale = metadata.number(f"REFLECTANCE_MULT_BAND_{number}")
    offset = metadata.number(f"REFLECTANCE_ADD_BAND_{number}")
    if metadata.level.startswith("L2"):
        return scale, offset
    height = math.sin(math.radians(metadata.number("SUN_ELEVATION")))
    if height <= 0:
        raise SceneError(f"{metadata.address}: was taken at night, so its bands have no reflectance")
    return scale / height, offset / height


def _quality(
    files: ProductFiles, metadata: _Metadata, folder: PurePosixPath, names: list[str]
) -> list[Layer]:
    layers = []
    for key, band in _QUALITY.items():
        name = metadata.values.get(key, "")
        if not name:
            continue
        path = _inside(metadata.address, folder, name)
        if path in names:
            file = files.raster(path)
            named = replace(file.bands[0], name=band, named=True)
            layers.append(Layer(replace(file, bands=BandSet((named,))), on_request=True, categories=True))
    return layers


def _acquired(metadata: _Metadata) -> str | None:
    date = metadata.values.get("DATE_ACQUIRED")
    time = metadata.values.get("SCENE_CENTER_TIME")
    return f"{date}T{time}" if date and time else date


def _notes(metadata: _Metadata, missing: list[str], scene: SceneFile) -> list[str]:
    kind = "surface reflectance" if metadata.level.startswith("L2") else "reflectance above the atmosphere"
    satellite = metadata.values["SPACECRAFT_ID"].replace("_", " ").title()
    notes = [f"{satellite}, {metadata.level or 'level not known'}: {kind}, scaled as its MTL file says"]
    if missing:
        notes.append(f"{len(missing)} files that its MTL file names are not there: {', '.join(missing[:3])}")
    asked = [band.name for band in scene.on_request if not band.name.startswith("qa_")]
    if asked:
        notes.append(f"used only where `bands` names them: {', '.join(asked)}")
    return notes
