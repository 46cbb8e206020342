"""What a dialog is filled in with when it opens: layers of the project, the last model, the last chips. No
QGIS in here.
"""

from dataclasses import dataclass

# Name of a layer of chips, which `map` loads beside its prediction.
CHIPS = "chips by split"
RASTER, VECTOR = "raster", "vector"
# Algorithms whose results are predictions, and those whose results are labels.
_PREDICTIONS = ("predict", "prelabel", "vectorize", "map")
_LABELS = ("start_labelling", "merge_labels", "import_labels", "convert_labels")
# Algorithm -> (parameter, what it is filled in with), in this order.
_RULES = {
    "map": (("SCENES", "scenes"), ("LABELS", "labels")),
    "start_labelling": (("SCENES", "scenes"),),
    "label_status": (("LABELS", "labels"), ("SCENES", "scenes")),
    "check_labels": (("LABELS", "labels"), ("SCENES", "scenes")),
    "next_to_label": (("MODEL", "model"), ("SCENES", "scenes")),
    "weak_labels": (("SCENES", "scenes"),),
    "prelabel": (("PREDICTION", "prediction"),),
    "merge_labels": (("CORRECTED", "predicted objects"), ("LABELS", "labels")),
    "tile": (("SCENES", "scenes"), ("LABELS", "labels")),
    "train": (("CHIPS", "chips"),),
    "retrain": (
        ("MODEL", "model"),
        ("CHIPS", "chips"),
        ("CORRECTED", "predicted objects"),
        ("LABELS", "labels"),
    ),
    "predict": (("MODEL", "model"), ("SCENES", "scene")),
    "evaluate": (("PREDICTION", "prediction"), ("TRUTH", "labels")),
    "sample": (("PREDICTION", "prediction"),),
    "assess": (("SAMPLE", "sample"),),
    "vectorize": (("SOURCE", "class map"),),
    "export_labels": (("CHIPS", "chips"),),
}


@dataclass(frozen=True)
class Layer:
    """A layer of the project."""

    id: str
    # RASTER or VECTOR.
    kind: str
    # Where its data are.
    source: str
    # The algorithm of eo_dl that made it, or "".
    made_by: str = ""
    name: str = ""
    is_active: bool = False


def values(algorithm, layers, last):
    """Values by parameter. A parameter that nothing suits is left out, and no layer is chosen twice.

    `algorithm`: its id; `layers`: of the project, the newest first; `last`: returns what was used last as
    "model", "chips" or "labels", or "".
    """
    chosen = {}
    free = list(layers)
    for parameter, what in _RULES.get(algorithm, ()):
        if what in ("model", "chips"):
            value = last(what)
        else:
            layer = _LAYERS[what](free, last)
            free = [other for other in free if other is not layer]
            value = "" if layer is None else layer.id
        if value:
            chosen[parameter] = [value] if what == "scenes" else value
    return chosen


def _scene(layers, last):
    """The active raster, or the first one that eo_dl has not made."""
    scenes = [layer for layer in layers if layer.kind == RASTER and not layer.made_by]
    return _first(layer for layer in scenes if layer.is_active) or _first(scenes)


def _labels(layers, last):
    """The labels used last; else those that eo_dl has made, else any vector layer that it has not made."""
    vectors = [layer for layer in layers if layer.kind == VECTOR]
    return (
        _first(layer for layer in vectors if layer.source == last("labels"))
        or _first(layer for layer in vectors if layer.made_by in _LABELS and layer.name == "labels")
        or _first(layer for layer in vectors if not layer.made_by)
    )


def _prediction(layers, last):
    made = [layer for layer in layers if layer.made_by in _PREDICTIONS]
    return _first(layer for layer in made if layer.name != CHIPS)


def _sample(layers, last):
    return _first(layer for layer in layers if layer.made_by == "sample")


def _predicted_objects(layers, last):
    return _prediction([layer for layer in layers if layer.kind == VECTOR], last)


def _class_map(layers, last):
    return _prediction([layer for layer in layers if layer.kind == RASTER], last)


def _first(layers):
    return next(iter(layers), None)


_LAYERS = {
    "scene": _scene,
    "scenes": _scene,
    "labels": _labels,
    "prediction": _prediction,
    "sample": _sample,
    "predicted objects": _predicted_objects,
    "class map": _class_map,
}
