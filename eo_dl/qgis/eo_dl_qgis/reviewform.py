"""The widgets of the review panel, without what they do."""

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .reviewstyle import COLORS

ALL_CLASSES = "all classes"
CHOOSE = "Choose a layer of predictions, then press Next."


class ReviewForm(QWidget):
    """Labels, lists and buttons; `press` is called with the name of the work of a button."""

    def __init__(self, parent, press):
        super().__init__(parent)
        self._press = press
        self.status = _text(CHOOSE)
        self.counts = _text("")
        self.scores = _text("")
        self.scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.only_class, self.classes = QComboBox(), QComboBox()
        self.least_score = QDoubleSpinBox()
        self.least_score.setRange(0.0, 1.0)
        self.least_score.setSingleStep(0.05)
        self.least_score.setValue(0.9)
        layout = QVBoxLayout(self)
        layout.addWidget(self.status)
        layout.addWidget(self.counts)
        layout.addLayout(self._row(("Previous (P)", "previous"), ("Next (N)", "next")))
        layout.addLayout(self._row(("Accept (A)", "accept"), ("Reject (X)", "reject"), ("Undo (U)", "undo")))
        change = QHBoxLayout()
        change.addWidget(self.classes, 1)
        change.addWidget(self._button("Change class (1-9)", "change"))
        layout.addLayout(change)
        layout.addWidget(self._button("Draw a missed object (M)", "draw"))
        layout.addWidget(self._many())
        layout.addWidget(self._button("Retrain with corrections ... (R)", "retrain"))
        layout.addWidget(self.scores)
        layout.addStretch()

    def _many(self):
        """What concerns many objects at once."""
        box = QGroupBox("Many objects")
        form = QFormLayout(box)
        form.addRow("Show", self.only_class)
        row = QHBoxLayout()
        row.addWidget(self.least_score)
        row.addWidget(self._button("Accept all from this score", "accept_above"), 1)
        form.addRow("Score", row)
        return box

    def _row(self, *buttons):
        row = QHBoxLayout()
        for text, work in buttons:
            row.addWidget(self._button(text, work))
        return row

    def _button(self, text, work):
        button = QPushButton(text)
        button.clicked.connect(lambda checked=False: self._press(work))
        return button

    def show_classes(self, names):
        """Fill both lists; those of another layer go."""
        for widget, entries in ((self.classes, names), (self.only_class, [ALL_CLASSES, *names])):
            widget.blockSignals(True)
            widget.clear()
            widget.addItems(entries)
            widget.blockSignals(False)

    def show_counts(self, counts):
        """Numbers by decision, in the colours of the map."""
        parts = []
        for value, label, color in COLORS:
            swatch = f"<span style='background:{color}'>&nbsp;&nbsp;&nbsp;</span>"
            parts.append(f"{swatch}&nbsp;{counts[value]}&nbsp;{label}")
        self.counts.setText(" &nbsp; ".join(parts))

    def forget(self):
        """Back to the state without a layer."""
        self.show_classes([])
        self.status.setText(CHOOSE)
        self.counts.setText("")


def _text(text):
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    return label
