"""Reviewing predictions or a queue object by object: the order, and what a decision writes. No windows in
here.
"""

from qgis.core import QgsCategorizedSymbolRenderer, QgsFeatureRequest, QgsField

from .qt import BOOLEAN, TEXT

ACCEPTED, CHANGED, REJECTED = "accepted", "changed", "rejected"
# Fields of a reviewed layer, which are added where they are missing.
_FIELDS = (("status", TEXT), ("reviewed", BOOLEAN))


class NotReviewable(Exception):
    """Why a layer cannot be reviewed, and what to do."""


class Review:
    """A vector layer that is being reviewed: predictions (by score, least certain first) or a queue of
    chips (by rank).

    Each decision is saved to the file at once, so nothing is lost if QGIS dies.
    """

    def __init__(self, layer):
        self.layer = layer
        names = {field.name() for field in layer.fields()}
        self.order = next((name for name in ("rank", "score") if name in names), "")
        if not self.order:
            raise NotReviewable(
                f"The layer '{layer.name()}' has neither a score nor a rank. "
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

    @property
    def classes(self):
        """Names of the classes: in the order of the drop-down or the legend, then those that only occur."""
        index = self.layer.fields().indexOf("class_name")
        if index < 0:
            return []
        drop_down = self.layer.editorWidgetSetup(index).config().get("map", {})
        listed = _map_values(drop_down) or self._in_legend()
        occurring = {str(value) for value in self.layer.uniqueValues(index) if value}
        return listed + sorted(occurring.difference(listed))

    def _in_legend(self):
        """Classes of the legend; a prediction lists all classes of its model, with or without objects."""
        renderer = self.layer.renderer()
        if not isinstance(renderer, QgsCategorizedSymbolRenderer):
            return []
        if renderer.classAttribute() != "class_name":
            return []
        return [str(category.value()) for category in renderer.categories() if category.value()]

    def counts(self):
        """(reviewed, all) features."""
        reviewed = [_is_true(feature["reviewed"]) for feature in self._features()]
        return sum(reviewed), len(reviewed)

    def next_id(self, after=None):
        """The id of the least certain feature that is not reviewed yet, `after` last; None when all are
        done.
        """
        waiting = [feature for feature in self._features() if not _is_true(feature["reviewed"])]
        others = [feature for feature in waiting if feature.id() != after]
        if others:
            return min(others, key=self._certainty).id()
        return after if waiting else None

    def _certainty(self, feature):
        return _number(feature[self.order]), feature.id()

    def accept(self, feature_id):
        """The object is right."""
        self._write(feature_id, {"status": ACCEPTED})

    def reject(self, feature_id):
        """There is no such object. It is kept as a hard negative, not deleted."""
        self._write(feature_id, {"status": REJECTED})

    def change_class(self, feature_id, name):
        """The object is of another class."""
        self._write(feature_id, {"status": CHANGED, "class_name": name, "class_id": self._class_id(name)})

    def _class_id(self, name):
        """The id of the class in other features; None, not a guess, if no other feature has it."""
        if self.layer.fields().indexOf("class_id") < 0:
            return None
        return next(
            (feature["class_id"] for feature in self._features() if feature["class_name"] == name), None
        )

    def _features(self):
        """All features, without their geometries."""
        return self.layer.getFeatures(QgsFeatureRequest().setFlags(QgsFeatureRequest.Flag.NoGeometry))

    def _write(self, feature_id, values):
        layer = self.layer
        if not layer.getFeature(feature_id).isValid():
            raise NotReviewable("The object no longer exists. Press Next.")
        if not layer.isEditable() and not layer.startEditing():
            raise NotReviewable(f"The layer '{layer.name()}' cannot be edited.")
        for name, value in {**values, "reviewed": True}.items():
            index = layer.fields().indexOf(name)
            if index >= 0:
                layer.changeAttributeValue(feature_id, index, value)
        if not layer.commitChanges(False):
            reason = "; ".join(layer.commitErrors())
            layer.rollBack()
            raise NotReviewable(f"The decision could not be saved: {reason}")


def _map_values(config):
    """The values of a ValueMap drop-down, which is a list of {label: value} or one such dict."""
    if isinstance(config, dict):
        return [str(value) for value in config.values()]
    return [str(value) for pair in config for value in pair.values()]


def _is_true(value):
    """NULL is false, whatever a version of QGIS makes of it."""
    return value in (True, 1)


def _number(value):
    """NULL comes last."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("inf")
