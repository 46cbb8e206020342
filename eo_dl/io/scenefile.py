"""`SceneFile`: what a raster file says about itself. docs/reference/inputs.md has the rules and their
tests.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from ..core.bands import Band, BandSet, canonical_name, in_ranges
from ..core.pixelgrid import PixelGrid, apply_affine
from ..errors import GridError, SceneError
from .discover import is_remote, own_path
from .exif import exif_orientation
from .filestate import FileState, states_of
from .gate import raster_driver
from .gdal import open_dataset, scene_errors
from .maskrules import MaskRule
from .sizecheck import check_size
from .vrt import pixel_files

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
# Where a band that may be alpha is sampled, along the diagonal; a real one has few values between the
# extremes.
_SAMPLED_AT = (0.0, 0.25, 0.5, 0.75, 1.0)
_SAMPLE_PX = 64
_NEARLY = 0.03
_MOSTLY = 0.8
# "band_1" and the like are no names.
_IS_NAME = re.compile(r"(?!band_?\d+$).+")


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
    """All bands except transparency (alpha)."""
    block_px: tuple[int, int]
    """Height and width of a block."""
    striped: bool
    """True if blocks are as wide as the image, so that a small window decodes whole rows."""
    overviews: tuple[int, ...]
    """Decimation factors of the overviews."""
    compressed: bool
    """True if blocks are compressed."""
    lossy: str | None
    """The compression that changes values a little, as far as the file says it; None: none does."""
    alpha: tuple[int, ...]
    """1-based numbers of the alpha bands; pixels are invalid where one is 0."""
    masked: bool
    """True if the file has a mask band."""
    acquired: str | None
    """When the image was taken, if a tag says so."""
    orientation: int
    """EXIF orientation, 1 to 8: how viewers turn the picture. Pixels stay as stored; 1: they do not turn
    it.
    """
    color_table: ColorTable | None = field(repr=False)
    """The colour table, if values are its entries."""
    notes: tuple[str, ...]
    """What was decided on opening."""
    states: tuple[FileState, ...] = field(default=(), repr=False, compare=False)
    """The file and those that a VRT names, as they were on opening; empty for a remote file."""
    parts: tuple[ScenePart, ...] = ()
    """The rasters with the pixels, where they are several or masked; empty: the file itself has them."""
    covers: tuple[Cover, ...] = ()
    """What takes ground away, e.g. clouds; only with `parts`."""
    on_request: tuple[Band, ...] = ()
    """Bands that are used only where they are named: those that say how good a pixel is, and others that are
    no measurement of the ground like the rest."""
    offered_mask: str = ""
    """The rule by which the quality band of a product masks clouds and shadows; "": it has none."""

    @property
    def categorical(self) -> bool:
        """True if values are categories: resampling then takes the nearest pixel instead of a mean."""
        return self.color_table is not None

    @property
    def selectable(self) -> BandSet:
        """All bands that can be asked for."""
        return BandSet((*self.bands, *self.on_request))


@dataclass(frozen=True)
class ScenePart:
    """One raster of a scene, read in its own grid and brought to that of the scene."""

    file: SceneFile
    """The raster, which has no parts itself."""
    bands: tuple[tuple[int, Band], ...]
    """Number of each band in the scene, and the band as it is in the raster."""
    nearest: bool = False
    """True if values are categories, of which no mean is taken."""
    own_nodata: bool = True
    """True if the nodata values are the raster's own."""


@dataclass(frozen=True)
class Cover:
    """A band whose values take ground away from all bands of a scene."""

    file: SceneFile
    """The raster of the band, which has no parts itself."""
    band: Band
    """The band."""
    rule: MaskRule
    """Which of its values take ground away."""


def describe(
    path: str,
    *,
    nodata: float | str | None,
    crs: str | None,
    trust_vrt: bool,
    wanted: Sequence[str] | None = None,
) -> SceneFile:
    """Open a raster safely and read its header.

    A band that is tagged as transparency (alpha) is one unless it is asked for as a band, or its values are
    not those of transparency: GDAL tags the fourth of four 8-bit bands so by default, also where it is
    infrared.

    Args:
        path: Path or URL.
        nodata: Nodata value to use instead of the file's own; "none" for no nodata value.
        crs: CRS to use instead of the file's own.
        trust_vrt: Let a VRT name files outside its own folder.
        wanted: The bands that will be selected, as in `SceneOptions.bands`; None: all.

    Raises:
        SceneError: The file cannot be opened, or a value does not fit it.
        BandError: It has no bands, or two of one name.
    """
    driver = raster_driver(path, trust_vrt)
    states = () if is_remote(path) else states_of(_local_files(path, driver))
    files: list[Path] = []
    if not is_remote(path) and not trust_vrt:
        files = pixel_files(Path(path)) if driver == "VRT" else [Path(path)]
    options = _Stated(nodata, crs, trust_vrt, tuple(wanted or ()))
    return _described(path, driver, options, files, states)


def describe_in_archive(archive: Path, name: str, driver: str) -> SceneFile:
    """As `describe`, for a raster in a zip archive, which is not unpacked.

    Args:
        archive: The archive.
        name: The raster's name in it.
        driver: The only GDAL driver that may open it, by its first bytes.

    Raises:
        SceneError: It cannot be opened.
    """
    path = f"/vsizip/{own_path(archive)}/{name}"
    return _described(path, driver, _Stated("none", None, False, ()), [archive], states_of([archive]))


class _Stated(NamedTuple):
    """What the user stated of a raster, see `describe`."""

    nodata: float | str | None
    crs: str | None
    trust_vrt: bool
    wanted: tuple[str, ...]


def _described(
    path: str, driver: str, stated: _Stated, files: Sequence[Path], states: tuple[FileState, ...]
) -> SceneFile:
    """What a raster says about itself; `files` are those whose size limits its pixels, if any do."""
    with (
        open_dataset(path, driver, trust_vrt=stated.trust_vrt) as dataset,
        scene_errors(path, "cannot be read"),
    ):
        if files:
            check_size(dataset, path, files)
        notes: list[str] = []
        grid = _grid(dataset, path, stated.crs, notes)
        alpha: list[int] = []
        numbers: list[int] = []
        for number, color in zip(dataset.indexes, dataset.colorinterp, strict=True):
            tagged = color == ColorInterp.alpha
            is_alpha = tagged and _is_alpha(dataset, number, stated.wanted, notes)
            (alpha if is_alpha else numbers).append(number)
        block_height, block_width = dataset.block_shapes[0]
        bands = _bands(dataset, path, numbers, stated.nodata, notes)
        return SceneFile(
            path=path,
            driver=driver,
            trust_vrt=stated.trust_vrt,
            grid=grid,
            bands=bands,
            block_px=(min(int(block_height), dataset.height), min(int(block_width), dataset.width)),
            striped=block_width == dataset.width and block_height < dataset.height,
            overviews=tuple(dataset.overviews(1)),
            compressed=dataset.compression is not None,
            lossy=_lossy(dataset),
            alpha=tuple(alpha),
            masked=any(_is_masked(flags) for flags in dataset.mask_flag_enums),
            acquired=_acquired(dataset),
            orientation=_orientation(dataset, path, grid, notes),
            color_table=_color_table(dataset, notes),
            notes=(*notes, *_page_notes(dataset)),
            states=states,
        )


def _local_files(path: str, driver: str) -> list[Path]:
    return [Path(path), *(pixel_files(Path(path)) if driver == "VRT" else ())]


def _lossy(dataset: rasterio.DatasetReader) -> str | None:
    tags = dataset.tags(ns="IMAGE_STRUCTURE")
    name = tags.get("COMPRESSION", "").upper()
    is_lossy = "JPEG" in name or tags.get("COMPRESSION_REVERSIBILITY") == "LOSSY"
    return f"{name.split()[-1]}-compressed TIFF" if dataset.driver == "GTiff" and is_lossy else None


def _is_masked(flags: list[MaskFlags]) -> bool:
    """True for a mask band (internal or .msk), as opposed to alpha, nodata or no mask."""
    return not {MaskFlags.all_valid, MaskFlags.alpha, MaskFlags.nodata} & set(flags)


# Grid


def _grid(dataset: rasterio.DatasetReader, path: str, crs: str | None, notes: list[str]) -> PixelGrid:
    transform, rasterio_crs = Affine(*tuple(dataset.transform)[:6]), dataset.crs
    points, points_crs = dataset.gcps
    if transform == Affine.identity() and points:
        transform, rasterio_crs = _transform_of_gcps(points, path), points_crs
        notes.append(f"georeferenced by its {len(points)} ground control points")
    has_transform = transform != Affine.identity()
    file_crs = _crs(rasterio_crs, path, notes)
    if not has_transform and file_crs is not None:
        notes.append("has a CRS but no geotransform, so it is treated as a plain image")
        file_crs = None
    if file_crs is None and dataset.rpcs is not None:
        notes.append(
            "has rational polynomial coefficients (RPC) but no geotransform, so it is treated as a plain "
            "image; orthorectify it, e.g. gdalwarp -rpc IN OUT.tif"
        )
    grid_crs = file_crs
    if crs is not None:
        grid_crs = _stated_crs(crs, path, has_transform, file_crs, notes)
    if not all(math.isfinite(value) for value in tuple(transform)[:6]) or transform.determinant == 0:
        raise SceneError(
            f"{path}: its geotransform {tuple(transform)[:6]} places all pixels on a line; georeference it "
            "again (gdal_edit.py -a_ullr)"
        )
    grid = PixelGrid(grid_crs, transform, dataset.height, dataset.width)
    if grid_crs is not None:
        try:
            _ = grid.pixel_size_m
        except GridError as cause:
            raise SceneError(f"{path}: {cause}") from cause
    return grid


def _crs(rasterio_crs: rasterio.crs.CRS | None, path: str, notes: list[str]) -> CRS | None:
    if not rasterio_crs:
        return None
    try:
        crs = CRS.from_wkt(rasterio_crs.to_wkt())
        code = crs.to_epsg(100)
        crs = crs if code is None else CRS.from_epsg(code)
    except CRSError as cause:
        raise SceneError(
            f"{path}: its CRS cannot be read ({' '.join(str(cause).split())[:120]}); state the right one "
            "with `crs`"
        ) from cause
    if crs.geodetic_crs is None or crs.is_engineering:
        notes.append(
            f"its CRS '{crs.name}' is a local one, not on Earth, so results have its coordinates and no CRS; "
            "state the real one with `crs`"
        )
        return None
    return crs


def _stated_crs(text: str, path: str, has_transform: bool, file_crs: CRS | None, notes: list[str]) -> CRS:
    try:
        stated = CRS.from_user_input(text)
    except CRSError as cause:
        raise SceneError(f"{path}: the CRS {text!r} is not known; use a code such as EPSG:32633") from cause
    if not has_transform:
        raise SceneError(
            f"{path}: has no geotransform, so a CRS alone does not georeference it; georeference it, e.g. "
            f"gdal_translate -a_srs {text} -a_ullr ..."
        )
    if file_crs is not None and file_crs != stated:
        notes.append(f"its CRS '{file_crs.name}' was replaced by '{stated.name}'")
    return stated


def _transform_of_gcps(points: list[rasterio.control.GroundControlPoint], path: str) -> Affine:
    """The affine transform of ground control points, if one fits all of them within half a pixel."""
    pixel = np.array([(point.col, point.row, 1.0) for point in points], np.float64)
    place = np.array([(point.x, point.y) for point in points], np.float64)
    centre = place.mean(axis=0)
    solution, _, rank, _ = np.linalg.lstsq(pixel, place - centre, rcond=None)
    (a, d), (b, e), (c, f) = solution
    x_shift, y_shift = centre
    transform = Affine(a=a, b=b, c=c + x_shift, d=d, e=e, f=f + y_shift)
    if rank < 3 or transform.determinant == 0:
        raise SceneError(
            f"{path}: its {len(points)} ground control points do not span an area; georeference it again"
        )
    cols, rows = apply_affine(~transform, place[:, 0], place[:, 1])
    worst = float(np.hypot(cols - pixel[:, 0], rows - pixel[:, 1]).max())
    if worst > _GCP_TOLERANCE_PX:
        raise SceneError(
            f"{path}: is georeferenced by {len(points)} ground control points that no affine transform fits "
            f"(off by {worst:.1f} px); warp it first, e.g. gdalwarp -tps IN OUT.tif"
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
    dtypes = dataset.dtypes
    for dtype in sorted({dtypes[number - 1] for number in numbers}):
        if dtype.startswith("complex"):
            raise SceneError(
                f"{path}: expected real numbers, found {dtype} values; write amplitude or intensity first, "
                "e.g. rio calc"
            )
    names = _names(dataset, numbers, notes)
    facts = _BandFacts(dataset.dtypes, dataset.scales, dataset.offsets, dataset.nodatavals)
    pairs = zip(numbers, names, strict=True)
    return BandSet(tuple(_band(dataset, facts, path, number, name, nodata) for number, name in pairs))


class _BandFacts(NamedTuple):
    """Properties of all bands, asked for once: rasterio collects them from every band each time."""

    dtypes: Sequence[str]
    scales: Sequence[float]
    offsets: Sequence[float]
    nodatavals: Sequence[float | None]


def _names(dataset: rasterio.DatasetReader, numbers: list[int], notes: list[str]) -> list[str | None]:
    """A name per band: its description, else its colour; None without a name of its own."""
    names = []
    colors, descriptions = dataset.colorinterp, dataset.descriptions
    for number in numbers:
        color = colors[number - 1].name
        only_band = len(numbers) == 1 and color in ("gray", "palette")
        fallback = color if only_band or color in _COLOR_NAMES else ""
        names.append(canonical_name(descriptions[number - 1] or "") or fallback)
    duplicates = {name for name, count in Counter(names).items() if name and count > 1}
    if duplicates:
        listed = ", ".join(sorted(duplicates)[:5])
        notes.append(f"several bands are called {listed}; they are used by number")
    return [None if name in duplicates or not _IS_NAME.fullmatch(name) else name for name in names]


def _band(
    dataset: rasterio.DatasetReader,
    facts: _BandFacts,
    path: str,
    number: int,
    name: str | None,
    nodata: float | str | None,
) -> Band:
    dtype = facts.dtypes[number - 1]
    if dtype == "float16":
        # As GDAL before 3.11 does by itself; half floats are too coarse to compute with.
        dtype = "float32"
    scale, offset = facts.scales[number - 1], facts.offsets[number - 1]
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
        nodata=_nodata(facts.nodatavals[number - 1], dtype, path, nodata, number),
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
            f"{path}: nodata {value:g} is no value of band {number} ({dtype}); use one it can hold, or 'none'"
        )
    return None  # a tag such as -9999 in uint8 marks nothing


def fits(value: float, dtype: str) -> bool:
    """True if a stored value of this data type can equal `value`."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    info = np.iinfo(kind)
    return math.isfinite(value) and value == int(value) and info.min <= value <= info.max


def _wavelength(dataset: rasterio.DatasetReader, number: int) -> float | None:
    text = dataset.tags(number, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    text = text or dataset.tags(number).get("wavelength_um")
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _is_alpha(dataset: rasterio.DatasetReader, number: int, wanted: Sequence[str], notes: list[str]) -> bool:
    """Whether a band that is tagged as alpha is transparency, with a note of what was decided."""
    if in_ranges(number, wanted):
        return False
    if dataset.count == 1 or _holds_transparency(dataset, number):
        notes.append(
            f"band {number} is transparency (alpha): pixels where it is 0 are not measured; to use it as a "
            f"band, name it with `bands`, e.g. nir={number}"
        )
        return True
    notes.append(
        f"band {number} is tagged as transparency (alpha), but holds other values than those of "
        "transparency: it is used as a band and hides nothing"
    )
    return False


def _holds_transparency(dataset: rasterio.DatasetReader, number: int) -> bool:
    """Whether samples of a band are nearly all 0 or the highest value, as of transparency; True if
    unknown.
    """
    dtype = np.dtype(dataset.dtypes[number - 1])
    if dtype.kind not in "iu" or dataset.driver == "PNG":
        return True
    samples = []
    for share in _SAMPLED_AT:
        col, row = (int(share * max(side - _SAMPLE_PX, 0)) for side in (dataset.width, dataset.height))
        width, height = (min(side, _SAMPLE_PX) for side in (dataset.width, dataset.height))
        samples.append(dataset.read(number, window=Window(col, row, width, height)).ravel())
    values = np.concatenate(samples) / np.iinfo(dtype).max
    if not values.any():
        return True
    extreme = (values <= _NEARLY) | (values >= 1 - _NEARLY)
    return bool(values.max() > 0.5 and extreme.mean() >= _MOSTLY)


# The rest


def _orientation(dataset: rasterio.DatasetReader, path: str, grid: PixelGrid, notes: list[str]) -> int:
    """The EXIF orientation of a plain image; 1 for one that lies on a map, as its transform is what
    counts.
    """
    if is_remote(path) or grid.transform != Affine.identity():
        return 1
    orientation = exif_orientation(Path(path), dataset.driver, dataset.tags().get("EXIF_Orientation"))
    if orientation != 1:
        notes.append(
            f"has the EXIF orientation {orientation}: viewers show it turned, its pixels are read as they "
            "are stored"
        )
    return orientation


def _acquired(dataset: rasterio.DatasetReader) -> str | None:
    """When the image was taken, if a tag means just that; TIFFTAG_DATETIME is often when it was written."""
    tags = dataset.tags(ns="IMAGERY") | dataset.tags()
    for name in _ACQUIRED_TAGS:
        if tags.get(name):
            return str(tags[name])
    return None


def _color_table(dataset: rasterio.DatasetReader, notes: list[str]) -> ColorTable | None:
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    notes.append(
        "its values are entries of a colour table, not measurements; to use it as an image, expand it, e.g. "
        "gdal_translate -expand rgb IN OUT.tif"
    )
    table = []
    for value, (red, green, blue, alpha) in sorted(dataset.colormap(1).items()):
        table.append((int(value), (int(red), int(green), int(blue), int(alpha))))
    return tuple(table)


def _page_notes(dataset: rasterio.DatasetReader) -> Iterator[str]:
    pages = len(dataset.subdatasets)
    if pages > 1:
        yield f"has {pages} pages; the first is used"
