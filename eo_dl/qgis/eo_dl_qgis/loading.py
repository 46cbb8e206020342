"""Results as layers of the project: styled, in one group, with their origin in the metadata."""

from dataclasses import dataclass
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
# QGIS keeps no reference to a post-processor, so Python must.
_post_processors = []


@dataclass(frozen=True)
class Results:
    """What a finished command has written."""

    # File or folder of the result.
    out: str
    # Title of the algorithm.
    title: str
    # Command line and result as text, for the metadata of the layers.
    provenance: str
    # Model and scene as custom properties, from which the review panel fills in dialogs.
    origin: dict


def schedule(loads, results, context):
    """Let QGIS load those layers of `loads` (`menu.Load`) that exist, once the algorithm has finished."""
    for load in loads:
        path = Path(load.path.format(out=results.out))
        if not path.exists():
            continue
        if path.suffix.lower() in _RASTERS:
            hint = QgsProcessingUtils.LayerHint.Raster
        else:
            hint = QgsProcessingUtils.LayerHint.Vector
        name = load.title or path.stem or results.title
        project = context.project() or QgsProject.instance()
        details = QgsProcessingContext.LayerDetails(name, project, name, hint)
        processor = Styled(name, load.edit, results)
        _post_processors.append(processor)
        details.setPostProcessor(processor)
        uri = f"{path}|layername={load.layer}" if load.layer else str(path)
        context.addLayerToLoadOnCompletion(uri, details)


class Styled(QgsProcessingLayerPostProcessorInterface):
    """Applies the style that comes with a result: QGIS does so for layers that users add, not for results of
    algorithms.
    """

    def __init__(self, name, edit, results):
        super().__init__()
        self._name, self._edit, self._results = name, edit, results

    def postProcessLayer(self, layer, context, feedback):
        layer.setName(self._name)
        layer.loadDefaultStyle()
        metadata = layer.metadata()
        metadata.setAbstract(self._results.provenance)
        layer.setMetadata(metadata)
        for name, value in self._results.origin.items():
            layer.setCustomProperty(f"eo_dl/{name}", value)
        _move_into_group(layer, context.project() or QgsProject.instance())
        if self._edit and isinstance(layer, QgsVectorLayer):
            layer.startEditing()
        layer.triggerRepaint()


def _move_into_group(layer, project):
    root = project.layerTreeRoot()
    group = root.findGroup(GROUP) or root.insertGroup(0, GROUP)
    node = root.findLayer(layer.id())
    if node is None or node.parent() == group:
        return
    group.insertChildNode(0, node.clone())
    node.parent().removeChildNode(node)
