"""The colours that a user has given to classes in QGIS, read from the style of a layer."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from .vectorlayers import read_styles

# Keys of the main colour of a symbol layer: fills and markers, lines.
_COLOR_KEYS = ("color", "line_color")
_RGB = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})(,|$)")


def layer_colors(path: str | Path, layer: str | None = None) -> dict[str, str]:
    """Colours "#rrggbb" by class value, from the default style of a vector layer that is coloured by class.

    Args:
        path: A GeoPackage, which holds its styles, or another file with `NAME.qml` beside it.
        layer: Name of the layer of a GeoPackage (default: the only one that has a style).

    Returns:
        Empty where there is no style, or one that is not by class.
    """
    file = Path(path)
    if file.suffix.lower() == ".gpkg":
        styles = read_styles(file) if file.is_file() else {}
        only = next(iter(styles.values())) if len(styles) == 1 else ""
        return category_colors(styles.get(layer, "") if layer is not None else only)
    beside = file.with_suffix(".qml")
    return category_colors(beside.read_text(encoding="utf-8", errors="replace")) if beside.is_file() else {}


def category_colors(qml: str) -> dict[str, str]:
    """Colours by value, of a style in QML; empty for one that is not by category, or is damaged."""
    try:
        root = fromstring(qml)
    except (ParseError, DefusedXmlException, ValueError):
        return {}
    renderer = None if root is None else root.find("renderer-v2")
    if renderer is None or renderer.get("type") != "categorizedSymbol":
        return {}
    symbols = {symbol.get("name"): _color(symbol) for symbol in renderer.findall("symbols/symbol")}
    colors = {}
    for category in renderer.findall("categories/category"):
        value, color = category.get("value"), symbols.get(category.get("symbol"))
        if value and color:
            colors[value] = color
    return colors


def _color(symbol: Element) -> str | None:
    """The main colour of the fill of a symbol, or of its first layer."""
    layers = symbol.findall("layer")
    if not layers:
        return None
    layer = next((candidate for candidate in layers if candidate.get("class") == "SimpleFill"), layers[0])
    options = {option.get("name"): option.get("value") for option in layer.iter("Option")}
    options |= {prop.get("k"): prop.get("v") for prop in layer.iter("prop")}
    for key in _COLOR_KEYS:
        found = _RGB.match(options.get(key) or "")
        if found:
            return "#" + "".join(f"{min(int(part), 255):02x}" for part in found.groups()[:3])
    return None
