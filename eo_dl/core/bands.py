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
    """One channel."""

    name: str
    """Name in one spelling, e.g. "red"; "band_3" without a name."""
    number: int
    """1-based number in the file."""
    named: bool = True
    """True if the name says what was measured."""
    dtype: str = "float32"
    """Data type of stored values."""
    scale: float = 1.0
    """Physical value per stored unit: physical = stored * scale + offset."""
    offset: float = 0.0
    """Physical value of a stored 0."""
    nodata: float | None = None
    """Stored value that means nodata."""
    wavelength_um: float | None = None
    """Central wavelength, micrometres."""

    @property
    def unscaled(self) -> bool:
        """True if stored values are physical values."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True, slots=True)
class BandSet:
    """Bands in the order of the pixels. Raises `BandError` for no bands and for two of one name."""

    bands: tuple[Band, ...]
    """The bands."""

    def __post_init__(self) -> None:
        if not self.bands:
            raise BandError("a scene needs at least one band of measurements, this one has none")
        duplicates = sorted({name for name in self.names if self.names.count(name) > 1})
        if duplicates:
            raise BandError(
                f"two bands are called {', '.join(map(repr, duplicates))}; give them different names, e.g. "
                "with `bands='red=1,green=2,blue=3'`"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(band.name for band in self.bands)

    @property
    def named(self) -> bool:
        """True if every band has a name of its own."""
        return all(band.named for band in self.bands)

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __getitem__(self, index: int) -> Band:
        return self.bands[index]

    def describe(self) -> str:
        """The names for a message; for bands without names also their number."""
        listed = ", ".join(self.names)
        return listed if self.named else f"{len(self)} bands, not all named ({listed})"

    def select(self, wanted: Sequence[str], source: str) -> BandSet:
        """The requested bands, in that order.

        Args:
            wanted: Names, 1-based numbers as text, or NAME=NUMBER to name a band.
            source: The file, for messages.

        Raises:
            BandError: A band does not exist.
        """
        return BandSet(tuple(self._pick(item.strip(), source) for item in wanted))

    def _pick(self, item: str, source: str) -> Band:
        new_name, _, number = item.rpartition("=")
        by_number = {str(band.number): band for band in self.bands}
        by_name = {band.name: band for band in self.bands}
        band = by_number.get(number) or by_name.get(canonical_name(number))
        if band is None:
            last = max(band.number for band in self.bands)
            raise BandError(
                f"{source}: has no band {number!r}; it has {self.describe()} (numbers 1 to {last}); choose "
                "others with `bands`"
            )
        return replace(band, name=canonical_name(new_name), named=True) if new_name else band

    def match(self, scene: BandSet, source: str) -> tuple[int, ...]:
        """For each of these bands (a model's), its index among the bands of a scene.

        By name if these bands are named; by position if they are not and both have as many.

        Args:
            scene: Bands of the scene.
            source: The scene's file, for messages.

        Raises:
            BandError: A band is missing, or matching would be a guess.
        """
        if not self.named:
            if len(scene) == len(self):
                return tuple(range(len(self)))
            raise BandError(
                f"{source}: the model needs {len(self)} bands in the order of its training, the scene has "
                f"{len(scene)}; choose them, e.g. with `bands='{_numbers(len(self))}'`"
            )
        index_of = {name: index for index, name in enumerate(scene.names)}
        missing = [name for name in self.names if name not in index_of]
        if missing:
            pairs = ",".join(f"{name}={number}" for number, name in enumerate(self.names, start=1))
            noun = "band" if len(missing) == 1 else "bands"
            raise BandError(
                f"{source}: the model needs {noun} {', '.join(missing)}, the scene has {scene.describe()}; "
                f"match them, e.g. with `bands='{pairs}'`"
            )
        return tuple(index_of[name] for name in self.names)


def _numbers(count: int) -> str:
    return ",".join(str(i + 1) for i in range(count))
