"""The review panel: show the next object, accept it, change its class, reject it, retrain."""

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

# Width of the map relative to a predicted object (by score) and to a chip to label (by rank).
MAP_WIDTHS = {"score": 6.0, "rank": 1.5}
LEAST_MAP_WIDTH = 1.2
CHOOSE = "Choose a layer of predictions, then press Next."


class ReviewAction:
    """The button in the toolbar and in the Raster menu that shows the panel."""

    def __init__(self, iface):
        self._iface = iface
        self.dock = ReviewDock(iface)
        iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        icon = QIcon(str(environment.HERE / "icon.svg"))
        self._action = QAction(icon, "Review with eo_dl", iface.mainWindow())
        self._action.setCheckable(True)
        self._action.toggled.connect(self.dock.setVisible)
        self.dock.visibilityChanged.connect(self._action.setChecked)
        iface.addToolBarIcon(self._action)
        iface.addPluginToRasterMenu("eo_dl", self._action)

    def remove(self):
        """Remove the button and the panel."""
        self._iface.removeToolBarIcon(self._action)
        self._iface.removePluginRasterMenu("eo_dl", self._action)
        self.dock.close_up()
        self._iface.removeDockWidget(self.dock)
        self.dock.deleteLater()


class ReviewDock(QDockWidget):
    """Steps through the active layer. Keys, while the panel is open: N next, A accept, X reject, 1 to 9
    change the class, R retrain.
    """

    def __init__(self, iface):
        super().__init__("Review", iface.mainWindow())
        self.setObjectName("eo_dl_review")
        self._iface, self._review, self._current, self._dialog = iface, None, None, None
        self._frame = QgsRubberBand(iface.mapCanvas(), QgsWkbTypes.GeometryType.PolygonGeometry)
        self._frame.setStrokeColor(QColor("#ffeb3b"))
        self._frame.setFillColor(QColor(0, 0, 0, 0))  # transparent: the object must stay visible
        self._frame.setWidth(3)
        self._status = QLabel(CHOOSE)
        self._status.setWordWrap(True)
        self._classes = QComboBox()
        self._scores = QLabel()
        self._scores.setTextFormat(Qt.TextFormat.RichText)
        self._scores.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._scores.setWordWrap(True)
        self._lay_out()
        self._keys = [
            self._key("N", self.next),
            self._key("A", self.accept_current),
            self._key("X", self.reject_current),
            self._key("R", self.retrain),
            *(self._class_key(index) for index in range(9)),
        ]
        self.visibilityChanged.connect(self._enable_keys)
        QgsProject.instance().layersWillBeRemoved.connect(self._forget)
        recent.listeners.append(self.finished)

    def _lay_out(self):
        layout = QVBoxLayout()
        layout.addWidget(self._status)
        layout.addWidget(self._button("Next least certain (N)", self.next))
        accept, reject = (
            self._button("Accept (A)", self.accept_current),
            self._button("Reject (X)", self.reject_current),
        )
        layout.addLayout(_row(accept, reject))
        layout.addLayout(_row(self._classes, self._button("Change class", self.change_current)))
        layout.addWidget(self._button("Retrain with corrections ... (R)", self.retrain))
        layout.addWidget(self._scores)
        layout.addStretch()
        body = QWidget(self)
        body.setLayout(layout)
        self.setWidget(body)

    def _button(self, text, work):
        button = QPushButton(text)
        button.clicked.connect(lambda checked=False: self._safely(work))
        return button

    def _key(self, text, work):
        shortcut = QShortcut(QKeySequence(text), self._iface.mainWindow())
        shortcut.activated.connect(lambda: self._safely(work))
        shortcut.setEnabled(False)
        return shortcut

    def _class_key(self, index):
        return self._key(str(index + 1), lambda: self.change_to(index))

    def _enable_keys(self, visible):
        for key in self._keys:
            key.setEnabled(visible)
        self._frame.setVisible(visible)

    def close_up(self):
        """Remove the frame from the map and stop listening."""
        recent.listeners.remove(self.finished)
        QgsProject.instance().layersWillBeRemoved.disconnect(self._forget)
        self._iface.mapCanvas().scene().removeItem(self._frame)

    def _forget(self, layer_ids):
        """A layer that is removed from the project is no longer reviewed."""
        if self._review is not None and self._review.layer.id() in layer_ids:
            self._review, self._current = None, None
            self._classes.clear()
            self._status.setText(CHOOSE)
            self._hide_frame()

    def _hide_frame(self):
        self._frame.reset(QgsWkbTypes.GeometryType.PolygonGeometry)

    def _safely(self, work):
        try:
            work()
        except (NotReviewable, QgsProcessingException) as error:
            self._iface.messageBar().pushMessage("eo_dl", str(error), Qgis.MessageLevel.Warning)

    def next(self):
        """Show the next object that is not reviewed yet."""
        review = self._review_of_active_layer()
        self._current = review.next_id(after=self._current)
        self._show_status()
        if self._current is None:
            self._hide_frame()
        else:
            self._show(review.layer.getFeature(self._current))

    def accept_current(self):
        """The object is right."""
        self._decide(lambda review, current: review.accept(current))

    def reject_current(self):
        """There is no such object."""
        self._decide(lambda review, current: review.reject(current))

    def change_current(self):
        """The object is of the class in the drop-down."""
        self._decide(lambda review, current: review.change_class(current, self._classes.currentText()))

    def change_to(self, index):
        """The object is of the class with this index in the drop-down."""
        if index < self._classes.count():
            self._classes.setCurrentIndex(index)
            self.change_current()

    def retrain(self):
        """Open the dialog that merges the corrections into the labels and trains from the last model, filled
        in as far as possible.
        """
        import processing  # lazy: QGIS's own, importable only once it runs

        review = self._review_of_active_layer()
        if review.order == "rank":
            raise NotReviewable(
                "These are places to label, not predictions: draw there, save, "
                "and retrain from the Toolbox with your labels."
            )
        reviewed, _ = review.counts()
        if not reviewed:
            raise NotReviewable("Nothing is reviewed yet: accept, change or reject some objects first.")
        # Kept as an attribute, or Python would delete the dialog.
        self._dialog = processing.createAlgorithmDialog("eo_dl:retrain", retraining.filled_in(review.layer))
        self._dialog.show()

    def finished(self, algorithm, result):
        """Show old and new scores side by side, wherever the retraining was started."""
        rows = recent.comparison(result) if algorithm == "retrain" else []
        if rows:
            self._scores.setText(retraining.table(rows, Path(result["model"]).name))
            self.show()

    def _decide(self, write):
        if self._review is None or self._current is None:
            raise NotReviewable("Press Next first: no object is shown.")
        write(self._review, self._current)
        self.next()

    def _review_of_active_layer(self):
        layer = self._iface.activeLayer()
        if not isinstance(layer, QgsVectorLayer):
            if self._review is not None:
                return self._review
            if isinstance(layer, QgsRasterLayer):
                raise NotReviewable(
                    "A raster has no objects to review. Make objects of a class map: "
                    "Toolbox > 'Labels from prediction'."
                )
            raise NotReviewable("Choose a vector layer of predictions in the Layers panel.")
        if self._review is None or self._review.layer.id() != layer.id():
            self._review, self._current = Review(layer), None
            self._classes.clear()
            self._classes.addItems(self._review.classes)
        return self._review

    def _show_status(self):
        reviewed, total = self._review.counts()
        if self._current is None:
            self._status.setText(f"All {total} are reviewed.")
            return
        feature = self._review.layer.getFeature(self._current)
        names = {field.name() for field in feature.fields()}
        class_name = f"{feature['class_name']}, " if "class_name" in names else ""
        order = self._review.order
        value = feature[order]
        value_text = f"{value:.2f}" if isinstance(value, float) else str(value)
        self._status.setText(f"{class_name}{order} {value_text}. {reviewed} of {total} reviewed.")

    def _show(self, feature):
        layer, canvas = self._review.layer, self._iface.mapCanvas()
        self._frame.setToGeometry(feature.geometry(), layer)
        map_crs = canvas.mapSettings().destinationCrs()
        to_map = QgsCoordinateTransform(layer.crs(), map_crs, QgsProject.instance())
        canvas.setExtent(to_map.transformBoundingBox(self._map_extent(feature.geometry().boundingBox())))
        canvas.refresh()

    def _map_extent(self, box):
        """The extent to show for an object: some ground around it, but not much more than the whole layer."""
        extent = self._review.layer.extent()
        layer_side = max(extent.width(), extent.height())
        side = max(box.width(), box.height())
        if side <= 0:  # a point
            return box.buffered(layer_side / 20 or 1)
        width = min(MAP_WIDTHS[self._review.order], layer_side / side)
        box.scale(max(LEAST_MAP_WIDTH, width))
        return box


def _row(*widgets):
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
