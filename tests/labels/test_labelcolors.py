"""Classes keep the colours that their layer has in QGIS, or those that the user states."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
import shapely

from eo_dl.core.classcolors import color_of_name
from eo_dl.errors import LabelError
from eo_dl.io.qgisstyles import categories_qml, outline_qml
from eo_dl.io.qgissymbology import category_colors, layer_colors
from eo_dl.io.vectorlayers import write_layers
from eo_dl.labels.labelcolors import in_colors
from eo_dl.labels.reading import read_labels

COLORS = {"water": "#112233", "forest": "#aabbcc"}
# As older versions of QGIS write a symbol, with a class that has no colour of its own.
OLD = """<qgis><renderer-v2 type="categorizedSymbol" attr="kind"><categories>
<category value="water" symbol="0"/><category value="forest" symbol="9"/></categories>
<symbols><symbol name="0" type="fill"><layer class="SimpleFill"><prop k="color" v="17,34,51,255"/></layer>
</symbol></symbols></renderer-v2></qgis>"""


def frame() -> geopandas.GeoDataFrame:
    boxes = [shapely.box(20 * i, 0, 20 * i + 10, 10) for i in range(3)]
    kinds = ["water", "forest", "stone"]
    return geopandas.GeoDataFrame({"kind": kinds}, geometry=boxes, crs="EPSG:32633")


def colors_of(path: Path, classes: str | None = None) -> dict[str, str]:
    labels = read_labels(path, class_field="kind", classes=classes)
    return {info.name: info.color for info in labels.classes}


def test_the_style_of_a_geopackage_colours_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "land.gpkg"
    write_layers(path, {"land": frame()}, {"land": categories_qml("kind", COLORS)})
    assert layer_colors(path, "land") == COLORS
    found = colors_of(path)
    assert {name: found[name] for name in COLORS} == COLORS
    assert found["stone"] not in COLORS.values()
    assert colors_of(path, "lake=water,others=*")["lake"] == COLORS["water"], "also under another name"


def test_a_style_beside_a_file_colours_its_classes(tmp_path: Path) -> None:
    frame().to_file(tmp_path / "land.geojson")
    (tmp_path / "land.qml").write_text(OLD)
    found = colors_of(tmp_path / "land.geojson")
    assert (found["water"], found["forest"]) == ("#112233", color_of_name("forest"))


def test_outlines_have_the_colour_of_the_class_not_of_their_casing() -> None:
    assert category_colors(categories_qml("kind", COLORS, filled=False)) == COLORS


def test_styles_that_are_not_by_class_say_nothing() -> None:
    assert category_colors(outline_qml("#112233")) == {}
    assert category_colors("no xml") == {}
    assert category_colors("<qgis/>") == {}


def test_colours_of_the_user_go_last_and_name_classes_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "land.gpkg"
    write_layers(path, {"land": frame()}, {"land": categories_qml("kind", COLORS)})
    labels = in_colors(read_labels(path, class_field="kind"), {"water": "#0000ff"})
    assert {info.name: info.color for info in labels.classes} | {"stone": ""} == {
        "water": "#0000ff",
        "forest": "#aabbcc",
        "stone": "",
    }
    with pytest.raises(LabelError, match=r"`colors` names 'wood', but the classes are .*forest"):
        in_colors(labels, {"wood": "#0000ff"})
