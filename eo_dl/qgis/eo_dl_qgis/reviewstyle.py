"""How a layer looks while it is reviewed: outlines, which leave the image visible, coloured by decision."""

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsFillSymbol,
    QgsLineSymbol,
    QgsMarkerSymbol,
    QgsRendererCategory,
    QgsSimpleLineSymbolLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor

from .reviewlist import ACCEPTED, CHANGED, REJECTED

# Name of the style in the list of styles of the layer.
STYLE = "Review"
# Okabe and Ito's colours, which colour-blind people can tell apart, by decision.
COLORS = (
    ("", "waiting", "#f0e442"),
    (ACCEPTED, "accepted", "#00c795"),
    (CHANGED, "changed", "#56b4e9"),
    (REJECTED, "rejected", "#d55e00"),
)
_DECISION = "CASE WHEN \"reviewed\" THEN coalesce(\"status\", 'accepted') ELSE '' END"
_CASING, _CASING_MM, _LINE_MM = "#1a1a1a", 1.1, 0.6


def apply(layer):
    """Show the layer in the style of a review; returns the name of the style it had."""
    manager = layer.styleManager()
    before = manager.currentStyle()
    if before == STYLE:  # from a project that was saved in the middle of a review
        before = next((name for name in manager.styles() if name != STYLE), before)
    if STYLE not in manager.styles():
        manager.addStyleFromLayer(STYLE)
    manager.setCurrentStyle(STYLE)
    layer.setRenderer(_renderer(layer))
    layer.triggerRepaint()
    return before


def restore(layer, name):
    """Show the layer as it was before the review."""
    manager = layer.styleManager()
    if name == STYLE or manager.currentStyle() != STYLE:
        return
    manager.setCurrentStyle(name)
    manager.removeStyle(STYLE)
    layer.triggerRepaint()


def _renderer(layer):
    categories = [
        QgsRendererCategory(value, _symbol(layer, color, value == REJECTED), label)
        for value, label, color in COLORS
    ]
    return QgsCategorizedSymbolRenderer(_DECISION, categories)


def _symbol(layer, color, is_dashed):
    kind = layer.geometryType()
    if kind == QgsWkbTypes.GeometryType.PointGeometry:
        return QgsMarkerSymbol.createSimple({"name": "circle", "color": color, "size": "3"})
    symbol = QgsLineSymbol() if kind == QgsWkbTypes.GeometryType.LineGeometry else QgsFillSymbol()
    line = QgsSimpleLineSymbolLayer(QColor(color), _LINE_MM)
    if is_dashed:
        line.setPenStyle(Qt.PenStyle.DashLine)
    symbol.changeSymbolLayer(0, QgsSimpleLineSymbolLayer(QColor(_CASING), _CASING_MM))
    symbol.appendSymbolLayer(line)
    return symbol
