"""Neighbouring sheets of one grid as one scene: a VRT beside the result, whose sources are the sheets.

Written by us, because what makes a mosaic right is checked here: one CRS, pixels that lie on one grid, the
same bands. Nothing is resampled, so a map of the sheets is the map of their mosaic, pixel by pixel.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import shapely
from affine import Affine

from ..core.pixelgrid import PixelGrid
from ..core.window import Window
from ..errors import InputError
from .atomic import atomic_file, refuse_existing, write_bytes
from .discover import own_path
from .gdal import open_dataset
from .scene import Scene, open_scenes
from .xmltree import element, to_xml

log = logging.getLogger(__name__)

_OFF_GRID_PX = 0.01
_ADVICE = "name a folder as `out`, e.g. maps/, to map each alone"


@dataclass(frozen=True)
class _Band:
    """A band as a file states it."""

    dtype: str
    nodata: str | None
    """As text, because NaN is not equal to NaN."""
    scale: float
    offset: float
    description: str
    color: str


@dataclass(frozen=True)
class _Sheet:
    """One sheet and its place in the mosaic."""

    path: Path
    bands: tuple[_Band, ...]
    window: Window


def sheets_path(out: Path) -> Path:
    """Where the mosaic of the sheets of an output lies: `NAME.sheets.vrt` beside it."""
    return out.with_name(f"{out.stem}.sheets.vrt")


def sheets_as_scene(scenes: Sequence[Scene], out: Path, *, overwrite: bool = False) -> Scene:
    """Sheets as one scene, with what was stated when they were opened.

    Where sheets overlap, the later one is seen. The VRT stays beside the output: QGIS and `evaluate` open it.

    Args:
        scenes: The sheets, at least two, local files.
        out: The output that is made of them.
        overwrite: Replace another VRT of that name.

    Raises:
        InputError: The sheets do not make up one scene; the message says which and why.
        OutputExistsError: Another file has the name of the VRT.
    """
    grid, windows = _common_grid(scenes)
    sheets = [_sheet(scene, window) for scene, window in zip(scenes, windows, strict=True)]
    for sheet in sheets[1:]:
        if sheet.bands != sheets[0].bands:
            raise InputError(
                f"{sheet.path}: has other bands, data types, nodata values or units than {sheets[0].path}, "
                f"so they are no sheets of one scene; {_ADVICE}"
            )
    _refuse_same_ground(sheets)
    _refuse_gaps(scenes[0], sheets)
    target = sheets_path(out)
    text = (to_xml(_dataset(sheets, grid)) + "\n").encode()
    if not (target.is_file() and target.read_bytes() == text):
        refuse_existing(target, overwrite)
        with atomic_file(target, overwrite=overwrite) as temporary:
            write_bytes(temporary, text)
    log.info(f"{len(sheets)} sheets are read as one scene of {grid.width} x {grid.height} px: {target.name}")
    # Its sources lie where the user named them, so they are trusted as far as the sheets were.
    (scene,) = open_scenes([target], replace(scenes[0].options, trust_vrt=True))
    return scene


def _common_grid(scenes: Sequence[Scene]) -> tuple[PixelGrid, list[Window]]:
    """The grid of all sheets together, and the window of each on it."""
    first = scenes[0].native
    places = []
    for scene in scenes:
        if scene.remote or scene.file.parts:
            raise InputError(
                f"{scene.path}: sheets of one scene are single local files, this is not; {_ADVICE}"
            )
        places.append(_place(scene, first, scenes[0].name))
    cols, rows = [place[0] for place in places], [place[1] for place in places]
    col0, row0 = min(cols), min(rows)
    windows = [
        Window(col - col0, row - row0, scene.native.width, scene.native.height)
        for scene, col, row in zip(scenes, cols, rows, strict=True)
    ]
    width, height = max(window.col1 for window in windows), max(window.row1 for window in windows)
    transform = first.transform @ Affine.translation(col0, row0)
    return PixelGrid(first.crs, transform, height, width), windows


def _place(scene: Scene, first: PixelGrid, first_name: str) -> tuple[int, int]:
    """Column and row of a sheet's first pixel on the grid of the first sheet."""
    grid = scene.native
    if first.crs is None or grid.crs != first.crs:
        raise InputError(
            f"{scene.path}: sheets of one scene have one CRS; {first_name} has "
            f"{'none' if first.crs is None else repr(first.crs.name)}, this one "
            f"{'none' if grid.crs is None else repr(grid.crs.name)}; {_ADVICE}"
        )
    corners = np.array([(0, 0), (grid.width, 0), (0, grid.height)])
    cols, rows = first.to_pixel(*grid.to_map(corners[:, 0], corners[:, 1]))
    found = np.column_stack([cols, rows])
    expected = np.rint(found[0]) + corners
    if np.abs(found - expected).max() > _OFF_GRID_PX:
        raise InputError(
            f"{scene.path}: its pixels do not lie on the grid of {first_name} (other size, or shifted by a "
            f"part of a pixel), so they are no sheets of one scene; resample it, or {_ADVICE}"
        )
    return int(expected[0, 0]), int(expected[0, 1])


def _sheet(scene: Scene, window: Window) -> _Sheet:
    with open_dataset(scene.path, scene.file.driver, trust_vrt=scene.file.trust_vrt) as dataset:
        bands = tuple(
            _Band(
                dtype, None if nodata is None else repr(nodata), scale, offset, description or "", color.name
            )
            for dtype, nodata, scale, offset, description, color in zip(
                dataset.dtypes,
                dataset.nodatavals,
                dataset.scales,
                dataset.offsets,
                dataset.descriptions,
                dataset.colorinterp,
                strict=True,
            )
        )
    if scene.file.masked:
        raise InputError(
            f"{scene.path}: has a mask band, which a mosaic of sheets does not keep; write it as nodata or "
            f"alpha, or {_ADVICE}"
        )
    return _Sheet(own_path(scene.path), bands, window)


def _refuse_same_ground(sheets: Sequence[_Sheet]) -> None:
    """Sheets overlap a little; images of one ground, e.g. of two dates, would hide each other."""
    boxes = shapely.box(*np.array([sheet.window.box for sheet in sheets], np.float64).T)
    first, second = shapely.STRtree(boxes).query(boxes)
    first, second = first[first < second], second[first < second]
    common = shapely.area(shapely.intersection(boxes[first], boxes[second]))
    smaller = np.minimum(shapely.area(boxes[first]), shapely.area(boxes[second]))
    for one, other in zip(first[common > smaller / 2], second[common > smaller / 2], strict=True):
        raise InputError(
            f"{sheets[other].path}: lies on {sheets[one].path} by more than half, so they are images of one "
            f"ground, not sheets of one scene; {_ADVICE}"
        )


def _refuse_gaps(first: Scene, sheets: Sequence[_Sheet]) -> None:
    """Ground between sheets would be 0, which must not pass for a measurement."""
    known = all(band.nodata is not None for band in first.bands) or bool(first.file.alpha)
    if known:
        return
    gaps = _uncovered_px([sheet.window for sheet in sheets])
    if gaps:
        raise InputError(
            f"{first.path}: the sheets leave {gaps} px of their rectangle uncovered, and have no nodata "
            f"value for them; state `nodata`, or {_ADVICE}"
        )


def _uncovered_px(windows: Sequence[Window]) -> int:
    """Pixels of the rectangle around some windows that lie in none of them, counted by the cells between
    their edges."""
    cols = np.unique([edge for window in windows for edge in (window.col, window.col1)])
    rows = np.unique([edge for window in windows for edge in (window.row, window.row1)])
    covered = np.zeros((len(rows) - 1, len(cols) - 1), np.bool_)
    for window in windows:
        row0, row1 = np.searchsorted(rows, (window.row, window.row1))
        col0, col1 = np.searchsorted(cols, (window.col, window.col1))
        covered[row0:row1, col0:col1] = True
    cells_px = np.outer(np.diff(rows), np.diff(cols))
    return int(cells_px[~covered].sum())


_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}


def _dataset(sheets: Sequence[_Sheet], grid: PixelGrid) -> Element:
    transform = grid.transform
    values = (transform.c, transform.a, transform.b, transform.f, transform.d, transform.e)
    size = {"rasterXSize": str(grid.width), "rasterYSize": str(grid.height)}
    children = [
        element("SRS", text=grid.required_crs.to_wkt()),
        element("GeoTransform", text=", ".join(repr(float(value)) for value in values)),
    ]
    for number, band in enumerate(sheets[0].bands, start=1):
        children.append(_raster_band(number, band, sheets))
    return element("VRTDataset", size, children)


def _raster_band(number: int, band: _Band, sheets: Sequence[_Sheet]) -> Element:
    if band.dtype not in _TYPES:
        raise InputError(f"{sheets[0].path}: sheets of values {band.dtype} cannot be joined; {_ADVICE}")
    children = [element("Description", text=band.description)] if band.description else []
    if band.nodata is not None:
        children.append(element("NoDataValue", text=band.nodata))
    children.append(element("ColorInterp", text=band.color.capitalize()))
    if band.offset != 0 or band.scale != 1:
        children += [element("Offset", text=repr(band.offset)), element("Scale", text=repr(band.scale))]
    children += [_source(number, band, sheet) for sheet in sheets]
    return element("VRTRasterBand", {"dataType": _TYPES[band.dtype], "band": str(number)}, children)


def _source(number: int, band: _Band, sheet: _Sheet) -> Element:
    window = sheet.window
    size = {"xSize": str(window.width), "ySize": str(window.height)}
    children = [
        element("SourceFilename", {"relativeToVRT": "0"}, text=sheet.path.as_posix()),
        element("SourceBand", text=str(number)),
        element("SrcRect", {"xOff": "0", "yOff": "0", **size}),
        element("DstRect", {"xOff": str(window.col), "yOff": str(window.row), **size}),
    ]
    if band.nodata is None:
        return element("SimpleSource", children=children)
    # Nodata of a sheet does not cover what another one has measured.
    return element("ComplexSource", children=[*children, element("NODATA", text=band.nodata)])
