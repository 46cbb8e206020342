"""The dialog of an algorithm: that of Processing, filled in when it opens, and honest about a failure."""

from processing.gui.AlgorithmDialog import AlgorithmDialog
from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.utils import iface

from . import recent, suggested


class CommandDialog(AlgorithmDialog):
    """Opens with the layers of the project and with what was used last."""

    def __init__(self, algorithm, parent=None):
        super().__init__(algorithm, False, parent)
        self._has_failed = False
        self.setParameters(suggested.values(algorithm.name(), _layers(), recent.last))

    def finish(self, successful, result, context, feedback, *others, **options):
        """QGIS calls this at the end, and would also say of a run that failed that it has finished."""
        if not successful:
            how = "was cancelled" if feedback.isCanceled() else "failed"
            self.setInfo(f"{self.algorithm().displayName()}: {how}.", True)
        self._has_failed = not successful
        super().finish(successful, result, context, feedback, *others, **options)
        self._has_failed = False

    def setInfo(self, message, *others, **options):
        if not self._has_failed:
            super().setInfo(message, *others, **options)


def _layers():
    """Layers of the project, in the order of the Layers panel, where new ones are on top."""
    active = None if iface is None else iface.activeLayer()
    kinds = ((QgsRasterLayer, suggested.RASTER), (QgsVectorLayer, suggested.VECTOR))
    found = []
    for layer in QgsProject.instance().layerTreeRoot().layerOrder():
        kind = next((name for of_class, name in kinds if isinstance(layer, of_class)), None)
        if kind is not None:
            made_by = str(layer.customProperty("eo_dl/algorithm") or "")
            found.append(
                suggested.Layer(layer.id(), kind, layer.source(), made_by, layer.name(), layer is active)
            )
    return found
