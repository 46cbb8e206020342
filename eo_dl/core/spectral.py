"""Band names of sensors, and the common names they stand for ("B4" of Sentinel-2 is "red").

Numbered names mean something else on every sensor, so they are translated only if the sensor is known. Common
names follow the STAC eo extension.
"""

from __future__ import annotations

from collections.abc import Sequence

from .bands import canonical_name, unpadded

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

WAVELENGTHS_UM: dict[str, dict[str, float]] = {
    "sentinel2": {
        "b1": 0.4427,
        "b2": 0.4927,
        "b3": 0.5598,
        "b4": 0.6646,
        "b5": 0.7041,
        "b6": 0.7405,
        "b7": 0.7828,
        "b8": 0.8328,
        "b8a": 0.8647,
        "b9": 0.9451,
        "b10": 1.3735,
        "b11": 1.6137,
        "b12": 2.2024,
    },
    "landsat_tm": {"b1": 0.485, "b2": 0.56, "b3": 0.66, "b4": 0.83, "b5": 1.65, "b6": 11.45, "b7": 2.215},
    "landsat_etm": {
        "b1": 0.4825,
        "b2": 0.565,
        "b3": 0.66,
        "b4": 0.825,
        "b5": 1.65,
        "b6_vcid_1": 11.45,
        "b6_vcid_2": 11.45,
        "b7": 2.22,
        "b8": 0.71,
    },
    "landsat_oli": {
        "b1": 0.443,
        "b2": 0.482,
        "b3": 0.5614,
        "b4": 0.6546,
        "b5": 0.8647,
        "b6": 1.6089,
        "b7": 2.2007,
        "b8": 0.5895,
        "b9": 1.3734,
        "b10": 10.895,
        "b11": 12.005,
    },
}
"""Central wavelengths, micrometres: of Sentinel-2A (ESA, Sentinel-2 spectral response functions 3.0), of OLI
and TIRS (USGS, Landsat 8 data users handbook), else the middle of the band (USGS, Landsat band designations).
"""

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
    plain = unpadded(canonical_name(name))
    return SENSORS.get(sensor, {}).get(plain, _SAME.get(plain, plain))


def sensor_of(names: Sequence[str]) -> str:
    """The only sensor that has these names; "" if several could.

    Only Sentinel-2 has B8A and B12, and writes its eighth band as B08: harmonized Landsat (HLS) has no B08.
    """
    own = {canonical_name(name) for name in names}
    plain = {unpadded(name) for name in own}
    return "sentinel2" if plain & _ONLY_SENTINEL2 or "b08" in own else ""


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
    their_names = [] if other_sensor else [unpadded(canonical_name(name)) for name in theirs]
    their_common = [common_name(name, sensor) for name in theirs]
    matches: list[int | None] = []
    for name in ours:
        plain, common = unpadded(canonical_name(name)), common_name(name, our_sensor)
        if plain in their_names:
            matches.append(their_names.index(plain))
        else:
            matches.append(their_common.index(common) if common in their_common else None)
    return tuple(matches)
