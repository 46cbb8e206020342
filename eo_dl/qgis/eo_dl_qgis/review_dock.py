"""The review dock: next least certain, accept, change class, reject, retrain."""

from qgis.core import Qgis, QgsCoordinateTransform, QgsMapLayer, QgsProject, QgsWkbTypes
from qgis.gui import QgsRubberBand
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QIcon, QKeySequence
from qgis.PyQt.QtWidgets import QAction, QComboBox, QDockWidget, QHBoxLayout, QLabel, QPushButton, QShortcut, QVBoxLayout, QWidget

from . import environment
from .review import NotReviewable, Review

SURROUNDINGS = 6.0  # how much wider than the object the map is


class ReviewAction:
    """The button in the toolbar and the Raster menu that shows the dock."""

    def __init__(self, iface):
        self._iface = iface
        self.dock = ReviewDock(iface)
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        self._action = QAction(QIcon(str(environment.HERE / "icon.svg")), "Review with eo_dl", iface.mainWindow())
        self._action.setCheckable(True)
        self._action.toggled.connect(self.dock.setVisible)
        self.dock.visibilityChanged.connect(self._action.setChecked)
        iface.addToolBarIcon(self._action)
        iface.addPluginToRasterMenu("eo_dl", self._action)

    def remove(self):
        """Take everything away again."""
        self._iface.removeToolBarIcon(self._action)
        self._iface.removePluginRasterMenu("eo_dl", self._action)
        self.dock.close_up()
        self._iface.removeDockWidget(self.dock)
        self.dock.deleteLater()


class ReviewDock(QDockWidget):
    """Steps through the active layer. Keys: N next, A accept, X reject, 1 to 9 change class; only while the dock is open."""

    def __init__(self, iface):
        super().__init__("Review", iface.mainWindow())
        self.setObjectName("eo_dl_review")
        self._iface, self._review, self._current = iface, None, None
        self._frame = QgsRubberBand(iface.mapCanvas(), QgsWkbTypes.GeometryType.PolygonGeometry)
        self._frame.setStrokeColor(QColor("#ffeb3b"))
        self._frame.setFillColor(QColor(0, 0, 0, 0))  # an outline: what is judged must be seen
        self._frame.setWidth(3)
        self._status = QLabel("Choose a layer of predictions, then press Next.")
        self._status.setWordWrap(True)
        self._classes = QComboBox()
        self._buttons = {}
        layout = QVBoxLayout()
        layout.addWidget(self._status)
        layout.addWidget(self._button("Next least certain (N)", self.next))
        row = QHBoxLayout()
        row.addWidget(self._button("Accept (A)", self.accept_one))
        row.addWidget(self._button("Reject (X)", self.reject_one))
        layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self._classes)
        row.addWidget(self._button("Change class", self.change_one))
        layout.addLayout(row)
        layout.addWidget(self._button("Retrain with corrections ...", self.retrain))
        layout.addStretch()
        body = QWidget(self)
        body.setLayout(layout)
        self.setWidget(body)
        self._keys = [self._key(key, work) for key, work in (("N", self.next), ("A", self.accept_one), ("X", self.reject_one))]
        self._keys += [self._key(str(place + 1), lambda place=place: self.change_to(place)) for place in range(9)]
        self.visibilityChanged.connect(self._enable_keys)

    def _button(self, text, work):
        button = QPushButton(text)
        button.clicked.connect(lambda checked=False: self._safely(work))
        return button

    def _key(self, text, work):
        shortcut = QShortcut(QKeySequence(text), self._iface.mainWindow())
        shortcut.activated.connect(lambda: self._safely(work))
        shortcut.setEnabled(False)
        return shortcut

    def _enable_keys(self, visible):
        for key in self._keys:
            key.setEnabled(visible)
        self._frame.setVisible(visible)

    def close_up(self):
        """Take the frame off the map."""
        self._iface.mapCanvas().scene().removeItem(self._frame)

    def _safely(self, work):
        try:
            work()
        except NotReviewable as error:
            self._iface.messageBar().pushMessage("eo_dl", str(error), Qgis.MessageLevel.Warning)

    def next(self):
        """Show the next one that nobody has looked at."""
        review = self._of_active_layer()
        self._current = review.next_id(after=self._current)
        self._say()
        if self._current is None:
            self._frame.reset(QgsWkbTypes.GeometryType.PolygonGeometry)
        else:
            self._show(review.layer.getFeature(self._current))

    def accept_one(self):
        """The object is right."""
        self._decide(lambda review, current: review.accept(current))

    def reject_one(self):
        """There is no such object."""
        self._decide(lambda review, current: review.reject(current))

    def change_one(self):
        """The object is of the class in the drop-down."""
        self._decide(lambda review, current: review.change_class(current, self._classes.currentText()))

    def change_to(self, place):
        """The object is of the class at a place of the drop-down."""
        if place < self._classes.count():
            self._classes.setCurrentIndex(place)
            self.change_one()

    def retrain(self):
        """Merge the corrections into the labels, then open the dialog that trains from the last model."""
        import processing

        review = self._of_active_layer()
        merged = processing.execAlgorithmDialog("eo_dl:merge_labels", {"CORRECTED": review.layer.id()})
        if merged and merged.get("OUT"):
            processing.execAlgorithmDialog("eo_dl:retrain", {"LABELS": merged["OUT"]})

    def _decide(self, write):
        if self._review is None or self._current is None:
            raise NotReviewable("Press Next first: no object is shown.")
        write(self._review, self._current)
        self.next()

    def _of_active_layer(self):
        layer = self._iface.activeLayer()
        if layer is None or layer.type() != QgsMapLayer.VectorLayer:
            if self._review is not None:
                return self._review
            raise NotReviewable("Choose a vector layer of predictions in the Layers panel.")
        if self._review is None or self._review.layer.id() != layer.id():
            self._review, self._current = Review(layer), None
            self._classes.clear()
            self._classes.addItems(self._review.classes)
        return self._review

    def _say(self):
        done, total = self._review.counts()
        if self._current is None:
            self._status.setText(f"All {total} are reviewed.")
            return
        feature = self._review.layer.getFeature(self._current)
        names = {field.name() for field in feature.fields()}
        what = f"{feature['class_name']}, " if "class_name" in names else ""
        value = feature[self._review.order]
        shown = f"{value:.2f}" if isinstance(value, float) else str(value)
        self._status.setText(f"{what}{self._review.order} {shown}. {done} of {total} reviewed.")

    def _show(self, feature):
        layer, canvas = self._review.layer, self._iface.mapCanvas()
        self._frame.setToGeometry(feature.geometry(), layer)
        box = feature.geometry().boundingBox()
        box.scale(SURROUNDINGS)
        to_map = QgsCoordinateTransform(layer.crs(), canvas.mapSettings().destinationCrs(), QgsProject.instance())
        canvas.setExtent(to_map.transformBoundingBox(box))
        canvas.refresh()
