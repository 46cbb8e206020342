"""`TilePyramid`: levels of square tiles, of an XYZ address or a WMTS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from affine import Affine
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from ...core.pixelgrid import PixelGrid
from ...errors import InputError

_HALF_WORLD_M = 20_037_508.342789244
_XYZ_TILE_PX = 256
_MOST_ZOOM = 22
_PIXEL_OF_SCALE_M = 0.00028
"""Size of a pixel by which WMTS states scales (OGC 07-057r7, 6.1)."""


@dataclass(frozen=True)
class PyramidLevel:
    """Tiles of one resolution."""

    name: str
    """What the server calls it."""
    grid: PixelGrid
    """All its pixels."""
    tile_px: int
    """Side of a tile."""


@dataclass(frozen=True)
class TilePyramid:
    """All levels of a service, with the address of a tile."""

    template: str
    """Address with {x}, {y}, {z} (level), and {-y} for rows that count from the south."""
    levels: tuple[PyramidLevel, ...]
    """From coarse to fine."""

    def url(self, level: PyramidLevel, col: int, row: int) -> str:
        """The address of a tile."""
        rows = level.grid.height // level.tile_px
        values = {"{x}": str(col), "{y}": str(row), "{z}": level.name, "{-y}": str(rows - 1 - row)}
        address = self.template
        for sign, value in values.items():
            address = address.replace(sign, value)
        return address

    def level_for(self, gsd_m: float, grid: PixelGrid) -> PyramidLevel:
        """The coarsest level that is as fine as wanted on the ground of a grid, else the finest."""
        for level in self.levels:
            if ground_px_m(level.grid, grid) <= gsd_m * 1.01:
                return level
        return self.levels[-1]


def ground_px_m(level: PixelGrid, place: PixelGrid) -> float:
    """Size of a pixel of a level on the ground at the centre of another grid, metres."""
    xs, ys = place.to_map([place.width / 2], [place.height / 2])
    from_place = Transformer.from_crs(place.required_crs, level.required_crs, always_xy=True)
    x, y = from_place.transform(float(xs[0]), float(ys[0]))
    size = abs(level.transform.a)
    there = PixelGrid(level.crs, Affine(size, 0, x - size / 2, 0, -size, y + size / 2), 1, 1)
    return there.gsd_m or math.inf


def xyz_pyramid(template: str) -> TilePyramid:
    """The pyramid of Web Mercator tiles of 256 px.

    Args:
        template: Address with {x}, {y} or {-y}, and {z}.
    """
    levels = []
    for zoom in range(_MOST_ZOOM + 1):
        side = _XYZ_TILE_PX * 2**zoom
        size = 2 * _HALF_WORLD_M / side
        place = Affine(size, 0, -_HALF_WORLD_M, 0, -size, _HALF_WORLD_M)
        grid = PixelGrid(CRS.from_epsg(3857), place, side, side)
        levels.append(PyramidLevel(str(zoom), grid, _XYZ_TILE_PX))
    return TilePyramid(template, tuple(levels))


def wmts_pyramid(text: bytes, source: str, layer: str | None, matrix_set: str | None) -> TilePyramid:
    """The pyramid that the capabilities of a WMTS describe.

    Args:
        text: The capabilities, XML.
        source: Their address, for messages.
        layer: Identifier of the layer; None: the only one.
        matrix_set: Identifier of the set of tiles; None: the first of the layer.

    Raises:
        InputError: They are no capabilities, or the layer is not there.
    """
    root = _parsed(text, source)
    contents = root.find("Contents")
    if contents is None:
        raise InputError(f"{source}: is no WMTS (it has no Contents); name its capabilities")
    layers = {_text(element, "Identifier"): element for element in contents.findall("Layer")}
    if layer is None and len(layers) == 1:
        layer = next(iter(layers))
    if layer not in layers:
        known = ", ".join(sorted(layers)[:12])
        raise InputError(f"{source}: has no layer {layer!r}; choose one with `map_layer`: {known}")
    chosen = layers[layer]
    sets = [_text(link, "TileMatrixSet") for link in chosen.findall("TileMatrixSetLink")]
    wanted = matrix_set or (sets[0] if sets else "")
    if wanted not in sets:
        has = ", ".join(sets)
        raise InputError(f"{source}: the layer {layer} has no set of tiles {wanted!r}; it has {has}")
    template = _template(chosen, source, wanted)
    for element in contents.findall("TileMatrixSet"):
        if _text(element, "Identifier") == wanted:
            return TilePyramid(template, _levels(element, source))
    raise InputError(f"{source}: does not describe its set of tiles {wanted!r}")


def _template(layer: Element, source: str, matrix_set: str) -> str:
    styles = [_text(style, "Identifier") for style in layer.findall("Style")] or ["default"]
    formats = [element.text or "" for element in layer.findall("Format")]
    for resource in layer.findall("ResourceURL"):
        if resource.get("resourceType") == "tile" and resource.get("template"):
            return _named(str(resource.get("template")), styles[0], matrix_set)
    kind = next((name for name in formats if name in ("image/png", "image/jpeg")), "image/png")
    plain = source.partition("?")[0]
    query = (
        f"SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER={_text(layer, 'Identifier')}&STYLE={styles[0]}&"
        f"TILEMATRIXSET={matrix_set}&FORMAT={kind}&TILEMATRIX={{z}}&TILEROW={{y}}&TILECOL={{x}}"
    )
    return f"{plain}?{query}"


def _named(template: str, style: str, matrix_set: str) -> str:
    names = {
        "{Style}": style,
        "{style}": style,
        "{TileMatrixSet}": matrix_set,
        "{TileMatrix}": "{z}",
        "{TileRow}": "{y}",
        "{TileCol}": "{x}",
    }
    for name, value in names.items():
        template = template.replace(name, value)
    return template


def _levels(matrix_set: Element, source: str) -> tuple[PyramidLevel, ...]:
    try:
        crs = CRS.from_user_input(_text(matrix_set, "SupportedCRS"))
        north_first = not crs.is_projected or crs.axis_info[0].direction.lower() == "north"
        unit_m = crs.axis_info[0].unit_conversion_factor if crs.is_projected else 111_319.49079327358
        levels = []
        for matrix in matrix_set.findall("TileMatrix"):
            size = float(_text(matrix, "ScaleDenominator")) * _PIXEL_OF_SCALE_M / unit_m
            first, second = (float(word) for word in _text(matrix, "TopLeftCorner").split())
            x, y = (second, first) if north_first else (first, second)
            side = int(_text(matrix, "TileWidth"))
            cols, rows = int(_text(matrix, "MatrixWidth")), int(_text(matrix, "MatrixHeight"))
            grid = PixelGrid(crs, Affine(size, 0, x, 0, -size, y), rows * side, cols * side)
            levels.append(PyramidLevel(_text(matrix, "Identifier"), grid, side))
    except (CRSError, ValueError, IndexError) as cause:
        raise InputError(f"{source}: its tiles are not described as a WMTS does ({cause})") from cause
    if not levels:
        raise InputError(f"{source}: its set of tiles has no level")
    return tuple(sorted(levels, key=_coarseness))


def _coarseness(level: PyramidLevel) -> float:
    return -abs(level.grid.transform.a)


def _parsed(text: bytes, source: str) -> Element:
    try:
        root: Element = ElementTree.fromstring(text, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError) as cause:
        what = str(cause)[:100]
        raise InputError(
            f"{source}: gave no readable XML ({what}); name the capabilities of a WMTS"
        ) from cause
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def _text(element: Element, name: str) -> str:
    found = element.find(name)
    return (found.text or "").strip() if found is not None else ""
