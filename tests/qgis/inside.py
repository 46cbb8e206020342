"""Runs inside QGIS's own Python (see test_inside_qgis.py): each function is one check and returns what the test claims something about.

/usr/bin/python3 inside.py PLUGIN_FOLDER NAME ARGUMENT...     prints one JSON object
"""

import json
import sys
import warnings

warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, "/usr/share/qgis/python/plugins")

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)


def started():
    application = QgsApplication([], True)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    import eo_dl_qgis

    plugin = eo_dl_qgis.classFactory(None)
    plugin.initProcessing()
    return application, plugin


class Feedback(QgsProcessingFeedback):
    """Keeps what is said; cancels at a word."""

    def __init__(self, cancel_at=""):
        super().__init__(False)
        self.infos, self.errors, self.cancel_at = [], [], cancel_at

    def pushInfo(self, info):
        self.infos.append(info)
        if self.cancel_at and info.startswith(self.cancel_at):
            self.cancel()

    def reportError(self, error, fatalError=False):
        self.errors.append(error)


def run(name, parameters, feedback=None, context=None):
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"eo_dl:{name}")
    context = context or QgsProcessingContext()
    context.setProject(QgsProject.instance())
    feedback = feedback or Feedback()
    try:
        results, ok = algorithm.run(parameters, context, feedback, {}, False)
    except QgsProcessingException as error:
        return {"error": str(error)}
    return {"ok": ok, "results": results, "infos": feedback.infos, "error": " ".join(feedback.errors)}


def parameters():
    """Every algorithm with its parameters: type, default, whether it must be given and lies under Advanced."""
    found = {}
    for algorithm in QgsApplication.processingRegistry().providerById("eo_dl").algorithms():
        found[algorithm.name()] = {
            "parameters": {d.name(): [d.type(), bool(d.flags() & d.FlagOptional), bool(d.flags() & d.FlagAdvanced)] for d in algorithm.parameterDefinitions()},
            "order": [d.name() for d in algorithm.parameterDefinitions()],
            "help": algorithm.shortHelpString(),
        }
    return found


def words(python, scene, labels, out):
    """What the child is told for a filled-in dialog; the stub echoes it."""
    _use(python)
    layer = QgsVectorLayer(f"{labels}|layername=buildings", "buildings", "ogr")
    QgsProject.instance().addMapLayer(layer)
    values = {"SCENES": [scene], "LABELS": layer.id(), "CLASS_FIELD": "class_name", "SIZE": "128", "KEEP_EMPTY": 0.25, "WRITE_CHIPS": "no", "OUT": out}
    return run("tile", values)


def refused(python, scene, labels):
    """Layers that the child could not see as the person does."""
    _use(python)
    project, said = QgsProject.instance(), {}
    memory = QgsVectorLayer("Polygon?crs=EPSG:4326&field=class_name:string", "scratch", "memory")
    edited = QgsVectorLayer(f"{labels}|layername=buildings", "edited", "ogr")
    edited.startEditing()
    feature = QgsFeature(edited.fields())
    feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(0, 0, 1, 1)))
    edited.addFeature(feature)
    filtered = QgsVectorLayer(f"{labels}|layername=buildings", "filtered", "ogr")
    filtered.setSubsetString("fid < 3")
    for layer in (memory, edited, filtered):
        project.addMapLayer(layer)
        said[layer.name()] = run("tile", {"SCENES": [scene], "LABELS": layer.id(), "OUT": "/nowhere"})
    service = QgsRasterLayer("type=xyz&url=file:///nowhere/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=3&zmin=0", "street map", "wms")
    project.addMapLayer(service)
    said["street map"] = run("tile", {"SCENES": [service.id()], "LABELS": f"{labels}|layername=buildings", "OUT": "/nowhere"})
    return said


def cancelled(python, model, scene, out):
    """The child says that it started; then the person cancels."""
    _use(python)
    feedback = Feedback(cancel_at="pid")
    return {**run("predict", {"MODEL": model, "SCENES": scene, "OUT": out}, feedback), "infos": feedback.infos}


def loaded(python, model, scene, out):
    """A finished map as a layer of the project: renderer, legend, group, metadata."""
    _use(python)
    from processing.gui.Postprocessing import handleAlgorithmResults

    context, feedback = QgsProcessingContext(), Feedback()
    context.setProject(QgsProject.instance())
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("eo_dl:predict")
    results, ok = algorithm.run({"MODEL": model, "SCENES": scene, "OUT": out}, context, feedback, {}, False)
    handleAlgorithmResults(algorithm, context, feedback, False, {**results, "OUT": out})
    layers = list(QgsProject.instance().mapLayers().values())
    group = QgsProject.instance().layerTreeRoot().findGroup("eo_dl")
    return {
        "ok": ok,
        "names": [layer.name() for layer in layers],
        "renderers": [layer.renderer().type() for layer in layers],
        "legend": [[c.label, c.color.name()] for c in layers[0].renderer().classes()] if layers and layers[0].type() == 1 else [],
        "categories": [[c.label(), c.symbol().color().name()] for c in layers[0].renderer().categories()] if layers and layers[0].type() == 0 else [],
        "in group": [node.name() for node in group.findLayers()] if group else [],
        "abstract": [layer.metadata().abstract() for layer in layers],
    }


def reviewed(path):
    """Going through predictions: the order, and what is in the file afterwards."""
    from eo_dl_qgis.review import Review

    layer = QgsVectorLayer(path, "trees", "ogr")
    review = Review(layer)
    order = []
    for decision in ("accept", "reject", "change"):
        current = review.next_id()
        order.append(layer.getFeature(current)["score"])
        if decision == "change":
            review.change_class(current, "shrub")
        else:
            getattr(review, decision)(current)
    after = review.next_id()
    passed_over = review.next_id(after=after)
    return {"order": order, "counts": review.counts(), "next": layer.getFeature(after)["score"], "passed over": layer.getFeature(passed_over)["score"]}


def _use(python):
    from eo_dl_qgis import settings

    settings._checked[settings.stored()] = python


if __name__ == "__main__":
    application, plugin = started()
    answer = globals()[sys.argv[2]](*sys.argv[3:])
    plugin.unload()
    print("\n" + json.dumps(answer, default=str), flush=True)
    import os

    os._exit(0)  # QGIS's own end is slow and sometimes crashes in other people's libraries
