"""Runs inside the QGIS desktop (`qgis --code window.py`): loads a scene, predicts with the plug-in, shows the review dock, saves pictures.

The environment says what: EO_DL_WINDOW is a JSON object with `python`, `scene`, `model`, `out`, `pictures` (folder), and `chips` (a chips.gpkg or "").
"""

import json
import os
import traceback
from pathlib import Path

from qgis.core import QgsProject
from qgis.PyQt.QtCore import QTimer
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
    QTimer.singleShot(int(seconds * 1000), guarded(work))


def grab(name, widget=None):
    (widget or iface.mainWindow()).grab().save(str(PICTURES / f"{name}.png"))


def start():
    from eo_dl_qgis import settings

    iface.mainWindow().resize(1500, 950)
    settings._checked[settings.stored()] = GIVEN["python"]
    iface.addRasterLayer(GIVEN["scene"], "scene")
    if GIVEN["chips"]:
        iface.addVectorLayer(f"{GIVEN['chips']}|layername=chips", "chips by split", "ogr")
    iface.zoomFull()
    later(3, dialog)


def dialog():
    import processing

    grab("chips" if GIVEN["chips"] else "scene")
    shown = processing.createAlgorithmDialog("eo_dl:predict", {"MODEL": GIVEN["model"], "SCENES": GIVEN["scene"], "OUT": GIVEN["out"]})
    shown.show()
    later(2, lambda: after_dialog(shown))


def after_dialog(shown):
    import processing

    grab("dialog", shown)
    shown.close()
    processing.runAndLoadResults("eo_dl:predict", {"MODEL": GIVEN["model"], "SCENES": GIVEN["scene"], "OUT": GIVEN["out"]})
    for layer in QgsProject.instance().mapLayersByName("chips by split"):
        QgsProject.instance().removeMapLayer(layer.id())
    later(4, result)


def result():
    grab("result")
    found = QgsProject.instance().mapLayersByName(Path(GIVEN["out"]).stem)
    if not found or found[0].type() == 1:
        os._exit(0)
    iface.setActiveLayer(found[0])
    dock = plugins["eo_dl_qgis"]._window.dock
    dock.show()
    dock.next()
    later(4, review)


def review():
    grab("review")
    os._exit(0)  # QGIS's own way out asks questions


later(2, start)
