"""The review dock: next least certain, accept, change class, reject, retrain."""

from pathlib import Path

from qgis.core import (
    Qgis,
    QgsCoordinateTransform,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.gui import QgsRubberBand
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QColor, QIcon, QKeySequence
from qgis.PyQt.QtWidgets import QComboBox, QDockWidget, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from . import environment, recent, retraining
from .qt import QAction, QShortcut
from .review import NotReviewable, Review

SURROUNDINGS = {"score": 6.0, "rank": 1.5}  # how much wider the map is than an object, or a chip to label


class ReviewAction:
    """The button in the toolbar and the Raster menu that shows the dock."""

    def __init__(self, iface):
        self._iface = iface
        self.dock = ReviewDock(iface)
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        self._action = QAction(
            QIcon(str(environment.HERE / "icon.svg")), "Review with eo_dl", iface.mainWindow()
        )
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
    """Steps through the active layer. Keys: N next, A accept, X reject, 1 to 9 change class, R retrain; only
    while the dock is open.
    """

    def __init__(self, iface):
        super().__init__("Review", iface.mainWindow())
        self.setObjectName("eo_dl_review")
        self._iface, self._review, self._current, self._dialog = iface, None, None, None
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
        layout.addWidget(self._button("Retrain with corrections ... (R)", self.retrain))
        self._scores = QLabel()
        self._scores.setTextFormat(Qt.TextFormat.RichText)
        self._scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._scores.setWordWrap(True)
        layout.addWidget(self._scores)
        layout.addStretch()
        body = QWidget(self)
        body.setLayout(layout)
        self.setWidget(body)
        self._keys = [
            self._key(key, work)
            for key, work in (
                ("N", self.next),
                ("A", self.accept_one),
                ("X", self.reject_one),
                ("R", self.retrain),
            )
        ]
        self._keys += [
            self._key(str(place + 1), lambda place=place: self.change_to(place)) for place in range(9)
        ]
        self.visibilityChanged.connect(self._enable_keys)
        QgsProject.instance().layersWillBeRemoved.connect(self._forget)
        recent.listeners.append(self.finished)

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
        """Take the frame off the map, and hear no more."""
        recent.listeners.remove(self.finished)
        QgsProject.instance().layersWillBeRemoved.disconnect(self._forget)
        self._iface.mapCanvas().scene().removeItem(self._frame)

    def _forget(self, layer_ids):
        """A layer that is taken off the map is no longer reviewed."""
        if self._review is not None and self._review.layer.id() in layer_ids:
            self._review, self._current = None, None
            self._classes.clear()
            self._status.setText("Choose a layer of predictions, then press Next.")
            self._frame.reset(QgsWkbTypes.GeometryType.PolygonGeometry)

    def _safely(self, work):
        try:
            work()
        except (NotReviewable, QgsProcessingException) as error:
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
        """Open the dialog that merges the corrections into the labels and trains from the last model, filled
        in as far as it is known.
        """
        import processing  # QGIS's own, on the path only once it runs

        review = self._of_active_layer()
        if review.order == "rank":
            raise NotReviewable(
                "These are places to label, not predictions: draw there, save, and retrain from the Toolbox with your labels."
            )
        if not review.counts()[0]:
            raise NotReviewable("Nothing is reviewed yet: accept, change or reject some objects first.")
        # Python must keep it
        self._dialog = processing.createAlgorithmDialog("eo_dl:retrain", retraining.filled_in(review.layer))
        self._dialog.show()

    def finished(self, algorithm, result):
        """Old and new scores side by side, whoever started the training."""
        rows = recent.comparison(result) if algorithm == "retrain" else []
        if rows:
            self._scores.setText(retraining.table(rows, Path(result["model"]).name))
            self.show()

    def _decide(self, write):
        if self._review is None or self._current is None:
            raise NotReviewable("Press Next first: no object is shown.")
        write(self._review, self._current)
        self.next()

    def _of_active_layer(self):
        layer = self._iface.activeLayer()
        if not isinstance(layer, QgsVectorLayer):
            if self._review is not None:
                return self._review
            if isinstance(layer, QgsRasterLayer):
                raise NotReviewable(
                    "A raster has no objects to step through. Make some of a class map: Toolbox > 'A prediction as labels to correct'."
                )
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
        to_map = QgsCoordinateTransform(
            layer.crs(), canvas.mapSettings().destinationCrs(), QgsProject.instance()
        )
        canvas.setExtent(to_map.transformBoundingBox(self._surroundings(feature.geometry().boundingBox())))
        canvas.refresh()

    def _surroundings(self, box):
        """What the map shows of an object: some ground around it; of one that fills the layer, a little."""
        whole = self._review.layer.extent()
        whole, side = max(whole.width(), whole.height()), max(box.width(), box.height())
        if side <= 0:  # a point
            return box.buffered(whole / 20 or 1)
        box.scale(max(1.2, min(SURROUNDINGS[self._review.order], whole / side)))
        return box
