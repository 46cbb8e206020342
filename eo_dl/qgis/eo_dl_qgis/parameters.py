"""Parameters of the command line as parameters of a Processing algorithm."""

import sys

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

from .menu import NOT_ASKED

EXTENT = "EXTENT"

# How parameters that mean the same everywhere are asked, by name; an entry of the menu may say otherwise.
KINDS = {
    "scenes": "rasters",
    "scene": "raster",
    "labels": "layer",
    "truth": "layer",
    "predictions": "vector",
    "corrected": "vector",
    "prediction": "layer",
    "source": "layer",
    "probabilities": "probabilities",
    "annotated": "layer",
    "aoi": "layer",
    "class_field": "field",
    "chips": "folder",
    "model": "model",
    "weights": "start",
    "config": "yaml",
    "index": "file",
    "crs": "crs",
    "label_crs": "crs",
    "settings": "lines",
    "class_map": "lines",
}
PARENTS = ("labels", "truth", "corrected", "prediction", "source")


def kind_of(entry, one):
    """How a parameter is asked: a name of `KINDS`, or its type in the command line."""
    if one["name"] == "out":
        return "out"
    if one["type"] == "flag":
        return "flag"
    kind = dict(entry.widgets).get(one["name"]) or KINDS.get(one["name"]) or one["type"]
    return one["type"] if kind == "probabilities" and one["type"] == "flag" else kind


def qgis_name(one):
    """ "min_area_m2" as MIN_AREA_M2."""
    return one["name"].upper()


def definitions(entry, command):
    """The QgsProcessingParameterDefinitions of a menu entry, those shown first in their order, then the
    advanced ones, then the output.
    """
    asked = [one for one in command["parameters"] if one["name"] not in NOT_ASKED]
    order = {name: place for place, name in enumerate(entry.shown)}
    asked.sort(key=lambda one: order.get(one["name"], len(order)))
    found = []
    empty = dict(entry.empty)
    for one in asked:
        made = _definition(entry, command, {**one, "required": one["required"] and one["name"] not in empty})
        if one["name"] not in order and not one["required"] and one["name"] != "out":
            made.setFlags(made.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        made.setHelp(one["help"] or "")
        found.append(made)
    if any(one["name"] == "aoi" for one in asked):
        found.insert(len([name for name in order if any(one["name"] == name for one in asked)]), _extent())
    return sorted(found, key=lambda made: made.isDestination())


def _extent():
    made = QgsProcessingParameterExtent(EXTENT, "Only this extent (e.g. the map canvas)", optional=True)
    made.setHelp("A rectangle in place of AOI polygons.")
    return made


def _definition(entry, command, one):
    kind, name, title = kind_of(entry, one), qgis_name(one), _title(one)
    optional = not one["required"]
    if kind == "out":
        return _destination(entry, name)
    if kind in _MAKERS:
        return _MAKERS[kind](name, title, one, optional, command, entry)
    return _text(name, title, one, optional, command, entry)


def _title(one):
    words = one["name"].removesuffix("_px").removesuffix("_m2").removesuffix("_m").replace("_", " ")
    unit = next(
        (
            unit
            for suffix, unit in (("_px", "px"), ("_m2", "m²"), ("_m", "m"))
            if one["name"].endswith(suffix)
        ),
        "",
    )
    known = {
        "aoi": "Only in these polygons (AOI)",
        "chips": "Chip set (folder)",
        "model": "Model",
        "scenes": "Scene",
        "labels": "Labels",
        "corrected": "Reviewed prediction, or corrected pre-labels",
        "class_field": "Class field",
        "settings": "Further options of training (KEY=VALUE, one a line)",
    }
    title = known.get(one["name"], words[:1].upper() + words[1:])
    return f"{title} ({unit})" if unit else title


def _destination(entry, name):
    if entry.output == "folder":
        return QgsProcessingParameterFolderDestination(name, "Result (folder)")
    return QgsProcessingParameterFileDestination(name, "Result", entry.filter or "All files (*.*)")


def _rasters(name, title, one, optional, command, entry):
    return QgsProcessingParameterMultipleLayers(
        name, title + "s", QgsProcessing.SourceType.TypeRaster, optional=optional
    )


def _raster(name, title, one, optional, command, entry):
    return QgsProcessingParameterRasterLayer(name, title, optional=optional)


def _vector(name, title, one, optional, command, entry):
    return QgsProcessingParameterVectorLayer(name, title, optional=optional)


def _layer(name, title, one, optional, command, entry):
    return QgsProcessingParameterMapLayer(name, title, optional=optional)


def _field(name, title, one, optional, command, entry):
    names = {other["name"] for other in command["parameters"]}
    parent = next((candidate.upper() for candidate in PARENTS if candidate in names), "")
    return QgsProcessingParameterField(name, title, parentLayerParameterName=parent, optional=True)


def _bands(name, title, one, optional, command, entry):
    return QgsProcessingParameterBand(
        name, title, parentLayerParameterName="SCENES", optional=True, allowMultiple=True
    )


def _folder(name, title, one, optional, command, entry):
    return QgsProcessingParameterFile(
        name, title, behavior=QgsProcessingParameterFile.Behavior.Folder, optional=optional
    )


def _file(name, title, one, optional, command, entry):
    return QgsProcessingParameterFile(name, title, optional=optional)


def _model(name, title, one, optional, command, entry):
    return QgsProcessingParameterFile(name, title, extension="eodl", optional=optional)


def _yaml(name, title, one, optional, command, entry):
    return QgsProcessingParameterFile(name, title, fileFilter="YAML (*.yaml *.yml)", optional=optional)


def _crs(name, title, one, optional, command, entry):
    return QgsProcessingParameterCrs(name, title, optional=True)


def _lines(name, title, one, optional, command, entry):
    return QgsProcessingParameterString(name, title, multiLine=True, optional=optional)


def _text(name, title, one, optional, command, entry):
    return QgsProcessingParameterString(
        name, title, defaultValue=one["default"], multiLine=one["multiple"], optional=optional
    )


def _choice(name, title, one, optional, command, entry):
    return QgsProcessingParameterEnum(
        name,
        title,
        options=one["choices"],
        defaultValue=one["default"],
        optional=optional,
        usesStaticStrings=True,
    )


def _flag(name, title, one, optional, command, entry):
    if one["off"] and one["default"] is None:
        return QgsProcessingParameterEnum(
            name,
            title,
            options=["automatic", "yes", "no"],
            defaultValue="automatic",
            optional=True,
            usesStaticStrings=True,
        )
    return QgsProcessingParameterBoolean(name, title, defaultValue=bool(one["default"]), optional=True)


def _number(name, title, one, optional, command, entry):
    kind = (
        QgsProcessingParameterNumber.Type.Integer
        if one["type"] == "integer"
        else QgsProcessingParameterNumber.Type.Double
    )
    low, high = one.get("range") or (None, None)
    # what QGIS knows as "no limit"; infinity makes a spin box that takes no value
    open_end = sys.float_info.max
    return QgsProcessingParameterNumber(
        name,
        title,
        kind,
        one["default"],
        optional,
        minValue=-open_end if low is None else low,
        maxValue=open_end if high is None else high,
    )


_MAKERS = {
    "rasters": _rasters,
    "raster": _raster,
    "probabilities": _raster,
    "layer": _layer,
    "vector": _vector,
    "field": _field,
    "bands": _bands,
    "folder": _folder,
    "file": _file,
    "model": _model,
    "start": _text,
    "yaml": _yaml,
    "crs": _crs,
    "lines": _lines,
    "choice": _choice,
    "flag": _flag,
    "integer": _number,
    "number": _number,
}
