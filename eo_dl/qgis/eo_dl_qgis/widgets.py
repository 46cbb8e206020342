"""The widget of a parameter with a list of values that also takes others, such as a backbone or a file."""

from processing.gui.wrappers import WidgetWrapper
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from . import choices

# What an empty value is shown as.
DEFAULT_TEXT = "default"


class ListOrText(WidgetWrapper):
    """An editable list (`choices.listed`), on request with a button to choose a file.

    QGIS makes it from the metadata of a parameter, which are the arguments of `createWidget`.
    """

    def createWidget(self, parameter=""):
        self._list = QComboBox()
        self._list.setEditable(True)
        self._list.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._list.addItem("", "")
        self._list.lineEdit().setPlaceholderText(DEFAULT_TEXT)
        for text, value in choices.listed(parameter):
            self._list.addItem(text, value)
        if parameter not in choices.WITH_FILE:
            return self._list
        widget = QWidget()
        row = QHBoxLayout(widget)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._list)
        row.addWidget(self._file_button())
        return widget

    def _file_button(self):
        button = QToolButton()
        button.setText("\N{HORIZONTAL ELLIPSIS}")
        button.setToolTip("Choose a file")
        button.clicked.connect(self._choose_file)
        return button

    def _choose_file(self):
        path, _ = QFileDialog.getOpenFileName(self.widget, "Choose a file", "", "All files (*)")
        if path:
            self._list.setEditText(path)

    def setValue(self, value):
        place = self._list.findData("" if value is None else str(value))
        if place >= 0:
            self._list.setCurrentIndex(place)
        else:
            self._list.setEditText(str(value))

    def value(self):
        text = self._list.currentText().strip()
        place = self._list.findText(text)
        return self._list.itemData(place) if place >= 0 else text
