"""A vector layer that is being reviewed: read once, each decision written to its file. No windows in here."""

from qgis.core import QgsCategorizedSymbolRenderer, QgsFeatureRequest, QgsField, QgsVectorDataProvider

from .qt import BOOLEAN, TEXT
from .reviewlist import ACCEPTED, CHANGED, REJECTED, Item, ReviewList

# Fields of a reviewed layer, which are added where they are missing.
_FIELDS = (("status", TEXT), ("reviewed", BOOLEAN))
# Fields that hold the order of the review, and the area by which objects without a score are ordered.
_ORDERS, _AREA = ("rank", "score"), "area_m2"


class NotReviewable(Exception):
    """Why a layer cannot be reviewed, and what to do."""


class Review:
    """A vector layer that is being reviewed: predictions (by score, least certain first), a queue of chips
    (by rank), or objects without a score (largest first).

    Each decision is saved to the file at once, so nothing is lost if QGIS dies.
    """

    def __init__(self, layer):
        self.layer = layer
        names = {field.name() for field in layer.fields()}
        self.order = next((name for name in _ORDERS if name in names), "")
        if not self.order and "class_name" not in names:
            raise NotReviewable(
                f"The layer '{layer.name()}' has neither a class nor a score nor a rank. "
                "Choose a result of 'Predict', 'Labels from prediction' or 'Next places to label'."
            )
        if layer.isEditable() and layer.isModified():
            raise NotReviewable(f"The layer '{layer.name()}' has unsaved edits. Save them first.")
        missing = [QgsField(name, kind) for name, kind in _FIELDS if name not in names]
        if missing and not layer.dataProvider().addAttributes(missing):
            raise NotReviewable(
                f"The layer '{layer.name()}' is read-only. Save it as a GeoPackage and review that."
            )
        layer.updateFields()
        read = (self.order, _AREA, "class_name", "class_id", "status", "reviewed")
        self._places = {
            field.name(): place for place, field in enumerate(layer.fields()) if field.name() in read
        }
        self.list = ReviewList()
        self._is_writing = False
        self.reload()
        layer.committedFeaturesAdded.connect(self._added)
        layer.committedFeaturesRemoved.connect(self._removed)
        layer.committedAttributeValuesChanges.connect(self._changed)
        layer.subsetStringChanged.connect(self.reload)

    def close(self):
        """Stop following the layer."""
        self.layer.committedFeaturesAdded.disconnect(self._added)
        self.layer.committedFeaturesRemoved.disconnect(self._removed)
        self.layer.committedAttributeValuesChanges.disconnect(self._changed)
        self.layer.subsetStringChanged.disconnect(self.reload)

    def reload(self):
        """Read all objects again, without their outlines if the layer has a field with their area."""
        request = QgsFeatureRequest().setSubsetOfAttributes(list(self._places.values()))
        if _AREA in self._places:
            request.setFlags(QgsFeatureRequest.Flag.NoGeometry)
        shown = self.list.only_class
        items = [self._item(feature) for feature in self.layer.getFeatures(request)]
        self.list = ReviewList({item.id: item for item in items}, shown)

    def _item(self, feature):
        attributes = feature.attributes()
        values = {name: _plain(attributes[place]) for name, place in self._places.items()}
        area = _number(values[_AREA]) if _AREA in values else feature.geometry().area()
        return Item(
            id=feature.id(),
            value=_number(values.get(self.order)),
            area=area or 0.0,
            class_name=str(values.get("class_name") or ""),
            class_id=values.get("class_id"),
            status=str(values.get("status") or ""),
            reviewed=values["reviewed"] in (True, 1),
        )

    def _added(self, layer_id, features):
        self.list.put([self._item(feature) for feature in features])

    def _removed(self, layer_id, ids):
        self.list.remove(ids)

    def _changed(self, layer_id, changes):
        if self._is_writing:  # a decision, which the list has already
            return
        wanted = QgsFeatureRequest().setFilterFids([int(feature_id) for feature_id in changes])
        self.list.put([self._item(feature) for feature in self.layer.getFeatures(wanted)])

    @property
    def classes(self):
        """Names of the classes: in the order of the drop-down or the legend, then those that only occur."""
        index = self.layer.fields().indexOf("class_name")
        if index < 0:
            return []
        drop_down = self.layer.editorWidgetSetup(index).config().get("map", {})
        listed = _map_values(drop_down) or self._in_legend()
        occurring = {item.class_name for item in self.list.items.values() if item.class_name}
        return listed + sorted(occurring.difference(listed))

    def _in_legend(self):
        """Classes of the legend; a prediction lists all classes of its model, with or without objects."""
        renderer = self.layer.renderer()
        if not isinstance(renderer, QgsCategorizedSymbolRenderer):
            return []
        if renderer.classAttribute() != "class_name":
            return []
        return [str(category.value()) for category in renderer.categories() if category.value()]

    def accept(self, *ids):
        """The objects are right."""
        self._decide(ids, ACCEPTED)

    def reject(self, *ids):
        """There are no such objects. They are kept as hard negatives, not deleted."""
        self._decide(ids, REJECTED)

    def change_class(self, feature_id, name):
        """The object is of another class."""
        self._decide((feature_id,), CHANGED, name)

    def undo(self):
        """Take the last decision back, also in the file; returns the ids of its objects."""
        if not self.list.can_undo():
            raise NotReviewable("There is no decision to take back.")
        before = self.list.undo()
        if before:
            self._write(before)
        return list(before)

    def _decide(self, ids, status, class_name=None):
        gone = [item_id for item_id in ids if item_id not in self.list.items]
        if gone or not ids:
            raise NotReviewable("The object no longer exists. Press Next.")
        changes = self.list.decide(ids, status, class_name)
        try:
            self._write(changes)
        except NotReviewable:
            self.list.forget_last()
            raise

    def _write(self, changes):
        """Save values by feature and field; in edit mode together with what was edited by hand."""
        layer = self.layer
        names = ("class_name", "class_id", "status", "reviewed")
        indices = {name: layer.fields().indexOf(name) for name in names}
        by_index = {
            feature_id: {
                indices[name]: None if value == "" else value
                for name, value in values.items()
                if indices[name] >= 0
            }
            for feature_id, values in changes.items()
        }
        if layer.isEditable():
            self._write_with_edits(by_index)
            return
        can_write = (
            layer.dataProvider().capabilities() & QgsVectorDataProvider.Capability.ChangeAttributeValues
        )
        if layer.readOnly() or not can_write:
            raise NotReviewable(f"The layer '{layer.name()}' cannot be edited.")
        if not layer.dataProvider().changeAttributeValues(by_index):
            reason = "; ".join(layer.dataProvider().errors()) or "no reason was given"
            layer.dataProvider().clearErrors()
            raise NotReviewable(f"The decision could not be saved: {reason}")
        layer.triggerRepaint()

    def _write_with_edits(self, by_index):
        layer = self.layer
        for feature_id, values in by_index.items():
            layer.changeAttributeValues(feature_id, values)
        self._is_writing = True
        is_saved = layer.commitChanges(False)
        self._is_writing = False
        if not is_saved:
            reason = "; ".join(layer.commitErrors())
            layer.rollBack()
            raise NotReviewable(f"The decision could not be saved: {reason}")


def _map_values(config):
    """The values of a ValueMap drop-down, which is a list of {label: value} or one such dict."""
    if isinstance(config, dict):
        return [str(value) for value in config.values()]
    return [str(value) for pair in config for value in pair.values()]


def _plain(value):
    """NULL is None, whatever a version of QGIS makes of it."""
    return None if value is None or (hasattr(value, "isNull") and value.isNull()) else value


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
