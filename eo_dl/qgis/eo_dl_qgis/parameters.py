"""Parameters of the command line as parameters of a Processing algorithm."""

import sys
from dataclasses import dataclass

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
)

from . import commands, texts
from .menu import NOT_ASKED

EXTENT = "EXTENT"
FURTHER_SCENES = "FURTHER_SCENES"
# The task that the command guesses by itself.
AS_LABELS = "as the labels say"

# How a parameter is asked for, by its name; an entry of the menu may say otherwise, and the type on the
# command line decides for all others.
KINDS = {
    "scenes": "rasters",
    "scene": "raster",
    "labels": "layer",
    "truth": "layer",
    "predictions": "vector",
    "corrected": "vector",
    "prediction": "layer",
    "source": "layer",
    "probabilities": "raster",
    "annotated": "area",
    "aoi": "area",
    "class_field": "field",
    "chips": "folder",
    "model": "model",
    "start": "model",
    "config": "yaml",
    "index": "file",
    "crs": "crs",
    "label_crs": "crs",
    "settings": "lines",
    "class_map": "lines",
    "device": "list",
    "strategy": "list",
    "network": "list",
    "backbone": "list",
    "weights": "list",
}
# The parameter whose layer has the class field: the first of these that a command has.
PARENTS = ("labels", "truth", "corrected", "strata", "prediction", "source")

# What QGIS takes for "no limit": with infinity a spin box accepts no value.
UNLIMITED = sys.float_info.max


@dataclass(frozen=True)
class Asked:
    """A parameter of a command with what its definition for QGIS depends on."""

    parameter: dict
    name: str
    label: str
    optional: bool
    # Names of all parameters of the command.
    siblings: frozenset


def kind_of(entry, parameter):
    """How a parameter is asked for: a kind of `KINDS`, or its type on the command line."""
    name = parameter["name"]
    if name == "out":
        return "out"
    if parameter["type"] == "flag":
        return "flag"
    return dict(entry.widgets).get(name) or KINDS.get(name) or parameter["type"]


def qgis_name(parameter):
    """The name of a parameter in QGIS: "min_area_m2" becomes MIN_AREA_M2."""
    return parameter["name"].upper()


def definitions(entry, command):
    """The parameter definitions of a menu entry: those shown first in their order, the advanced ones, the
    result.
    """
    parameters = command["parameters"]
    asked = [parameter for parameter in parameters if parameter["name"] not in NOT_ASKED]
    order = {name: position for position, name in enumerate(entry.shown)}
    asked.sort(key=lambda parameter: order.get(parameter["name"], len(order)))
    siblings = frozenset(parameter["name"] for parameter in parameters)
    made = []
    for parameter in asked:
        definition = _definition(entry, parameter, siblings)
        if _is_advanced(entry, parameter):
            definition.setFlags(definition.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        definition.setHelp(texts.parameter_help(entry.command, parameter, parameters))
        made.append(definition)
    if "aoi" in siblings:
        made.insert(len(siblings.intersection(order)), _extent())
    if kind_of(entry, {"name": "scenes", "type": "text"}) == "raster":
        made.insert(order["scenes"] + 1, _further_scenes())
    return sorted(made, key=lambda definition: definition.isDestination())


def _is_advanced(entry, parameter):
    name = parameter["name"]
    return name not in entry.shown and name != "out" and not parameter["required"]


def _extent():
    definition = QgsProcessingParameterExtent(
        EXTENT, "Only in this extent (e.g. the map canvas)", optional=True
    )
    definition.setHelp("A rectangle instead of AOI polygons.")
    return definition


def _further_scenes():
    definition = QgsProcessingParameterMultipleLayers(
        FURTHER_SCENES, "Further scenes", QgsProcessing.SourceType.TypeRaster, optional=True
    )
    definition.setHelp("Scenes to do in the same way; the result is then a folder with one map per scene.")
    return definition


def _definition(entry, parameter, siblings):
    kind, name = kind_of(entry, parameter), qgis_name(parameter)
    if kind == "out":
        return _destination(entry, name)
    can_be_empty = parameter["name"] in dict(entry.empty)
    asked = Asked(
        parameter=parameter,
        name=name,
        label=texts.label(entry.command, parameter),
        optional=can_be_empty or not parameter["required"],
        siblings=siblings,
    )
    return _MAKERS.get(kind, _text)(asked)


def _destination(entry, name):
    if entry.output == "folder":
        return QgsProcessingParameterFolderDestination(name, texts.RESULT_FOLDER)
    return QgsProcessingParameterFileDestination(name, texts.RESULT, entry.filter or "All files (*.*)")


def _rasters(asked):
    return QgsProcessingParameterMultipleLayers(
        asked.name, asked.label, QgsProcessing.SourceType.TypeRaster, optional=asked.optional
    )


def _raster(asked):
    return QgsProcessingParameterRasterLayer(asked.name, asked.label, optional=asked.optional)


def _vector(asked):
    return QgsProcessingParameterVectorLayer(asked.name, asked.label, optional=asked.optional)


def _layer(asked):
    """A raster or a vector layer."""
    return QgsProcessingParameterMapLayer(
        asked.name,
        asked.label,
        optional=asked.optional,
        types=[QgsProcessing.SourceType.TypeRaster, QgsProcessing.SourceType.TypeVectorAnyGeometry],
    )


def _area(asked):
    return QgsProcessingParameterVectorLayer(
        asked.name,
        asked.label,
        types=[QgsProcessing.SourceType.TypeVectorPolygon],
        optional=asked.optional,
    )


def _field(asked):
    parent = next((name.upper() for name in PARENTS if name in asked.siblings), "")
    return QgsProcessingParameterField(
        asked.name, asked.label, parentLayerParameterName=parent, optional=True
    )


def _bands(asked):
    return QgsProcessingParameterBand(
        asked.name, asked.label, parentLayerParameterName="SCENES", optional=True, allowMultiple=True
    )


def _folder(asked):
    behavior = QgsProcessingParameterFile.Behavior.Folder
    return QgsProcessingParameterFile(asked.name, asked.label, behavior=behavior, optional=asked.optional)


def _file(asked):
    return QgsProcessingParameterFile(asked.name, asked.label, optional=asked.optional)


def _model(asked):
    return QgsProcessingParameterFile(asked.name, asked.label, extension="eodl", optional=asked.optional)


def _yaml(asked):
    return QgsProcessingParameterFile(
        asked.name, asked.label, fileFilter="YAML (*.yaml *.yml)", optional=asked.optional
    )


def _crs(asked):
    return QgsProcessingParameterCrs(asked.name, asked.label, optional=True)


def _lines(asked):
    return QgsProcessingParameterString(asked.name, asked.label, multiLine=True, optional=asked.optional)


def _text(asked):
    parameter = asked.parameter
    return QgsProcessingParameterString(
        asked.name,
        asked.label,
        defaultValue=parameter["default"],
        multiLine=parameter["multiple"],
        optional=asked.optional,
    )


def _list(asked):
    """A list of values that also takes others."""
    definition = _text(asked)
    widget = {"class": f"{__package__}.widgets.ListOrText", "parameter": asked.parameter["name"]}
    definition.setMetadata({"widget_wrapper": widget})
    return definition


def _choice(asked):
    return _drop_down(asked, asked.parameter["choices"], asked.parameter["default"])


def _task(asked):
    # The command line lists the tasks when it runs, so that its help loads none of them.
    return _drop_down(asked, [AS_LABELS, *sorted(commands.task_suffixes())], AS_LABELS)


def _flag(asked):
    if is_automatic(asked.parameter):
        return _drop_down(asked, ["automatic", "yes", "no"], "automatic")
    default = bool(asked.parameter["default"])
    return QgsProcessingParameterBoolean(asked.name, asked.label, defaultValue=default, optional=True)


def is_automatic(parameter):
    """Whether a flag is one that the command decides by itself if it is given neither way."""
    return bool(parameter["off"]) and parameter["default"] is None


def _drop_down(asked, options, default):
    return QgsProcessingParameterEnum(
        asked.name,
        asked.label,
        options=options,
        defaultValue=default,
        optional=asked.optional,
        usesStaticStrings=True,
    )


def _number(asked):
    if asked.parameter["type"] == "integer":
        kind = QgsProcessingParameterNumber.Type.Integer
    else:
        kind = QgsProcessingParameterNumber.Type.Double
    low, high = asked.parameter.get("range") or (None, None)
    return QgsProcessingParameterNumber(
        asked.name,
        asked.label,
        type=kind,
        defaultValue=asked.parameter["default"],
        optional=asked.optional,
        minValue=-UNLIMITED if low is None else low,
        maxValue=UNLIMITED if high is None else high,
    )


_MAKERS = {
    "rasters": _rasters,
    "raster": _raster,
    "layer": _layer,
    "area": _area,
    "vector": _vector,
    "field": _field,
    "bands": _bands,
    "folder": _folder,
    "file": _file,
    "model": _model,
    "yaml": _yaml,
    "crs": _crs,
    "lines": _lines,
    "list": _list,
    "choice": _choice,
    "task": _task,
    "flag": _flag,
    "integer": _number,
    "number": _number,
}
