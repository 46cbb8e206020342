"""Going through predictions or a queue, object by object: the order, and what a decision writes. No windows
in here.
"""

from qgis.core import QgsCategorizedSymbolRenderer, QgsFeatureRequest, QgsField

from .qt import BOOLEAN, TEXT

ACCEPTED, CHANGED, REJECTED = "accepted", "changed", "rejected"
_ADDED = (("status", TEXT), ("reviewed", BOOLEAN))


class NotReviewable(Exception):
    """Why a layer cannot be reviewed, and what to do."""


class Review:
    """One vector layer being reviewed: predictions (by score, least certain first) or a queue of chips (by
    rank).

    Each decision is written to the file at once, as an edit that QGIS can undo until then; nothing is lost
    when QGIS dies.
    """

    def __init__(self, layer):
        self.layer = layer
        names = {field.name() for field in layer.fields()}
        self.order = next((name for name in ("rank", "score") if name in names), "")
        if not self.order:
            raise NotReviewable(
                f"The layer '{layer.name()}' has neither a score nor a rank. Choose the result of Predict, of 'A prediction as labels to correct' "
                "or of 'What to label next'."
            )
        if layer.isEditable() and layer.isModified():
            raise NotReviewable(f"The layer '{layer.name()}' has unsaved edits. Save them first.")
        missing = [QgsField(name, kind) for name, kind in _ADDED if name not in names]
        if missing and not (layer.dataProvider().addAttributes(missing)):
            raise NotReviewable(
                f"The layer '{layer.name()}' cannot be written. Save it as a GeoPackage and review that."
            )
        layer.updateFields()

    @property
    def classes(self):
        """Names of the classes, in the order of the drop-down or the legend; then those that only occur."""
        place = self.layer.fields().indexOf("class_name")
        if place < 0:
            return []
        listed = _listed(self.layer.editorWidgetSetup(place).config().get("map", {})) or self._in_legend()
        return listed + sorted(
            str(value) for value in self.layer.uniqueValues(place) if value and str(value) not in listed
        )

    def _in_legend(self):
        """Classes of the legend: a prediction has all that its model knows, also those that were not found."""
        renderer = self.layer.renderer()
        if (
            not isinstance(renderer, QgsCategorizedSymbolRenderer)
            or renderer.classAttribute() != "class_name"
        ):
            return []
        return [str(category.value()) for category in renderer.categories() if category.value()]

    def counts(self):
        """(reviewed, all) features."""
        total = done = 0
        for feature in self.layer.getFeatures(self._request(geometry=False)):
            total += 1
            done += _yes(feature["reviewed"])
        return done, total

    def next_id(self, after=None):
        """The feature id of the least certain one that nobody has looked at; `after`: the one to pass over.
        None when all are done.
        """
        waiting = [
            feature
            for feature in self.layer.getFeatures(self._request(geometry=False))
            if not _yes(feature["reviewed"]) and feature.id() != after
        ]
        return (
            min(waiting, key=lambda f: (_number(f[self.order]), f.id())).id()
            if waiting
            else after
            if after is not None and self._waits(after)
            else None
        )

    def accept(self, feature_id):
        """It is right as it is."""
        self._write(feature_id, {"status": ACCEPTED})

    def reject(self, feature_id):
        """There is no such object: kept as a hard negative, not deleted."""
        self._write(feature_id, {"status": REJECTED})

    def change_class(self, feature_id, name):
        """It is an object of another class."""
        self._write(feature_id, {"status": CHANGED, "class_name": name, "class_id": self._class_id(name)})

    def _class_id(self, name):
        """The number that others of the class have; None, so that no wrong one stays, where none has."""
        if self.layer.fields().indexOf("class_id") < 0:
            return None
        for feature in self.layer.getFeatures(self._request(geometry=False)):
            if feature["class_name"] == name:
                return feature["class_id"]
        return None

    def _waits(self, feature_id):
        feature = self.layer.getFeature(feature_id)
        return feature.isValid() and not _yes(feature["reviewed"])

    def _request(self, geometry=True):
        request = QgsFeatureRequest()
        return request if geometry else request.setFlags(QgsFeatureRequest.Flag.NoGeometry)

    def _write(self, feature_id, values):
        layer = self.layer
        if not layer.getFeature(feature_id).isValid():
            raise NotReviewable("The object that was shown is gone. Press Next.")
        if not layer.isEditable() and not layer.startEditing():
            raise NotReviewable(f"The layer '{layer.name()}' cannot be edited.")
        for name, value in {**values, "reviewed": True}.items():
            place = layer.fields().indexOf(name)
            if place >= 0:
                layer.changeAttributeValue(feature_id, place, value)
        if not layer.commitChanges(False):
            reason = "; ".join(layer.commitErrors())
            layer.rollBack()
            raise NotReviewable(f"The decision could not be saved: {reason}")


def _listed(config):
    """The values of a ValueMap drop-down: a list of {label: value} or one map."""
    pairs = config if isinstance(config, list) else [{label: value} for label, value in config.items()]
    return [str(value) for pair in pairs for value in pair.values()]


def _yes(value):
    """NULL is no, whatever the version makes of it."""
    return value in (True, 1)


def _number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("inf")
