"""Layers of QGIS as files that another program can read, or the reason why they are none."""

import json
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingUtils,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)


def file_of(layer):
    """(path, layer name or "") of a layer.

    Raises `QgsProcessingException` with what to do for one that is no file, has unsaved edits, or shows only
    a part of its file.
    """
    if isinstance(layer, QgsRasterLayer):
        return absolute(_raster_file(layer)), ""
    _refuse_edits(layer)
    if layer.providerType() != "ogr":
        raise QgsProcessingException(
            f"The layer '{layer.name()}' is no file ({layer.providerType()}). Save it as a GeoPackage first: right-click, Export > Save Features As."
        )
    if layer.subsetString():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' has a filter, and eo_dl would read the whole file. Remove the filter, or export the layer."
        )
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    return absolute(parts.get("path") or layer.source().split("|")[0]), parts.get("layerName") or ""


def alone(layer, path, name, context):
    """The path of a temporary file with nothing but the layer `name` of the file `path`, or "" where it has
    no other.
    """
    if sum(one.name() != "layer_styles" for one in QgsProviderRegistry.instance().querySublayers(path)) < 2:
        return ""
    copy = QgsProcessingUtils.generateTempFilename(f"{name}.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", name
    code, message = QgsVectorFileWriter.writeAsVectorFormatV3(
        layer, copy, context.transformContext(), options
    )[:2]
    if code != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(
            f"{path}: the layer '{name}' cannot be copied to a file of its own: {message}"
        )
    return copy


def absolute(path):
    """A path that means the same in another folder; what is no file here (a URL, /vsizip/...) stays as it is."""
    return str(Path(path).absolute()) if path and Path(path).exists() else path


def _raster_file(layer):
    if layer.providerType() != "gdal":
        raise QgsProcessingException(
            f"The layer '{layer.name()}' comes from a map service ({layer.providerType()}), not from a file. Export the part you need first: "
            "right-click, Export > Save As (rendered image), or 'Convert map to raster' in the Toolbox; a GeoTIFF with all bands is better."
        )
    return layer.source()


def _refuse_edits(layer):
    if isinstance(layer, QgsVectorLayer) and layer.isEditable() and layer.isModified():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' has unsaved edits, which eo_dl cannot see. Save them (Layer > Save Layer Edits) and run again."
        )


def extent_file(rectangle, crs, context):
    """An extent as a GeoJSON file (WGS 84, edges with points so that they stay straight on the ground);
    returns its path.
    """
    outline = QgsGeometry.fromRect(rectangle)
    outline = outline.densifyByCount(31)
    outline.transform(
        QgsCoordinateTransform(crs, QgsCoordinateReferenceSystem("EPSG:4326"), context.transformContext())
    )
    path = QgsProcessingUtils.generateTempFilename("extent.geojson")
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(outline.asJson(9))}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": [feature]}, file)
    return path
