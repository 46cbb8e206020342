"""Which band of a scene is which band of a model, where their names differ: by the sensor's own names and by
wavelength. What is not certain stays without a match, and what was matched how is said.

Common names stand for ranges of wavelengths (STAC eo extension 1.1). "B4" is red on Landsat 8 and near
infrared on Landsat 7, so names of sensors count only where the sensor is known: from the product, or because
only one sensor has the names that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .bands import Band, BandSet
from .spectral import common_name, sensor_of
from .wording import listed

_SENSOR_TITLES = {
    "sentinel2": "Sentinel-2",
    "landsat_tm": "Landsat 4-5",
    "landsat_etm": "Landsat 7",
    "landsat_oli": "Landsat 8-9",
}
_RANGES_UM = {
    "coastal": (0.40, 0.45),
    "blue": (0.45, 0.53),
    "green": (0.51, 0.60),
    "yellow": (0.58, 0.62),
    "red": (0.62, 0.69),
    "rededge071": (0.69, 0.725),
    "rededge075": (0.725, 0.755),
    "rededge078": (0.765, 0.795),
    "nir": (0.80, 0.90),
    "nir08": (0.85, 0.88),
    "nir09": (0.90, 1.05),
    "cirrus": (1.35, 1.40),
    "swir16": (1.55, 1.75),
    "swir22": (2.08, 2.35),
}
_NEAR_UM, _FAR_UM = 0.025, 0.06
"""Centres that differ by less are one band: below and above 1 micrometre."""


@dataclass(frozen=True)
class BandMatch:
    """The bands of a scene by the bands of a model."""

    bands: BandSet
    """The scene's bands, in their order, under the model's names where they were matched."""
    notes: tuple[str, ...]
    """What was matched how, apart from equal names."""


@dataclass(frozen=True)
class _Search:
    """Where bands are looked for."""

    scene: BandSet
    our_sensor: str
    their_sensor: str


def with_names_of(wanted: BandSet, scene: BandSet) -> BandMatch:
    """The bands of a scene under the names that a model (or another scene) has for them.

    Bands are compared by name, by common name (which the sensor's names stand for) and by wavelength, in this
    order; a band of the scene is one band of the model at most, and what could be several bands is no match.

    Args:
        wanted: Bands of the model.
        scene: Bands of the scene.
    """
    if not wanted.named:
        return BandMatch(scene, ())
    named: dict[int, tuple[str, str]] = {}
    missing = [band for band in wanted if band.name not in scene.names]
    taken = {index for index, name in enumerate(scene.names) if name in wanted.names}
    search = _Search(scene, _sensor(wanted), _sensor(scene))
    for find in (_by_meaning, _by_wavelength):
        for band in list(missing):
            free = [index for index in range(len(scene)) if index not in taken]
            found = find(search, band, free)
            if found is not None:
                index, how = found
                named[index] = band.name, how
                taken.add(index)
                missing.remove(band)
    if not named:
        return BandMatch(scene, ())
    renamed = []
    for index, band in enumerate(scene):
        name = named[index][0] if index in named else band.name
        renamed.append(replace(band, name=name, named=band.named or index in named))
    pairs = [f"{name} = {scene[index].name} ({how})" for index, (name, how) in sorted(named.items())]
    return BandMatch(BandSet(tuple(renamed)), (f"bands are matched: {listed(pairs)}",))


def _sensor(bands: BandSet) -> str:
    """The sensor of a scene: as its product says, or the only one that has these names; "" if unknown."""
    stated = {band.sensor_band.partition(":")[0] for band in bands if band.sensor_band}
    if len(stated) == 1:
        return stated.pop()
    return sensor_of(bands.names) if not stated else ""


def _by_meaning(search: _Search, wanted: Band, free: Sequence[int]) -> tuple[int, str] | None:
    """The only band whose common name is that of the wanted one."""
    ours = common_name(wanted.name, search.our_sensor)
    found = []
    for index in free:
        band = search.scene[index]
        if band.named and common_name(band.name, search.their_sensor) == ours:
            found.append(index)
    if len(found) != 1:
        return None
    sensor = search.their_sensor or search.our_sensor
    return found[0], f"of {_SENSOR_TITLES[sensor]}" if sensor else "another spelling"


def _by_wavelength(search: _Search, wanted: Band, free: Sequence[int]) -> tuple[int, str] | None:
    """The band whose centre is next to that of the wanted one, or the only one in the range of its name."""
    centres = [(search.scene[index].wavelength_um, index) for index in free]
    known = [(centre, index) for centre, index in centres if centre is not None]
    ours = wanted.wavelength_um
    if ours is not None:
        most = _NEAR_UM if ours < 1 else _FAR_UM
        near = [(abs(centre - ours), centre, index) for centre, index in known if abs(centre - ours) < most]
        if not near:
            return None
        _, centre, index = min(near)
        return index, f"{centre:g} um"
    low, high = _RANGES_UM.get(common_name(wanted.name, search.our_sensor), (0.0, 0.0))
    within = [(centre, index) for centre, index in known if low <= centre < high]
    if len(within) != 1:  # of several bands in a range, which one is meant is not certain
        return None
    centre, index = within[0]
    return index, f"{centre:g} um"
