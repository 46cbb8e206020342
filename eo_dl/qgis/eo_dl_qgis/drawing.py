"""Drawing an object that the model has missed: QGIS's own tool, with the attributes filled in."""

from qgis.core import QgsDefaultValue, QgsEditFormConfig, QgsExpression
from qgis.PyQt.QtCore import QTimer

from .review import NotReviewable
from .reviewlist import ACCEPTED


class Drawing:
    """Until it is stopped, each new object of the layer gets a class, counts as accepted, and is saved as
    soon as it is drawn; no form is shown.
    """

    def __init__(self, layer, class_name, class_id):
        self._layer = layer
        if not layer.isEditable() and not layer.startEditing():
            raise NotReviewable(f"The layer '{layer.name()}' cannot be edited.")
        values = {"class_name": class_name, "class_id": class_id, "status": ACCEPTED, "reviewed": True}
        self._before = {}
        for name, value in values.items():
            index = layer.fields().indexOf(name)
            if index >= 0 and value is not None:
                self._before[index] = layer.defaultValueDefinition(index)
                layer.setDefaultValueDefinition(index, QgsDefaultValue(QgsExpression.quotedValue(value)))
        self._form = layer.editFormConfig()
        without_form = layer.editFormConfig()
        without_form.setSuppress(QgsEditFormConfig.FeatureFormSuppress.SuppressOn)
        layer.setEditFormConfig(without_form)
        layer.featureAdded.connect(self._added)

    def stop(self):
        """Give the layer its own form and defaults back."""
        self._layer.featureAdded.disconnect(self._added)
        for index, definition in self._before.items():
            self._layer.setDefaultValueDefinition(index, definition)
        self._layer.setEditFormConfig(self._form)

    def _added(self, feature_id):
        # Later: QGIS has not finished adding it. Saving gives the object the id of its file.
        if feature_id < 0:
            QTimer.singleShot(0, self._save)

    def _save(self):
        if self._layer.isEditable():
            self._layer.commitChanges(False)
