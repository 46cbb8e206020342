"""What was used last, so that the next dialog is filled in; and who wants to hear of results."""

from qgis.core import QgsSettings

# What the values of an algorithm are to the next one, by its id: (name of the value, what it is remembered
# as).
_KEPT = {
    "tile": (("labels", "labels"), ("class_field", "class_field"), ("out", "chips")),
    "train": (("chips", "chips"), ("out", "model")),
    "retrain": (("chips", "chips"), ("labels", "labels"), ("class_field", "class_field"), ("out", "model")),
    "predict": (("model", "model"),),
}
listeners = []  # called with (id of the algorithm, its result), in the main thread


def remember(algorithm, values):
    """Keep what a finished algorithm used and made; what it was not given, or "none", is forgotten."""
    for name, kept in _KEPT.get(algorithm, ()):
        value = values.get(name) or ""
        if name == "labels" and value and values.get("layer"):
            value = f"{value}|layername={values['layer']}"
        QgsSettings().setValue(f"eo_dl/recent/{kept}", "" if value == "none" else str(value))


def last(name):
    """The "model", "chips", "labels" or "class_field" used last, or ""."""
    return QgsSettings().value(f"eo_dl/recent/{name}", "", type=str)


def announce(algorithm, result):
    """Tell those who listen."""
    for listener in list(listeners):
        listener(algorithm, result)


def comparison(result):
    """Rows of old and new scores, with a heading, of the result of `retrain`; none of any other."""
    rows = result.get("rows")
    if not rows or "before" not in result or "after" not in result:
        return []
    return [("score", "before", "after", "ahead by"), *(tuple(str(cell) for cell in row) for row in rows)]
