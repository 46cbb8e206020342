"""The colour of every class: the one place that decides it, for maps, styles, pictures and reports alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..errors import ConfigError

BACKGROUND_COLOR = "#e8e6e0"
"""The background is drawn faint."""

# Okabe & Ito (2008), safe for colour-blind readers, then further tones, for names that say nothing.
_PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#8c564b",
    "#7f3c8d",
    "#11a579",
    "#3969ac",
    "#f2b701",
    "#e73f74",
    "#80ba5a",
    "#e68310",
    "#008695",
    "#cf1c90",
    "#f97b72",
)
# What maps have coloured these things for centuries; words in the singular.
_WORDS = {
    "#2b7bba": ("water", "hydro", "sea", "ocean", "lake", "river", "stream", "pond", "canal", "reservoir"),
    "#1f7a3a": ("forest", "tree", "wood", "woodland", "canopy", "conifer", "mangrove"),
    "#8ac35b": ("grass", "grassland", "meadow", "pasture", "lawn", "vegetation", "herbaceous", "savanna"),
    "#a8a13a": ("shrub", "shrubland", "scrub", "bush", "heath"),
    "#edc948": ("crop", "cropland", "field", "farmland", "agriculture", "agricultural", "arable", "farm"),
    "#9c5fa5": ("orchard", "vineyard", "plantation"),
    "#d7301f": ("building", "house", "roof", "built", "settlement", "residential", "urban", "town"),
    "#7d7d7d": ("road", "street", "highway", "pavement", "asphalt", "path", "parking", "impervious"),
    "#5a4a78": ("rail", "railway", "train", "track"),
    "#c9a26d": ("bare", "barren", "soil", "sand", "rock", "beach", "ground", "dune", "desert", "mine"),
    "#bfe3f2": ("snow", "ice", "glacier"),
    "#3fa796": ("wetland", "marsh", "swamp", "bog", "peat"),
    "#c4c8cf": ("cloud",),
    "#3d3d46": ("shadow",),
    "#f07c1f": ("car", "vehicle", "truck", "bus"),
    "#e0569b": ("ship", "boat", "vessel", "aircraft", "plane", "airplane"),
    "#23395d": ("solar", "photovoltaic"),
    "#6b1d12": ("burned", "burnt", "fire", "burn"),
}
_COLOR_OF_WORD = {word: color for color, words in _WORDS.items() for word in words}
_DENIALS = {"no", "non", "not", "other"}
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
# Shades of a colour that another class has already: share of white or black.
_SHADES = ((_WHITE, 0.45), (_BLACK, 0.35), (_WHITE, 0.7), (_BLACK, 0.6))


def class_colors(names: Mapping[int, str], stated: Mapping[int, str] | None = None) -> dict[int, str]:
    """Colours "#rrggbb" of classes, no two alike as long as there are enough.

    A stated colour goes before one that the name suggests (water is blue), and that before the next one of a
    palette. A class set is always coloured as a whole, so that it looks the same in every file.

    Args:
        names: Names by id; 0 is the background.
        stated: Colours by id that are known: from the source, or from the user.
    """
    colors = {class_id: color for class_id, color in (stated or {}).items() if class_id in names}
    if 0 in names:
        colors.setdefault(0, BACKGROUND_COLOR)
    used = set(colors.values())
    open_ids = [class_id for class_id in sorted(names) if class_id not in colors]
    for class_id in open_ids:
        suggested = color_of_name(names[class_id])
        if suggested is None:
            continue
        color = next((shade for shade in _shades(suggested) if shade not in used), None)
        if color is not None:
            colors[class_id] = color
            used.add(color)
    for class_id in open_ids:
        if class_id not in colors:
            colors[class_id] = next((color for color in _from_palette(class_id) if color not in used), "")
            colors[class_id] = colors[class_id] or next(_from_palette(class_id))
            used.add(colors[class_id])
    return colors


def color_of_name(name: str) -> str | None:
    """The colour that a name suggests by its last word that is known; None if it suggests none."""
    words = [word.casefold() for word in re.findall(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-z])", name)]
    if _DENIALS.intersection(words):
        return None
    for word in reversed(words):
        for form in (word, word.removesuffix("s"), word.removesuffix("es")):
            if form in _COLOR_OF_WORD:
                return _COLOR_OF_WORD[form]
    return None


def parse_colors(text: str) -> dict[str, str]:
    """Colours by class name from "water=#2b7bba,forest=#1f7a3a".

    Raises:
        ConfigError: A part is not NAME=#rrggbb.
    """
    colors = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, color = (piece.strip() for piece in part.partition("="))
        if not name or not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
            raise ConfigError(f"`colors`: expected NAME=#rrggbb, e.g. water=#2b7bba, found {part!r}")
        colors[name] = color.lower()
    return colors


def _from_palette(class_id: int) -> Iterator[str]:
    """All colours of the palette, beginning with the one whose number is that of the class."""
    for step in range(len(_PALETTE)):
        yield _PALETTE[(class_id - 1 + step) % len(_PALETTE)]


def _shades(color: str) -> Iterator[str]:
    yield color
    for toward, share in _SHADES:
        mixed = [
            round((1 - share) * int(color[place : place + 2], 16) + share * end)
            for place, end in zip((1, 3, 5), toward, strict=True)
        ]
        yield "#" + "".join(f"{value:02x}" for value in mixed)
