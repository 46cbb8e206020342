"""Results as layers of the project: styled, in one group, with where they come from in their metadata."""

from pathlib import Path

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProcessingUtils,
    QgsProject,
    QgsVectorLayer,
)

GROUP = "eo_dl"
_RASTERS = {".tif", ".tiff"}
_alive = []  # QGIS keeps no reference to a post-processor


def schedule(loads, out, title, provenance, origin, context):
    """Have QGIS load the layers of `loads` (menu.Load) that exist, once the algorithm has ended.

    `provenance` (text) goes into their metadata; `origin` (model, scene) into custom properties, from which
    the review dock fills in dialogs.
    """
    for load in loads:
        path = Path(load.path.format(out=out))
        if not path.exists():
            continue
        uri = f"{path}|layername={load.layer}" if load.layer else str(path)
        hint = (
            QgsProcessingUtils.LayerHint.Raster
            if path.suffix.lower() in _RASTERS
            else QgsProcessingUtils.LayerHint.Vector
        )
        name = load.title or path.stem or title
        details = QgsProcessingContext.LayerDetails(
            name, context.project() or QgsProject.instance(), name, hint
        )
        processor = Styled(name, load.edit, provenance, origin)
        _alive.append(processor)
        details.setPostProcessor(processor)
        context.addLayerToLoadOnCompletion(uri, details)


class Styled(QgsProcessingLayerPostProcessorInterface):
    """Gives a result the style that its file carries: QGIS does that for layers that people add, not for
    results of algorithms.
    """

    def __init__(self, name, edit, provenance, origin):
        super().__init__()
        self._name, self._edit, self._provenance, self._origin = name, edit, provenance, origin

    def postProcessLayer(self, layer, context, feedback):
        layer.setName(self._name)
        layer.loadDefaultStyle()
        metadata = layer.metadata()
        metadata.setAbstract(self._provenance)
        layer.setMetadata(metadata)
        for name, value in self._origin.items():
            layer.setCustomProperty(f"eo_dl/{name}", value)
        _into_group(layer, context.project() or QgsProject.instance())
        if self._edit and isinstance(layer, QgsVectorLayer):
            layer.startEditing()
        layer.triggerRepaint()


def _into_group(layer, project):
    root = project.layerTreeRoot()
    group = root.findGroup(GROUP) or root.insertGroup(0, GROUP)
    node = root.findLayer(layer.id())
    if node is None or node.parent() == group:
        return
    group.insertChildNode(0, node.clone())
    node.parent().removeChildNode(node)
