"""The eo_dl plug-in for QGIS: talks to the command line of eo_dl only, and needs nothing but what QGIS ships."""


def classFactory(iface):
    """What QGIS calls to load the plug-in; `iface` is None under qgis_process."""
    from .plugin import Plugin

    return Plugin(iface)
