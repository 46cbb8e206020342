"""What QGIS loads: the Processing provider, and in the desktop also the options page and the review panel."""

from qgis.core import QgsApplication

from .provider import Provider


class Plugin:
    """Registers everything when it is loaded and removes it when it is unloaded. `iface` is None under
    qgis_process.
    """

    def __init__(self, iface):
        self._iface = iface
        self._provider = None
        self._options = None
        self._review = None

    def initProcessing(self):
        """The only method that qgis_process calls."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self):
        self.initProcessing()
        if self._iface is None:
            return
        # Lazy: qgis_process has no window, and may have no QtWidgets.
        from .options import OptionsFactory
        from .review_dock import ReviewAction

        self._options = OptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)
        self._review = ReviewAction(self._iface)

    def unload(self):
        if self._review is not None:
            self._review.remove()
            self._review = None
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
