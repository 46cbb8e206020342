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
from .discover import is_remote, own_path
from .quicklook import quicklook, reduced_size
from .reader import SceneReader
from .scenefile import describe
from .vrt import vrt_sources

__all__ = ["Scene", "SceneReader", "open_scene"]

_HEADER_BYTES = 65536
_MAX_SIDE = 2**31 - 1
_QUICKLOOK_PX = 512

ColorTable = tuple[tuple[int, tuple[int, int, int, int]], ...]


@dataclass(frozen=True)
class Scene:
    """One georeferenced image, opened lazily.

    `grid` is the working grid: the file's own (`native`), or the same ground cut into pixels of another size
    (`at_gsd`). `bands` are those selected, in order; `dtype` is what stored values come as. `alpha` (band
    numbers) and `masked` say what besides nodata and NaN makes pixels invalid. `overviews` are decimation
    factors in the file. `nearest`: values are categories, so a working grid takes the nearest pixel instead
    of a mean. `color_table` (value, RGBA) where values are entries of a table. `notes` say what was found and
    decided on opening.
    """

    path: str
    grid: PixelGrid
    bands: BandSet
    dtype: str
    native: PixelGrid
    driver: str
    block_px: tuple[int, int]
    striped: bool = False
    overviews: tuple[int, ...] = ()
    compressed: bool = False
    alpha: tuple[int, ...] = ()
    masked: bool = False
    own_nodata: bool = True
    nearest: bool = False
    acquired: str | None = None
    trust_vrt: bool = False
    color_table: ColorTable | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

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


def common_dtype(bands: Sequence[Band]) -> str:
    """The type that holds the stored values of all these bands."""
    return str(np.result_type(*(band.dtype for band in bands)))


def open_scene(
    path: str | Path,
    *,
    bands: Sequence[str] | str | None = None,
    gsd_m: float | None = None,
    nodata: float | str | None = None,
    crs: str | None = None,
    trust_vrt: bool = False,
) -> Scene:
    """A raster as a `Scene`: driver by content, bands by name, no pixel read.

    `bands`: which, in which order (names, 1-based numbers, NAME=NUMBER; one text may hold several with
    commas). `gsd_m`: resample on reading. `nodata`: in place of the file's own ("none": every value is a
    measurement). `crs`: in place of the file's own. `trust_vrt`: let a VRT name files outside its folder.
    What is done with odd files is in docs/inputs.md.

    Raises `SceneError` or `BandError` with one line.

    >>> scene = open_scene("ortho.tif", bands="red,green,blue")  # doctest: +SKIP
    """
    found = describe(str(path), nodata=nodata, crs=crs, trust_vrt=trust_vrt)
    scene = Scene(
        path=found.path,
        grid=found.grid,
        bands=found.bands,
        dtype=common_dtype(found.bands.bands),
        native=found.grid,
        driver=found.driver,
        block_px=found.block_px,
        striped=found.striped,
        overviews=found.overviews,
        compressed=found.compressed,
        alpha=found.alpha,
        masked=found.masked,
        own_nodata=nodata is None,
        nearest=found.color_table is not None,
        acquired=found.acquired,
        trust_vrt=trust_vrt,
        color_table=found.color_table,
        notes=found.notes,
    )
    if bands is not None:
        scene = scene.select(bands.split(",") if isinstance(bands, str) else [str(band) for band in bands])
    return scene if gsd_m is None else scene.at_gsd(gsd_m)
