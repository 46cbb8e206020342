"""What QGIS loads: the provider everywhere, options page and review dock where there is a window."""

from qgis.core import QgsApplication

from .provider import Provider


class Plugin:
    """Registers everything on load and takes it away on unload. `iface` is None under qgis_process."""

    def __init__(self, iface):
        self._iface = iface
        self._provider = None
        self._options = None
        self._window = None

    def initProcessing(self):
        """qgis_process calls this alone."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self):
        self.initProcessing()
        if self._iface is None:
            return
        from .options import OptionsFactory
        from .review_dock import ReviewAction

        self._options = OptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)
        self._window = ReviewAction(self._iface)

    def unload(self):
        if self._window is not None:
            self._window.remove()
            self._window = None
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
