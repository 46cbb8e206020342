"""Styles that QGIS applies by itself: QML beside files or inside a GeoPackage, and colour tables in
`.aux.xml`.

What QGIS reads was tried with 3.22 (reference/qgis.md, section 3). A class map gets no embedded palette (it
always has 256 entries in the legend) but an `.aux.xml` with exactly its classes.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from ..core.classes import ClassSet

MARK = "<!-- written by eo_dl -->"
"""In every style file of ours; a file without it is somebody's own and is left alone."""

CLASSES_TAG = "classes"
"""Tag of a class map: names by id as JSON. It survives where side files are left behind."""

PROBABILITIES_TAG = "class_probabilities"
"""Tag of a raster of probabilities, a band a class: names by id as JSON, in the order of the bands."""

GeometryKind = Literal["polygon", "line", "point"]

_UNKNOWN_COLOR = "#bdbdbd"
_RANK_COLORS = ("#7a0177", "#c51b8a", "#f768a1", "#fbb4b9")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_STYLE_TABLE = """CREATE TABLE IF NOT EXISTS layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256),
f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""


def class_raster_qml(classes: ClassSet) -> str:
    """The style of a class map: one named, coloured entry a class."""
    entries = "".join(
        f'<paletteEntry value="{c.id}" color="{c.color}" alpha="255" label={xml_attribute(c.name)}/>'
        for c in classes
    )
    return (
        f'{MARK}\n<qgis version="3.22" styleCategories="Symbology"><pipe><rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">'
        f"<colorPalette>{entries}</colorPalette></rasterrenderer></pipe></qgis>\n"
    )


def class_raster_aux_xml(classes: ClassSet) -> str:
    """GDAL's side file of a class map: names and colours for ids 0 to the largest; ids of no class are clear."""
    known = {c.id: c for c in classes}
    ids = range(max(known) + 1)
    names = "".join(f"<Category>{xml_text(known[i].name) if i in known else ''}</Category>" for i in ids)
    colors = "".join(_color_entry(known[i].color if i in known else None) for i in ids)
    return (
        f'<PAMDataset>\n  <PAMRasterBand band="1"><ColorInterp>Palette</ColorInterp>\n'
        f"    <CategoryNames>{names}</CategoryNames>\n    <ColorTable>{colors}</ColorTable>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


def classes_tag(classes: ClassSet) -> str:
    """The value of `CLASSES_TAG`: {"1": "wood"}."""
    return json.dumps({str(c.id): c.name for c in classes}, ensure_ascii=False)


def probability_raster_qml(band: int = 1) -> str:
    """The style of a raster of shares: one band from light to dark, not red-green-blue of the first three."""
    return (
        f'{MARK}\n<qgis version="3.22" styleCategories="Symbology"><pipe><rasterrenderer type="singlebandpseudocolor" band="{band}" opacity="1" alphaBand="-1" '
        'classificationMin="0" classificationMax="254"><rastershader><colorrampshader colorRampType="INTERPOLATED" minimumValue="0" maximumValue="254">'
        '<item value="0" color="#fcfdbf" alpha="255" label="0 %"/><item value="127" color="#b73779" alpha="255" label="50 %"/>'
        '<item value="254" color="#000004" alpha="255" label="100 %"/></colorrampshader></rastershader></rasterrenderer></pipe></qgis>\n'
    )


def polygons_qml(classes: ClassSet, field: str = "class_name") -> str:
    """The style of polygons, one colour a class by the value of a text field."""
    return categories_qml(field, {c.name: c.color for c in classes}, "polygon")


def categories_qml(
    field: str, colors: Mapping[str, str], geometry: GeometryKind = "polygon", form: str = ""
) -> str:
    """The style of a layer whose text field has these values ("#rrggbb" each); other values are drawn grey.
    `form`: see `form.form_xml`.
    """
    entries = [*colors.items(), ("", _UNKNOWN_COLOR)]
    categories = "".join(
        f'<category render="true" symbol="{i}" value={xml_attribute(value)} label={xml_attribute(value or "other")}/>'
        for i, (value, _) in enumerate(entries)
    )
    symbols = "".join(_symbol(str(i), color, geometry) for i, (_, color) in enumerate(entries))
    return (
        f'{MARK}\n<qgis version="3.22" styleCategories="{_categories(form)}"><renderer-v2 type="categorizedSymbol" attr={xml_attribute(field)} forceraster="0" '
        f'symbollevels="0" enableorderby="0"><categories>{categories}</categories><symbols>{symbols}</symbols></renderer-v2>{form}</qgis>\n'
    )


def outline_qml(color: str, geometry: GeometryKind = "polygon", form: str = "") -> str:
    """The style of a layer drawn in one colour, polygons as outlines only (areas, footprints). `form`: see
    `form.form_xml`.
    """
    symbol = _symbol("0", color, geometry, filled=False)
    return (
        f'{MARK}\n<qgis version="3.22" styleCategories="{_categories(form)}"><renderer-v2 type="singleSymbol" forceraster="0" symbollevels="0" enableorderby="0">'
        f"<symbols>{symbol}</symbols></renderer-v2>{form}</qgis>\n"
    )


def ranks_qml(field: str, count: int) -> str:
    """The style of polygons to be worked through in the order of a whole-number field from 1: outlines from
    dark (first) to light, numbered.
    """
    steps = min(len(_RANK_COLORS), max(count, 1))
    edges = [round(place * count / steps) for place in range(steps + 1)]
    ranges = "".join(
        f'<range render="true" symbol="{place}" lower="{edges[place] + 0.5}" upper="{edges[place + 1] + 0.5}" label="{edges[place] + 1} to {edges[place + 1]}"/>'
        for place in range(steps)
    )
    symbols = "".join(
        _symbol(str(place), color, "polygon") for place, color in enumerate(_RANK_COLORS[:steps])
    )
    return (
        f'{MARK}\n<qgis version="3.22" styleCategories="Symbology|Labeling" labelsEnabled="1"><renderer-v2 type="graduatedSymbol" attr={xml_attribute(field)} '
        f'graduatedMethod="GraduatedColor" forceraster="0" symbollevels="0" enableorderby="0"><ranges>{ranges}</ranges><symbols>{symbols}</symbols></renderer-v2>'
        f'<labeling type="simple"><settings><text-style fieldName={xml_attribute(field)} isExpression="0" fontSize="11" fontWeight="75" textColor="20,20,20,255">'
        '<text-buffer bufferDraw="1" bufferSize="1" bufferColor="255,255,255,255"/></text-style><placement placement="1"/></settings></labeling></qgis>\n'
    )


def add_layer_styles(path: Path, styles: Mapping[str, str]) -> None:
    """Put a default style for each named layer into a GeoPackage, as QGIS's own "save style" does."""
    with sqlite3.connect(path) as database:
        database.execute(_STYLE_TABLE)
        date = database.execute("SELECT max(last_change) FROM gpkg_contents").fetchone()[0]
        database.execute(
            "INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) VALUES ('layer_styles', 'attributes', 'layer_styles', '', ?, 0)",
            (date,),
        )
        columns = dict(
            database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
        )
        for layer, qml in sorted(styles.items()):
            database.execute("DELETE FROM layer_styles WHERE f_table_name = ?", (layer,))
            database.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, "
                "description, owner, ui, update_time) VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)",
                (layer, columns.get(layer, "geom"), layer[:30], qml, date),
            )
    database.close()


def xml_text(text: str) -> str:
    """Text as XML content; characters that XML cannot hold are left out."""
    return escape(_NOT_XML.sub("", text))


def xml_attribute(text: str) -> str:
    """Text as a quoted XML attribute."""
    return quoteattr(_NOT_XML.sub("", text))


def _categories(form: str) -> str:
    """Which parts of a layer's properties a style sets."""
    return "Symbology|Fields|Forms|MapTips|GeometryOptions" if form else "Symbology"


def _color_entry(color: str | None) -> str:
    red, green, blue = (0, 0, 0) if color is None else _rgb(color)
    return f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="{0 if color is None else 255}"/>'


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _symbol(name: str, color: str, geometry: GeometryKind, filled: bool = True) -> str:
    red, green, blue = _rgb(color)
    solid, faint = f"{red},{green},{blue},255", f"{red},{green},{blue},{96 if filled else 0}"
    layers: dict[str, tuple[str, str, dict[str, str]]] = {
        "polygon": (
            "fill",
            "SimpleFill",
            {
                "color": faint,
                "style": "solid" if filled else "no",
                "outline_color": solid,
                "outline_width": "0.4",
            },
        ),
        "line": ("line", "SimpleLine", {"line_color": solid, "line_width": "0.6"}),
        "point": (
            "marker",
            "SimpleMarker",
            {"name": "circle", "color": solid, "outline_color": "35,35,35,255", "size": "2.4"},
        ),
    }
    kind, renderer, properties = layers[geometry]
    options = "".join(
        f'<Option type="QString" name="{key}" value="{value}"/>' for key, value in properties.items()
    )
    return (
        f'<symbol type="{kind}" name="{name}" alpha="1" clip_to_extent="1"><layer class="{renderer}" enabled="1" pass="0" locked="0">'
        f'<Option type="Map">{options}</Option></layer></symbol>'
    )
