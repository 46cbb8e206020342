"""Styles that QGIS applies by itself: QML beside files or in a GeoPackage, colour tables in `.aux.xml`.

Tried with QGIS 3.22 and later. A class map gets no embedded palette, which always shows 256 entries in the
legend, but an `.aux.xml` with exactly its classes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np

from ..core.classes import ClassSet, rgb_of
from ..core.valuecolors import RAMP
from .rowstatistics import PlaneStatistics
from .xmltree import element, to_xml

MARK = "<!-- written by eo_dl -->"
"""First line of every style file that eo_dl writes. A file without it is the user's own and is left alone."""

CLASSES_TAG = "classes"
"""Tag of a class map: class names by id, as JSON. It survives where side files are left behind."""

PROBABILITIES_TAG = "class_probabilities"
"""Tag of a probability raster, one band per class: class names by id, as JSON, in the order of the bands."""

GeometryKind = Literal["polygon", "line", "point"]

_UNKNOWN_COLOR = "#bdbdbd"
_CASING_COLOR = "255,255,255,200"
_RANK_COLORS = ("#7a0177", "#c51b8a", "#f768a1", "#fbb4b9")
_PROBABILITY_COLORS = (("0", "#fcfdbf", "0 %"), ("127", "#b73779", "50 %"), ("254", "#000004", "100 %"))

_DISSIMILARITY_COLORS = (
    ("0", "#1a9850", "like the training"),
    ("100", "#fee08b", "border"),
    ("101", "#f46d43", "outside"),
    ("254", "#542788", "far outside"),
)
_SET_COLORS = {
    0: ("#7a0177", "no class likely enough"),
    1: ("#e5f0ea", "1 class: decided"),
    2: ("#fdae61", "2 classes possible"),
    3: ("#f46d43", "3 classes possible"),
}
_MANY_COLOR = "#a50026"

_STYLE_TABLE = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256),
    f_table_schema TEXT(256),
    f_table_name TEXT(256),
    f_geometry_column TEXT(256),
    styleName TEXT(30),
    styleQML TEXT,
    styleSLD TEXT,
    useAsDefault BOOLEAN,
    description TEXT,
    owner TEXT(30),
    ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""
_REGISTER_STYLE_TABLE = """
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id)
VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)"""
_INSERT_STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
    styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)
VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)"""


def class_raster_qml(classes: ClassSet) -> str:
    """The style of a class map: one named, coloured entry per class."""
    entries = [
        element(
            "paletteEntry",
            {"value": str(info.id), "color": info.color, "alpha": "255", "label": info.name},
        )
        for info in classes
    ]
    renderer = element(
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1"},
        [element("colorPalette", children=entries)],
    )
    return _qml([element("pipe", children=[renderer])])


def class_raster_aux_xml(classes: ClassSet) -> str:
    """GDAL's side file of a class map: names and colours of the ids from 0 to the largest.

    Ids without a class have an empty name and are transparent.
    """
    known = {info.id: info for info in classes}
    names = []
    colors = []
    for class_id in range(max(known) + 1):
        info = known.get(class_id)
        names.append(element("Category", text="" if info is None else info.name))
        colors.append(_color_entry(None if info is None else info.color))
    band = element(
        "PAMRasterBand",
        {"band": "1"},
        [
            element("ColorInterp", text="Palette"),
            element("CategoryNames", children=names),
            element("ColorTable", children=colors),
        ],
    )
    return to_xml(element("PAMDataset", children=[band])) + "\n"


def classes_tag(classes: ClassSet) -> str:
    """The value of `CLASSES_TAG` and `PROBABILITIES_TAG`, e.g. `{"1": "wood"}`."""
    return json.dumps({str(info.id): info.name for info in classes}, ensure_ascii=False)


def probability_raster_qml() -> str:
    """The style of a probability raster: one band from light to dark instead of an RGB of the first three."""
    return _pseudocolor_qml(_PROBABILITY_COLORS)


def dissimilarity_qml() -> str:
    """The style of an area of applicability: green inside, from orange to purple outside."""
    return _pseudocolor_qml(_DISSIMILARITY_COLORS)


def value_raster_qml(shown: PlaneStatistics) -> str:
    """The style of a raster of values: its first band in the colours of `RAMP`.

    Args:
        shown: What the band holds.
    """
    low, high = shown.middle
    steps = np.linspace(low, high, len(RAMP)).tolist()
    stops = [(f"{value:.7g}", color, f"{value:.4g}") for value, color in zip(steps, RAMP, strict=True)]
    return _pseudocolor_qml(stops)


def _pseudocolor_qml(stops: Sequence[tuple[str, str, str]]) -> str:
    """The style of a first band in colours between stops of value, colour and label, ascending."""
    items = [
        element("item", {"value": value, "color": color, "alpha": "255", "label": label})
        for value, color, label in stops
    ]
    lowest, highest = stops[0][0], stops[-1][0]
    ramp = element(
        "colorrampshader",
        {"colorRampType": "INTERPOLATED", "minimumValue": lowest, "maximumValue": highest},
        items,
    )
    renderer = element(
        "rasterrenderer",
        {
            "type": "singlebandpseudocolor",
            "band": "1",
            "opacity": "1",
            "alphaBand": "-1",
            "classificationMin": lowest,
            "classificationMax": highest,
        },
        [element("rastershader", children=[ramp])],
    )
    return _qml([element("pipe", children=[renderer])])


def set_size_qml(classes: int) -> str:
    """The style of a raster of prediction sets: pixels by the number of classes that they may have."""
    entries = []
    for size in range(classes + 1):
        color, label = _SET_COLORS.get(size, (_MANY_COLOR, f"{size} classes possible"))
        entries.append(
            element("paletteEntry", {"value": str(size), "color": color, "alpha": "255", "label": label})
        )
    renderer = element(
        "rasterrenderer",
        {"type": "paletted", "band": "1", "opacity": "1", "alphaBand": "-1"},
        [element("colorPalette", children=entries)],
    )
    return _qml([element("pipe", children=[renderer])])


def polygons_qml(classes: ClassSet, field: str = "class_name") -> str:
    """The style of polygons coloured by class; `field` holds the class name."""
    return categories_qml(field, {info.name: info.color for info in classes}, "polygon")


def categories_qml(
    field: str,
    colors: Mapping[str, str],
    geometry: GeometryKind = "polygon",
    form: Sequence[Element] = (),
    filled: bool = True,
) -> str:
    """The style of a layer coloured by the values of a text field.

    Args:
        field: The field.
        colors: "#rrggbb" by value. Features with other values are grey.
        geometry: Geometry type of the layer.
        form: The attribute form, from `qgisforms.form_elements`.
        filled: Fill polygons; False: outlines only.
    """
    categories = []
    symbols = []
    for number, (value, color) in enumerate([*colors.items(), ("", _UNKNOWN_COLOR)]):
        attributes = {"render": "true", "symbol": str(number), "value": value, "label": value or "other"}
        categories.append(element("category", attributes))
        symbols.append(_symbol(str(number), color, geometry, filled))
    renderer = _vector_renderer("categorizedSymbol", {"attr": field})
    renderer.append(element("categories", children=categories))
    renderer.append(element("symbols", children=symbols))
    return _qml([renderer, *form], _style_categories(form))


def outline_qml(color: str, geometry: GeometryKind = "polygon", form: Sequence[Element] = ()) -> str:
    """The style of a layer in one colour, its polygons as outlines only (areas, footprints).

    Args:
        color: "#rrggbb".
        geometry: Geometry type of the layer.
        form: The attribute form, from `qgisforms.form_elements`.
    """
    renderer = _vector_renderer("singleSymbol", {})
    renderer.append(element("symbols", children=[_symbol("0", color, geometry, filled=False)]))
    return _qml([renderer, *form], _style_categories(form))


def ranks_qml(field: str, count: int) -> str:
    """The style of polygons to work through in order: numbered outlines, from dark (first) to light (last).

    Args:
        field: An integer field, 1 for the first polygon.
        count: Number of polygons.
    """
    steps = min(len(_RANK_COLORS), max(count, 1))
    edges = [round(step * count / steps) for step in range(steps + 1)]
    ranges = []
    symbols = []
    for step in range(steps):
        lower, upper = edges[step], edges[step + 1]
        ranges.append(
            element(
                "range",
                {
                    "render": "true",
                    "symbol": str(step),
                    "lower": str(lower + 0.5),
                    "upper": str(upper + 0.5),
                    "label": f"{lower + 1} to {upper}",
                },
            )
        )
        symbols.append(_symbol(str(step), _RANK_COLORS[step], "polygon"))
    renderer = _vector_renderer("graduatedSymbol", {"attr": field, "graduatedMethod": "GraduatedColor"})
    renderer.append(element("ranges", children=ranges))
    renderer.append(element("symbols", children=symbols))
    return _qml([renderer, _number_labels(field)], "Symbology|Labeling", {"labelsEnabled": "1"})


def add_layer_styles(path: Path, styles: Mapping[str, str]) -> None:
    """Store a default style per layer (QML by layer name) in a GeoPackage, as QGIS's "Save style" does."""
    with sqlite3.connect(path) as database:
        database.execute(_STYLE_TABLE)
        date = database.execute("SELECT max(last_change) FROM gpkg_contents").fetchone()[0]
        database.execute(_REGISTER_STYLE_TABLE, (date,))
        rows = database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
        geometry_columns = dict(rows)
        for layer, qml in sorted(styles.items()):
            database.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))
            column = geometry_columns.get(layer, "geom")
            database.execute(_INSERT_STYLE, (layer, column, layer[:30], qml, date))
    database.close()


def _qml(
    children: Iterable[Element], categories: str = "Symbology", further: Mapping[str, str] | None = None
) -> str:
    root = element(
        "qgis", {"version": "3.22", "styleCategories": categories, **(further or {})}, children=children
    )
    return f"{MARK}\n{to_xml(root)}\n"


def _style_categories(form: Sequence[Element]) -> str:
    """Which parts of a layer's properties the style sets."""
    return "Symbology|Fields|Forms|MapTips|GeometryOptions" if form else "Symbology"


def _vector_renderer(kind: str, attributes: Mapping[str, str]) -> Element:
    common = {"forceraster": "0", "symbollevels": "0", "enableorderby": "0"}
    return element("renderer-v2", {"type": kind, **attributes, **common})


def _number_labels(field: str) -> Element:
    buffer = {"bufferDraw": "1", "bufferSize": "1", "bufferColor": "255,255,255,255"}
    text_style = {
        "fieldName": field,
        "isExpression": "0",
        "fontSize": "11",
        "fontWeight": "75",
        "textColor": "20,20,20,255",
    }
    settings = element(
        "settings",
        children=[
            element("text-style", text_style, [element("text-buffer", buffer)]),
            element("placement", {"placement": "1"}),
        ],
    )
    return element("labeling", {"type": "simple"}, [settings])


def _color_entry(color: str | None) -> Element:
    red, green, blue = (0, 0, 0) if color is None else rgb_of(color)
    alpha = 0 if color is None else 255
    return element("Entry", {"c1": str(red), "c2": str(green), "c3": str(blue), "c4": str(alpha)})


def _symbol(name: str, color: str, geometry: GeometryKind, filled: bool = True) -> Element:
    kind, renderer, properties = _symbol_layer(color, geometry, filled)
    layers = [_layer_element(renderer, properties)]
    if geometry == "polygon" and not filled:
        # Under the outline, so that it is seen on ground of its own colour (green trees in a wood).
        layers.insert(0, _layer_element("SimpleLine", {"line_color": _CASING_COLOR, "line_width": "1.5"}))
    return element("symbol", {"type": kind, "name": name, "alpha": "1", "clip_to_extent": "1"}, layers)


def _layer_element(renderer: str, properties: Mapping[str, str]) -> Element:
    """A symbol layer of a class of QGIS with its properties."""
    options = [
        element("Option", {"type": "QString", "name": key, "value": value})
        for key, value in properties.items()
    ]
    return element(
        "layer",
        {"class": renderer, "enabled": "1", "pass": "0", "locked": "0"},
        [element("Option", {"type": "Map"}, options)],
    )


def _symbol_layer(color: str, geometry: GeometryKind, filled: bool) -> tuple[str, str, dict[str, str]]:
    """Symbol type, class of its symbol layer, and the properties of that."""
    red, green, blue = rgb_of(color)
    solid = f"{red},{green},{blue},255"
    if geometry == "line":
        return "line", "SimpleLine", {"line_color": solid, "line_width": "0.6"}
    if geometry == "point":
        marker = {"name": "circle", "color": solid, "outline_color": "35,35,35,255", "size": "2.4"}
        return "marker", "SimpleMarker", marker
    fill = {
        "color": f"{red},{green},{blue},{96 if filled else 0}",
        "style": "solid" if filled else "no",
        "outline_color": solid,
        "outline_width": "0.4" if filled else "0.7",
    }
    return "fill", "SimpleFill", fill
