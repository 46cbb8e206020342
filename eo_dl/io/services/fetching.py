"""`fetch`: a map on the web, cut to a GeoTIFF of a stated GSD."""

from __future__ import annotations

import contextlib
import io
import math
import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from PIL import Image
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from ...core.arraytypes import AnyArray, BoolArray, UInt8Array
from ...core.pixelgrid import PixelGrid
from ...core.progress import OnProgress, silent
from ...core.window import Window
from ...errors import ConfigError, InputError
from ..atomic import atomic_file, refuse_existing
from ..gridmapping import GridMapping
from ..outputlock import locks_output
from ..resample import Resampling
from ..vectorlayers import read_layer
from ..workfolder import claim_folder, clear_folder
from .asking import ANSWER_NAMES, Asker
from .pyramids import PyramidLevel, TilePyramid, ground_px_m, wmts_pyramid, xyz_pyramid

BLOCK_PX = 1024
"""Side of a picture that a WMS is asked for."""
_MOST_REQUESTS = 5000
_OUTLINE_POINTS = 33
_MOST_SIDE_PX = 200_000
_UNIT = 1e-3
"""Size of the pixel, in units of the CRS, by which units are measured on the ground."""
_CAPABILITIES = re.compile(r"wmts", re.IGNORECASE)
Picture = tuple[UInt8Array, BoolArray]
"""(3, H, W) red, green, blue, and (H, W) True where the map has something."""


@dataclass(frozen=True)
class Service:
    """Which map of a server."""

    map_layer: str | None = None
    """Name of the layer; of a WMTS with one layer it may be omitted."""
    matrix_set: str | None = None
    """Of a WMTS: its set of tiles (default: the first)."""
    pause_s: float = 0.1
    """Seconds between two requests."""
    most_requests: int = _MOST_REQUESTS
    """More requests are refused before the first one."""

    def __post_init__(self) -> None:
        if not 0 <= self.pause_s <= 3600 or self.most_requests < 1:
            raise ConfigError("`pause_s` must lie between 0 and 3600 s, and `most_requests` be 1 or more")


@dataclass(frozen=True)
class Fetched:
    """What was fetched."""

    path: Path
    """The GeoTIFF."""
    requests: int
    """Requests that were made by this run."""
    kept: int
    """Answers of an earlier run that were used."""
    notes: tuple[str, ...]
    """What was chosen."""


@locks_output
def fetch(
    source: str,
    *,
    out: str | Path,
    gsd_m: float,
    bounds: Sequence[float] | None = None,
    aoi: str | Path | None = None,
    crs: str | None = None,
    service: Service = Service(),
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Fetched:
    """A map of a WMS, WMTS or XYZ service, cut to a GeoTIFF with red, green and blue.

    Requests are made one after the other. A stopped run continues with the same call: answers are kept in
    OUT.part.d until the file is complete.

    Args:
        source: Address: of XYZ tiles with {x}, {y} and {z}; of a WMTS its capabilities; else of a WMS.
        out: The GeoTIFF.
        gsd_m: Ground sample distance, metres.
        bounds: West, south, east, north in degrees.
        aoi: Polygons whose extent is fetched, in place of `bounds`.
        crs: CRS of the file (default: the UTM zone of its centre).
        service: Which map of the server, and how it is asked.
        overwrite: Replace an existing file.
        on_progress: Called with (requests done, total, what).

    Returns:
        The file, and how many requests it took.

    Raises:
        InputError: The server refuses, has no such layer, or the ground would take too many requests.
        WriteError: The file cannot be written.

    Example:
        >>> fetch("https://tile.example.org/{z}/{x}/{y}.png", out="town.tif", gsd_m=0.5,
        ...       bounds=(11.5, 48.1, 11.6, 48.2))  # doctest: +SKIP
    """
    target = Path(out)
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise ConfigError(f"{target}: a fetched map is a GeoTIFF; choose a name that ends in .tif")
    if not source.startswith(("https://", "http://")):
        raise InputError(f"{source}: is no address; expected https://... of a WMS, WMTS or XYZ service")
    refuse_existing(target, overwrite)
    grid = _target_grid(gsd_m, bounds, aoi, crs)
    with _answer_folder(target) as work:
        kept = sum(1 for path in work.iterdir() if path.suffix == ".answer")
        asker = Asker(work, service.pause_s)
        painter, total, note = _painter(source, service, grid, gsd_m, asker)
        if total > service.most_requests:
            raise InputError(
                f"{source}: {grid.width}x{grid.height} px take {total} requests, more than "
                f"{service.most_requests}; choose less ground, a larger `gsd_m`, or more `most_requests`"
            )

        def progress(done: int) -> None:
            on_progress(min(done, total), total, "requests")

        with atomic_file(target, overwrite=overwrite) as part:
            if not _write(part, grid, painter, progress):
                clear_folder(work, ANSWER_NAMES)
                raise InputError(f"{target}: the map has nothing here; check bounds, layer and GSD")
    return Fetched(target, asker.asked, min(kept, total), (note,))


@contextlib.contextmanager
def _answer_folder(target: Path) -> Iterator[Path]:
    """The folder in which answers are kept; after an error only if it holds some to continue from."""
    work = target.with_name(f"{target.name}.part.d")
    claim_folder(work, ANSWER_NAMES)
    try:
        yield work
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty, or gone
            work.rmdir()
        raise
    clear_folder(work, ANSWER_NAMES)


Painter = Callable[[Window], tuple[Picture, int]]
"""The picture of a window of the target, and how many answers it took."""


def _painter(
    source: str, service: Service, grid: PixelGrid, gsd_m: float, asker: Asker
) -> tuple[Painter, int, str]:
    """What paints the windows, the number of answers that all take, and a note."""
    if "{x}" in source and ("{y}" in source or "{-y}" in source) and "{z}" in source:
        return _of_tiles(xyz_pyramid(source), grid, gsd_m, asker)
    if _CAPABILITIES.search(source):
        text = asker.answer(source)
        if text is None:
            asker.forget(source)
            raise InputError(f"{source}: is not there (404); name the capabilities of the WMTS")
        pyramid = wmts_pyramid(text, source, service.map_layer, service.matrix_set)
        return _of_tiles(pyramid, grid, gsd_m, asker)
    if service.map_layer is None:
        raise InputError(f"{source}: a WMS needs the name of a layer; state it with `map_layer`")
    layer = service.map_layer
    blocks = math.ceil(grid.width / BLOCK_PX) * math.ceil(grid.height / BLOCK_PX)

    def paint(window: Window) -> tuple[Picture, int]:
        url = _wms_url(source, layer, grid, window)
        return _picture(asker, url, window.width, window.height), 1

    return paint, blocks, f"WMS layer {layer}, {blocks} requests of up to {BLOCK_PX} px"


def _of_tiles(pyramid: TilePyramid, grid: PixelGrid, gsd_m: float, asker: Asker) -> tuple[Painter, int, str]:
    level = pyramid.level_for(gsd_m, grid)
    tiles = _TileSource(pyramid, level, grid, asker)
    total = tiles.count
    own_m = tiles.source_px_m
    note = f"tiles of level {level.name} ({own_m:.3g} m on the ground), at most {total} requests"
    return tiles.paint, total, note


class _TileSource:
    """Pixels of a level of tiles on the target grid."""

    def __init__(self, pyramid: TilePyramid, level: PyramidLevel, grid: PixelGrid, asker: Asker) -> None:
        self._pyramid, self._level, self._asker = pyramid, level, asker
        own, self._reduced = level.grid, level.grid
        self.source_px_m = ground_px_m(own, grid)
        factor = (grid.gsd_m or 1.0) / self.source_px_m
        if factor > 1.01:
            self._reduced = own.resized(max(1, round(own.height / factor)), max(1, round(own.width / factor)))
        self._reducing = Resampling.between(self._reduced, own.height, own.width)
        self._mapping = GridMapping(grid, self._reduced)
        self._seen: set[tuple[int, int]] = set()

    @property
    def count(self) -> int:
        """Tiles of the rectangle that the grid covers in the level: what it takes at most."""
        along = np.linspace(0, 1, _OUTLINE_POINTS)
        cols, rows = np.meshgrid(along * self._mapping.target.width, along * self._mapping.target.height)
        xs, ys = self._mapping.target.to_map(cols, rows)
        to_level = Transformer.from_crs(self._mapping.target.crs, self._level.grid.crs, always_xy=True)
        found = self._level.grid.to_pixel(*to_level.transform(xs, ys))
        sides = [
            int(values.max() // self._level.tile_px - values.min() // self._level.tile_px) for values in found
        ]
        return (sides[0] + 1) * (sides[1] + 1)

    def _needed(self, window: Window) -> tuple[Window, Window] | None:
        """The window of the reduced level that a window of the target needs, and that of the level itself."""
        reduced = self._mapping.source_window(self._mapping.places(window))
        return None if reduced is None else (reduced, self._reducing.source_window(reduced))

    def tiles_of(self, window: Window) -> set[tuple[int, int]]:
        """(col, row) of the tiles that a window of the target needs."""
        needed = self._needed(window)
        if needed is None:
            return set()
        side, own = self._level.tile_px, needed[1]
        cols = range(own.col // side, (own.col1 - 1) // side + 1)
        rows = range(own.row // side, (own.row1 - 1) // side + 1)
        return {(col, row) for col in cols for row in rows}

    def paint(self, window: Window) -> tuple[Picture, int]:
        """See `Painter`."""
        needed = self._needed(window)
        if needed is None:
            return _nothing(window), 0
        reduced, own = needed
        side = self._level.tile_px
        pixels, there = _nothing(own)
        fresh = 0
        for col, row in sorted(self.tiles_of(window)):
            url = self._pyramid.url(self._level, col, row)
            fresh += (col, row) not in self._seen
            self._seen.add((col, row))
            colors, known = _picture(self._asker, url, side, side)
            tile = Window(col * side, row * side, side, side)
            common = tile.clipped_to(own)
            into, out_of = common.relative_to(own).slices, common.relative_to(tile).slices
            pixels[:, into[0], into[1]] = colors[:, out_of[0], out_of[1]]
            there[into] = known[out_of]
        values: AnyArray = pixels.astype(np.float32)
        if (own.height, own.width) != (reduced.height, reduced.width):
            values, there = self._reducing.apply(values, there, reduced, own)
        found = np.broadcast_to(there, values.shape)
        placed, good = self._mapping.apply(values, found, self._mapping.places(window), reduced)
        rounded: UInt8Array = np.clip(np.rint(placed), 0, 255).astype(np.uint8)
        return (rounded, good[0]), fresh


def _write(part: Path, grid: PixelGrid, painter: Painter, done: Callable[[int], None]) -> bool:
    """Write the file block by block; False if the map has nothing here."""
    profile = {
        "driver": "GTiff", "count": 3, "dtype": "uint8", "height": grid.height, "width": grid.width,
        "crs": grid.required_crs.to_wkt(), "transform": grid.transform, "tiled": True, "blockxsize": 512,
        "blockysize": 512, "compress": "deflate", "bigtiff": "if_safer", "photometric": "rgb",
    }  # fmt: skip
    answers, found = 0, False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(part, "w", **profile) as dataset:
        dataset.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        dataset.descriptions = ("red", "green", "blue")
        for window in _blocks(grid):
            (colors, known), asked = painter(window)
            place = RasterioWindow(window.col, window.row, window.width, window.height)
            dataset.write(colors, window=place)
            dataset.write_mask(known, window=place)
            answers, found = answers + asked, found or bool(known.any())
            done(answers)
    return found


def _blocks(grid: PixelGrid) -> list[Window]:
    """Windows of the target, row by row."""
    windows = []
    for row in range(0, grid.height, BLOCK_PX):
        for col in range(0, grid.width, BLOCK_PX):
            windows.append(Window(col, row, BLOCK_PX, BLOCK_PX).clipped_to(grid.window))
    return windows


def _nothing(window: Window) -> Picture:
    shape = window.height, window.width
    return np.zeros((3, *shape), np.uint8), np.zeros(shape, np.bool_)


def _picture(asker: Asker, url: str, width: int, height: int) -> Picture:
    """A picture of the server; nothing where it has none.

    Raises:
        InputError: The answer is no picture of this size, e.g. a message of the server.
    """
    answer = asker.answer(url)
    if answer is None:
        return _nothing(Window(0, 0, width, height))
    try:
        with Image.open(io.BytesIO(answer), formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
            if image.size != (width, height):
                asker.forget(url)
                raise InputError(
                    f"{url}: gave a picture of {image.size[0]}x{image.size[1]} px, expected {width}x{height}"
                )
            colors = np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        if isinstance(cause, InputError):
            raise
        asker.forget(url)
        said = " ".join(re.sub(rb"<[^>]*>", b" ", answer[:2000]).decode(errors="replace").split())[:200]
        raise InputError(f"{url}: gave no picture; the server says: {said or 'nothing'}") from cause
    return np.ascontiguousarray(np.moveaxis(colors[:, :, :3], 2, 0)), colors[:, :, 3] > 0


def _wms_url(source: str, layer: str, grid: PixelGrid, window: Window) -> str:
    """The address of a picture (OGC 01-068r3, WMS 1.1.1, in which x comes before y in every CRS)."""
    code = grid.required_crs.to_authority()
    if code is None:
        raise ConfigError("`crs`: a WMS needs a CRS with a code, e.g. EPSG:25832")
    part = grid.crop(window)
    xs, ys = part.to_map([0, part.width], [part.height, 0])
    plain, _, query = source.partition("?")
    wanted = {
        "SERVICE": "WMS",
        "VERSION": "1.1.1",
        "REQUEST": "GetMap",
        "LAYERS": layer,
        "STYLES": "",
        "SRS": ":".join(code),
        "BBOX": ",".join(repr(float(value)) for value in (xs[0], ys[0], xs[1], ys[1])),
        "WIDTH": str(window.width),
        "HEIGHT": str(window.height),
        "FORMAT": "image/png",
        "TRANSPARENT": "TRUE",
    }
    own = [(name, value) for name, value in urllib.parse.parse_qsl(query) if name.upper() not in wanted]
    return f"{plain}?{urllib.parse.urlencode([*own, *wanted.items()])}"


def _target_grid(
    gsd_m: float, bounds: Sequence[float] | None, aoi: str | Path | None, crs: str | None
) -> PixelGrid:
    """The grid of the file: north up, square pixels on the ground, whole pixels around the bounds."""
    if not 0 < gsd_m < math.inf:
        raise ConfigError(f"`gsd_m` must be a number above 0 m, found {gsd_m:g}")
    west, south, east, north = _degrees(bounds, aoi)
    lon, lat = (west + east) / 2, (south + north) / 2
    target = _crs(crs) if crs is not None else _utm(lon, lat)
    to_target = Transformer.from_crs(4326, target, always_xy=True)
    left, bottom, right, top = to_target.transform_bounds(west, south, east, north)
    if not all(math.isfinite(value) for value in (left, bottom, right, top)):
        raise InputError(f"`bounds`: the CRS '{target.name}' is not defined there; choose another with `crs`")
    place = Affine(_UNIT, 0, (left + right) / 2, 0, -_UNIT, (bottom + top) / 2)
    unit_width_m, unit_height_m = PixelGrid(target, place, 1, 1).pixel_size_m
    width_units, height_units = gsd_m / unit_width_m * _UNIT, gsd_m / unit_height_m * _UNIT
    width, height = math.ceil((right - left) / width_units), math.ceil((top - bottom) / height_units)
    if max(width, height) > _MOST_SIDE_PX:
        raise InputError(f"`gsd_m`: {width}x{height} px are too many; choose less ground or a larger GSD")
    corner = Affine(width_units, 0, left, 0, -height_units, top)
    return PixelGrid(target, corner, max(height, 1), max(width, 1))


def _degrees(bounds: Sequence[float] | None, aoi: str | Path | None) -> tuple[float, float, float, float]:
    if (bounds is None) == (aoi is None):
        raise ConfigError("name the ground by `bounds` (west, south, east, north in degrees) or by `aoi`")
    if aoi is not None:
        layer = read_layer(aoi)
        west, south, east, north = layer.to_crs(4326).total_bounds.tolist()
    elif bounds is not None and len(bounds) == 4:
        west, south, east, north = bounds
    else:
        raise ConfigError(f"`bounds`: expected west, south, east, north in degrees, found {bounds}")
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ConfigError(
            f"`bounds`: expected west < east and south < north in degrees, found {west:g},{south:g},{east:g},"
            f"{north:g}"
        )
    return west, south, east, north


def _utm(lon: float, lat: float) -> CRS:
    zone = min(int((lon + 180) // 6) + 1, 60)
    return CRS.from_epsg((32_600 if lat >= 0 else 32_700) + zone)


def _crs(text: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as cause:
        raise ConfigError(f"`crs`: {text!r} is not known; use a code such as EPSG:25832") from cause
