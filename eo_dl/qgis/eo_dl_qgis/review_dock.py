"""The review panel: show an object, decide, take it back, draw what is missing, retrain."""

import html
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
from qgis.PyQt.QtWidgets import QDockWidget

from . import environment, recent, retraining, reviewstyle
from .drawing import Drawing
from .qt import QAction, QShortcut
from .review import NotReviewable, Review
from .reviewform import ALL_CLASSES, ReviewForm

# Width of the map relative to an object and, by rank, to a chip to label.
MAP_WIDTHS = {"rank": 1.5}
OBJECT_MAP_WIDTH, LEAST_MAP_WIDTH = 6.0, 1.2
KEYS = {
    "N": "next",
    "P": "previous",
    "A": "accept",
    "X": "reject",
    "U": "undo",
    "M": "draw",
    "R": "retrain",
}


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
    """Steps through the active layer. While the panel is open its keys (`KEYS`, and 1 to 9 for the classes)
    work in the whole window.
    """

    def __init__(self, iface):
        super().__init__("Review", iface.mainWindow())
        self.setObjectName("eo_dl_review")
        self._iface, self._review, self._current, self._dialog = iface, None, None, None
        self._style_before, self._drawing = "", None
        self._frame = QgsRubberBand(iface.mapCanvas(), QgsWkbTypes.GeometryType.PolygonGeometry)
        self._frame.setStrokeColor(QColor("#ff4fd8"))
        self._frame.setFillColor(QColor(0, 0, 0, 0))  # transparent: the object must stay visible
        self._frame.setWidth(3)
        self.form = ReviewForm(self, self.do)
        self.form.only_class.currentTextChanged.connect(self._show_class)
        self.setWidget(self.form)
        self._keys = [self._key(key, lambda work=work: self.do(work)) for key, work in KEYS.items()]
        self._keys += [self._class_key(index) for index in range(9)]
        self.visibilityChanged.connect(self._shown)
        QgsProject.instance().layersWillBeRemoved.connect(self._forget)
        recent.listeners.append(self.finished)

    def _key(self, text, press):
        shortcut = QShortcut(QKeySequence(text), self._iface.mainWindow())
        shortcut.activated.connect(lambda: press())
        shortcut.setEnabled(False)
        return shortcut

    def _class_key(self, index):
        return self._key(str(index + 1), lambda: self._safely(lambda: self.change_to(index)))

    def _shown(self, visible):
        for key in self._keys:
            key.setEnabled(visible)
        self._frame.setVisible(visible)
        if self._review is None or self._review.order == "rank":
            return
        if visible and not self._style_before:
            self._style_before = reviewstyle.apply(self._review.layer)
        elif self.isHidden() and self._style_before:
            self._restore_style()

    def _restore_style(self):
        reviewstyle.restore(self._review.layer, self._style_before)
        self._style_before = ""

    def close_up(self):
        """Remove the frame from the map and stop listening."""
        self._end()
        recent.listeners.remove(self.finished)
        QgsProject.instance().layersWillBeRemoved.disconnect(self._forget)
        self._iface.mapCanvas().scene().removeItem(self._frame)

    def _forget(self, layer_ids):
        """A layer that is removed from the project is no longer reviewed."""
        if self._review is not None and self._review.layer.id() in layer_ids:
            self._end()
            self.form.forget()
            self._hide_frame()

    def _end(self):
        if self._review is None:
            return
        self._stop_drawing()
        if self._style_before:
            self._restore_style()
        self._review.close()
        self._review, self._current = None, None

    def _hide_frame(self):
        self._frame.reset(QgsWkbTypes.GeometryType.PolygonGeometry)

    def do(self, work):
        """Do what a button or a key is for, by the name of the method."""
        self._safely(getattr(self, work))

    def _safely(self, work):
        try:
            work()
        except (NotReviewable, QgsProcessingException) as error:
            self._say(str(error), Qgis.MessageLevel.Warning)

    def _say(self, text, level):
        self._iface.messageBar().pushMessage("eo_dl", text, level)

    def next(self):
        """Show the next object that is not reviewed yet."""
        review = self._review_of_active_layer()
        self._go_to(review.list.next(self._current))

    def previous(self):
        """Show the object before this one, reviewed or not."""
        review = self._review_of_active_layer()
        self._go_to(review.list.previous(self._current))

    def _go_to(self, item_id):
        self._current = item_id
        self._show_status()
        if item_id is None:
            self._hide_frame()
        else:
            self._show(self._review.layer.getFeature(item_id))

    def accept(self):
        """The object is right."""
        self._decide(lambda review, current: review.accept(current))

    def reject(self):
        """There is no such object."""
        self._decide(lambda review, current: review.reject(current))

    def change(self):
        """The object is of the class in the drop-down."""
        self._decide(lambda review, current: review.change_class(current, self.form.classes.currentText()))

    def change_to(self, index):
        """The object is of the class with this index in the drop-down."""
        if index < self.form.classes.count():
            self.form.classes.setCurrentIndex(index)
            self.change()

    def _decide(self, write):
        if self._review is None or self._current is None:
            raise NotReviewable("Press Next first: no object is shown.")
        write(self._review, self._current)
        self.next()

    def undo(self):
        """Take the last decision back and show its object."""
        if self._review is None:
            raise NotReviewable("There is no decision to take back.")
        ids = self._review.undo()
        self._go_to(ids[0] if len(ids) == 1 else self._current)

    def accept_above(self):
        """Accept every object that waits and has the chosen score or a higher one."""
        review = self._review_of_active_layer()
        ids = [] if review.order == "rank" else review.list.above(self.form.least_score.value())
        if not ids:
            raise NotReviewable("No object that waits has this score or a higher one.")
        review.accept(*ids)
        self._say(f"{len(ids)} accepted. Undo takes this back.", Qgis.MessageLevel.Info)
        self.next()

    def _show_class(self, name):
        """Show only the objects of a class from now on."""
        if self._review is not None:
            self._review.list.only_class = "" if name == ALL_CLASSES else name
            self._current = None
            self.do("next")

    def draw(self):
        """Draw an object that the model has missed, of the class in the drop-down."""
        review = self._review_of_active_layer()
        if review.order == "rank":
            raise NotReviewable("These are places to label. Draw in the layer of your labels.")
        self._stop_drawing()
        class_name = self.form.classes.currentText()
        self._drawing = Drawing(review.layer, class_name, review.list.class_id(class_name))
        self._iface.setActiveLayer(review.layer)
        self._iface.actionAddFeature().trigger()

    def _stop_drawing(self):
        if self._drawing is not None:
            self._drawing.stop()
            self._drawing = None

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
        if review.list.counts()[""] == len(review.list.items):
            raise NotReviewable("Nothing is reviewed yet: accept, change or reject some objects first.")
        # Kept as an attribute, or Python would delete the dialog.
        self._dialog = processing.createAlgorithmDialog("eo_dl:retrain", retraining.filled_in(review.layer))
        self._dialog.show()

    def finished(self, algorithm, result):
        """Show old and new scores side by side, wherever the retraining was started."""
        rows = recent.comparison(result) if algorithm == "retrain" else []
        if rows:
            self.form.scores.setText(retraining.table(rows, Path(result["model"]).name))
            self.show()

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
            self._begin(Review(layer))
        return self._review

    def _begin(self, review):
        self._end()
        self._review = review
        self.form.show_classes(review.classes)
        if review.order != "rank":
            self._style_before = reviewstyle.apply(review.layer)

    def _show_status(self):
        review = self._review
        self.form.show_counts(review.list.counts())
        if self._current is None:
            of_class = html.escape(review.list.only_class)
            which = f"objects of the class {of_class}" if of_class else str(len(review.list.items))
            self.form.status.setText(f"All {which} are reviewed.")
            return
        item = review.list.items[self._current]
        parts = [html.escape(item.class_name)] if item.class_name else []
        if item.value is not None:
            digits = "rank {:g}" if review.order == "rank" else "score {:.2f}"
            parts.append(digits.format(item.value))
        if item.reviewed:
            parts.append(item.status or "reviewed")
        self.form.status.setText(f"<b>{', '.join(parts)}</b>")

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
        width = min(MAP_WIDTHS.get(self._review.order, OBJECT_MAP_WIDTH), layer_side / side)
        box.scale(max(LEAST_MAP_WIDTH, width))
        return box
