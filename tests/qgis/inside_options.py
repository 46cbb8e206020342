"""The settings page as a person uses it (see inside.py and test_options_page.py)."""

import json
import os
from pathlib import Path

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import QEventLoop
from qgis.PyQt.QtWidgets import QApplication, QPlainTextEdit, QPushButton


class Page:
    """The page that QGIS would show, worked by its buttons."""

    def __init__(self):
        from eo_dl_qgis.options import OptionsFactory

        self.factory = OptionsFactory()
        self.widget = self.factory.createWidget(None)
        self.buttons = {button.text(): button for button in self.widget.findChildren(QPushButton)}

    def press(self, name, path=None, meanwhile=None):
        """What the page says in the end, and the path that is filled in then; `meanwhile` is called while it
        works.
        """
        if path is not None:
            self.widget.path.lineEdit().setText(path)
        self.buttons[name].click()
        during = [self.words(), [button.isEnabled() for button in self.buttons.values()]]
        if meanwhile is not None:
            meanwhile()
        while not self.buttons[name].isEnabled():
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        return {"during": during, "said": self.words(), "path": self.widget.path.filePath()}

    def words(self):
        return self.widget.findChild(QPlainTextEdit).toPlainText()


def pressed(steps):
    """`steps`: [name, button, path to type or null, EO_DL_PYTHON or null, press OK afterwards]."""
    found = {}
    for name, button, path, environment, confirmed in json.loads(steps):
        os.environ.pop("EO_DL_PYTHON", None)
        if environment is not None:
            os.environ["EO_DL_PYTHON"] = environment
        page = Page()
        opened = page.widget.path.filePath()
        found[name] = {"opened": opened, **page.press(button, path)}
        if confirmed:
            page.widget.apply()
        found[name]["saved"] = QgsSettings().value("eo_dl/python", "", type=str)
    return found


def alive(python, gate):
    """A doctor that waits for the window: were the page to wait for the doctor, neither would ever end."""

    def opened():
        # a pipe with a name: waits until the doctor reads, and the doctor until this is written
        Path(gate).write_text("go")

    return Page().press("Check", python, meanwhile=opened)


def runs(python, model, scene):
    """What an algorithm says when the page has saved `python`."""
    from __main__ import run

    page = Page()
    page.widget.path.setFilePath(python)
    page.widget.apply()
    return run("predict", {"MODEL": model, "SCENES": scene, "OUT": "/nowhere/map.tif"})


def closed(python, gate):
    """The page is closed before the doctor answers: nothing of it is touched afterwards."""
    page = Page()
    page.widget.path.setFilePath(python)
    page.buttons["Check"].click()
    page.widget.deleteLater()
    for _ in range(3):
        QApplication.sendPostedEvents(None, 0)
        QApplication.processEvents()
    Path(gate).write_text("go")
    return Page().press("Find")["said"]


def installed(folder, source):
    """The dialog that installs: what it says, in the end and when the folder is no longer empty."""
    from eo_dl_qgis.installer import InstallDialog

    dialog = InstallDialog()
    dialog.folder.setFilePath(folder)
    dialog.source.setText(source)
    dialog.install()
    while not dialog.python and not dialog.install_button.isEnabled():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    first, python = dialog.log.toPlainText(), dialog.python
    again = InstallDialog()
    again.folder.setFilePath(folder)
    again.install()
    return {"said": first, "python": python, "again": again.log.toPlainText()}
