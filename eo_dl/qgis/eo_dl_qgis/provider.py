"""The Processing provider: one algorithm per entry of the menu."""

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import commands, environment
from .algorithm import CommandAlgorithm
from .menu import ENTRIES


class Provider(QgsProcessingProvider):
    """eo_dl in the Toolbox, the model designer, batch processing and qgis_process."""

    def id(self):
        return "eo_dl"

    def name(self):
        return "eo_dl"

    def longName(self):
        return "eo_dl: deep learning on your own scenes"

    def icon(self):
        return QIcon(str(environment.HERE / "icon.svg"))

    def loadAlgorithms(self):
        known = commands.load()
        for entry in ENTRIES:
            if entry.command in known:
                self.addAlgorithm(CommandAlgorithm(entry, known[entry.command]))
