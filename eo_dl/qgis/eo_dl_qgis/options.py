"""Settings > Options > eo_dl: which Python, with Find and Check."""

import queue
import threading

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout

from . import environment, settings

_POLL_MS = 100


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
    """The path of a Python, Find, Check, and what they found.

    Both ask other programs, which may take half a minute; that is done beside the window, which stays alive.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName("eo_dl")
        self.path = QgsFileWidget(self)
        self.path.setFilePath(settings.stored())
        self.path.lineEdit().setPlaceholderText("empty: look for it in the usual places")
        self.answer = QPlainTextEdit(self)
        self.answer.setReadOnly(True)
        self.buttons = []
        for text, work in (("Find", self.find), ("Check", self.check)):
            button = QPushButton(text, self)
            button.clicked.connect(work)
            self.buttons.append(button)
        self._clock = QTimer(self)  # ends with the page, should it be closed before the answer comes
        self._clock.setInterval(_POLL_MS)
        self._clock.timeout.connect(self._look)
        self._answers = None
        self._lay_out()

    def _lay_out(self):
        row = QHBoxLayout()
        for widget in (self.path, *self.buttons):
            row.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.addWidget(
            QLabel(
                "Python of the environment in which eo_dl is installed (or its folder, or its eo-dl):", self
            )
        )
        layout.addLayout(row)
        layout.addWidget(self.answer)
        note = QLabel(f"Not installed yet? In a terminal: {environment.INSTALL}", self)
        note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        note.setWordWrap(True)
        layout.addWidget(note)

    def find(self):
        """Fill in the first environment that works."""
        self._beside(
            "Looking in the usual places ...",
            lambda: (environment.find(), "Found; press Check to see what it has, OK to use it."),
        )

    def check(self):
        """Show what `eo-dl doctor` says of the environment that is filled in, or of the one that would be
        found.
        """
        asked = self.path.filePath()
        self._beside(
            "Asking eo-dl doctor ...",
            lambda: (None, _doctor(environment.python_of(asked) if asked.strip() else environment.find())),
        )

    def _beside(self, meanwhile, work):
        """Do `work` in a thread of its own; it returns (a path to fill in or None, what to show)."""
        self.answer.setPlainText(meanwhile)
        for button in self.buttons:
            button.setEnabled(False)
        self._answers = queue.Queue()
        threading.Thread(target=_answered, args=(work, self._answers), daemon=True).start()
        self._clock.start()

    def _look(self):
        try:
            path, text = self._answers.get_nowait()
        except queue.Empty:
            return
        self._clock.stop()
        for button in self.buttons:
            button.setEnabled(True)
        if path:
            self.path.setFilePath(path)
        self.answer.setPlainText(text)

    def apply(self):
        """QGIS calls this on OK."""
        settings.store(self.path.filePath().strip())


def _answered(work, answers):
    try:
        answers.put(work())
    except Exception as error:  # the page waits for an answer, whatever it is
        answers.put(
            (
                None,
                str(error)
                if isinstance(error, environment.NoEnvironment)
                else f"{type(error).__name__}: {error}",
            )
        )


def _doctor(python):
    environment.check(python)
    found = environment.ask(python, ["doctor", "--json"])
    problems = found.get("problems") or []
    lines = [
        python,
        f"eo_dl {found.get('eo_dl')} with Python {found.get('python')}",
        f"GPUs: {', '.join(found.get('gpus') or []) or 'none, the CPU is used'}",
    ]
    lines += [f"{name} {version}" for name, version in (found.get("packages") or {}).items()]
    return "\n".join(
        [*(f"problem: {text}" for text in problems), *([] if problems else ["No problem found."]), *lines]
    )
