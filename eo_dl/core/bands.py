"""`BandSet`: the channels of a scene or a model, known by name.

A band whose file does not name it is called `band_N` and is `named=False`: such a name says only the
position, and is never matched against a real one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import BandError

# One spelling for what files call the same thing; nothing here depends on the sensor ("B4" is red on
# Landsat 8 and near infrared on Landsat 7, so sensor numbers stay as they are written).
_SYNONYMS = {
    "r": "red", "g": "green", "b": "blue",
    "near_infrared": "nir", "near_infra_red": "nir", "nir_1": "nir1", "nir_2": "nir2",
    "red_edge": "rededge", "coastal_aerosol": "coastal",
    "shortwave_infrared": "swir", "shortwave_infrared_1": "swir1", "shortwave_infrared_2": "swir2",
    "swir_1": "swir1", "swir_2": "swir2", "grey": "gray", "panchromatic": "pan",
}  # fmt: skip


def canonical_name(text: str) -> str:
    """One spelling of a band name: lower case, words joined by `_`, common synonyms folded."""
    name = re.sub(r"[^0-9a-z]+", "_", text.strip().casefold()).strip("_")
    name = re.sub(r"^(.+)_band$|^band_(?=[a-z])(.+)$", lambda m: m.group(1) or m.group(2), name)
    return _SYNONYMS.get(name, name)


@dataclass(frozen=True, slots=True)
class Band:
    """One channel.

    `physical = stored * scale + offset`; `nodata` is a stored value. `number` is its 1-based place in the
    file.
    """

    name: str
    number: int
    named: bool = True
    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    wavelength_um: float | None = None

    @property
    def unscaled(self) -> bool:
        """True where stored values are physical ones."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True, slots=True)
class BandSet:
    """Bands in the order in which pixels carry them. Raises `BandError` for none or for two of one name."""

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        if not self.bands:
            raise BandError("a scene needs at least one band that holds measurements, and this one has none")
        twice = sorted({b.name for b in self.bands if self.names.count(b.name) > 1})
        if twice:
            raise BandError(
                f"two bands are called {', '.join(map(repr, twice))}; name them apart, e.g. with "
                "`bands='red=1,green=2,blue=3'`"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(band.name for band in self.bands)

    @property
    def named(self) -> bool:
        """True where every band is known by a real name."""
        return all(band.named for band in self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __getitem__(self, index: int) -> Band:
        return self.bands[index]

    def describe(self) -> str:
        """For messages: "red, green, blue", or "3 bands without names"."""
        return (
            ", ".join(self.names)
            if self.named
            else f"{len(self)} bands, not all named ({', '.join(self.names)})"
        )

    def select(self, wanted: Sequence[str], source: str) -> BandSet:
        """Bands as a person asked for them: names, 1-based numbers as text, or `NAME=NUMBER` to name one.

        `source` is the file, for the message. Raises `BandError` for one that is not there.
        """
        return BandSet(tuple(self._pick(item.strip(), source) for item in wanted))

    def _pick(self, item: str, source: str) -> Band:
        new_name, _, number = item.rpartition("=")
        by_number = {str(band.number): band for band in self.bands}
        by_name = {band.name: band for band in self.bands}
        found = by_number.get(number) or by_name.get(canonical_name(number))
        if found is None:
            raise BandError(
                f"{source}: band {number!r} is not there; it has {self.describe()} (numbers 1 to {max(b.number for b in self.bands)}); choose with `bands`"
            )
        return replace(found, name=canonical_name(new_name), named=True) if new_name else found

    def match(self, scene: BandSet, source: str) -> tuple[int, ...]:
        """For each of our bands (the model's), its place in `scene`'s order.

        By name where ours are named; by position where ours have none and the count is the same.
        Raises `BandError`, with the flag to type, where that would be a guess.
        """
        if not self.named:
            if len(scene) == len(self):
                return tuple(range(len(self)))
            raise BandError(
                f"{source}: the model needs {len(self)} bands in the order of its training; the scene has {len(scene)}; "
                f"choose them, e.g. with `bands='{_numbers(len(self))}'`"
            )
        places = {name: place for place, name in enumerate(scene.names)}
        missing = [name for name in self.names if name not in places]
        if missing:
            pairs = ",".join(f"{name}={number}" for number, name in enumerate(self.names, start=1))
            raise BandError(
                f"{source}: the model needs band{'s' * (len(missing) > 1)} {', '.join(missing)}; the scene has {scene.describe()}; "
                f"match them, e.g. with `bands='{pairs}'`"
            )
        return tuple(places[name] for name in self.names)


def _numbers(count: int) -> str:
    return ",".join(str(i + 1) for i in range(count))
