"""`Recipe`: how a band is made from others, as text and as a computation.

    ndvi                            an index by its name in the table of spyndex
    savi(L=0.25)                    with another constant
    x=(nir-red)/(nir+red)           a formula over bands, under a name
    slope, aspect, northness, eastness, hillshade(315,35), hillshade, relief(12m), sky(10m), sky(10m,16)
    slope(dtm), relief(dtm,12m)     of another band than the height of the scene
    height(dsm,dtm)                 one height less another
    glcm(nir,contrast,3px,0..0.5)   texture in a window, of values in a range

Distances are in metres ("12m") or pixels ("12px").
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float64Array
from ...core.bandmatching import with_names_of
from ...core.bands import Band, BandSet, Derivation, canonical_name
from ...core.pixelgrid import PixelGrid
from ...core.wording import plain_number
from ...errors import BandError, ConfigError
from . import terrain
from .formulas import parse_formula
from .ground import Ground
from .indices import index_formula, is_index
from .texture import MEASURES, glcm

HEIGHTS = ("elevation", "height", "dtm", "dsm", "dem", "chm", "ndsm", "hag")
"""Names of bands that are heights, in the order in which they are taken where none is named."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?"
_CALL = re.compile(r"(?P<function>[A-Za-z]\w*)(?:\((?P<arguments>.*)\))?")
_LENGTH = re.compile(rf"(?P<value>{_NUMBER})\s*(?P<unit>m|px)")
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})")
_PLAIN = re.compile(_NUMBER)
_STATED = re.compile(rf"(?P<name>[A-Za-z]\w*)\s*=\s*(?P<value>{_NUMBER})")
_NAMED = re.compile(r"(?P<name>[A-Za-z]\w*)\s*=\s*(?P<rest>.+)")
_MOST_CONTEXT_PX = 2048
_ALIKE = {"nir": ("nir08", "nir1"), "swir16": ("swir1", "swir"), "swir22": ("swir2",), "lwir": ("lwir11",)}
_TERRAIN = ("slope", "aspect", "northness", "eastness", "hillshade", "relief", "sky")
FUNCTIONS = (*_TERRAIN, "height", "glcm")
"""What a recipe can call, apart from indices and formulas."""


@dataclass(frozen=True)
class Arguments:
    """What stands between the brackets of a call, sorted by kind."""

    names: tuple[str, ...] = ()
    lengths: tuple[tuple[float, str], ...] = ()
    numbers: tuple[float, ...] = ()
    limits: tuple[float, float] | None = None
    constants: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A band to make."""

    name: str
    """What it is called."""
    function: str
    """One of `FUNCTIONS`, or "formula"."""
    inputs: tuple[str, ...]
    """The bands that it is made from; none: a height is looked for."""
    arguments: Arguments = Arguments()
    """Distances, angles and ranges."""
    formula: str = ""
    """Of "formula": the text."""

    def with_inputs(self, names: Sequence[str]) -> Recipe:
        """The same about these bands."""
        return Recipe(self.name, self.function, tuple(names), self.arguments, self.formula)

    @property
    def text(self) -> str:
        """The recipe in one spelling, by which a model makes the same band again."""
        if self.function == "formula":
            return f"{self.name}={self.formula}"
        items = [*self.inputs]
        items += [name for name in self.arguments.names if name not in items]
        items += [f"{plain_number(value)}{unit}" for value, unit in self.arguments.lengths]
        items += [plain_number(value) for value in self.arguments.numbers]
        if self.arguments.limits is not None:
            low, high = self.arguments.limits
            items.append(f"{plain_number(low)}..{plain_number(high)}")
        return f"{self.name}={self.function}({', '.join(items)})"

    def context_px(self, grid: PixelGrid) -> int:
        """Pixels around a pixel that its value depends on.

        Raises:
            ConfigError: They are too many, or need a CRS that the grid lacks.
        """
        needed = self._context_px(grid)
        if needed > _MOST_CONTEXT_PX:
            raise ConfigError(
                f"`derive`: {self.text} looks {needed} px around each pixel here, more than "
                f"{_MOST_CONTEXT_PX}; use a smaller distance, or a coarser GSD"
            )
        return needed

    def _context_px(self, grid: PixelGrid) -> int:
        if self.function in ("formula", "height"):
            return 0
        if self.function == "relief":
            return max(terrain.relief_context_px(sigma) for sigma in self._length_px(grid))
        if self.function == "sky":
            return math.ceil(max(self._length_px(grid))) + 1
        if self.function == "glcm":
            return round(max(self._length_px(grid))) + 1
        _ = _ground(grid, self)
        return 1

    def _length_px(self, grid: PixelGrid) -> tuple[float, float]:
        value, unit = self.arguments.lengths[0]
        if unit == "px":
            return value, value
        return _ground(grid, self).pixels(value)

    def values(self, planes: Mapping[str, Float64Array], grid: PixelGrid) -> Float64Array:
        """(H, W) the band, NaN where it cannot be known.

        Args:
            planes: (H, W) physical values of the inputs by name, NaN where they were not measured.
            grid: The whole grid that they are a part of, which decides sizes and directions.
        """
        if self.function == "formula":
            made = parse_formula(self.formula).of(planes)
            known = np.logical_and.reduce([np.isfinite(planes[name]) for name in self.inputs])
            return np.where(known, made, np.nan)
        first = planes[self.inputs[0]]
        if self.function == "height":
            return first - planes[self.inputs[1]]
        if self.function == "relief":
            return terrain.relief(first, self._length_px(grid))
        if self.function == "glcm":
            low, high = self.arguments.limits or (0.0, 255.0)
            return glcm(first, self.arguments.names[0], round(self._length_px(grid)[0]), low, high)
        ground = _ground(grid, self)
        numbers = self.arguments.numbers
        if self.function == "sky":
            value, unit = self.arguments.lengths[0]
            radius_m = value if unit == "m" else value * min(ground.width_m, ground.height_m)
            return terrain.sky_view(first, ground, radius_m, int(numbers[0]))
        if self.function == "hillshade" and len(numbers) == 2:
            return terrain.hillshade(first, ground, numbers[0], numbers[1])
        if self.function == "hillshade":
            return terrain.multi_hillshade(first, ground, numbers[0])
        return _SIMPLE[self.function](first, ground)


_SIMPLE: dict[str, Callable[[Float64Array, Ground], Float64Array]] = {
    "slope": terrain.slope,
    "aspect": terrain.aspect,
    "northness": terrain.northness,
    "eastness": terrain.eastness,
}


def recipe_texts(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    """The recipes of one text or several, each checked and as it is typed; commas outside brackets divide.

    Raises:
        ConfigError: One is no recipe.
    """
    if texts is None:
        return ()
    items = [texts] if isinstance(texts, str) else list(texts)
    found = [part.strip() for item in items for part in _divided(item)]
    for text in found:
        parse_recipe(text)
    return tuple(found)


def parse_recipe(text: str) -> Recipe:
    """The recipe that a text says.

    Raises:
        ConfigError: It is none.
    """
    text = text.strip()
    named = _NAMED.fullmatch(text)
    rest = named["rest"].strip() if named else text
    call = _CALL.fullmatch(rest)
    name = canonical_name(named["name"] if named else text)
    function = call["function"].lower() if call else ""
    if call is not None and function in FUNCTIONS:
        return _called(name, function, call["arguments"] or "", text)
    if call is not None and is_index(call["function"]):
        constants = _constants(_arguments(call["arguments"] or "", text), text)
        formula = index_formula(call["function"], constants)
        return Recipe(name, "formula", formula.names, formula=formula.text)
    if named is None:
        raise ConfigError(
            f"`derive`: {text!r} is neither an index of spyndex (ndvi, ndwi, ...), nor one of "
            f"{', '.join(FUNCTIONS)}, nor NAME=FORMULA"
        )
    formula = parse_formula(rest)
    return Recipe(name, "formula", formula.names, formula=formula.text)


def _constants(arguments: Arguments, text: str) -> dict[str, float]:
    """The constants of an index. Raises `ConfigError` for anything else in its brackets."""
    if arguments != Arguments(constants=arguments.constants):
        raise ConfigError(f"`derive`: in {text!r} an index takes constants only, e.g. savi(L=0.25)")
    return dict(arguments.constants)


def _called(name: str, function: str, arguments: str, text: str) -> Recipe:
    found = _arguments(arguments, text)
    inputs = found.names
    words: tuple[str, ...] = ()
    if function == "glcm":
        words = tuple(word for word in inputs if word in MEASURES)
        inputs = tuple(word for word in inputs if word not in MEASURES)
    _check_call(function, inputs, words, found, text)
    numbers = found.numbers
    if function == "hillshade" and not numbers:
        numbers = (_ALTITUDE_DEG,)
    if function == "sky" and not numbers:
        numbers = (_DIRECTIONS,)
    return Recipe(name, function, inputs, Arguments(words, found.lengths, numbers, found.limits))


_ALTITUDE_DEG, _DIRECTIONS = 35.0, 8.0


def _check_call(
    function: str, inputs: Sequence[str], words: Sequence[str], found: Arguments, text: str
) -> None:
    """Raises `ConfigError` with the right form for a call that lacks something, or has too much."""
    counts = len(inputs), len(found.lengths), len(found.numbers)
    least_bands, most_bands, lengths, numbers, form = _FORMS[function]
    fits = least_bands <= counts[0] <= most_bands and counts[1] == lengths and counts[2] in numbers
    if function == "glcm":
        fits = fits and len(words) == 1 and found.limits is not None and found.limits[0] < found.limits[1]
    elif found.limits is not None or found.constants:
        fits = False
    lengths_fit = all(value > 0 for value, _ in found.lengths)
    if function == "sky" and found.numbers:
        lengths_fit = lengths_fit and 4 <= found.numbers[0] <= 64
    if not fits or not lengths_fit:
        raise ConfigError(f"`derive`: {text!r} is not complete or not right; write {form}")


_FORMS: dict[str, tuple[int, int, int, tuple[int, ...], str]] = {
    "slope": (0, 1, 0, (0,), "slope or slope(BAND)"),
    "aspect": (0, 1, 0, (0,), "aspect or aspect(BAND)"),
    "northness": (0, 1, 0, (0,), "northness or northness(BAND)"),
    "eastness": (0, 1, 0, (0,), "eastness or eastness(BAND)"),
    "hillshade": (0, 1, 0, (0, 1, 2), "hillshade(AZIMUTH,ALTITUDE), or hillshade for four directions"),
    "relief": (0, 1, 1, (0,), "relief(12m) or relief(BAND,12m)"),
    "sky": (0, 1, 1, (0, 1), "sky(10m), sky(10m,16) for 16 directions (4 to 64), or sky(BAND,10m)"),
    "height": (2, 2, 0, (0,), "height(DSM,DTM)"),
    "glcm": (1, 1, 1, (0,), f"glcm(BAND,MEASURE,3px,LOW..HIGH) with one of {', '.join(MEASURES)}"),
}
"""Least and most bands, number of lengths, possible numbers of numbers, and the form for messages."""


def _arguments(text: str, whole: str) -> Arguments:
    names, lengths, numbers, constants = [], [], [], []
    limits: tuple[float, float] | None = None
    for item in text.split(",") if text.strip() else []:
        item = item.strip()
        if match := _LENGTH.fullmatch(item):
            lengths.append((float(match["value"]), match["unit"]))
        elif match := _RANGE.fullmatch(item):
            limits = float(match["low"]), float(match["high"])
        elif _PLAIN.fullmatch(item):
            numbers.append(float(item))
        elif match := _STATED.fullmatch(item):
            constants.append((match["name"], float(match["value"])))
        elif canonical_name(item) and len(item) < 100:
            names.append(canonical_name(item))
        else:
            raise ConfigError(f"`derive`: {item[:60]!r} in {whole[:100]!r} is neither a band nor a number")
    return Arguments(tuple(names), tuple(lengths), tuple(numbers), limits, tuple(constants))


def _divided(text: str) -> list[str]:
    """The parts between commas that lie outside brackets."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign in ",;" and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


def derived_band(text: str, bands: BandSet, number: int, source: str) -> Band:
    """The band that a recipe makes of a scene's bands.

    Args:
        text: The recipe.
        bands: The bands that it may be made of.
        number: The number that it gets.
        source: The scene, for messages.

    Raises:
        ConfigError: The text is no recipe.
        BandError: A band that it needs is not there, or two could be meant.
    """
    recipe = parse_recipe(text)
    inputs = _heights(recipe, bands, source) if not recipe.inputs else _found(recipe, bands, source)
    resolved = recipe.with_inputs([wanted for wanted, _ in inputs])
    derivation = Derivation(resolved.text, tuple(band for _, band in inputs))
    return Band(name=recipe.name, number=number, dtype="float32", derived=derivation)


def _found(recipe: Recipe, bands: BandSet, source: str) -> list[tuple[str, Band]]:
    wanted = BandSet(tuple(Band(name, place) for place, name in enumerate(recipe.inputs, start=1)))
    matched = with_names_of(wanted, bands).bands
    by_name = {band.name: own for band, own in zip(matched, bands, strict=True)}
    pairs, missing = [], []
    for name in recipe.inputs:
        spellings = [name, *_ALIKE.get(name, ())]
        band = next((by_name[one] for one in spellings if one in by_name), None)
        if band is None:
            missing.append(name)
        else:
            pairs.append((name, band))
    if missing:
        raise BandError(
            f"{source}: `derive` {recipe.name} needs {', '.join(missing)}; the scene has {bands.describe()}; "
            f"name its bands, e.g. `bands='{missing[0]}=1'`"
        )
    return pairs


def _heights(recipe: Recipe, bands: BandSet, source: str) -> list[tuple[str, Band]]:
    """The band of heights: the only band, or the first that is called like one."""
    if len(bands) == 1:
        return [(bands[0].name, bands[0])]
    by_name = {band.name: band for band in bands}
    for name in HEIGHTS:
        if name in by_name:
            return [(name, by_name[name])]
    raise BandError(
        f"{source}: `derive` {recipe.name} needs heights, and no band is called {', '.join(HEIGHTS)}; name "
        f"it, e.g. {recipe.function}({bands[0].name}, ...)"
    )


def _ground(grid: PixelGrid, recipe: Recipe) -> Ground:
    if grid.crs is None:
        raise ConfigError(
            f"`derive`: {recipe.text} needs pixels of a known size, and the scene has no CRS; state it with "
            "`crs`, or use distances in px"
        )
    return Ground.of(grid)
