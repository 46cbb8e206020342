"""Colours of the classes of labels: those of the user, or of the style that their layer has in QGIS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..core.classes import ClassSet
from ..core.imagelabels import ImageLabels, WholeImageLabels
from ..core.labelset import LabelSet
from ..core.maplabels import MapLabels
from ..core.rasterlabels import RasterLabels
from ..core.wording import listed
from ..errors import LabelError
from ..io.qgissymbology import layer_colors
from .classrequest import ClassRequest


def in_colors(labels: LabelSet, colors: Mapping[str, str]) -> LabelSet:
    """The same labels with classes in these colours, "#rrggbb" by class name.

    Raises:
        LabelError: There is no class of such a name.
    """
    unknown = sorted(set(colors) - set(labels.classes.names))
    if unknown:
        raise LabelError(
            f"{labels.source}: `colors` names {listed(map(repr, unknown))}, but the classes are "
            f"{listed(labels.classes.names)}"
        )
    return _with_classes(labels, labels.classes.with_colors(colors))


def in_colors_of_layer(
    labels: LabelSet, path: str | Path, layer: str | None, request: ClassRequest | None
) -> LabelSet:
    """The same labels in the colours that the style of their layer gives their values, where it gives any.

    Args:
        labels: The labels, read from the layer.
        path: Their file.
        layer: Name of the layer; None: the only one.
        request: How values become classes; None: a value is the name of its class.
    """
    colors: dict[str, str] = {}
    for value, color in layer_colors(path, layer).items():
        name = _class_of(value, request)
        if name in labels.classes.names:
            colors.setdefault(str(name), color)
    return _with_classes(labels, labels.classes.with_colors(colors)) if colors else labels


def _class_of(value: str, request: ClassRequest | None) -> str | None:
    if request is None:
        return value
    try:
        return request.name_of(value)
    except KeyError:
        return value


def _with_classes(labels: LabelSet, classes: ClassSet) -> LabelSet:
    match labels:
        case MapLabels() | ImageLabels() | WholeImageLabels() | RasterLabels():
            return replace(labels, classes=classes)
        case _:
            return labels
