"""What sensors call their bands, in the words that bands are called by when they are told apart by colour.

Number names ("B4") mean something else on every sensor; they are read as a sensor's only where it is known
whose they are. Common names follow the STAC eo extension.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .bands import canonical_name

SENSORS: dict[str, dict[str, str]] = {
    "sentinel2": {
        "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "rededge071", "b6": "rededge075", "b7": "rededge078",
        "b8": "nir", "b8a": "nir08", "b9": "nir09", "b10": "cirrus", "b11": "swir16", "b12": "swir22",
    },
    "landsat_tm": {"b1": "blue", "b2": "green", "b3": "red", "b4": "nir", "b5": "swir16", "b6": "lwir", "b7": "swir22"},
    "landsat_etm": {
        "b1": "blue", "b2": "green", "b3": "red", "b4": "nir", "b5": "swir16", "b6_vcid_1": "lwir", "b6_vcid_2": "lwir_high", "b7": "swir22", "b8": "pan",
    },
    "landsat_oli": {
        "b1": "coastal", "b2": "blue", "b3": "green", "b4": "red", "b5": "nir", "b6": "swir16", "b7": "swir22", "b8": "pan", "b9": "cirrus",
        "b10": "lwir11", "b11": "lwir12",
    },
}  # fmt: skip

_SAME = {
    "rededge1": "rededge071", "rededge_1": "rededge071", "rededge2": "rededge075", "rededge_2": "rededge075",
    "rededge3": "rededge078", "rededge_3": "rededge078", "rededge4": "nir08", "rededge_4": "nir08", "nir_narrow": "nir08", "narrow_nir": "nir08",
    "water_vapour": "nir09", "water_vapor": "nir09", "swir1": "swir16", "swir2": "swir22",
}  # fmt: skip
_ONLY_SENTINEL2 = {"b8a", "b12"}


def common_name(name: str, sensor: str = "") -> str:
    """What a band is called by its colour: "B04" of "sentinel2" is "red". A number name of no known sensor
    stays as it is.
    """
    plain = _unpadded(canonical_name(name))
    return SENSORS.get(sensor, {}).get(plain, _SAME.get(plain, plain))


def sensor_of(names: Sequence[str]) -> str:
    """The sensor that the names can only be of; "" where they could be of several."""
    plain = {_unpadded(canonical_name(name)) for name in names}
    return "sentinel2" if plain & _ONLY_SENTINEL2 else ""


def match_bands(ours: Sequence[str], theirs: Sequence[str], sensor: str = "") -> tuple[int | None, ...]:
    """For each of our bands its place in `theirs`, which are bands of `sensor`; None where there is none like
    it.

    Names are compared as they are (but for case and zeros: "B04" is "b4"), then by colour. Where our names
    can only be of another sensor, numbers are not compared.
    """
    own = sensor_of(ours)
    foreign = bool(own and sensor and own != sensor)
    numbers = [_unpadded(canonical_name(name)) for name in theirs]
    colours = [common_name(name, sensor) for name in theirs]
    return tuple(
        _place(_unpadded(canonical_name(name)), [] if foreign else numbers, common_name(name, own), colours)
        for name in ours
    )


def _place(number: str, numbers: list[str], colour: str, colours: list[str]) -> int | None:
    if number in numbers:
        return numbers.index(number)
    return colours.index(colour) if colour in colours else None


def _unpadded(name: str) -> str:
    return re.sub(r"^(?:sr_)?b0*([1-9])", r"b\1", name)
