"""Maps on the web, cut to files: WMS, WMTS and XYZ tiles."""
