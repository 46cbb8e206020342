"""Band names of sensors, and the common names they stand for ("B4" of Sentinel-2 is "red").

Numbered names mean something else on every sensor, so they are translated only if the sensor is known. Common
names follow the STAC eo extension.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .bands import canonical_name

SENSORS: dict[str, dict[str, str]] = {
    "sentinel2": {
        "b1": "coastal",
        "b2": "blue",
        "b3": "green",
        "b4": "red",
        "b5": "rededge071",
        "b6": "rededge075",
        "b7": "rededge078",
        "b8": "nir",
        "b8a": "nir08",
        "b9": "nir09",
        "b10": "cirrus",
        "b11": "swir16",
        "b12": "swir22",
    },
    "landsat_tm": {
        "b1": "blue",
        "b2": "green",
        "b3": "red",
        "b4": "nir",
        "b5": "swir16",
        "b6": "lwir",
        "b7": "swir22",
    },
    "landsat_etm": {
        "b1": "blue",
        "b2": "green",
        "b3": "red",
        "b4": "nir",
        "b5": "swir16",
        "b6_vcid_1": "lwir",
        "b6_vcid_2": "lwir_high",
        "b7": "swir22",
        "b8": "pan",
    },
    "landsat_oli": {
        "b1": "coastal",
        "b2": "blue",
        "b3": "green",
        "b4": "red",
        "b5": "nir",
        "b6": "swir16",
        "b7": "swir22",
        "b8": "pan",
        "b9": "cirrus",
        "b10": "lwir11",
        "b11": "lwir12",
    },
}

_SAME = {
    "rededge1": "rededge071",
    "rededge_1": "rededge071",
    "rededge2": "rededge075",
    "rededge_2": "rededge075",
    "rededge3": "rededge078",
    "rededge_3": "rededge078",
    "rededge4": "nir08",
    "rededge_4": "nir08",
    "nir_narrow": "nir08",
    "narrow_nir": "nir08",
    "water_vapour": "nir09",
    "water_vapor": "nir09",
    "swir1": "swir16",
    "swir2": "swir22",
}
_ONLY_SENTINEL2 = {"b8a", "b12"}


def common_name(name: str, sensor: str = "") -> str:
    """The common name of a band: "B04" of "sentinel2" is "red". Unknown names are only brought to one
    spelling.
    """
    plain = _unpadded(canonical_name(name))
    return SENSORS.get(sensor, {}).get(plain, _SAME.get(plain, plain))


def sensor_of(names: Sequence[str]) -> str:
    """The only sensor that has these names; "" if several could."""
    plain = {_unpadded(canonical_name(name)) for name in names}
    return "sentinel2" if plain & _ONLY_SENTINEL2 else ""


def match_bands(ours: Sequence[str], theirs: Sequence[str], sensor: str = "") -> tuple[int | None, ...]:
    """The index in `theirs` of each band in `ours`; None without a match.

    Names are compared in one spelling ("B04" is "b4"), then by common name. If the names in `ours` can only
    be of another sensor, numbered names are not compared.

    Args:
        ours: Band names to match.
        theirs: Band names to match them with.
        sensor: Sensor of `theirs`, if known.
    """
    our_sensor = sensor_of(ours)
    other_sensor = bool(our_sensor and sensor and our_sensor != sensor)
    their_names = [] if other_sensor else [_unpadded(canonical_name(name)) for name in theirs]
    their_common = [common_name(name, sensor) for name in theirs]
    matches: list[int | None] = []
    for name in ours:
        plain, common = _unpadded(canonical_name(name)), common_name(name, our_sensor)
        if plain in their_names:
            matches.append(their_names.index(plain))
        else:
            matches.append(their_common.index(common) if common in their_common else None)
    return tuple(matches)


def _unpadded(name: str) -> str:
    return re.sub(r"^(?:sr_)?b0*([1-9])", r"b\1", name)
