"""The eo_dl plug-in for QGIS. It runs the command line of eo_dl and needs nothing beyond what QGIS ships."""


def classFactory(iface):
    """QGIS calls this to load the plug-in; `iface` is None under qgis_process."""
    from .plugin import Plugin

    return Plugin(iface)
