"""Runs inside QGIS's own Python (see test_inside_qgis.py): each function is one check and returns what the
test claims something about.

/usr/bin/python3 inside.py PLUGIN_FOLDER NAME ARGUMENT...     prints one JSON object
"""

import importlib
import json
import re
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, "/usr/share/qgis/python/plugins")

from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsFillSymbol,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRasterRange,
    QgsRectangle,
    QgsRenderContext,
    QgsRendererCategory,
    QgsVectorLayer,
    QgsVectorLayerUtils,
)
from qgis.PyQt.QtWidgets import QComboBox  # noqa: E402


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
        self.infos, self.errors, self.cancel_at, self.shown = [], [], cancel_at, []

    def pushInfo(self, info):
        self.infos.append(info)
        if self.cancel_at and info.startswith(self.cancel_at):
            self.cancel()

    def pushConsoleInfo(self, info):
        self.shown.append(info)

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
    return {
        "ok": ok,
        "results": results,
        "infos": feedback.infos,
        "shown": feedback.shown,
        "error": " ".join(feedback.errors),
    }


def parameters():
    """Every algorithm with its parameters: type, default, required or not, under Advanced or not."""
    found = {}
    for algorithm in QgsApplication.processingRegistry().providerById("eo_dl").algorithms():
        found[algorithm.name()] = {
            "parameters": {
                d.name(): [d.type(), bool(d.flags() & d.FlagOptional), bool(d.flags() & d.FlagAdvanced)]
                for d in algorithm.parameterDefinitions()
            },
            "order": [d.name() for d in algorithm.parameterDefinitions()],
            "help": algorithm.shortHelpString(),
        }
    return found


def words(python, scene, labels, out):
    """What the child is told for a filled-in dialog; the stub echoes it."""
    _use(python)
    layer = QgsVectorLayer(f"{labels}|layername=buildings", "buildings", "ogr")
    symbol = QgsFillSymbol.createSimple({"color": "#123456"})
    categories = [QgsRendererCategory(name, symbol.clone(), name) for name in ("tile", "not there")]
    layer.setRenderer(QgsCategorizedSymbolRenderer("roof", categories))
    QgsProject.instance().addMapLayer(layer)
    values = {
        "SCENES": [scene],
        "LABELS": layer.id(),
        "CLASS_FIELD": "roof",
        "SIZE": "128",
        "KEEP_EMPTY": 0.25,
        "WRITE_CHIPS": "no",
        "OUT": out,
    }
    return run("tile", values)


def extent(python, model, scene, labels):
    """A rectangle in another CRS than the scene's as ground to predict on: what the child gets to read; and a
    rectangle besides AOI polygons.
    """
    _use(python)
    given = {"MODEL": model, "SCENES": scene, "OUT": "/nowhere/map.tif"}
    said = run("predict", {**given, "EXTENT": "13.930,13.936,48.670,48.674 [EPSG:4326]"})
    words = json.loads(said["results"]["RESULT"])["words"]
    path = next(word for word in words if word.startswith("--aoi=")).removeprefix("--aoi=")
    own = QgsRasterLayer(scene, "scene").extent()
    box = (
        f"{own.xMinimum()},{own.xMaximum()},{own.yMinimum()},{own.yMaximum()} "
        f"[{QgsRasterLayer(scene, 'scene').crs().authid()}]"
    )
    whole = json.loads(run("predict", {**given, "EXTENT": box})["results"]["RESULT"])["words"]
    second = next(word for word in whole if word.startswith("--aoi=")).removeprefix("--aoi=")
    both = run("predict", {**given, "AOI": f"{labels}|layername=buildings", "EXTENT": box})
    return {
        "aoi": json.loads(Path(path).read_text()),
        "whole": json.loads(Path(second).read_text()),
        "both": both["error"],
    }


def several_layers(python, folder, prediction):
    """Layers of files with several as AOI, as annotated ground and as truth: the words, and what the file of
    each parameter of the child holds.
    """
    _use(python)
    labels, found = f"{folder}/train_labels.gpkg|layername=", {}
    scene = f"{folder}/train.tif"
    jobs = {
        "evaluate": {
            "PREDICTION": f"{prediction}|layername=objects",
            "TRUTH": f"{labels}trees",
            "AOI": f"{labels}landcover",
        },
        "tile": {
            "SCENES": [scene],
            "LABELS": f"{labels}trees",
            "ANNOTATED": f"{labels}buildings",
            "AOI": f"{prediction}|layername=objects",
            "OUT": "/nowhere",
        },
        "weak_labels": {
            "SCENES": [scene],
            "FUNCTIONS": f"{folder}/rules.yaml",
            "TRUTH": f"{labels}buildings",
            "OUT": "/nowhere/weak.tif",
        },
        "export_labels": {
            "CHIPS": folder,
            "OUT_FORMAT": "coco",
            "LABELS": f"{labels}trees",
            "PREDICTIONS": f"{prediction}|layername=objects",
            "OUT": "/nowhere",
        },
    }
    for name, given in jobs.items():
        said = run(name, given)
        words = json.loads(said["results"]["RESULT"])["words"]
        copied = [
            word.split("=", 1) for word in words if word.startswith(("--aoi=", "--annotated=", "--truth="))
        ]
        held = {name: _held(path) for name, path in copied}
        found[name] = {"words": words, "held": held, "infos": said["infos"]}
    return found


def opened(scene, labels, prediction):
    """Dialogs as they open in a project with a scene, labels and a prediction, the last used first."""
    from eo_dl_qgis import recent
    from eo_dl_qgis.dialog import CommandDialog
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    project = QgsProject.instance()
    labels_source = f"{labels}|layername=buildings"
    made = QgsVectorLayer(f"{prediction}|layername=trees", "prediction", "ogr")
    made.setCustomProperty("eo_dl/algorithm", "predict")
    for layer in (
        made,
        QgsVectorLayer(f"{labels}|layername=trees", "other", "ogr"),
        QgsVectorLayer(labels_source, "labels", "ogr"),
        QgsRasterLayer(scene, "scene"),
    ):
        project.addMapLayer(layer)
    recent.remember("tile", {"labels": labels, "layer": "buildings", "out": "/data/chips"})
    recent.remember("train", {"chips": "/data/chips", "out": "/models/trees.eodl"})

    def dialog(name):
        return CommandDialog(QgsApplication.processingRegistry().createAlgorithmById(f"eo_dl:{name}"))

    def name_of(layer_id):
        return project.mapLayer(layer_id).name()

    scored, predicted, trained, outlined = map(dialog, ("evaluate", "predict", "train", "vectorize"))
    chosen = scored.createProcessingParameters()
    filled = predicted.createProcessingParameters()
    wrappers = trained.mainWidget().wrappers
    task = trained.algorithm().parameterDefinition("TASK")
    lists = {}
    for name in ("DEVICE", "BACKBONE", "WEIGHTS"):
        entries = wrappers[name]._list
        lists[name] = [
            wrappers[name].parameterValue(),
            *(entries.itemText(place) for place in range(1, entries.count())),
        ]
    weights = []
    for value in ("sentinel2-all-moco", "/data/start.safetensors", None):
        wrappers["WEIGHTS"].setValue(value)
        weights.append(wrappers["WEIGHTS"].value())
    context = QgsProcessingContext()
    context.setProject(project)
    same = {"PREDICTION": labels_source, "TRUTH": labels_source, "OUT": "/nowhere"}
    said = []
    AlgorithmDialog.setInfo = lambda self, message, *others, **options: said.append(message)
    trained.iterateParam = None  # QGIS sets it when a run begins
    trained.finish(False, {}, context, Feedback())
    combo = outlined.mainWidget().wrappers["SOURCE"].wrappedWidget().findChild(QComboBox)
    rasters = [combo.itemText(place) for place in range(combo.count())]
    return {
        "evaluate": [name_of(chosen["PREDICTION"]), name_of(chosen["TRUTH"])],
        "predict": [filled["MODEL"], name_of(filled["SCENES"])],
        "train": trained.createProcessingParameters()["CHIPS"],
        "lists": lists,
        "task": [task.defaultValue(), task.options()[:2]],
        "weights": weights,
        "same layer": scored.algorithm().checkParameterValues(same, context)[1],
        "failed": said,
        "rasters for a class map": [text.partition(" [")[0] for text in rasters if text],
    }


def several_scenes(python, first, second, model):
    """The words for a scene and a further one."""
    _use(python)
    given = {
        "MODEL": model,
        "SCENES": first,
        "FURTHER_SCENES": [first, second],
        "OUT": str(Path(first).with_name("maps.tif")),
    }
    return json.loads(run("predict", given)["results"]["RESULT"])["words"]


def _held(path):
    """[layer, count of features] of each layer of a file."""
    names = [one.name() for one in QgsProviderRegistry.instance().querySublayers(path)]
    return [[name, QgsVectorLayer(f"{path}|layername={name}", name, "ogr").featureCount()] for name in names]


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
    moved = QgsVectorLayer(f"{labels}|layername=buildings", "moved", "ogr")
    moved.setCrs(QgsCoordinateReferenceSystem("EPSG:32632"))
    for layer in (memory, edited, filtered, moved):
        project.addMapLayer(layer)
        said[layer.name()] = run("tile", {"SCENES": [scene], "LABELS": layer.id(), "OUT": "/nowhere"})
    service = QgsRasterLayer(
        "type=xyz&url=file:///nowhere/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=3&zmin=0", "street map", "wms"
    )
    project.addMapLayer(service)
    for name in ("moved scene", "scene with gaps"):
        layer = QgsRasterLayer(scene, name)
        if name == "moved scene":
            layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32632"))
        else:
            layer.dataProvider().setUserNoDataValue(1, [QgsRasterRange(50, 50)])
        project.addMapLayer(layer)
        area = f"{labels}|layername=buildings"
        said[name] = run("tile", {"SCENES": [layer.id()], "LABELS": area, "OUT": "/nowhere"})
    said["street map"] = run(
        "tile", {"SCENES": [service.id()], "LABELS": f"{labels}|layername=buildings", "OUT": "/nowhere"}
    )
    return said


def cancelled(python, model, scene, out):
    """The child says that it started; then the person cancels."""
    _use(python)
    feedback = Feedback(cancel_at="pid")
    return {
        **run("predict", {"MODEL": model, "SCENES": scene, "OUT": out}, feedback),
        "infos": feedback.infos,
    }


def loaded(python, jobs):
    """Results of several algorithms as layers of one project: for each what QGIS shows of it."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    _use(python)
    project, found = QgsProject.instance(), []
    for name, given in json.loads(jobs):
        context, feedback = QgsProcessingContext(), Feedback()
        context.setProject(project)
        before = set(project.mapLayers())
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"eo_dl:{name}")
        results, ok = algorithm.run(given, context, feedback, {}, False)
        handleAlgorithmResults(algorithm, context, feedback, False, results)
        layers = [layer for key, layer in project.mapLayers().items() if key not in before]
        group = project.layerTreeRoot().findGroup("eo_dl")
        inside = {node.layerId() for node in group.findLayers()} if group else set()
        found += [
            {
                "ok": ok,
                "algorithm": name,
                "name": layer.name(),
                "renderer": layer.renderer().type(),
                "legend": _legend(layer),
                "in group": layer.id() in inside,
                "editing": layer.isEditable(),
                "abstract": layer.metadata().abstract(),
                "origin": [layer.customProperty("eo_dl/model"), layer.customProperty("eo_dl/scene")],
            }
            for layer in layers
        ]
    return found


def _legend(layer):
    """[text, colour] of each entry."""
    renderer = layer.renderer()
    if isinstance(layer, QgsRasterLayer):
        return [[one.label, one.color.name()] for one in renderer.classes()]
    return [
        [item.label(), item.symbol().color().name()]
        for item in renderer.legendSymbolItems()
        if item.symbol() is not None
    ]


def reviewed(path):
    """Going through predictions: the order, and what is in the file afterwards."""
    from eo_dl_qgis.review import Review

    layer = QgsVectorLayer(path, "trees", "ogr")
    review = Review(layer)
    order, current = [], None
    for decision in ("accept", "reject", "change", "reject", "undo"):
        current = review.list.next(current) if decision != "undo" else current
        order.append(review.list.items[current].value)
        if decision == "change":
            review.change_class(current, "shrub")
        elif decision == "undo":
            review.undo()
        else:
            getattr(review, decision)(current)
    return {"order": order, "counts": review.list.counts(), "edits": layer.isEditable()}


def without_scores(path):
    """Objects of a class map: their order, one drawn by hand in between, and all of a layer's styles."""
    from eo_dl_qgis import reviewstyle
    from eo_dl_qgis.drawing import Drawing
    from eo_dl_qgis.review import Review

    layer = QgsVectorLayer(path, "map", "ogr")
    review = Review(layer)
    first = review.list.next()
    second = review.list.next(first)
    order = [review.list.items[item_id].area for item_id in (first, second)]
    before = reviewstyle.apply(layer)
    layer.renderer().startRender(QgsRenderContext(), layer.fields())
    symbols = [
        layer.renderer().symbolForFeature(feature, QgsRenderContext()) for feature in layer.getFeatures()
    ]
    fills = [symbol.symbolLayer(0).layerType() for symbol in symbols]
    reviewstyle.restore(layer, before)
    drawing = Drawing(layer, "water", 1)
    feature = QgsVectorLayerUtils.createFeature(
        layer, QgsGeometry.fromRect(QgsRectangle(100, 100, 104, 104)), {}, layer.createExpressionContext()
    )
    layer.addFeature(feature)
    QgsApplication.processEvents()
    drawing.stop()
    review.accept(second)
    return {
        "order": order,
        "fills": sorted(set(fills)),
        "style": [before, layer.styleManager().styles()],
        "counts": review.list.counts(),
        "editing": layer.isEditable(),
        "default": layer.defaultValueDefinition(layer.fields().indexOf("status")).expression(),
    }


def every(python, folder):
    """Every algorithm, every parameter filled in, in three ways: processing.run, what its history would run
    again, and its own dialog.

    Returns by algorithm what was filled in (as the command line should see it) and the words that the child
    got each time.
    """
    import processing
    from processing.gui.AlgorithmDialog import AlgorithmDialog
    from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog

    _use(python)
    folder, found = Path(folder), {}
    QgsProject.instance().addMapLayer(
        QgsVectorLayer(f"{folder / 'train_labels.gpkg'}|layername=buildings", "buildings", "ogr")
    )
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    for algorithm in QgsApplication.processingRegistry().providerById("eo_dl").algorithms():
        given, expected = {}, {}
        for definition in algorithm.parameterDefinitions():
            filled = _filled(definition, folder)
            if filled is not None:
                given[definition.name()], expected[definition.name()] = filled
        again = algorithm.asPythonCommand(given, context)
        dialog = AlgorithmDialog(algorithm.create())
        dialog.setParameters(given)
        batch = BatchAlgorithmDialog(algorithm.create())
        found[algorithm.name()] = {
            "expected": expected,
            "run": _words(processing.run(algorithm.id(), given)),
            "history": _words(eval(again, {"processing": processing})),
            "dialog": _words(processing.run(algorithm.id(), dialog.createProcessingParameters())),
            "batch columns": batch.mainWidget().tblParameters.columnCount(),
        }
    return found


def _words(results):
    return json.loads(results["RESULT"])["words"]


def _filled(definition, folder):
    """(a value, what the command line should get for it) of a parameter; None where it is asked in another
    way.
    """
    labels, kind = QgsProject.instance().mapLayersByName("buildings")[0].id(), definition.type()
    if kind == "extent" or definition.name() == "FURTHER_SCENES":
        return None  # has a test of its own: it goes with no AOI
    if kind == "number":
        low, high = max(definition.minimum(), 0), min(definition.maximum(), 1000)
        value = (
            (low + high) / 2
            if definition.dataType() == definition.Type.Double
            else int(low + min(high - low, 3))
        )
        return value, value
    if kind == "enum":
        value = definition.options()[-1]
        return value, {"yes": True, "no": False}.get(value, value)
    if kind == "boolean":
        return (not definition.defaultValue(),) * 2
    if kind == "string":
        return (
            ("first = 1\nsecond='x y'", ["first = 1", "second='x y'"])
            if definition.multiLine()
            else ("a, 'b c'=\"2\"",) * 2
        )
    if definition.name() in ("AOI", "ANNOTATED", "TRUTH"):
        # of a file with several layers they get a copy: a test of its own
        return (str(folder / "ground.geojson"),) * 2
    known = {
        "raster": (str(folder / "train.tif"), str(folder / "train.tif")),
        "multilayer": ([str(folder / "train.tif"), str(folder / "test.tif")],) * 2,
        "vector": (labels, str(folder / "train_labels.gpkg")),
        "layer": (labels, str(folder / "train_labels.gpkg")),
        "field": ("roof", "roof"),
        "band": ([3, 1, 2], "3,1,2"),
        "crs": ("EPSG:32633", "EPSG:32633"),
    }
    if kind in known:
        return known[kind]
    if kind == "file":
        path = (
            folder
            if definition.behavior() == definition.Behavior.Folder
            else folder / f"some.{definition.extension() or 'yaml'}"
        )
        return (str(path),) * 2
    return (str(folder / "result.gpkg"),) * 2


def modelled(python, folder):
    """A model of the modeller: tile, train on what it made, predict with what that made."""
    from qgis.core import (
        QgsProcessingModelAlgorithm,
        QgsProcessingModelChildAlgorithm,
        QgsProcessingModelChildParameterSource,
        QgsProcessingModelOutput,
    )

    _use(python)
    folder, static, made = (
        Path(folder),
        QgsProcessingModelChildParameterSource.fromStaticValue,
        QgsProcessingModelChildParameterSource.fromChildOutput,
    )
    model = QgsProcessingModelAlgorithm("loop", "test")
    steps = {
        "tile": {
            "SCENES": static([str(folder / "train.tif")]),
            "LABELS": static(f"{folder / 'train_labels.gpkg'}|layername=buildings"),
        },
        "train": {"CHIPS": made("tile", "OUT"), "TASK": static("segmentation")},
        "predict": {"MODEL": made("train", "OUT"), "SCENES": static(str(folder / "test.tif"))},
    }
    for name, values in steps.items():
        child = QgsProcessingModelChildAlgorithm(f"eo_dl:{name}")
        child.setChildId(name)
        for key, source in values.items():
            child.addParameterSources(key, [source])
        if name == "predict":
            output = QgsProcessingModelOutput("map", "map")
            output.setChildId(name)
            output.setChildOutputName("OUT")
            child.setModelOutputs({"map": output})
        model.addChildAlgorithm(child)
    context, feedback = QgsProcessingContext(), Feedback()
    context.setProject(QgsProject.instance())
    results, ok = model.run({"predict:map": str(folder / "map.tif")}, context, feedback, {}, False)
    return {
        "ok": ok,
        "results": results,
        "errors": feedback.errors,
        "valid": model.validate(),
        "words": [_words(results["CHILD_RESULTS"][name]) for name in steps],
    }


class Window:
    """What the dock needs of QGIS's window, without one on a screen."""

    def __init__(self):
        from qgis.gui import QgsMapCanvas, QgsMessageBar
        from qgis.PyQt.QtWidgets import QMainWindow

        self._window, self._canvas, self._bar, self.active = (
            QMainWindow(),
            QgsMapCanvas(),
            QgsMessageBar(),
            None,
        )
        self._window.setCentralWidget(self._canvas)
        self.drawing = False

    def mainWindow(self):
        return self._window

    def mapCanvas(self):
        return self._canvas

    def messageBar(self):
        return self._bar

    def activeLayer(self):
        return self.active

    def setActiveLayer(self, layer):
        self.active = layer

    def actionAddFeature(self):
        return self

    def trigger(self):
        """The tool with which a person draws."""
        self.drawing = True

    def addDockWidget(self, area, dock):
        self._window.addDockWidget(area, dock)

    def removeDockWidget(self, dock):
        self._window.removeDockWidget(dock)

    def said(self):
        """The messages so far, taken away."""
        texts = []
        while self._bar.currentItem() is not None:
            texts.append(self._bar.currentItem().text())
            self._bar.popWidget(self._bar.currentItem())
        return texts


def dock(python, objects, queue, scene, chips):
    """The review by keys, as a person does it, and what it hands to the training; `queue` is reviewed by
    rank.
    """
    import processing
    from eo_dl_qgis import recent, review_dock
    from qgis.PyQt.QtCore import Qt
    from qgis.PyQt.QtTest import QTest

    _use(python)
    iface, found = Window(), {}
    dock = review_dock.ReviewDock(iface)
    iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    iface.mainWindow().resize(900, 600)
    iface.mainWindow().show()
    iface.mainWindow().activateWindow()
    QTest.qWaitForWindowActive(iface.mainWindow())

    def press(*keys):
        for key in keys:
            QTest.keyClick(iface.mainWindow(), getattr(Qt.Key, f"Key_{key}"))

    project = QgsProject.instance()
    raster, layer = QgsRasterLayer(scene, "scene"), QgsVectorLayer(objects, "trees", "ogr")
    layer.loadDefaultStyle()
    marks = QgsVectorLayer(queue, "queue", "ogr")
    project.addMapLayers([raster, layer, marks])
    iface.mapCanvas().setDestinationCrs(raster.crs())
    press("A")
    found["nothing shown"] = iface.said()
    iface.active = raster
    press("N")
    found["raster"] = iface.said()
    iface.active = layer
    press("N", "R")
    found["nothing reviewed"] = iface.said()
    found["status"], found["frames"] = [], []
    for key in ("A", "X", "2"):
        current = layer.getFeature(dock._current)
        found["status"].append(_plain(dock.form.status.text()))
        to_map = QgsCoordinateTransform(layer.crs(), raster.crs(), project)
        box, view = to_map.transformBoundingBox(current.geometry().boundingBox()), iface.mapCanvas().extent()
        found["frames"].append([view.contains(box), view.width() / box.width()])
        press(key)
    found["waits"] = _plain(dock.form.status.text())
    found["styles"] = [layer.styleManager().currentStyle(), layer.renderer().type()]
    press("U")
    found["taken back"] = [_plain(dock.form.status.text()), _plain(dock.form.counts.text())]
    press("2", "P")
    found["previous"] = _plain(dock.form.status.text())
    press("N")
    dock.form.least_score.setValue(0.8)
    dock.do("accept_above")
    found["all above"] = [iface.said()[0], _plain(dock.form.counts.text())]
    press("U")
    dock.form.only_class.setCurrentText("shrub")
    found["only shrubs"] = _plain(dock.form.status.text())
    dock.form.only_class.setCurrentText("all classes")
    press("M")
    found["drawing"] = [iface.drawing, layer.isEditable()]
    layer.commitChanges(True)
    layer.setCustomProperty("eo_dl/model", "/models/trees.eodl")
    layer.setCustomProperty("eo_dl/scene", scene)
    recent.remember(
        "tile", {"labels": "/data/labels.gpkg", "layer": "trees", "class_field": "kind", "out": chips}
    )
    asked = []
    processing.createAlgorithmDialog = lambda *given: asked.append(given) or iface.mainWindow()
    press("R")
    found["asked"] = asked
    found["retrained"] = (
        processing.run(
            "eo_dl:retrain", {**asked[0][1], "LABELS": None, "CHIPS": chips, "OUT": "/tmp/new.eodl"}
        )
        if asked
        else None
    )
    found["scores"] = dock.form.scores.text()
    found["recent"] = [recent.last(name) for name in ("model", "chips", "labels", "class_field")]
    iface.active = marks
    press("N")
    found["by rank"] = [_plain(dock.form.status.text())]
    press("A")
    found["by rank"].append(_plain(dock.form.status.text()))
    press("R")
    found["queue"] = iface.said()
    dock.hide()
    press("A")
    found["hidden"] = dock._review.list.counts()
    dock.show()
    found["counts"] = _plain(dock.form.counts.text())
    iface.active = None
    project.removeMapLayer(marks.id())
    press("N")
    found["gone"] = iface.said()
    locked = QgsVectorLayer(objects, "locked", "ogr")
    project.addMapLayer(locked)
    iface.active = locked
    press("N")
    locked.setReadOnly(True)
    press("A")
    found["locked"] = iface.said()
    dock.close_up()
    return found


def _plain(text):
    """A text of the panel without its markup."""
    return " ".join(re.sub("<[^>]*>|&nbsp;", " ", text).split())


def prefilled(objects, model):
    """What the dialog of a retraining comes with."""
    from eo_dl_qgis import retraining

    layer = QgsVectorLayer(objects, "trees", "ogr")
    layer.setCustomProperty("eo_dl/model", model)
    found = retraining.filled_in(layer)
    return [found["OUT"], found.get("RESUME", False)]


def _use(python):
    from eo_dl_qgis import settings

    settings._checked[settings.stored()] = python


if __name__ == "__main__":
    application, plugin = started()
    module, _, name = sys.argv[2].rpartition(".")
    answer = getattr(importlib.import_module(module or "__main__"), name)(*sys.argv[3:])
    plugin.unload()
    print("\n" + json.dumps(answer, default=str), flush=True)
    import os

    os._exit(0)  # QGIS's own end is slow and sometimes crashes in other people's libraries
