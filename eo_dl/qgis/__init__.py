"""The QGIS plug-in (`eo_dl_qgis/`, which imports nothing of eo_dl) and what puts it into QGIS."""
