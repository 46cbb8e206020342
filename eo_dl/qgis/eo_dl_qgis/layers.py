"""Layers of QGIS as files that another program can read, or the reason why that is not possible."""

import json
from pathlib import Path

from qgis.core import (
    QgsCategorizedSymbolRenderer,
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

# Points added per side of an extent, so that its sides stay straight in another CRS.
_POINTS_PER_SIDE = 31
_WGS84_DECIMALS = 9


def file_of(layer):
    """(path, name of the layer within the file or "").

    Raises `QgsProcessingException`, with what to do, for a layer that is not a file, has unsaved edits, shows
    only a part of its file, or was told another CRS, nodata value or encoding than its file has.
    """
    if isinstance(layer, QgsRasterLayer):
        path = _raster_file(layer)
        _refuse_own_nodata(layer)
        _refuse_other_crs(layer, QgsRasterLayer(path, layer.name(), "gdal"))
        return absolute(path), ""
    _refuse_unsaved_edits(layer)
    name = layer.name()
    if layer.providerType() != "ogr":
        raise QgsProcessingException(
            f"The layer '{name}' is not a file ({layer.providerType()}). "
            "Save it as a GeoPackage first: right-click, Export > Save Features As."
        )
    if layer.subsetString():
        raise QgsProcessingException(
            f"The layer '{name}' has a filter, but eo_dl would read the whole file. "
            "Remove the filter, or export the layer."
        )
    as_file = QgsVectorLayer(layer.source(), name, "ogr")
    _refuse_other_crs(layer, as_file)
    _refuse_other_encoding(layer, as_file)
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    path = parts.get("path") or layer.source().split("|")[0]
    return absolute(path), parts.get("layerName") or ""


def copy_of_layer(layer, path, name, context):
    """The path of a temporary copy of the layer `name` of the file `path`; "" if the file has no other
    layer.
    """
    layers = QgsProviderRegistry.instance().querySublayers(path)
    if sum(sublayer.name() != "layer_styles" for sublayer in layers) < 2:
        return ""
    copy = QgsProcessingUtils.generateTempFilename(f"{name}.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", name
    written = QgsVectorFileWriter.writeAsVectorFormatV3(layer, copy, context.transformContext(), options)
    code, message = written[:2]
    if code != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(f"{path}: the layer '{name}' cannot be copied: {message}")
    return copy


def absolute(path):
    """An absolute path, for a child in another folder; anything but a local file (a URL, /vsizip/...) as it
    is.
    """
    return str(Path(path).absolute()) if path and Path(path).exists() else path


def class_colors(layer, class_field):
    """The colours that a layer has in QGIS by the values of its class field, as `--colors` takes them; "" if
    it is not coloured by that field.
    """
    renderer = layer.renderer() if isinstance(layer, QgsVectorLayer) else None
    if not isinstance(renderer, QgsCategorizedSymbolRenderer):
        return ""
    field = class_field or "class_name"
    index = layer.fields().indexOf(field)
    if renderer.classAttribute().strip('"') != field or index < 0:
        return ""
    occurring = {str(value) for value in layer.uniqueValues(index) if value}
    parts = []
    for category in renderer.categories():
        name = str(category.value())
        if name in occurring and category.symbol() is not None and not set(name) & set(",="):
            parts.append(f"{name}={_main_color(category.symbol()).name()}")
    return ",".join(parts)


def _main_color(symbol):
    """The colour of the fill of a symbol, which may be below or above its outlines."""
    fills = [layer for layer in symbol.symbolLayers() if layer.layerType() == "SimpleFill"]
    return fills[0].color() if fills else symbol.color()


def _raster_file(layer):
    if layer.providerType() != "gdal":
        raise QgsProcessingException(
            f"The layer '{layer.name()}' comes from a map service ({layer.providerType()}), not from a file. "
            "Export the part you need first: right-click, Export > Save As (rendered image), "
            "or 'Convert map to raster' in the Toolbox. A GeoTIFF with all bands is better."
        )
    return layer.source()


def _refuse_other_crs(layer, as_file):
    """A CRS that was set on the layer is not that of its file, which is what eo_dl reads."""
    own = as_file.crs()
    if not as_file.isValid() or layer.crs() == own:
        return
    raise QgsProcessingException(
        f"The layer '{layer.name()}' was given the CRS {_crs_name(layer.crs())} in QGIS, but its file says "
        f"{_crs_name(own)}, and eo_dl reads the file. Write the CRS into the file (Processing > Assign "
        "projection), or set the CRS of the layer back."
    )


def _crs_name(crs):
    return crs.authid() or crs.description() or "none"


def _refuse_own_nodata(layer):
    """A nodata value that was added in QGIS, or that of the file turned off there, is not in the file."""
    provider = layer.dataProvider()
    for band in range(1, layer.bandCount() + 1):
        turned_off = provider.sourceHasNoDataValue(band) and not provider.useSourceNoDataValue(band)
        if provider.userNoDataValues(band) or turned_off:
            raise QgsProcessingException(
                f"The layer '{layer.name()}' has its nodata value changed in QGIS (Properties > "
                "Transparency), which its file does not have, and eo_dl reads the file. Set it back there, "
                "and state the value under 'Nodata value of the scene'."
            )


def _refuse_other_encoding(layer, as_file):
    """An encoding that was set on the layer is not that by which other programs read its file."""
    chosen, own = layer.dataProvider().encoding(), as_file.dataProvider().encoding()
    if as_file.isValid() and chosen.casefold() != own.casefold():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' is shown in the encoding {chosen}, but its file is read as {own}, "
            "so class names would be garbled. Export the layer as a GeoPackage, which is always UTF-8."
        )


def _refuse_unsaved_edits(layer):
    if isinstance(layer, QgsVectorLayer) and layer.isEditable() and layer.isModified():
        raise QgsProcessingException(
            f"The layer '{layer.name()}' has unsaved edits, which eo_dl cannot see. "
            "Save them (Layer > Save Layer Edits) and run it again."
        )


def extent_file(rectangle, crs, context):
    """The path of a temporary GeoJSON file (WGS 84) with the rectangle."""
    outline = QgsGeometry.fromRect(rectangle).densifyByCount(_POINTS_PER_SIDE)
    wgs84 = QgsCoordinateReferenceSystem("EPSG:4326")
    outline.transform(QgsCoordinateTransform(crs, wgs84, context.transformContext()))
    geometry = json.loads(outline.asJson(_WGS84_DECIMALS))
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    path = QgsProcessingUtils.generateTempFilename("extent.geojson")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": [feature]}, file)
    return path
