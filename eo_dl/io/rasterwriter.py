"""Writing rasters so that what has its name is whole: `RasterWriter` for maps, `write_geotiff` for chips."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
import pyproj
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import Compression
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from ..core.arraytypes import AnyArray, BoolArray
from ..core.classes import ClassSet
from ..core.pixelgrid import PixelGrid
from .atomic import atomic_file, disk_errors, part_name, publish, refuse_existing, write_bytes
from .cog import RasterFacts, assemble
from .gdal import quietly
from .qgisstyles import (
    CLASSES_TAG,
    MARK,
    class_raster_aux_xml,
    class_raster_qml,
    classes_tag,
    probability_raster_qml,
)
from .spill import RasterLayout, Spill

_BLOCK_BYTES = 8 * 2**20
_recent = threading.local()


class RasterWriter:
    """Rows of a raster from top to bottom; on a clean exit of the block a verified COG under its name.

    `dtype`, `count`, `nodata` (a stored value that is no class), `descriptions` and `scales` a band, `tags`
    (provenance). With `classes` the raster is a class map and gets its style beside it; `scales` without
    classes make it one of shares. With `job_key` (everything the pixels depend on) rows survive a killed run:
    `done_rows` says how many are there already, and writing goes on from that row. After an error nothing is
    at `path` that was not there before.

    Raises `OutputExistsError`, `WriteError`.
    """

    def __init__(
        self,
        path: str | Path,
        grid: PixelGrid,
        *,
        dtype: str = "uint8",
        count: int = 1,
        nodata: float | None,
        descriptions: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        classes: ClassSet | None = None,
        scales: Sequence[float] | None = None,
        overwrite: bool = False,
        job_key: str | None = None,
    ) -> None:
        self.path = Path(path)
        refuse_existing(self.path, overwrite)
        self._overwrite = overwrite
        self._classes = classes
        layout = RasterLayout(grid.height, grid.width, count, str(np.dtype(dtype)))
        categorical = classes is not None or (not scales and np.dtype(dtype).kind in "iu")
        said = dict(tags or {}) | ({} if classes is None else {CLASSES_TAG: classes_tag(classes)})
        self.facts = RasterFacts(
            grid, layout, nodata, tuple(descriptions), tuple(map(float, scales or ())), said, categorical
        )
        for what, values in (("descriptions", self.facts.descriptions), ("scales", self.facts.scales)):
            if len(values) not in (0, count):
                raise ValueError(f"{count} {what} were expected, found {len(values)}")
        self._spill = Spill(self.path, layout, job_key)

    @property
    def done_rows(self) -> int:
        """Rows that are safely written, from the top: of a killed run with the same `job_key`, and of this
        one.
        """
        return self._spill.done_rows

    @property
    def discarded_rows(self) -> int:
        """Rows of an unfinished run with another `job_key` that were thrown away on opening."""
        return self._spill.discarded_rows

    def write(self, row0: int, array: AnyArray) -> None:
        """Rows (count, rows, width), or (rows, width) for one band; `row0` must be `done_rows`."""
        self._spill.append(row0, array[None] if array.ndim == 2 else array)

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._spill.close()
        if error is None:
            self._spill.remove()

    def _finish(self) -> None:
        if self.done_rows != self.facts.layout.height:
            raise ValueError(
                f"{self.path}: {self.facts.layout.height} rows were announced, {self.done_rows} were written"
            )
        with disk_errors(self.path):
            finished = assemble(self._spill.rows_path, self._spill.written, self.facts, self.path)
            _remove_stale_sidecars(self.path)
            publish(finished, self.path)
            self._write_sidecars()

    def _write_sidecars(self) -> None:
        if self._classes is not None:
            _write_text(self.path.with_name(self.path.name + ".aux.xml"), class_raster_aux_xml(self._classes))
            write_style(self.path, class_raster_qml(self._classes), self._overwrite)
        elif self.facts.scales:
            write_style(self.path, probability_raster_qml(), self._overwrite)


def write_geotiff(
    path: str | Path,
    pixels: AnyArray,
    grid: PixelGrid,
    *,
    nodata: float | None = None,
    descriptions: Sequence[str] = (),
    scales: Sequence[float] = (),
    offsets: Sequence[float] = (),
    valid: BoolArray | None = None,
    tags: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """A small raster (C, H, W), whole or not at all. `encode_geotiff` has the meaning of the rest."""
    data = encode_geotiff(
        pixels,
        grid,
        nodata=nodata,
        descriptions=descriptions,
        scales=scales,
        offsets=offsets,
        valid=valid,
        tags=tags,
    )
    with atomic_file(path, overwrite=overwrite) as temporary:
        write_bytes(temporary, data)


def encode_geotiff(
    pixels: AnyArray,
    grid: PixelGrid,
    *,
    nodata: float | None = None,
    descriptions: Sequence[str] = (),
    scales: Sequence[float] = (),
    offsets: Sequence[float] = (),
    valid: BoolArray | None = None,
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """A small GeoTIFF as bytes: pixels (C, H, W), zstd where this GDAL has it, no overviews.

    `valid` (H, W) goes in as an internal mask, which is exact where a nodata value would also be a
    measurement. Made in memory and then written by Python, because GDAL does not report a failed write.
    """
    count, height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": count,
        "dtype": str(pixels.dtype),
        "nodata": nodata,
        **_chip_compression(pixels.dtype),
        # One block a band: a chip is always read whole, and GDAL's strips of 8 KB cost a third of the time of
        # writing it.
        "blockysize": max(1, min(height, _BLOCK_BYTES // (width * pixels.dtype.itemsize))),
    }
    if grid.crs is not None:
        profile["crs"] = _rasterio_crs(grid.crs)
    profile["transform"] = grid.transform
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), quietly(), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(pixels)
            if valid is not None:
                dataset.write_mask(valid)
            for band, name in enumerate(descriptions, start=1):
                dataset.set_band_description(band, name)
            if scales:
                dataset.scales = tuple(scales)
            if offsets:
                dataset.offsets = tuple(offsets)
            if tags:
                dataset.update_tags(**tags)
        return bytes(memory.getbuffer())


def write_style(path: Path, qml: str, overwrite: bool) -> None:
    """`NAME.qml` beside `NAME.*`, unless somebody's own style is there and may not be overwritten."""
    target = path.with_suffix(".qml")
    if target.exists() and not overwrite and MARK not in target.read_text(encoding="utf-8", errors="replace"):
        return
    _write_text(target, qml)


def _rasterio_crs(crs: pyproj.CRS) -> rasterio.crs.CRS:
    """The same CRS for rasterio. A thread remembers its last one by identity: chips of one scene share
    theirs, and a WKT costs as much as a write.
    """
    known: tuple[pyproj.CRS, rasterio.crs.CRS] | None = getattr(_recent, "crs", None)
    if known is None or known[0] is not crs:
        known = _recent.crs = (crs, rasterio.crs.CRS.from_wkt(crs.to_wkt()))
    return known[1]


def _chip_compression(dtype: np.dtype[np.generic]) -> dict[str, str | int]:
    predictor = 1 if dtype.itemsize == 1 else 3 if dtype.kind == "f" else 2
    if _has_zstd():
        return {"compress": "zstd", "zstd_level": 1, "predictor": predictor, "interleave": "band"}
    return {"compress": "deflate", "zlevel": 1, "predictor": predictor, "interleave": "band"}


@cache
def _has_zstd() -> bool:
    """Whether this build of GDAL writes zstd in TIFF (wheels do, some distributions do not)."""
    try:
        with quietly(), MemoryFile() as memory:
            memory.open(driver="GTiff", height=1, width=1, count=1, dtype="uint8", compress="zstd").close()
            with memory.open() as dataset:
                return bool(dataset.compression == Compression.zstd)
    except (RasterioError, CPLE_BaseError):
        return False


def _write_text(target: Path, text: str) -> None:
    temporary = part_name(target)
    try:
        write_bytes(temporary, text.encode())
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_stale_sidecars(path: Path) -> None:
    """Side files of an overwritten raster speak of other pixels."""
    for suffix in (".aux.xml", ".ovr", ".msk"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
