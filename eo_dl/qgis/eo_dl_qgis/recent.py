"""What was used last, to fill in the next dialog; and who is notified of results."""

from qgis.core import QgsSettings

# Algorithm -> (parameter, name under which its value is remembered).
_REMEMBERED = {
    "tile": (("labels", "labels"), ("class_field", "class_field"), ("out", "chips")),
    "train": (("chips", "chips"), ("out", "model")),
    "retrain": (("chips", "chips"), ("labels", "labels"), ("class_field", "class_field"), ("out", "model")),
    "predict": (("model", "model"),),
}
# Functions that are called in the main thread with (id of the algorithm, its result).
listeners = []


def remember(algorithm, values):
    """Remember what a finished algorithm used and made. A parameter that was empty or "none" is forgotten."""
    for parameter, name in _REMEMBERED.get(algorithm, ()):
        value = values.get(parameter) or ""
        if parameter == "labels" and value and values.get("layer"):
            value = f"{value}|layername={values['layer']}"
        QgsSettings().setValue(f"eo_dl/recent/{name}", "" if value == "none" else str(value))


def last(name):
    """The "model", "chips", "labels" or "class_field" used last, or ""."""
    return QgsSettings().value(f"eo_dl/recent/{name}", "", type=str)


def announce(algorithm, result):
    """Notify the listeners of a result."""
    for listener in list(listeners):
        listener(algorithm, result)


def comparison(result):
    """Rows of old and new scores with a heading, from the result of `retrain`; empty for any other result."""
    rows = result.get("rows")
    if not rows or "before" not in result or "after" not in result:
        return []
    heading = ("score", "before", "after", "ahead by")
    return [heading, *(tuple(str(cell) for cell in row) for row in rows)]
