"""One command of eo_dl as a Processing algorithm."""

import html
import json
import shlex
import zipfile
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon

from . import commands, environment, loading, recent, runner, settings
from .feedback import Feedback
from .layers import absolute, alone, extent_file, file_of
from .menu import NOT_ASKED
from .parameters import EXTENT, definitions, kind_of, qgis_name

_NAMED = ("labels", "truth", "source")  # the parameter that --layer speaks of, where a command has it
_COPIED = ("aoi", "annotated", "truth")  # of these shapes and classes are all that is read


class CommandAlgorithm(QgsProcessingAlgorithm):
    """Asks what a menu entry says, starts the command in the user's environment, and loads what it made."""

    def __init__(self, entry, command):
        super().__init__()
        self._entry, self._command = entry, command
        self._values, self._out, self._result = {}, "", None

    def createInstance(self):
        return CommandAlgorithm(self._entry, self._command)

    def name(self):
        return self._entry.id

    def displayName(self):
        return self._entry.title

    def group(self):
        return self._entry.group

    def groupId(self):
        return self._entry.group.split()[-1].lower()

    def icon(self):
        return QIcon(str(environment.HERE / "icon.svg"))

    def tags(self):
        return ["eo_dl", "deep learning", *self._entry.command.split()]

    def shortHelpString(self):
        paragraphs = "".join(
            f"<p>{html.escape(part).replace(chr(10), '<br>')}</p>" for part in self._command["text"]
        )
        asked = [one for one in self._command["parameters"] if one["name"] not in NOT_ASKED and one["help"]]
        rows = "".join(
            f"<p><b>{html.escape(qgis_name(one))}</b>: {html.escape(one['help'])}</p>" for one in asked
        )
        return f"{paragraphs}<h3>Parameters</h3>{rows}<p><i>eo-dl {html.escape(self._entry.command)}</i></p>"

    def initAlgorithm(self, configuration=None):
        for definition in definitions(self._entry, self._command):
            self.addParameter(definition)
        if self._entry.report:
            self.addOutput(QgsProcessingOutputFile("REPORT", "Report (HTML)"))
        self.addOutput(QgsProcessingOutputString("RESULT", "What the command found (JSON)"))

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the main thread, where layers may be looked at: every value as the command line wants it."""
        self._values, layer_name = {}, ""
        for one in self._command["parameters"]:
            if one["name"] in NOT_ASKED:
                continue
            value, inner = self._value(one, parameters, context)
            self._values[one["name"]] = value
            layer_name = layer_name or (inner if one["name"] in _NAMED else "")
            self._alone(one, inner, parameters, context, feedback)
        self._add_fixed(layer_name)
        self._extent(parameters, context)
        self._out = self._values.get("out") or ""
        return True

    def _add_fixed(self, layer_name):
        names = {one["name"] for one in self._command["parameters"]}
        if "layer" in names and layer_name:
            self._values["layer"] = layer_name
        if "trust_vrt" in names:
            self._values["trust_vrt"] = True

    def _alone(self, one, inner, parameters, context, feedback):
        """A layer that the command line has no option to name, in a file of several, becomes a file of its
        own.
        """
        named = one["name"] in _NAMED and any(
            other["name"] == "layer" for other in self._command["parameters"]
        )
        if one["name"] not in _COPIED or named or not inner:
            return
        path = self._values[one["name"]]
        copy = alone(self.parameterAsLayer(parameters, qgis_name(one), context), path, inner, context)
        if copy:
            feedback.pushInfo(
                f"{qgis_name(one)}: the layer '{inner}' of {path}, as a file of its own: {copy}"
            )
            self._values[one["name"]] = copy

    def _extent(self, parameters, context):
        if self.parameterDefinition(EXTENT) is None or parameters.get(EXTENT) in (None, ""):
            return
        if self._values.get("aoi"):
            raise QgsProcessingException("Give AOI polygons or an extent, not both.")
        crs = self.parameterAsExtentCrs(parameters, EXTENT, context)
        rectangle = self.parameterAsExtent(parameters, EXTENT, context)
        if not rectangle.isEmpty():
            self._values["aoi"] = extent_file(
                rectangle, crs if crs.isValid() else context.project().crs(), context
            )

    def _value(self, one, parameters, context):
        """(the value for the command line, the layer's name within its file)."""
        kind, name = kind_of(self._entry, one), qgis_name(one)
        if kind == "out":
            return self._destination(name, parameters, context), ""
        if kind == "rasters":
            return [file_of(layer)[0] for layer in self.parameterAsLayerList(parameters, name, context)], ""
        if kind in ("raster", "probabilities", "layer", "vector"):
            layer = self.parameterAsLayer(parameters, name, context)
            if layer is None and parameters.get(name) not in (None, ""):
                raise QgsProcessingException(f"{name}: {parameters[name]} is no layer that QGIS can open.")
            return file_of(layer) if layer is not None else (dict(self._entry.empty).get(one["name"], ""), "")
        if kind == "bands":
            return ",".join(str(band) for band in self.parameterAsInts(parameters, name, context)), ""
        return self._plain(kind, one, name, parameters, context), ""

    def _plain(self, kind, one, name, parameters, context):
        if parameters.get(name) in (None, "") and self.parameterDefinition(name).defaultValue() in (None, ""):
            return None
        if kind == "flag":
            return self._switch(one, name, parameters, context)
        if kind == "integer":
            return self.parameterAsInt(parameters, name, context)
        if kind == "number":
            return repr(self.parameterAsDouble(parameters, name, context))
        if kind == "choice":
            return self.parameterAsEnumString(parameters, name, context)
        if kind == "crs":
            crs = self.parameterAsCrs(parameters, name, context)
            return (crs.authid() or crs.toWkt()) if crs.isValid() else None
        if kind in ("folder", "file", "model", "yaml"):
            return absolute(self.parameterAsFile(parameters, name, context))
        if kind == "field":
            return (self.parameterAsFields(parameters, name, context) or [None])[0]
        text = self.parameterAsString(parameters, name, context)
        return [line.strip() for line in text.splitlines() if line.strip()] if one["multiple"] else text

    def _switch(self, one, name, parameters, context):
        if one["off"] and one["default"] is None:
            return {"yes": True, "no": False}.get(self.parameterAsEnumString(parameters, name, context))
        return self.parameterAsBool(parameters, name, context)

    def _destination(self, name, parameters, context):
        """The path of the result; a temporary one gets the suffix that the model's task needs."""
        if not isinstance(self.parameterDefinition(name), QgsProcessingParameterFileDestination):
            return str(Path(self.parameterAsString(parameters, name, context)).absolute())
        path = str(Path(self.parameterAsFileOutput(parameters, name, context)).absolute())
        asked = str(
            (getattr(parameters.get(name), "sink", None) and parameters[name].sink.staticValue())
            or parameters.get(name)
            or ""
        )
        model = self._values.get("model")
        temporary = asked.upper().startswith("TEMPORARY_OUTPUT")
        if self._entry.command == "predict" and temporary and model:
            suffix = commands.task_suffixes().get(_task(model))
            if suffix is not None:
                return str(Path(path).with_suffix(suffix))
        return path

    def processAlgorithm(self, parameters, context, feedback):
        words = commands.command_words(self._entry.command, self._command["parameters"], self._values)
        try:
            python = settings.python()
            feedback.pushInfo(f"eo-dl {shlex.join(words)}")
            result = runner.run(python, words, Feedback(feedback))
        except runner.Cancelled:
            raise QgsProcessingException(self._cancelled()) from None
        except (runner.Failed, environment.NoEnvironment) as error:
            raise QgsProcessingException(str(error)) from None
        provenance = f"eo-dl {shlex.join(words)}\n{json.dumps(result)}"
        if self._out:
            loading.schedule(
                self._entry.loads, self._out, self._entry.title, provenance, self._origin(), context
            )
        self._result = result
        return self._results(result)

    def _cancelled(self):
        resumes = any(one["name"] == "resume" for one in self._command["parameters"])
        return (
            "Cancelled. Run it again with RESUME to go on from the last checkpoint."
            if resumes
            else "Cancelled. Nothing half-made is left as a result."
        )

    def postProcessAlgorithm(self, context, feedback):
        """In the main thread again: what was used is offered next time, and whoever listens hears the result."""
        if self._result is not None:
            recent.remember(self._entry.id, {**self._values, "out": self._out, **self._made()})
            recent.announce(self._entry.id, self._result)
        return {}

    def _made(self):
        """What retrain makes besides the model is where the next round starts from."""
        if self._entry.id != "retrain":
            return {}
        merged = (
            {"labels": self._result["labels"], "layer": "labels", "class_field": ""}
            if self._result.get("labels")
            else {}
        )
        return {"chips": self._result.get("chips") or self._values["chips"], **merged}

    def _origin(self):
        """What a layer should remember of how it came about, for the next step."""
        scenes = self._values.get("scenes") or ""
        return {
            "model": self._values.get("model") or "",
            "scene": scenes if isinstance(scenes, str) else "\n".join(scenes),
        }

    def _results(self, result):
        found = {"RESULT": json.dumps(result)}
        if self._out:
            found["OUT"] = self._out
        if self._entry.report and self._out:
            found["REPORT"] = str(Path(self._out) / self._entry.report)
        return found

    def tr(self, text):
        return QCoreApplication.translate("eo_dl", text)


def _task(model):
    """The task that a model file names, "" where it is no model: eo-dl then says what is wrong with it."""
    try:
        with zipfile.ZipFile(model) as archive:
            return str(json.loads(archive.read("model.json")).get("task", ""))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""
