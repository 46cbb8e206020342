"""`Scene`: one image on disk with its bands and its place; no pixels until a `SceneReader` reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ..core.bands import Band, BandSet
from ..core.display import png
from ..core.htmlcard import card
from ..core.imagenames import stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import GridError, SceneError
from .discover import is_remote, own_path, scene_paths
from .quicklook import quicklook, reduced_size
from .reader import SceneReader
from .scenefile import describe
from .sceneoptions import SceneOptions
from .vrt import vrt_sources

__all__ = ["Scene", "SceneReader", "open_scene", "open_scenes"]

_HEADER_BYTES = 65536
_MAX_SIDE = 2**31 - 1
_QUICKLOOK_PX = 512

ColorTable = tuple[tuple[int, tuple[int, int, int, int]], ...]


@dataclass(frozen=True)
class Scene:
    """One georeferenced image, opened lazily: no pixel is read before a `SceneReader` reads it."""

    path: str
    """Path or URL, as GDAL takes it."""

    grid: PixelGrid
    """The working grid: the file's own, or the same extent in pixels of another size (`at_gsd`)."""

    bands: BandSet
    """The selected bands, in the order in which pixels carry them."""

    dtype: str
    """Type of the stored values that holds those of all selected bands."""

    native: PixelGrid
    """The grid of the file."""

    driver: str
    """Name of the GDAL driver that reads the file."""

    block_px: tuple[int, int]
    """Height and width of the blocks in which the file stores pixels."""

    striped: bool = False
    """True where blocks are as wide as the image, so that a small window decodes whole rows."""

    overviews: tuple[int, ...] = ()
    """Decimation factors of the overviews in the file."""

    compressed: bool = False
    """True where blocks are compressed."""

    alpha: tuple[int, ...] = ()
    """Numbers of the alpha bands (1-based); where they are 0, pixels are not valid."""

    masked: bool = False
    """True where the file has a mask band."""

    nearest: bool = False
    """True where values are categories, so that resampling takes the nearest pixel instead of a mean."""

    acquired: str | None = None
    """When the image was taken, as the file's tags say it."""

    color_table: ColorTable | None = field(default=None, repr=False)
    """Value and RGBA of each entry, where values are entries of a colour table."""

    options: SceneOptions = SceneOptions()
    """What the user stated on opening, in place of what the file says."""

    notes: tuple[str, ...] = ()
    """What was found and decided on opening."""

    @property
    def own_nodata(self) -> bool:
        """True where the nodata values are the file's own."""
        return self.options.nodata is None

    @property
    def trust_vrt(self) -> bool:
        """True where a VRT may name files outside its own folder."""
        return self.options.trust_vrt

    @property
    def own_units(self) -> bool:
        """True where scale and offset are the file's own."""
        return self.options.scale is None and self.options.offset is None

    @property
    def remote(self) -> bool:
        """True where the pixels come over a network (or through another of GDAL's file systems)."""
        return is_remote(self.path)

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.path.split("?")[0]).name if self.remote else Path(self.path).name

    @property
    def stem(self) -> str:
        """File name without its suffix."""
        return stem_of(self.name)

    @property
    def place(self) -> str:
        """The whole path with forward slashes, by which labels find their image."""
        return self.path.split("?")[0] if self.remote else own_path(self.path).as_posix()

    @property
    def resampled(self) -> bool:
        """True where the working grid is not the file's own."""
        return self.grid != self.native

    def fingerprint(self) -> dict[str, str | int]:
        """What tells whether the file is still the same: size, time of change and SHA-256 of its first 64
        KiB.

        Of a VRT also the sources' names, sizes and times; of a remote file what its header says.
        """
        if self.remote:
            text = f"{self.path} {self.native} {self.bands} {self.dtype} {self.block_px}"
            return {"size": 0, "mtime_ns": 0, "header_sha256": hashlib.sha256(text.encode()).hexdigest()}
        try:
            status = Path(self.path).stat()
            with Path(self.path).open("rb") as file:
                digest = hashlib.sha256(file.read(_HEADER_BYTES))
        except OSError as cause:
            raise SceneError(
                f"{self.path}: cannot be read any more ({cause.strerror}); put it back or open the scene "
                "again"
            ) from cause
        if self.driver == "VRT":
            for source in vrt_sources(Path(self.path)):
                seen = source.stat()
                digest.update(f"\n{source.name} {seen.st_size} {seen.st_mtime_ns}".encode())
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "header_sha256": digest.hexdigest()}

    def at_gsd(self, gsd_m: float) -> Scene:
        """The same scene on a working grid of `gsd_m` metres on the ground a pixel, of exactly the same
        extent.

        Both sides are fitted, so pixels come out square on the ground but for rounding to whole pixels.
        Raises `GridError` where the scene has no CRS.
        """
        if not gsd_m > 0:
            raise GridError(f"{self.path}: a ground sample distance must be above 0 m, found {gsd_m:g}")
        if self.native.crs is None:
            raise GridError(
                f"{self.path}: has no CRS, so a ground sample distance of {gsd_m:g} m means nothing for it; "
                "leave --gsd out"
            )
        along_row, along_col = self.native.pixel_size_m
        width, height = (
            max(1, round(count * size / gsd_m))
            for count, size in ((self.native.width, along_row), (self.native.height, along_col))
        )
        if max(width, height) > _MAX_SIDE:
            raise GridError(
                f"{self.path}: at {gsd_m:g} m a pixel it would have {width}x{height} px; choose a larger "
                "--gsd"
            )
        return self.resized(height, width)

    def resized(self, height: int, width: int) -> Scene:
        """The same scene on a working grid of `height` x `width` pixels, of exactly the same extent."""
        same = (height, width) == (self.native.height, self.native.width)
        return replace(self, grid=self.native if same else self.native.resized(height, width))

    def select(self, bands: Sequence[str]) -> Scene:
        """The same scene with these bands only, in this order: names, 1-based numbers, or NAME=NUMBER."""
        return self._with_bands(self.bands.select(bands, self.path))

    def reordered(self, places: Sequence[int]) -> Scene:
        """The same scene with the bands at these places (0-based, of the present order)."""
        return self._with_bands(BandSet(tuple(self.bands[place] for place in places)))

    def _with_bands(self, bands: BandSet) -> Scene:
        return replace(self, bands=bands, dtype=common_dtype(bands.bands))

    def _repr_html_(self) -> str:
        gsd = self.grid.gsd_m
        rows = [
            ("size", f"{self.grid.width} x {self.grid.height} px"),
            ("GSD", "not known (no CRS)" if gsd is None else f"{gsd:.4g} m"),
            ("CRS", self.grid.crs.name if self.grid.crs else "none"),
            ("bands", self.bands.describe()),
            ("values", self.dtype),
            ("nodata", ", ".join(sorted({str(band.nodata) for band in self.bands}))),
        ]
        small = self.resized(*reduced_size(self, _QUICKLOOK_PX))
        return card(self.name, rows, png(quicklook(small)))


SceneSource = Scene | str | Path
"""An opened scene, or the path or URL of one."""

SceneSources = SceneSource | Sequence[SceneSource]
"""One or many scenes, paths, URLs, folders or patterns ("tiles/*.tif")."""


def common_dtype(bands: Sequence[Band]) -> str:
    """The type that holds the stored values of all these bands."""
    return str(np.result_type(*(band.dtype for band in bands)))


def open_scene(
    source: SceneSource,
    *,
    bands: Sequence[str | int] | str | None = None,
    nodata: float | str | None = None,
    crs: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    trust_vrt: bool = False,
) -> Scene:
    """A raster as a `Scene`: driver by content, bands by name, no pixel read.

    What is done with odd files is described in docs/inputs.md. The parameters are the fields of
    `SceneOptions`, which `open_scenes` takes for many files.

    Args:
        source: Path or URL of a raster that GDAL reads. An opened scene is returned as it is.
        bands: Bands to use, in order: names, 1-based numbers or NAME=NUMBER, as a list or with commas
            (default: all).
        nodata: Stored value of pixels that were not measured; "none": all were (default: as the file says).
        crs: Coordinate reference system, in place of the file's own, e.g. "EPSG:32633".
        scale: Physical value of a stored unit, in all bands: physical = stored * scale + offset (default:
            the file's).
        offset: Physical value of a stored 0, in all bands (default: the file's).
        trust_vrt: Let a VRT name files outside its own folder.

    Returns:
        The scene on the grid of the file; `Scene.at_gsd` resamples it.

    Raises:
        SceneError: The file is missing, unreadable, unsafe to open, or open already and cannot be changed.
        BandError: A band is not there.
        ConfigError: A value that no scene could be opened with.

    Example:
        >>> scene = open_scene("ortho.tif", bands="red,green,blue")  # doctest: +SKIP
    """
    options = SceneOptions(
        bands=bands, nodata=nodata, crs=crs, scale=scale, offset=offset, trust_vrt=trust_vrt
    )
    return _opened(source, options)


def open_scenes(
    scenes: SceneSources,
    options: SceneOptions = SceneOptions(),
    *,
    below: bool = False,
) -> tuple[Scene, ...]:
    """Every raster of the paths, folders and patterns, opened; the files of a folder or pattern by name.

    Args:
        scenes: One or many paths, URLs, folders, patterns ("tiles/*.tif") or opened scenes.
        options: How the files are opened.
        below: Also open the rasters in the folders below a folder.

    Returns:
        The scenes, in the order given; none for an empty list.

    Raises:
        SceneError: A folder or pattern holds no raster, or a file cannot be opened.
        BandError: A band is not there.

    Example:
        >>> open_scenes(["north.tif", "south/"], SceneOptions(nodata=0))  # doctest: +SKIP
    """
    items = [scenes] if isinstance(scenes, Scene | str | Path) else scenes
    opened: list[Scene] = []
    for item in items:
        files = [item] if isinstance(item, Scene) else scene_paths([item], below)
        opened += [_opened(file, options) for file in files]
    return tuple(opened)


def _opened(source: SceneSource, options: SceneOptions) -> Scene:
    if not isinstance(source, Scene):
        return _from_file(str(source), options)
    stated = " and ".join(f"`{name}`" for name in options.stated())
    if stated:
        raise SceneError(f"{source.path}: is open already, so {stated} cannot be applied; give its path")
    return source


def _from_file(path: str, options: SceneOptions) -> Scene:
    file = describe(path, nodata=options.nodata, crs=options.crs, trust_vrt=options.trust_vrt)
    wanted = options.band_names
    selected = file.bands if wanted is None else file.bands.select(wanted, file.path)
    bands = _with_units(selected, options)
    return Scene(
        path=file.path,
        grid=file.grid,
        bands=bands,
        dtype=common_dtype(bands.bands),
        native=file.grid,
        driver=file.driver,
        block_px=file.block_px,
        striped=file.striped,
        overviews=file.overviews,
        compressed=file.compressed,
        alpha=file.alpha,
        masked=file.masked,
        nearest=file.color_table is not None,
        acquired=file.acquired,
        color_table=file.color_table,
        options=options,
        notes=file.notes,
    )


def _with_units(bands: BandSet, options: SceneOptions) -> BandSet:
    """The bands with the scale and offset that the user stated."""
    changed = []
    for band in bands:
        scale = band.scale if options.scale is None else options.scale
        offset = band.offset if options.offset is None else options.offset
        changed.append(replace(band, scale=scale, offset=offset))
    return BandSet(tuple(changed))
