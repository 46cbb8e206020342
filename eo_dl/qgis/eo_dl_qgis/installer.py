"""The dialog that makes an environment with eo_dl, step by step, with a log."""

import os

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QProcess, QProcessEnvironment
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from . import environment, installing

ABOUT = (
    "eo_dl runs in a Python of its own, beside QGIS. This downloads and installs it into a new folder; "
    "nothing is changed in QGIS. It needs a connection to the package index of Python."
)


class InstallDialog(QDialog):
    """Asks what to install and where; `python` is the path of the new Python once it is done, else ""."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setWindowTitle("Install eo_dl")
        self.resize(720, 480)
        self.python = ""
        self._steps, self._process, self._is_cancelled = [], None, False
        self.kind = QComboBox()
        for key, text in installing.KINDS:
            self.kind.addItem(text, key)
        self.folder = QgsFileWidget(self)
        self.folder.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.folder.setFilePath(str(installing.default_folder()))
        self.source = QLineEdit(installing.PACKAGE)
        self.source.setToolTip("The name of the package, or the path of a wheel or a checkout")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.install_button, self.cancel_button = QPushButton("Install"), QPushButton("Cancel")
        self.install_button.clicked.connect(self.install)
        self.cancel_button.clicked.connect(self.cancel)
        self._lay_out()

    def _lay_out(self):
        about = QLabel(ABOUT)
        about.setWordWrap(True)
        form = QFormLayout()
        form.addRow("For", self.kind)
        form.addRow("Folder", self.folder)
        form.addRow("Package", self.source)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.install_button)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addLayout(form)
        layout.addWidget(self.log)
        layout.addLayout(buttons)

    def install(self):
        """Begin with the first step."""
        self._is_cancelled = False
        folder = self.folder.filePath().strip()
        source = self.source.text().strip() or installing.PACKAGE
        try:
            self._steps = list(installing.plan(folder, self.kind.currentData(), source))
        except installing.CannotInstall as error:
            self._say(str(error))
            return
        self.install_button.setEnabled(False)
        self._next_step()

    def _next_step(self):
        if not self._steps:
            self._check()
            return
        step = self._steps.pop(0)
        self._say(f"{step.title} ...")
        self._process = QProcess(self)
        variables = QProcessEnvironment()
        for name, value in environment.clean(os.environ).items():
            variables.insert(name, value)
        self._process.setProcessEnvironment(variables)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.finished.connect(self._finished)
        self._process.errorOccurred.connect(self._did_not_start)
        self._process.start(step.words[0], list(step.words[1:]))

    def _read(self):
        text = bytes(self._process.readAllStandardOutput()).decode("utf-8", "replace").strip()
        if text:
            self._say(text)

    def _did_not_start(self, error):
        if error == QProcess.ProcessError.FailedToStart:
            self._end(f"{self._process.program()} does not start: {self._process.errorString()}")

    def _finished(self, code, status):
        self._read()
        if self._is_cancelled:
            self._end("Cancelled.")
        elif code != 0 or status != QProcess.ExitStatus.NormalExit:
            self._end(f"Failed with exit code {code}; the reason is above.")
        else:
            self._next_step()

    def _check(self):
        python = installing.python_in(self.folder.filePath().strip())
        try:
            environment.check(python)
        except environment.NoEnvironment as error:
            self._end(f"Installed, but it does not work: {error}")
            return
        self.python = python
        self._say(f"Done: {python}. Close this window, then press OK to use it.")
        self.cancel_button.setText("Close")

    def _end(self, message):
        """Nothing works yet: say why, and that the folder is not one to keep."""
        self._say(f"{message} {self.folder.filePath()} is incomplete: remove it before you try again.")
        self.install_button.setEnabled(True)

    def cancel(self):
        """Stop what runs, or close."""
        if self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning:
            self._is_cancelled = True
            self._process.kill()
            return
        self.reject()

    def reject(self):
        """Escape and the button of the window, too, end what runs."""
        if self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning:
            self._is_cancelled = True
            self._process.kill()
            self._process.waitForFinished(2000)
        super().reject()

    def _say(self, text):
        self.log.appendPlainText(text)
