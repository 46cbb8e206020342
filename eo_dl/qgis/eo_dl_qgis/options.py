"""Settings > Options > eo_dl: which Python to use, with Find and Check."""

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
    """The path of a Python, the buttons Find and Check, and their answer.

    Both run other programs, which may take half a minute; they do so in a thread, so the window stays
    responsive.
    """

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName("eo_dl")
        self.path = QgsFileWidget(self)
        self.path.setFilePath(settings.stored())
        self.path.lineEdit().setPlaceholderText("empty: look in the usual places")
        self.answer = QPlainTextEdit(self)
        self.answer.setReadOnly(True)
        self.buttons = [
            self._button("Find", self.find),
            self._button("Check", self.check),
            self._button("Install ...", self.install),
        ]
        # Ends with the page, in case the page is closed before the answer arrives.
        self._clock = QTimer(self)
        self._clock.setInterval(_POLL_MS)
        self._clock.timeout.connect(self._show_answer)
        self._answers = None
        self._lay_out()

    def _button(self, text, work):
        button = QPushButton(text, self)
        button.clicked.connect(work)
        return button

    def _lay_out(self):
        row = QHBoxLayout()
        for widget in (self.path, *self.buttons):
            row.addWidget(widget)
        label = (
            "Python of the environment in which eo_dl is installed (or the folder of the environment, "
            "or its eo-dl):"
        )
        note = QLabel(f"Not installed yet? Press Install, or in a terminal: {environment.INSTALL}", self)
        note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        note.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(label, self))
        layout.addLayout(row)
        layout.addWidget(self.answer)
        layout.addWidget(note)

    def install(self):
        """Make an environment, and fill it in."""
        from .installer import InstallDialog  # lazy: most pages are opened for something else

        dialog = InstallDialog(self)
        dialog.exec()
        if dialog.python:
            self.path.setFilePath(dialog.python)

    def find(self):
        """Fill in the first environment that works."""
        message = "Found. Press Check to see its packages, OK to use it."
        self._in_thread("Looking in the usual places ...", lambda: (environment.find(), message))

    def check(self):
        """Show what `eo-dl doctor` reports for the chosen environment, or for the first one found."""
        chosen = self.path.filePath()

        def work():
            python = environment.python_of(chosen) if chosen.strip() else environment.find()
            return None, _doctor(python)

        self._in_thread("Running eo-dl doctor ...", work)

    def _in_thread(self, message, work):
        """Show a message and run `work` in a thread; it returns (a path to fill in or None, what to show)."""
        self.answer.setPlainText(message)
        for button in self.buttons:
            button.setEnabled(False)
        self._answers = queue.Queue()
        threading.Thread(target=_put_answer, args=(work, self._answers), daemon=True).start()
        self._clock.start()

    def _show_answer(self):
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


def _put_answer(work, answers):
    try:
        answers.put(work())
    except environment.NoEnvironment as error:
        answers.put((None, str(error)))
    except Exception as error:  # the page waits for an answer, whatever happens
        answers.put((None, f"{type(error).__name__}: {error}"))


def _doctor(python):
    environment.check(python)
    answer = environment.ask(python, ["doctor", "--json"])
    problems = [f"problem: {text}" for text in answer.get("problems") or []]
    gpus = ", ".join(answer.get("gpus") or []) or "none, the CPU is used"
    packages = [f"{name} {version}" for name, version in (answer.get("packages") or {}).items()]
    lines = [
        *(problems or ["No problem found."]),
        python,
        f"eo_dl {answer.get('eo_dl')} with Python {answer.get('python')}",
        f"GPUs: {gpus}",
        *packages,
    ]
    return "\n".join(lines)
