"""What a raster file says about itself, brought into our words (docs/inputs.md has the rules and their
tests).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp, MaskFlags

from ..core.bands import Band, BandSet, canonical_name
from ..core.pixelgrid import PixelGrid, apply_affine
from ..errors import SceneError
from .gate import raster_driver
from .gdal import open_dataset, scene_errors

_COLOR_NAMES = {"red", "green", "blue", "nir", "rededge", "swir", "pan", "coastal"}
_ACQUIRED_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATE",
    "DATE_ACQUIRED",
    "SENSING_TIME",
    "acquired",
    "datetime",
)
_GCP_TOLERANCE_PX = 0.5


ColorTable = tuple[tuple[int, tuple[int, int, int, int]], ...]
"""(value, (red, green, blue, alpha)) per entry."""


@dataclass(frozen=True)
class SceneFile:
    """A raster file as it describes itself."""

    path: str
    """Path or URL, as GDAL takes it."""
    driver: str
    """Name of the only GDAL driver that may open it."""
    trust_vrt: bool
    """True if a VRT may name files outside its own folder."""
    grid: PixelGrid
    """Georeference and size."""
    bands: BandSet
    """All bands except alpha."""
    block_px: tuple[int, int]
    """Height and width of a block."""
    striped: bool
    """True if blocks are as wide as the image, so that a small window decodes whole rows."""
    overviews: tuple[int, ...]
    """Decimation factors of the overviews."""
    compressed: bool
    """True if blocks are compressed."""
    alpha: tuple[int, ...]
    """1-based numbers of the alpha bands; pixels are invalid where one is 0."""
    masked: bool
    """True if the file has a mask band."""
    acquired: str | None
    """When the image was taken, if a tag says so."""
    color_table: ColorTable | None = field(repr=False)
    """The colour table, if values are its entries."""
    notes: tuple[str, ...]
    """What was decided on opening."""

    @property
    def categorical(self) -> bool:
        """True if values are categories: resampling then takes the nearest pixel instead of a mean."""
        return self.color_table is not None


def describe(path: str, *, nodata: float | str | None, crs: str | None, trust_vrt: bool) -> SceneFile:
    """Open a raster safely and say what it is. Raises `SceneError` or `BandError`."""
    driver = raster_driver(path, trust_vrt)
    with open_dataset(path, driver, trust_vrt=trust_vrt) as dataset, scene_errors(path, "cannot be read"):
        notes: list[str] = []
        grid = _grid(dataset, path, crs, notes)
        alpha = tuple(
            i
            for i, color in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if color == ColorInterp.alpha
        )
        bands = _bands(dataset, path, [i for i in dataset.indexes if i not in alpha], nodata, notes)
        return SceneFile(
            path=path,
            driver=driver,
            trust_vrt=trust_vrt,
            grid=grid,
            bands=bands,
            block_px=_block(dataset),
            striped=dataset.block_shapes[0][1] == dataset.width
            and dataset.block_shapes[0][0] < dataset.height,
            overviews=tuple(dataset.overviews(1)),
            compressed=dataset.compression is not None,
            alpha=alpha,
            masked=any(_is_masked(flags) for flags in dataset.mask_flag_enums),
            acquired=_acquired(dataset),
            color_table=_color_table(dataset, notes),
            notes=(*notes, *_page_notes(dataset)),
        )


def _block(dataset: rasterio.DatasetReader) -> tuple[int, int]:
    height, width = dataset.block_shapes[0]
    return min(int(height), dataset.height), min(int(width), dataset.width)


def _is_masked(flags: list[MaskFlags]) -> bool:
    """True for a mask band of its own (internal, .msk), which is neither alpha nor nodata nor absent."""
    return not {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata} & set(flags)


# Grid


def _grid(dataset: rasterio.DatasetReader, path: str, crs: str | None, notes: list[str]) -> PixelGrid:
    transform, file_crs = Affine(*tuple(dataset.transform)[:6]), dataset.crs
    points, points_crs = dataset.gcps
    if transform == Affine.identity() and points:
        transform, file_crs = _transform_of_gcps(points, path, dataset.height, dataset.width), points_crs
        notes.append(f"placed by its {len(points)} ground control points")
    placed = transform != Affine.identity()
    found = _crs(file_crs, path, notes)
    if not placed and found is not None:
        notes.append("has a CRS but no geotransform, so it is treated as a plain image")
        found = None
    if found is None and dataset.rpcs is not None:
        notes.append(
            "has only rational polynomials (RPC), no geotransform: treated as a plain image; orthorectify "
            "it, e.g. gdalwarp -rpc IN OUT.tif"
        )
    if crs is not None:
        found = _given_crs(crs, path, placed, found, notes)
    if not all(math.isfinite(value) for value in tuple(transform)[:6]) or transform.determinant == 0:
        raise SceneError(
            f"{path}: its geotransform {tuple(transform)[:6]} places all pixels on a line; georeference it "
            "again (gdal_edit.py -a_ullr)"
        )
    return PixelGrid(found, transform, dataset.height, dataset.width)


def _crs(found: rasterio.crs.CRS | None, path: str, notes: list[str]) -> CRS | None:
    if not found:
        return None
    try:
        crs = CRS.from_wkt(found.to_wkt())
        code = crs.to_epsg(100)
        crs = crs if code is None else CRS.from_epsg(code)
    except CRSError as cause:
        raise SceneError(
            f"{path}: its CRS is not understood ({' '.join(str(cause).split())[:120]}); state the right "
            "one with `crs`"
        ) from cause
    if crs.geodetic_crs is None or crs.is_engineering:
        notes.append(
            f"its CRS '{crs.name}' is a local one without a place on Earth, so results lie in its "
            "coordinates without CRS; state the real one with `crs`"
        )
        return None
    return crs


def _given_crs(text: str, path: str, placed: bool, found: CRS | None, notes: list[str]) -> CRS:
    try:
        given = CRS.from_user_input(text)
    except CRSError as cause:
        raise SceneError(f"{path}: the CRS {text!r} is not known; give a code such as EPSG:32633") from cause
    if not placed:
        raise SceneError(
            f"{path}: has no geotransform, so a CRS alone does not place it; georeference it, e.g. "
            f"gdal_translate -a_srs {text} -a_ullr ..."
        )
    if found is not None and found != given:
        notes.append(f"its CRS '{found.name}' was replaced by the given '{given.name}'")
    return given


def _transform_of_gcps(
    points: list[rasterio.control.GroundControlPoint], path: str, height: int, width: int
) -> Affine:
    """The affine transform of ground control points, where one passes within half a pixel of all of them."""
    pixel = np.array([(p.col, p.row, 1.0) for p in points], np.float64)
    place = np.array([(p.x, p.y) for p in points], np.float64)
    centre = place.mean(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(pixel, place - centre, rcond=None)
    (a, d), (b, e), (c, f) = (solution[i] for i in range(3))
    transform = Affine(a, b, c + centre[0], d, e, f + centre[1])
    if rank < 3 or transform.determinant == 0:
        raise SceneError(
            f"{path}: its {len(points)} ground control points do not span an area; georeference it again"
        )
    inverse = ~transform
    cols, rows = apply_affine(inverse, place[:, 0], place[:, 1])
    worst = float(np.hypot(cols - pixel[:, 0], rows - pixel[:, 1]).max())
    if worst > _GCP_TOLERANCE_PX:
        raise SceneError(
            f"{path}: is placed by {len(points)} ground control points that no plain grid fits (off by "
            f"{worst:.1f} px); warp it first, e.g. gdalwarp -tps IN OUT.tif"
        )
    return transform


# Bands


def _bands(
    dataset: rasterio.DatasetReader,
    path: str,
    numbers: list[int],
    nodata: float | str | None,
    notes: list[str],
) -> BandSet:
    kinds = sorted({dataset.dtypes[i - 1] for i in numbers if dataset.dtypes[i - 1].startswith("complex")})
    if kinds:
        raise SceneError(
            f"{path}: holds {kinds[0]} values, real numbers were expected; write amplitude or intensity "
            "first, e.g. rio calc"
        )
    names = _names(dataset, numbers, notes)
    return BandSet(
        tuple(_band(dataset, path, number, name, nodata) for number, name in zip(numbers, names, strict=True))
    )


def _names(dataset: rasterio.DatasetReader, numbers: list[int], notes: list[str]) -> list[str | None]:
    """A name for each band that has one: its description, else its colour; None for the others and for
    doubles.
    """
    described = [canonical_name(dataset.descriptions[i - 1] or "") for i in numbers]
    colors = [dataset.colorinterp[i - 1].name for i in numbers]
    fallback = [color if color in _COLOR_NAMES else "" for color in colors]
    if len(numbers) == 1 and colors[0] in ("gray", "palette"):
        fallback = [colors[0]]
    names = [text or color for text, color in zip(described, fallback, strict=True)]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        notes.append(f"several bands are called {', '.join(twice[:5])}; these go by number")
    return [None if not name or name in twice or re.fullmatch(r"band_?\d+", name) else name for name in names]


def _band(
    dataset: rasterio.DatasetReader, path: str, number: int, name: str | None, nodata: float | str | None
) -> Band:
    dtype = dataset.dtypes[number - 1]
    if dtype == "float16":
        dtype = (
            "float32"  # GDAL before 3.11 does so by itself, and half floats are too coarse to compute with
        )
    scale, offset = dataset.scales[number - 1], dataset.offsets[number - 1]
    if not (math.isfinite(scale) and math.isfinite(offset)) or scale == 0:
        raise SceneError(
            f"{path}: band {number} has the scale {scale:g} and offset {offset:g}, which lose its values; "
            "correct them, e.g. gdal_edit.py -scale 1 -offset 0"
        )
    return Band(
        name=name or f"band_{number}",
        number=number,
        named=name is not None,
        dtype=dtype,
        scale=float(scale),
        offset=float(offset),
        nodata=_nodata(dataset.nodatavals[number - 1], dtype, path, nodata, number),
        wavelength_um=_wavelength(dataset, number),
    )


def _nodata(
    own: float | None, dtype: str, path: str, stated: float | str | None, number: int
) -> float | None:
    if isinstance(stated, str):  # "none", as SceneOptions leaves no other text
        return None
    value = own if stated is None else stated
    if value is None or fits(value, dtype):
        return value
    if stated is not None:
        raise SceneError(
            f"{path}: nodata {value:g} is no value of band {number} ({dtype}); give one it can hold or 'none'"
        )
    return None  # a tag such as -9999 in uint8 marks nothing


def fits(value: float, dtype: str) -> bool:
    """True where a stored value of this type can equal `value`."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    info = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and info.min <= value <= info.max


def _wavelength(dataset: rasterio.DatasetReader, number: int) -> float | None:
    text = dataset.tags(number, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM") or dataset.tags(number).get(
        "wavelength_um"
    )
    try:
        return float(text) if text else None
    except ValueError:
        return None


# The rest


def _acquired(dataset: rasterio.DatasetReader) -> str | None:
    """When the image was taken, where a tag says just that (TIFFTAG_DATETIME is often when the file was
    made).
    """
    tags = dataset.tags(ns="IMAGERY") | dataset.tags()
    return next((tags[name] for name in _ACQUIRED_TAGS if tags.get(name)), None)


def _color_table(dataset: rasterio.DatasetReader, notes: list[str]) -> ColorTable | None:
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    notes.append(
        "its values are entries of a colour table, not measurements; for an image expand it first, e.g. "
        "gdal_translate -expand rgb IN OUT.tif"
    )
    table = dataset.colormap(1)
    return tuple(
        (int(value), (int(r), int(g), int(b), int(a))) for value, (r, g, b, a) in sorted(table.items())
    )


def _page_notes(dataset: rasterio.DatasetReader) -> Iterator[str]:
    pages = len(dataset.subdatasets)
    if pages > 1:
        yield f"has {pages} pages; the first is used"
