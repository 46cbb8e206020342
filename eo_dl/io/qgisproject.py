"""A QGIS project (`.qgz`) written without QGIS: layers with their styles, and digitizing settings.

A `.qgz` is a zip with one `.qgs`, an XML file. Only what differs from QGIS's defaults is written; tried with
QGIS 3.22. Paths are relative to the project, so that its folder can be moved.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml.ElementTree import fromstring
from pyproj import CRS, Transformer

from ..core.display import display_bands
from ..core.normalization import to_physical
from ..core.window import Window
from ..errors import SceneError
from .atomic import atomic_file, write_bytes
from .discover import relative_path
from .scene import Scene, SceneReader
from .xmltree import element, to_xml

Bounds = tuple[float, float, float, float]

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
_DATE = (2000, 1, 1, 0, 0, 0)  # fixed, so that the same project gives the same bytes
_SAMPLED_PX = 128
_SAMPLES = 5
_SNAP_PX = 12


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a GeoPackage in the project."""

    path: Path
    """The GeoPackage."""
    layer: str
    """Name of its layer."""
    crs: CRS
    """CRS of the layer."""
    qml: str
    """The style."""
    geometry: str = "Polygon"
    """Geometry type: "Polygon", "MultiPolygon" or "Point"."""


@dataclass(frozen=True)
class Drawing:
    """Digitizing settings of the project."""

    exclusive: bool = False
    """True to cut a new polygon off where another one already lies."""


def write_project(
    path: str | Path,
    scenes: Sequence[Scene],
    layers: Sequence[VectorLayer],
    drawing: Drawing,
    *,
    overwrite: bool = False,
) -> None:
    """Write a project that shows vector layers above scenes, in the CRS of the first layer.

    Args:
        path: The `.qgz`.
        scenes: The scenes, georeferenced.
        layers: The vector layers, the first on top.
        drawing: Digitizing settings.
        overwrite: Replace an existing project.

    Raises:
        OutputExistsError: The project exists and `overwrite` is False.
        WriteError: It cannot be written.
    """
    target = Path(path)
    crs = layers[0].crs
    tree = []
    map_layers = []
    for layer in layers:
        tree.append(_tree_node(_vector_id(layer), layer.layer))
        map_layers.append(_vector_layer(layer, target.parent))
    for number, scene in enumerate(scenes):
        layer_id = f"scene_layer_{number}"
        tree.append(_tree_node(layer_id, scene.stem))
        map_layers.append(_raster_layer(layer_id, scene, target.parent))
    canvas = [
        _extent(_bounds_of_all(scenes, crs)),
        element("rotation", text="0"),
        element("destinationsrs", children=[_crs_element(crs)]),
    ]
    root = element(
        "qgis",
        # Every QGIS 3 warns of an older version, also of 3.22.0 in 3.22.16.
        {"version": "3.99.0", "projectname": target.stem},
        [
            element("title", text=target.stem),
            element("projectCrs", children=[_crs_element(crs)]),
            element("layer-tree-group", children=tree),
            _snapping(),
            element("mapcanvas", {"name": "theMapCanvas"}, canvas),
            element("projectlayers", children=map_layers),
            _properties(drawing),
        ],
    )
    with atomic_file(target, overwrite=overwrite) as temporary:
        write_bytes(temporary, _zipped(f"{target.stem}.qgs", f"{_DOCTYPE}\n{to_xml(root)}\n"))


def _zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, _DATE), text.encode(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _tree_node(layer_id: str, name: str) -> Element:
    return element(
        "layer-tree-layer", {"id": layer_id, "name": name, "checked": "Qt::Checked", "expanded": "1"}
    )


def _crs_element(crs: CRS) -> Element:
    made = element("spatialrefsys", children=[element("wkt", text=crs.to_wkt("WKT2_2019"))])
    code = crs.to_authority()
    if code:
        made.append(element("authid", text=f"{code[0]}:{code[1]}"))
    return made


def _extent(bounds: Bounds) -> Element:
    names = ("xmin", "ymin", "xmax", "ymax")
    edges = [element(name, text=repr(value)) for name, value in zip(names, bounds, strict=True)]
    return element("extent", children=edges)


def _bounds_of_all(scenes: Sequence[Scene], crs: CRS) -> Bounds:
    """Bounds of all scenes in `crs`."""
    all_bounds = []
    for scene in scenes:
        bounds = scene.grid.footprint().bounds
        if scene.grid.crs is not None and scene.grid.crs != crs:
            to_project = Transformer.from_crs(scene.grid.crs, crs, always_xy=True)
            bounds = to_project.transform_bounds(*bounds)
        all_bounds.append(bounds)
    west, south, _, _ = np.min(all_bounds, axis=0).tolist()
    _, _, east, north = np.max(all_bounds, axis=0).tolist()
    return west, south, east, north


def _vector_id(layer: VectorLayer) -> str:
    # QGIS keeps an id of more than ten characters only; a layer with another one is not in the tree.
    return f"vector_layer_{layer.layer}"


def _vector_layer(layer: VectorLayer, folder: Path) -> Element:
    source = f"{relative_path(str(layer.path), folder)}|layername={layer.layer}"
    kind = "Polygon" if layer.geometry.endswith("Polygon") else "Point"
    style = fromstring(layer.qml)
    return element(
        "maplayer",
        {"type": "vector", "geometry": kind, "wkbType": layer.geometry},
        [
            element("id", text=_vector_id(layer)),
            element("datasource", text=source),
            element("layername", text=layer.layer),
            element("srs", children=[_crs_element(layer.crs)]),
            element("provider", {"encoding": "UTF-8"}, text="ogr"),
            *style,
        ],
    )


def _raster_layer(layer_id: str, scene: Scene, folder: Path) -> Element:
    if scene.grid.crs is None:
        raise SceneError(f"{scene.path}: has no CRS, so it cannot be placed in a project; georeference it")
    return element(
        "maplayer",
        {"type": "raster"},
        [
            element("id", text=layer_id),
            element("datasource", text=relative_path(scene.path, folder)),
            element("layername", text=scene.stem),
            element("srs", children=[_crs_element(scene.grid.crs)]),
            element("provider", text="gdal"),
            element("pipe", children=_renderers(scene)),
        ],
    )


def _renderers(scene: Scene) -> list[Element]:
    """How the scene is drawn: bands as in every picture of eo_dl, from their 2nd to 98th percentile.

    Empty for a scene with a colour table, which QGIS reads from the file.
    """
    if scene.file.color_table is not None:
        return []
    shown = display_bands([band.name.lower() for band in scene.bands])
    limits = _percentiles(scene)
    numbers = [str(scene.bands[index].number) for index in shown]
    common = {"opacity": "1", "alphaBand": "-1"}
    if len(shown) == 1:
        gray = {"type": "singlebandgray", "grayBand": numbers[0], "gradient": "BlackToWhite"}
        contrast = element("contrastEnhancement", children=_min_max(limits[shown[0]]))
        return [element("rasterrenderer", gray | common, [contrast])]
    color = {"type": "multibandcolor"}
    contrasts = []
    for name, index, number in zip(("red", "green", "blue"), shown, numbers, strict=True):
        color[f"{name}Band"] = number
        contrasts.append(element(f"{name}ContrastEnhancement", children=_min_max(limits[index])))
    return [element("rasterrenderer", color | common, contrasts)]


def _min_max(limits: tuple[float, float]) -> list[Element]:
    low, high = limits
    return [
        element("minValue", text=repr(low)),
        element("maxValue", text=repr(high)),
        element("algorithm", text="StretchToMinimumMaximum"),
    ]


def _percentiles(scene: Scene) -> list[tuple[float, float]]:
    """2nd and 98th percentile per band, from windows spread over the scene; (0, 1) if nothing is valid.

    In physical units: QGIS applies the scale and offset of a band before it stretches the contrast.
    """
    native = scene.resized(scene.native.height, scene.native.width)
    side = min(_SAMPLED_PX, native.grid.height, native.grid.width)
    rows = np.unique(np.linspace(0, native.grid.height - side, _SAMPLES).astype(int))
    cols = np.unique(np.linspace(0, native.grid.width - side, _SAMPLES).astype(int))
    samples = []
    with SceneReader(native) as reader:
        for row in rows:
            for col in cols:
                chip = reader.read(Window(int(col), int(row), side, side))
                samples.append(to_physical(chip.pixels, scene.bands)[:, chip.valid][:, ::4])
    values = np.concatenate(samples, axis=1).astype(np.float64)
    if not values.shape[1]:
        return [(0.0, 1.0)] * len(scene.bands)
    low, high = np.percentile(values, (2, 98), axis=1)
    scales = np.array([band.scale for band in scene.bands], np.float64)
    high = np.where(high > low, high, low + np.abs(scales))
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _snapping() -> Element:
    """Snap to vertices and edges (type 3) of all layers, within a few pixels of the screen (unit 1)."""
    settings = {
        "enabled": "1",
        "mode": "2",
        "type": "3",
        "unit": "1",
        "tolerance": str(_SNAP_PX),
        "intersection-snapping": "0",
        "self-snapping": "1",
        "scaleDependencyMode": "0",
        "minScale": "0",
        "maxScale": "0",
    }
    return element("snapping-settings", settings, [element("individual-layer-settings")])


def _properties(drawing: Drawing) -> Element:
    integer = {"type": "int"}
    digitizing = [
        element("AvoidIntersectionsMode", integer, text=str(int(drawing.exclusive))),
        element("TopologicalEditing", integer, text="1"),
    ]
    projections = element("ProjectionsEnabled", integer, text="1")
    return element(
        "properties",
        children=[
            element("Digitizing", children=digitizing),
            element("SpatialRefSys", children=[projections]),
            element("Paths", children=[element("Absolute", {"type": "bool"}, text="false")]),
        ],
    )
