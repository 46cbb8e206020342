"""Runs inside the QGIS desktop (`qgis --code window.py`): loads a scene, predicts with the plug-in, shows the
review dock, saves pictures.

The environment says what: EO_DL_WINDOW is a JSON object with `python`, `scene`, `model`, `out`, `pictures`
(folder), and `chips` (a chips.gpkg or ""), and, to go on to a new model, `retrain`: `chips` (folder),
`labels`, `truth` (or ""), `epochs` (or 0). `pace` shortens the pauses between the steps.
"""

import json
import os
import traceback
from pathlib import Path

from qgis.core import QgsFeature, QgsProject, QgsVectorLayer
from qgis.gui import QgsProcessingAlgorithmDialogBase
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QTextEdit
from qgis.utils import iface, plugins

GIVEN = json.loads(os.environ["EO_DL_WINDOW"])
PICTURES = Path(GIVEN["pictures"])


def guarded(work):
    """A failure ends the program with its traceback in a file, not with a window that waits."""

    def run():
        try:
            work()
        except BaseException:
            (PICTURES / "error.txt").write_text(traceback.format_exc())
            os._exit(1)

    return run


def later(seconds, work):
    QTimer.singleShot(int(seconds * 1000 * GIVEN.get("pace", 1)), guarded(work))


def grab(name, widget=None):
    iface.mapCanvas().waitWhileRendering()
    QApplication.processEvents()
    (widget or iface.mainWindow()).grab().save(str(PICTURES / f"{name}.png"))


def start():
    from eo_dl_qgis import settings

    iface.mainWindow().resize(1500, 950)
    settings._checked[settings.stored()] = GIVEN["python"]
    in_colour(iface.addRasterLayer(GIVEN["scene"], "scene"))
    if GIVEN["chips"]:
        tiled = iface.addRasterLayer(str(Path(GIVEN["scene"]).with_name("train.tif")), "scene that was tiled")
        in_colour(tiled)
        iface.addVectorLayer(f"{GIVEN['chips']}|layername=chips", "chips by split", "ogr")
        iface.setActiveLayer(tiled)
    later(2, zoomed)


def in_colour(layer):
    """The sample scenes begin with blue."""
    layer.renderer().setRedBand(3)
    layer.renderer().setBlueBand(1)
    layer.setDefaultContrastEnhancement()


def zoomed():
    """Later: the first layers of a project set the view themselves."""
    iface.zoomToActiveLayer()
    iface.mapCanvas().refresh()
    later(3, dialog)


def dialog():
    import processing

    grab("chips" if GIVEN["chips"] else "scene")
    shown = processing.createAlgorithmDialog(
        "eo_dl:predict", {"MODEL": GIVEN["model"], "SCENES": GIVEN["scene"], "OUT": GIVEN["out"]}
    )
    shown.show()
    later(2, lambda: after_dialog(shown))


def after_dialog(shown):
    import processing

    grab("dialog", shown)
    shown.close()
    processing.runAndLoadResults(
        "eo_dl:predict", {"MODEL": GIVEN["model"], "SCENES": GIVEN["scene"], "OUT": GIVEN["out"]}
    )
    for name in ("chips by split", "scene that was tiled"):
        for layer in QgsProject.instance().mapLayersByName(name):
            QgsProject.instance().removeMapLayer(layer.id())
    iface.setActiveLayer(QgsProject.instance().mapLayersByName("scene")[0])
    iface.zoomToActiveLayer()
    later(4, result)


def result():
    grab("result")
    found = QgsProject.instance().mapLayersByName(Path(GIVEN["out"]).stem)
    if not found or found[0].type() == 1:
        os._exit(0)
    iface.setActiveLayer(found[0])
    dock = plugins["eo_dl_qgis"]._review.dock
    dock.show()
    press("N")
    later(4, review)


def review():
    """The picture of one object; then, where it was asked for, the rest is reviewed by the truth, as a person
    would, and the model retrained.
    """
    grab("review")
    if not GIVEN.get("retrain"):
        os._exit(0)  # QGIS's own way out asks questions
    from eo_dl_qgis import recent

    by_truth(iface.activeLayer())
    recent.remember(
        "tile", {"labels": GIVEN["retrain"]["labels"], "layer": "trees", "out": GIVEN["retrain"]["chips"]}
    )
    recent.listeners.append(lambda algorithm, result: later(4, retrained))
    press("R")
    later(3, retrain_dialog)


def by_truth(layer):
    """Accept what covers a true object by half, reject the rest, draw what is missing; all with the dock's
    own decisions.
    """
    if not GIVEN["retrain"].get("truth"):
        press("A")
        return
    decide = plugins["eo_dl_qgis"]._review.dock._review
    true = [
        feature.geometry()
        for feature in QgsVectorLayer(
            f"{GIVEN['retrain']['truth']}|layername=trees", "truth", "ogr"
        ).getFeatures()
    ]
    seen = set()
    for feature in sorted(layer.getFeatures(), key=lambda one: -one["score"]):
        shape = feature.geometry()
        best = max(range(len(true)), key=lambda place: iou(shape, true[place]))
        right = iou(shape, true[best]) >= 0.5 and best not in seen
        decide.accept(feature.id()) if right else decide.reject(feature.id())
        seen |= {best} if right else set()
    layer.startEditing()
    for place, shape in enumerate(true):
        if place not in seen:
            feature = QgsFeature(layer.fields())
            feature.setGeometry(shape)
            for name, value in (("class_name", "tree"), ("status", "accepted"), ("reviewed", True)):
                feature[name] = value
            layer.addFeature(feature)
    layer.commitChanges(False)
    press("N")  # the panel was not asked for these decisions, so it has not counted them


def iou(one, other):
    common = one.intersection(other).area()
    return common / (one.area() + other.area() - common)


def press(key):
    """A key as the person presses it: on the main window."""
    window = iface.mainWindow()
    QApplication.setActiveWindow(window)  # a virtual screen has no window manager that would
    QTest.keyClick(window, getattr(Qt.Key, f"Key_{key}"))


def retrain_dialog():
    dialog = next(
        widget
        for widget in QApplication.topLevelWidgets()
        if isinstance(widget, QgsProcessingAlgorithmDialogBase) and widget.isVisible()
    )
    if GIVEN["retrain"].get("epochs"):
        dialog.setParameters({**dialog.createProcessingParameters(), "EPOCHS": GIVEN["retrain"]["epochs"]})
    dialog.resize(760, 640)
    grab("retrain", dialog)
    dialog.runButton().click()
    watched(dialog)


def watched(dialog):
    """A training that failed ends the program with what the dialog says."""
    text = (
        dialog.findChild(QTextEdit, "txtLog").toPlainText() if dialog.findChild(QTextEdit, "txtLog") else ""
    )
    if "failed after" in text:
        raise RuntimeError(text[-1500:])
    later(1, lambda: watched(dialog) if dialog.isVisible() else None)


def retrained():
    dock = plugins["eo_dl_qgis"]._review.dock
    for widget in QApplication.topLevelWidgets():
        if isinstance(widget, QgsProcessingAlgorithmDialogBase):
            widget.close()
    (PICTURES / "scores.html").write_text(dock.form.scores.text())
    grab("scores")
    os._exit(0)


later(2, start)
