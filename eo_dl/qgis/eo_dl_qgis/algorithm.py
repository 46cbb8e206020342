"""One command of eo_dl as a Processing algorithm."""

import html
import json
import shlex
import zipfile
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
)
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtGui import QIcon
from qgis.utils import iface

from . import commands, environment, loading, recent, runner, settings, texts
from .feedback import Feedback
from .layers import absolute, class_colors, copy_of_layer, extent_file, file_of
from .menu import NOT_ASKED, Load, icon, numbered_title
from .parameters import AS_LABELS, EXTENT, FURTHER_SCENES, definitions, is_automatic, kind_of, qgis_name

# Parameters whose layer `--layer` names, in commands that have this option.
_WITH_LAYER_OPTION = ("labels", "truth", "source", "strata")
# Parameters whose layer may be copied into a file of its own: shapes and classes are all that is read.
_COPIED = ("aoi", "annotated", "truth")
# Parameters that name a chip set.
_CHIP_SETS = ("chips", "split_like")


class CommandAlgorithm(QgsProcessingAlgorithm):
    """Asks for what a menu entry lists, runs the command in the user's environment, and loads its result."""

    def __init__(self, entry, command):
        super().__init__()
        self._entry, self._command = entry, command
        self._parameters = command["parameters"]
        self._asked = [one for one in self._parameters if one["name"] not in NOT_ASKED]
        self._names = {one["name"] for one in self._parameters}
        self._values, self._out, self._result = {}, "", None

    def createInstance(self):
        return CommandAlgorithm(self._entry, self._command)

    def name(self):
        return self._entry.id

    def displayName(self):
        return numbered_title(self._entry)

    def group(self):
        return self._entry.group

    def groupId(self):
        return self._entry.group.split()[-1].lower()

    def icon(self):
        return QIcon(str(environment.HERE / icon(self._entry)))

    def tags(self):
        return ["eo_dl", "deep learning", *self._entry.command.split()]

    def shortHelpString(self):
        command = self._entry.command
        paragraphs = [
            texts.help_in_dialog_words(text, command, self._parameters)
            for text in texts.command_help(self._command["text"])
        ]
        lines = [f"<p>{_as_html(text)}</p>" for text in paragraphs]
        lines.append("<h3>Parameters</h3>")
        for parameter in self._asked:
            explanation = texts.parameter_help(command, parameter, self._parameters)
            if explanation:
                label = self._label(parameter)
                lines.append(f"<p><b>{_as_html(label)}</b>: {_as_html(explanation)}</p>")
        lines.append(f"<p><i>On the command line: eo-dl {_as_html(command)}</i></p>")
        return "".join(lines)

    def _label(self, parameter):
        definition = self.parameterDefinition(qgis_name(parameter))
        return definition.description() if definition is not None else qgis_name(parameter)

    def initAlgorithm(self, configuration=None):
        for definition in definitions(self._entry, self._command):
            self.addParameter(definition)
        if self._entry.report:
            self.addOutput(QgsProcessingOutputHtml("REPORT", f"{self._entry.title}: report"))
        self.addOutput(QgsProcessingOutputString("RESULT", "Result of the command (JSON, for scripts)"))

    def createCustomParametersWidget(self, parent=None):
        """The dialog that the Toolbox opens."""
        from .dialog import CommandDialog  # lazy: there are no dialogs under qgis_process

        return CommandDialog(self, parent)

    def checkParameterValues(self, parameters, context):
        """QGIS asks this before it runs the algorithm: what eo_dl would refuse after its start."""
        fits, message = super().checkParameterValues(parameters, context)
        if not fits:
            return fits, message
        if self._entry.command == "evaluate" and self._same_layer("PREDICTION", "TRUTH", parameters, context):
            return False, "The prediction and the reference are the same layer. Choose another reference."
        return True, ""

    def _same_layer(self, first, second, parameters, context):
        layers = [self.parameterAsLayer(parameters, name, context) for name in (first, second)]
        return None not in layers and layers[0].source() == layers[1].source()

    def prepareAlgorithm(self, parameters, context, feedback):
        """Turns every value into what the command line takes; runs in the main thread, where layers may be
        read.
        """
        self._values, layer_name = {}, ""
        for parameter in self._asked:
            value, layer_in_file = self._value(parameter, parameters, context)
            self._values[parameter["name"]] = value
            if not layer_name and parameter["name"] in _WITH_LAYER_OPTION:
                layer_name = layer_in_file
            self._copy_layer(parameter, layer_in_file, parameters, context, feedback)
        if "layer" in self._names and layer_name:
            self._values["layer"] = layer_name
        self._add_colors(parameters, context)
        # Not for a chip set, whose VRTs are those of whoever made it.
        if "trust_vrt" in self._names and not any(self._values.get(name) for name in _CHIP_SETS):
            self._values["trust_vrt"] = True
        self._add_extent(parameters, context)
        self._add_further_scenes(parameters, context, feedback)
        self._out = self._values.get("out") or ""
        return True

    def _copy_layer(self, parameter, layer_in_file, parameters, context, feedback):
        """One layer of a file with several, which the command line has no option for, becomes a file of its
        own.
        """
        name = parameter["name"]
        has_option = name in _WITH_LAYER_OPTION and "layer" in self._names
        if name not in _COPIED or has_option or not layer_in_file:
            return
        path = self._values[name]
        layer = self.parameterAsLayer(parameters, qgis_name(parameter), context)
        copy = copy_of_layer(layer, path, layer_in_file, context)
        if copy:
            feedback.pushInfo(
                f"{self._label(parameter)}: layer '{layer_in_file}' of {path} was copied to {copy}"
            )
            self._values[name] = copy

    def _add_colors(self, parameters, context):
        """Classes keep the colours that their layer has in QGIS."""
        if "colors" not in self._names or self._values.get("colors") or self._values.get("classes"):
            return
        layer = self.parameterAsLayer(parameters, "LABELS", context)
        self._values["colors"] = class_colors(layer, self._values.get("class_field"))

    def _add_extent(self, parameters, context):
        if self.parameterDefinition(EXTENT) is None or _is_empty(parameters, EXTENT):
            return
        if self._values.get("aoi"):
            raise QgsProcessingException("Choose AOI polygons or an extent, not both.")
        crs = self.parameterAsExtentCrs(parameters, EXTENT, context)
        if not crs.isValid():
            crs = context.project().crs()
        rectangle = self.parameterAsExtent(parameters, EXTENT, context)
        if not rectangle.isEmpty():
            self._values["aoi"] = extent_file(rectangle, crs, context)

    def _add_further_scenes(self, parameters, context, feedback):
        """Several scenes give a folder of maps, except where a model describes whole images in one table."""
        if self.parameterDefinition(FURTHER_SCENES) is None:
            return
        further = self.parameterAsLayerList(parameters, FURTHER_SCENES, context)
        paths = [self._values["scenes"], *(file_of(layer)[0] for layer in further)]
        paths = list(dict.fromkeys(paths))
        if len(paths) == 1:
            return
        self._values["scenes"] = paths
        if _task_of(self._values["model"]) != "classification":
            self._values["out"] = str(Path(self._values["out"]).with_suffix(""))
            feedback.pushInfo(f"Several scenes: their maps go into the folder {self._values['out']}")

    def _value(self, parameter, parameters, context):
        """(value for the command line, name of the layer within its file or "")."""
        kind, name = kind_of(self._entry, parameter), qgis_name(parameter)
        if kind == "out":
            return self._destination(name, parameters, context), ""
        if kind == "rasters":
            layers = self.parameterAsLayerList(parameters, name, context)
            return [file_of(layer)[0] for layer in layers], ""
        if kind in ("raster", "layer", "area", "vector"):
            return self._layer_file(parameter, parameters, context)
        if kind == "bands":
            return ",".join(str(band) for band in self.parameterAsInts(parameters, name, context)), ""
        has_default = self.parameterDefinition(name).defaultValue() not in (None, "")
        if _is_empty(parameters, name) and not has_default:
            return None, ""
        return self._plain_value(kind, parameter, parameters, context), ""

    def _layer_file(self, parameter, parameters, context):
        name = qgis_name(parameter)
        layer = self.parameterAsLayer(parameters, name, context)
        if layer is not None:
            return file_of(layer)
        if not _is_empty(parameters, name):
            raise QgsProcessingException(
                f"{self._label(parameter)}: {parameters[name]} is not a layer that QGIS can open."
            )
        return dict(self._entry.empty).get(parameter["name"], ""), ""

    def _plain_value(self, kind, parameter, parameters, context):
        name = qgis_name(parameter)
        if kind == "flag":
            if is_automatic(parameter):
                choice = self.parameterAsEnumString(parameters, name, context)
                return {"yes": True, "no": False}.get(choice)
            return self.parameterAsBool(parameters, name, context)
        if kind == "integer":
            return self.parameterAsInt(parameters, name, context)
        if kind == "number":
            return repr(self.parameterAsDouble(parameters, name, context))
        if kind in ("choice", "task"):
            choice = self.parameterAsEnumString(parameters, name, context)
            return None if choice == AS_LABELS else choice
        if kind == "crs":
            crs = self.parameterAsCrs(parameters, name, context)
            return (crs.authid() or crs.toWkt()) if crs.isValid() else None
        if kind in ("folder", "file", "model", "yaml"):
            return absolute(self.parameterAsFile(parameters, name, context))
        if kind == "field":
            fields = self.parameterAsFields(parameters, name, context)
            return fields[0] if fields else None
        text = self.parameterAsString(parameters, name, context)
        if not parameter["multiple"]:
            return text
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _destination(self, name, parameters, context):
        """The path of the result; a temporary one gets the suffix that suits the task of the model."""
        if not isinstance(self.parameterDefinition(name), QgsProcessingParameterFileDestination):
            return str(Path(self.parameterAsString(parameters, name, context)).absolute())
        path = Path(self.parameterAsFileOutput(parameters, name, context)).absolute()
        model = self._values.get("model")
        if self._entry.command == "predict" and model and _is_temporary(parameters.get(name)):
            suffix = commands.task_suffixes().get(_task_of(model))
            if suffix is not None:
                path = path.with_suffix(suffix)
        return str(path)

    def processAlgorithm(self, parameters, context, feedback):
        words = commands.command_words(self._entry.command, self._parameters, self._values)
        command_line = f"eo-dl {shlex.join(words)}"
        try:
            python = settings.python()
            feedback.pushInfo(command_line)
            listener = Feedback(feedback, has_report=bool(self._entry.report))
            result = runner.run(python, words, listener)
            listener.finish()
        except runner.Cancelled:
            raise QgsProcessingException(self._cancelled()) from None
        except runner.Failed as error:
            message = texts.in_dialog_words(str(error), self._entry.command, self._parameters)
            raise QgsProcessingException(message) from None
        except environment.NoEnvironment as error:
            raise QgsProcessingException(str(error)) from None
        if self._out:
            provenance = f"{command_line}\n{json.dumps(result)}"
            results = loading.Results(self._out, self._entry.title, provenance, self._origin())
            parts = [str(part["output"]) for part in result.get("parts") or []]
            loads = tuple(Load(_as_format(part)) for part in parts) or self._entry.loads
            loads += tuple(Load(_as_format(str(result[name]))) for name in _BESIDE if result.get(name))
            loading.schedule(loads, results, context)
        self._result = result
        return self._outputs(result)

    def _cancelled(self):
        if "resume" in self._names:
            resume = texts.LABELS["resume"]
            return f"Cancelled. Run it again with '{resume}' to continue from the last checkpoint."
        return "Cancelled. No incomplete result was left behind."

    def postProcessAlgorithm(self, context, feedback):
        """Remembers what was used for the next dialog and notifies the review panel; runs in the main
        thread.
        """
        if self._result is not None:
            recent.remember(self._entry.id, {**self._values, "out": self._out, **self._next_round()})
            recent.announce(self._entry.id, self._result)
        return {}

    def _next_round(self):
        """What retraining made besides the model: the chips and labels from which the next round starts."""
        if self._entry.id != "retrain":
            return {}
        made = {"chips": self._result.get("chips") or self._values["chips"]}
        if self._result.get("labels"):
            made.update(labels=self._result["labels"], layer="labels", class_field="")
        return made

    def _origin(self):
        """What a layer remembers of its making, for the next step."""
        scenes = self._values.get("scenes") or ""
        scene = scenes if isinstance(scenes, str) else "\n".join(scenes)
        return {
            "algorithm": self._entry.id,
            "model": self._values.get("model") or "",
            "scene": scene,
        }

    def _outputs(self, result):
        outputs = {}
        if iface is None:  # QGIS writes outputs into the log, which in the desktop is read by people
            outputs["RESULT"] = json.dumps(result)
        if self._out:
            outputs["OUT"] = self._out
        report = result.get("report") or ""
        if not report and self._entry.output == "folder":
            report = str(Path(self._out) / self._entry.report)
        if self._entry.report and Path(report).is_file():
            outputs["REPORT"] = report
        return outputs

    def tr(self, text):
        return QCoreApplication.translate("eo_dl", text)


# What `predict` may write beside a map.
_BESIDE = ("probabilities", "certainty", "sets", "applicability")


def _is_empty(parameters, *names):
    """Whether none of these parameters has a value."""
    return all(parameters.get(name) in (None, "") for name in names)


def _is_temporary(destination):
    """Whether QGIS chose the path of a result: TEMPORARY_OUTPUT, also inside an output definition."""
    sink = getattr(destination, "sink", None)
    chosen = destination if sink is None else sink.staticValue()
    return str(chosen or "").upper().startswith("TEMPORARY_OUTPUT")


def _task_of(model):
    """The task that a model file names; "" for any other file, which eo-dl then refuses."""
    try:
        with zipfile.ZipFile(model) as archive:
            return str(json.loads(archive.read("model.json")).get("task", ""))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""


def _as_html(text):
    return html.escape(text).replace("\n", "<br>")


def _as_format(path):
    """A path as `menu.Load` has it, where braces mean something."""
    return path.replace("{", "{{").replace("}", "}}")
