"""`BandSet`: the channels of a scene or a model, known by name.

A band whose file does not name it is called `band_N` and is `named=False`: such a name says only the
position, and is never matched against a real one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import BandError
from .wording import listed

_MOST_LISTED = 12
"""Names in a message; the others are counted."""
_MOST_IN_RANGE = 100_000
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")

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


def unpadded(name: str) -> str:
    """A sensor's name of a band without what files add: "b04", "b4" and "sr_b4" are "b4"."""
    return re.sub(r"^(?:sr_)?b0*([1-9])", r"b\1", name)


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
    sensor_band: str = ""
    """Sensor and its own name of the band, e.g. "sentinel2:B04"; "" where that is not known."""
    derived: Derivation | None = None
    """How it is made from other bands on reading; None: it is in the file."""

    @property
    def sensor_name(self) -> str:
        """The sensor's own name of the band in one spelling: "b4"; "" where it is not known."""
        return unpadded(canonical_name(self.sensor_band.partition(":")[2]))

    @property
    def unscaled(self) -> bool:
        """True if stored values are physical values."""
        return self.scale == 1.0 and self.offset == 0.0


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a band is made from others."""

    text: str
    """The recipe, with the names of the bands that it is made of: "ndvi=(nir - red) / (nir + red)"."""
    inputs: tuple[Band, ...] = ()
    """The scene's bands in the order of these names; empty in a model, which knows the names alone."""


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
                f"two bands are called {listed(map(repr, duplicates))}; give them different names, e.g. "
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
        """The names for a message, the first of many; for bands without names also their number."""
        names = listed(name_runs(self.bands), _MOST_LISTED)
        return names if self.named else f"{len(self)} bands, not all named ({names})"

    def select(self, wanted: Sequence[str], source: str) -> BandSet:
        """The requested bands, in that order.

        Args:
            wanted: Names, 1-based numbers or ranges of them ("1-126") as text, or NAME=NUMBER to name a band.
            source: The file, for messages.

        Raises:
            BandError: A band does not exist.
        """
        by_number = {str(band.number): band for band in self.bands}
        of_sensor = {band.sensor_name: band for band in self.bands if band.sensor_band}
        by_name = of_sensor | {band.name: band for band in self.bands}
        picked = []
        for item in wanted:
            ends = _RANGE.fullmatch(item.strip())
            if ends is None or canonical_name(item) in by_name:  # "450-520" may be a name
                picked.append(self._pick(item.strip(), by_number, by_name, source))
            else:
                picked += self._range(int(ends[1]), int(ends[2]), source)
        return BandSet(tuple(picked))

    def _range(self, first: int, last: int, source: str) -> list[Band]:
        """The bands from one 1-based number to another."""
        numbers = {band.number for band in self.bands}
        outside = [number for number in (first, last) if number not in numbers]
        if outside or first > last:
            problem = f"has no band {outside[0]}" if outside else "the range goes down"
            raise BandError(
                f"{source}: `bands` asks for {first}-{last}, but {problem}; it has {self.describe()}; give "
                "the lower number first, and numbers that are there"
            )
        return [band for band in sorted(self.bands, key=_number) if first <= band.number <= last]

    def _pick(self, item: str, by_number: dict[str, Band], by_name: dict[str, Band], source: str) -> Band:
        new_name, _, number = item.rpartition("=")
        name = canonical_name(number)
        band = by_number.get(number) or by_name.get(name) or by_name.get(unpadded(name))
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
                f"{len(scene)}; choose them, e.g. with `bands='{self._numbers_in(scene)}'`"
            )
        index_of = {name: index for index, name in enumerate(scene.names)}
        missing = [name for name in self.names if name not in index_of]
        if missing:
            pairs = ",".join(
                f"{name}={number}" for number, name in enumerate(self.names[:_MOST_LISTED], start=1)
            )
            pairs += ",..." if len(self) > _MOST_LISTED else ""
            noun = "band" if len(missing) == 1 else "bands"
            raise BandError(
                f"{source}: the model needs {noun} {listed(missing, _MOST_LISTED)}, the scene has "
                f"{scene.describe()}; match them, e.g. with `bands='{pairs}'`"
            )
        return tuple(index_of[name] for name in self.names)

    def _numbers_in(self, scene: BandSet) -> str:
        """Numbers by which a user may choose these bands: those of training if the scene has them."""
        numbers = [band.number for band in self.bands]
        if not set(numbers) <= {band.number for band in scene.bands}:
            numbers = list(range(1, len(self) + 1))
        return ",".join(number_ranges(numbers))


def _number(band: Band) -> int:
    return band.number


def number_ranges(numbers: Sequence[int]) -> list[str]:
    """Numbers in their order, runs of three and more as ranges: ["1-126", "130"]."""
    texts = []
    for first, last in _runs(numbers):
        run = [str(number) for number in range(first, last + 1)]
        texts += [f"{first}-{last}"] if len(run) > 2 else run
    return texts


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def name_runs(bands: Sequence[Band]) -> list[str]:
    """Names of bands; runs of more than three bands without a name as "band_1 to band_126"."""
    texts: list[str] = []
    rest = list(bands)
    while rest:
        run = [rest.pop(0)]
        while rest and _continues(run[-1], rest[0]):
            run.append(rest.pop(0))
        texts += [f"{run[0].name} to {run[-1].name}"] if len(run) > 3 else [band.name for band in run]
    return texts


def _continues(band: Band, following: Band) -> bool:
    return not band.named and not following.named and following.number == band.number + 1


def band_list(bands: Sequence[Band]) -> str:
    """Bands in a message: "band nir", "bands red, nir", "bands band_104 to band_109 and 3 more"."""
    return f"band{'' if len(bands) == 1 else 's'} {listed(name_runs(bands), _MOST_LISTED)}"


def expanded_ranges(items: Sequence[str]) -> list[str]:
    """Names and numbers with each range ("1-3") as its numbers ("1", "2", "3"), where no file says which
    bands there are.

    Raises:
        BandError: A range goes down, or is too long.
    """
    expanded: list[str] = []
    for item in items:
        ends = _RANGE.fullmatch(item.strip())
        if ends is None:
            expanded.append(item)
            continue
        first, last = int(ends[1]), int(ends[2])
        if not 1 <= first <= last <= _MOST_IN_RANGE:
            raise BandError(f"`bands`: expected a range such as 1-126, found {item.strip()!r}")
        expanded += [str(number) for number in range(first, last + 1)]
    return expanded


def in_ranges(number: int, items: Sequence[str]) -> bool:
    """True if a band is asked for by its number or by a range, also as NAME=NUMBER."""
    for item in items:
        ends = _RANGE.fullmatch(item.strip())
        if ends is not None and int(ends[1]) <= number <= int(ends[2]):
            return True
        if item.rpartition("=")[2].strip() == str(number):
            return True
    return False
