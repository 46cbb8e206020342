"""A QGIS project (`.qgz`) written without QGIS: layers with their styles, and how one draws in it.

A `.qgz` is a zip with one `.qgs`, an XML file. Only what differs from QGIS's defaults is written; tried with
3.22. Paths are relative to the project, so that its folder can be moved.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyproj import CRS, Transformer

from ..core.window import Window
from .atomic import atomic_file, write_bytes
from .discover import relative_path
from .qgisstyles import xml_attribute, xml_text
from .scene import Scene, SceneReader

Bounds = tuple[float, float, float, float]

_DATE = (2000, 1, 1, 0, 0, 0)  # the same project is the same bytes
_SAMPLED_PX = 128
_SAMPLES = 5
_SNAP_PX = 12


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a GeoPackage with the QML that it is drawn by; `geometry` is "Polygon" or "Point"."""

    path: Path
    layer: str
    crs: CRS
    qml: str
    geometry: str = "Polygon"


@dataclass(frozen=True)
class Drawing:
    """How one draws: `exclusive` cuts a new polygon off where another lies already."""

    exclusive: bool = False


def write_project(
    path: str | Path,
    scenes: Sequence[Scene],
    layers: Sequence[VectorLayer],
    drawing: Drawing,
    *,
    overwrite: bool = False,
) -> None:
    """A project that shows `layers` (the first on top) over `scenes`, in the CRS of the first layer.

    Raises `OutputExistsError`, `WriteError`.
    """
    target = Path(path)
    names = [f"scene_{number}" for number in range(len(scenes))]
    crs = layers[0].crs
    rasters = [_raster_layer(name, scene, target.parent) for name, scene in zip(names, scenes, strict=True)]
    vectors = [_vector_layer(layer, target.parent) for layer in layers]
    tree = [
        *((f"layer_{layer.layer}", layer.layer) for layer in layers),
        *((name, scene.stem) for name, scene in zip(names, scenes, strict=True)),
    ]
    nodes = "".join(
        f'<layer-tree-layer id={xml_attribute(i)} name={xml_attribute(name)} checked="Qt::Checked" expanded="1"/>'
        for i, name in tree
    )
    text = (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        f'<qgis version="3.22.0" projectname={xml_attribute(target.stem)}><title>{xml_text(target.stem)}</title>'
        f"<projectCrs>{_crs_xml(crs)}</projectCrs><layer-tree-group>{nodes}</layer-tree-group>{_snapping()}"
        f'<mapcanvas name="theMapCanvas">{_extent(_view(scenes, crs))}<rotation>0</rotation><destinationsrs>{_crs_xml(crs)}</destinationsrs></mapcanvas>'
        f"<projectlayers>{''.join([*vectors, *rasters])}</projectlayers>{_properties(drawing)}</qgis>\n"
    )
    with atomic_file(target, overwrite=overwrite) as temporary:
        write_bytes(temporary, _zipped(f"{target.stem}.qgs", text))


def _zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, _DATE), text.encode(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _crs_xml(crs: CRS) -> str:
    code = crs.to_authority()
    authority = f"<authid>{code[0]}:{code[1]}</authid>" if code else ""
    return f"<spatialrefsys><wkt>{xml_text(crs.to_wkt('WKT2_2019'))}</wkt>{authority}</spatialrefsys>"


def _extent(bounds: Bounds) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    return (
        "<extent>"
        + "".join(f"<{name}>{value!r}</{name}>" for name, value in zip(names, bounds, strict=True))
        + "</extent>"
    )


def _view(scenes: Sequence[Scene], crs: CRS) -> Bounds:
    """Bounds of all scenes in `crs`."""
    found = []
    for scene in scenes:
        bounds = scene.grid.footprint().bounds
        own = scene.grid.crs
        moved = (
            bounds
            if own is None or own == crs
            else Transformer.from_crs(own, crs, always_xy=True).transform_bounds(*bounds)
        )
        found.append([float(value) for value in moved])
    boxes = np.array(found)
    west, south, east, north = (float(v) for v in (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))
    return west, south, east, north


def _vector_layer(layer: VectorLayer, folder: Path) -> str:
    inner = re.sub(r"^.*?<qgis[^>]*>|</qgis>\s*$", "", layer.qml, flags=re.DOTALL)
    kind = "Polygon" if layer.geometry.endswith("Polygon") else "Point"
    return (
        f'<maplayer type="vector" geometry="{kind}" wkbType="{layer.geometry}"><id>layer_{xml_text(layer.layer)}</id>'
        f"<datasource>{xml_text(relative_path(str(layer.path), folder))}|layername={xml_text(layer.layer)}</datasource>"
        f"<layername>{xml_text(layer.layer)}</layername><srs>{_crs_xml(layer.crs)}</srs>"
        f'<provider encoding="UTF-8">ogr</provider>{inner}</maplayer>'
    )


def _raster_layer(name: str, scene: Scene, folder: Path) -> str:
    assert scene.grid.crs is not None
    return (
        f'<maplayer type="raster"><id>{name}</id><datasource>{xml_text(relative_path(scene.path, folder))}</datasource>'
        f"<layername>{xml_text(scene.stem)}</layername><srs>{_crs_xml(scene.grid.crs)}</srs><provider>gdal</provider>"
        f"<pipe>{_renderer(scene)}</pipe></maplayer>"
    )


def _renderer(scene: Scene) -> str:
    """Red, green and blue where they are known, else the first three bands, else grey; stretched from the 2nd
    to the 98th percentile.
    """
    if scene.color_table is not None:
        return ""  # QGIS reads the table from the file
    places = _shown_bands(scene)
    limits = _limits(scene)
    stretched = [
        f"<minValue>{limits[p][0]!r}</minValue><maxValue>{limits[p][1]!r}</maxValue><algorithm>StretchToMinimumMaximum</algorithm>"
        for p in places
    ]
    numbers = [scene.bands[p].number for p in places]
    if len(places) == 1:
        return (
            f'<rasterrenderer type="singlebandgray" grayBand="{numbers[0]}" gradient="BlackToWhite" opacity="1" alphaBand="-1">'
            f"<contrastEnhancement>{stretched[0]}</contrastEnhancement></rasterrenderer>"
        )
    contrast = "".join(
        f"<{c}ContrastEnhancement>{s}</{c}ContrastEnhancement>"
        for c, s in zip(("red", "green", "blue"), stretched, strict=True)
    )
    return (
        f'<rasterrenderer type="multibandcolor" redBand="{numbers[0]}" greenBand="{numbers[1]}" blueBand="{numbers[2]}" opacity="1" alphaBand="-1">'
        f"{contrast}</rasterrenderer>"
    )


def _shown_bands(scene: Scene) -> tuple[int, ...]:
    names = [band.name.lower() for band in scene.bands]
    if all(name in names for name in ("red", "green", "blue")):
        return tuple(names.index(name) for name in ("red", "green", "blue"))
    return (0, 1, 2) if len(names) >= 3 else (0,)


def _limits(scene: Scene) -> list[tuple[float, float]]:
    """2nd and 98th percentile of each band over a few places of the scene; (0, 1) where nothing is measured."""
    own = scene.resized(scene.native.height, scene.native.width)
    grid = own.grid
    side = min(_SAMPLED_PX, grid.height, grid.width)
    cols, rows = (
        np.unique(np.linspace(0, length - side, _SAMPLES).astype(int)) for length in (grid.width, grid.height)
    )
    found = []
    with SceneReader(own) as reader:
        for row in rows:
            for col in cols:
                chip = reader.read(Window(int(col), int(row), side, side))
                found.append(chip.pixels[:, chip.valid][:, ::4])
    values = np.concatenate(found, axis=1).astype(np.float64)
    if not values.shape[1]:
        return [(0.0, 1.0)] * len(scene.bands)
    low, high = np.percentile(values, (2, 98), axis=1)
    return [(float(a), float(b) if b > a else float(a) + 1) for a, b in zip(low, high, strict=True)]


def _snapping() -> str:
    """Vertices and edges of all layers within reach of the pointer (unit 1 is pixels of the screen, type 3 is
    vertices and edges).
    """
    return (
        f'<snapping-settings enabled="1" mode="2" type="3" unit="1" tolerance="{_SNAP_PX}" intersection-snapping="0" self-snapping="1" '
        'scaleDependencyMode="0" minScale="0" maxScale="0"><individual-layer-settings/></snapping-settings>'
    )


def _properties(drawing: Drawing) -> str:
    digitizing = f'<AvoidIntersectionsMode type="int">{int(drawing.exclusive)}</AvoidIntersectionsMode><TopologicalEditing type="int">1</TopologicalEditing>'
    return f'<properties><Digitizing>{digitizing}</Digitizing><SpatialRefSys><ProjectionsEnabled type="int">1</ProjectionsEnabled></SpatialRefSys><Paths><Absolute type="bool">false</Absolute></Paths></properties>'
