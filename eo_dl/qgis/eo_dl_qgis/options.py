"""Settings > Options > eo_dl: which Python, with Find and Check."""

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QApplication, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout

from . import environment, settings


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page."""

    def __init__(self):
        super().__init__()
        self.setTitle("eo_dl")

    def icon(self):
        return QIcon(str(environment.HERE / "icon.svg"))

    def createWidget(self, parent):
        return OptionsPage(parent)


class OptionsPage(QgsOptionsPageWidget):
    """The path of a Python, Find, Check, and what they found."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.path = QgsFileWidget(self)
        self.path.setFilePath(settings.stored())
        self.path.lineEdit().setPlaceholderText("empty: look for it in the usual places")
        self.answer = QPlainTextEdit(self)
        self.answer.setReadOnly(True)
        find, check = QPushButton("Find", self), QPushButton("Check", self)
        find.clicked.connect(self.find)
        check.clicked.connect(self.check)
        row = QHBoxLayout()
        for widget in (self.path, find, check):
            row.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Python of the environment in which eo_dl is installed:", self))
        layout.addLayout(row)
        layout.addWidget(self.answer)
        note = QLabel(f"Not installed yet? In a terminal: {environment.INSTALL}", self)
        note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        note.setWordWrap(True)
        layout.addWidget(note)

    def find(self):
        """Fill in the first environment that works."""
        self._busy(lambda: self.path.setFilePath(environment.find()) or "found; press Check to see what it has")

    def check(self):
        """Show what `eo-dl doctor` says of the environment."""
        self._busy(lambda: _doctor(self.path.filePath() or environment.find()))

    def _busy(self, work):
        QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        try:
            text = work()
        except environment.NoEnvironment as error:
            text = str(error)
        finally:
            QApplication.restoreOverrideCursor()
        self.answer.setPlainText(text)

    def apply(self):
        """QGIS calls this on OK."""
        settings.store(self.path.filePath())


def _doctor(python):
    environment.check(python)
    found = environment.ask(python, ["doctor", "--json"])
    problems = found.get("problems") or []
    lines = [f"eo_dl {found.get('eo_dl')} with Python {found.get('python')}", f"GPUs: {', '.join(found.get('gpus') or []) or 'none, the CPU is used'}"]
    lines += [f"{name} {version}" for name, version in (found.get("packages") or {}).items()]
    return "\n".join([*(f"problem: {text}" for text in problems), *([] if problems else ["No problem found."]), *lines])
