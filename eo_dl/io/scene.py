"""`Scene`: one image on disk with its bands and georeference; a `SceneReader` reads its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ..core.bands import BandSet
from ..core.display import png
from ..core.htmlcard import card
from ..core.imagenames import stem_of
from ..core.pixelgrid import PixelGrid
from ..errors import GridError, SceneError
from .discover import is_remote, own_path, scene_paths
from .filestate import header_digest, refuse_changed
from .quicklook import quicklook, reduced_size
from .reader import SceneReader
from .scenefile import SceneFile, describe
from .sceneoptions import SceneOptions
from .validity import ALL, least_bands, may_lack
from .vrt import vrt_sources

__all__ = ["Scene", "SceneReader", "open_scene", "open_scenes"]

_MAX_SIDE = 2**31 - 1
_QUICKLOOK_PX = 512


@dataclass(frozen=True)
class Scene:
    """One georeferenced image, opened lazily: no pixel is read before a `SceneReader` reads it."""

    file: SceneFile
    """The raster file."""
    grid: PixelGrid
    """The working grid: the file's own, or the same extent in pixels of another size (`at_gsd`)."""
    bands: BandSet
    """The selected bands, in the order of the pixels."""
    options: SceneOptions = SceneOptions()
    """What the user stated on opening, which overrides the file."""

    @property
    def path(self) -> str:
        """Path or URL, as GDAL takes it."""
        return self.file.path

    @property
    def native(self) -> PixelGrid:
        """The grid of the file."""
        return self.file.grid

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on opening."""
        return self.file.notes

    @property
    def dtype(self) -> str:
        """Data type of the pixels: holds the stored values of all selected bands, and NaN where `fills`."""
        stored = np.result_type(*(band.dtype for band in self.bands))
        return str(np.result_type(stored, np.float32) if self.fills else stored)

    @property
    def valid(self) -> int | str:
        """Which pixels are valid ground: measured in "all" bands, in "any", or in this number of them."""
        return ALL if self.options.valid is None else self.options.valid

    @property
    def least_bands(self) -> int:
        """Bands that must be measured in a valid pixel. Raises `ConfigError` if there are fewer bands."""
        return least_bands(self.valid, self.bands, self.path)

    @property
    def fills(self) -> bool:
        """True if a valid pixel may lack bands, which then hold NaN in the pixels that readers give."""
        if self.least_bands == len(self.bands):
            return False
        file = self.file
        return file.masked or any(may_lack(band) for band in self.bands)

    @property
    def own_nodata(self) -> bool:
        """True if the nodata values are the file's own."""
        return self.options.nodata is None

    @property
    def own_units(self) -> bool:
        """True if scale and offset are the file's own."""
        return self.options.scale is None and self.options.offset is None

    @property
    def remote(self) -> bool:
        """True if the pixels come over a network (or through another virtual file system of GDAL)."""
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
        """The absolute path with forward slashes, by which labels find their image."""
        return self.path.split("?")[0] if self.remote else own_path(self.path).as_posix()

    @property
    def resampled(self) -> bool:
        """True if the working grid is not the file's own."""
        return self.grid != self.native

    def fingerprint(self) -> dict[str, str | int]:
        """Values that change with the file: size, modification time and SHA-256 of its first 64 KiB.

        Of a VRT, the hash includes names, sizes and times of its sources; of a remote file, only its header.
        """
        if self.remote:
            text = f"{self.path} {self.native} {self.bands} {self.dtype} {self.file.block_px}"
            return {"size": 0, "mtime_ns": 0, "header_sha256": hashlib.sha256(text.encode()).hexdigest()}
        try:
            status = Path(self.path).stat()
            digest = header_digest(self.path)
        except OSError as cause:
            raise SceneError(
                f"{self.path}: can no longer be read ({cause.strerror}); put it back or open the scene again"
            ) from cause
        if self.file.driver == "VRT":
            for source in vrt_sources(Path(self.path)):
                seen = source.stat()
                digest.update(f"\n{source.name} {seen.st_size} {seen.st_mtime_ns}".encode())
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "header_sha256": digest.hexdigest()}

    def refuse_if_changed(self) -> None:
        """Check, at the end of work, that the file is as it was on opening. Remote files are not compared.

        Raises:
            SceneChangedError: It has changed.
            SceneError: It cannot be read any more.
        """
        refuse_changed(self.file.states)

    def with_own_path(self) -> Scene:
        """The same scene under a path that does not depend on the folder in which a process runs."""
        if self.remote:
            return self
        return replace(self, file=replace(self.file, path=str(own_path(self.path))))

    def at_gsd(self, gsd_m: float) -> Scene:
        """The same scene on a working grid of another ground sample distance, with exactly the same extent.

        Rows and columns are fitted separately, so pixels are square on the ground, except for rounding to
        whole pixels.

        Args:
            gsd_m: Ground sample distance, metres.

        Raises:
            GridError: The scene has no CRS, or `gsd_m` is out of range.
        """
        if not gsd_m > 0:
            raise GridError(f"{self.path}: the GSD must be above 0 m, found {gsd_m:g}")
        if self.native.crs is None:
            raise GridError(
                f"{self.path}: has no CRS, so its GSD is unknown and cannot become {gsd_m:g} m; omit `gsd_m`"
            )
        pixel_width_m, pixel_height_m = self.native.pixel_size_m
        width = max(1, round(self.native.width * pixel_width_m / gsd_m))
        height = max(1, round(self.native.height * pixel_height_m / gsd_m))
        if max(width, height) > _MAX_SIDE:
            raise GridError(
                f"{self.path}: at {gsd_m:g} m GSD it would have {width}x{height} px; choose a larger `gsd_m`"
            )
        return self.resized(height, width)

    def resized(self, height: int, width: int) -> Scene:
        """The same scene on a working grid of `height` x `width` pixels, with exactly the same extent."""
        if (height, width) == (self.native.height, self.native.width):
            return replace(self, grid=self.native)
        return replace(self, grid=self.native.resized(height, width))

    def with_valid(self, valid: int | str) -> Scene:
        """The same scene with another rule of valid ground: "all", "any" or a number of bands."""
        return replace(self, options=replace(self.options, valid=valid))

    def select(self, bands: Sequence[str]) -> Scene:
        """The same scene with only these bands, in this order: names, 1-based numbers or NAME=NUMBER."""
        return replace(self, bands=self.bands.select(bands, self.path))

    def reordered(self, indices: Sequence[int]) -> Scene:
        """The same scene with the bands at these 0-based indices of the present order."""
        return replace(self, bands=BandSet(tuple(self.bands[index] for index in indices)))

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


def open_scene(
    source: SceneSource,
    *,
    bands: Sequence[str | int] | str | None = None,
    nodata: float | str | None = None,
    crs: str | None = None,
    scale: float | None = None,
    offset: float | None = None,
    valid: int | str | None = None,
    trust_vrt: bool = False,
    allow_remote: Sequence[str] = (),
    force: bool = False,
) -> Scene:
    """A raster as a `Scene`: driver by content, bands by name, no pixel read.

    What is done with odd files is described in docs/reference/inputs.md. The parameters are the fields of
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
        valid: Which pixels are valid ground: measured in "all" bands, in "any" of them, or in at least this
            number (default: "all", and for prediction the rule of the model).
        trust_vrt: Let a VRT name files outside its own folder.
        allow_remote: Hosts on which chip sets that are opened for the same work (`Split.like`) may name
            scenes.
        force: Use the scene in `predict` though it shows something else than the model was trained on, and
            wherever it is resampled by more than a factor of 4.

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
        bands=bands,
        nodata=nodata,
        crs=crs,
        scale=scale,
        offset=offset,
        valid=valid,
        trust_vrt=trust_vrt,
        allow_remote=allow_remote,
        force=force,
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
    wanted = options.band_names
    file = describe(path, nodata=options.nodata, crs=options.crs, trust_vrt=options.trust_vrt, wanted=wanted)
    selected = file.bands if wanted is None else file.bands.select(wanted, file.path)
    bands = _with_units(selected, options)
    return Scene(file, grid=file.grid, bands=bands, options=options)


def _with_units(bands: BandSet, options: SceneOptions) -> BandSet:
    """The bands with the scale and offset that the user stated."""
    changed = []
    for band in bands:
        scale = band.scale if options.scale is None else options.scale
        offset = band.offset if options.offset is None else options.offset
        changed.append(replace(band, scale=scale, offset=offset))
    return BandSet(tuple(changed))
