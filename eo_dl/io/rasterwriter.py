"""Writing rasters that are complete or do not exist: `RasterWriter` for maps, `encode_geotiff` for chips."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
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
from ..errors import OutputExistsError, SceneChangedError
from .atomic import disk_errors, part_name, publish, refuse_existing, write_bytes
from .cog import RasterFacts, assemble
from .companions import note_companion
from .gate import sidecars
from .gdal import quietly
from .outputlock import run_lock
from .qgisstyles import (
    CLASSES_TAG,
    MARK,
    class_raster_aux_xml,
    class_raster_qml,
    classes_tag,
    probability_raster_qml,
    value_raster_qml,
)
from .rowstatistics import band_statistics
from .spill import RasterLayout, Spill

_BLOCK_BYTES = 8 * 2**20
_STYLE_START = 65536  # characters of a style, among which is our mark
_recent = threading.local()


class RasterWriter:
    """Takes rows of a raster from top to bottom; leaving the block normally makes them a verified COG.

    After an error, `path` is as it was before.

    Args:
        path: The GeoTIFF.
        grid: Georeference and size.
        dtype: Data type of the pixels.
        count: Number of bands.
        nodata: Stored value that means nodata, or None.
        descriptions: A name per band.
        tags: Metadata: provenance.
        classes: The classes of a class map, whose style is written beside it.
        units: The unit of each band of a raster of values, "" for plain numbers; its bands then get
            statistics, and its first band a style from them.
        scales: A scale factor per band.
        style: The QML that is written beside it, where it is no class map. Without it a raster with `scales`
            is styled as probabilities.
        overwrite: Replace an existing file.
        job_key: Identifies everything the pixels depend on. Rows of a killed run with the same key are kept:
            writing continues at row `done_rows`. None: nothing is kept for a later run.
        companion_of: The work folder of an output that this raster belongs to and that gets its name later;
            the raster is noted there.

    Raises:
        OutputExistsError: The file exists and `overwrite` is False.
        WriteError: The file cannot be written, does not read back, or is being written by another process.
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
        units: Sequence[str] | None = None,
        style: str | None = None,
        overwrite: bool = False,
        job_key: str | None = None,
        companion_of: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self._companion_of = companion_of
        self._overwrite = overwrite
        self._classes = classes
        self._style = probability_raster_qml() if style is None and scales else style
        layout = RasterLayout(grid.height, grid.width, count, str(np.dtype(dtype)))
        categorical = classes is not None or (not scales and np.dtype(dtype).kind in "iu")
        all_tags = dict(tags or {})
        if classes is not None:
            all_tags[CLASSES_TAG] = classes_tag(classes)
        self.facts = RasterFacts(
            grid=grid,
            layout=layout,
            nodata=nodata,
            descriptions=tuple(descriptions),
            scales=tuple(map(float, scales or ())),
            units=None if units is None else tuple(units),
            tags=all_tags,
            categorical=categorical,
        )
        given = {
            "descriptions": self.facts.descriptions,
            "scales": self.facts.scales,
            "units": self.facts.units or (),
        }
        for name, values in given.items():
            if len(values) not in (0, count):
                raise ValueError(f"expected {count} {name}, found {len(values)}")
        with ExitStack() as stack:
            stack.enter_context(run_lock(self.path))
            refuse_existing(self.path, overwrite)
            _refuse_sidecars(self.path, overwrite)
            self._spill = Spill(self.path, layout, job_key)
            self._lock = stack.pop_all()

    @property
    def done_rows(self) -> int:
        """Number of rows stored so far, from the top: of a killed run with the same `job_key`, and of this
        one.
        """
        return self._spill.done_rows

    @property
    def discarded_rows(self) -> int:
        """Number of rows of an unfinished run with another `job_key`, discarded on opening."""
        return self._spill.discarded_rows

    def write(self, row0: int, array: AnyArray, col0: int = 0) -> None:
        """Add rows (count, rows, width), or (rows, width) for one band; `row0` must equal `done_rows`.

        Rows may come in pieces from left to right; they are done with the last piece.
        """
        self._spill.append(row0, array[None] if array.ndim == 2 else array, col0)

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            finished = False
            try:
                if error is None:
                    self._finish()
                    finished = True
            finally:
                if finished or isinstance(error, SceneChangedError):  # rows of a scene that is gone
                    self._spill.remove()
                else:
                    self._spill.close()

    def _finish(self) -> None:
        if self.done_rows != self.facts.layout.height:
            raise ValueError(
                f"{self.path}: expected {self.facts.layout.height} rows, {self.done_rows} were written"
            )
        with disk_errors(self.path):
            if self.facts.units is not None:
                found = band_statistics(self._spill.rows_path, self.facts.layout)
                self.facts = replace(self.facts, statistics=found)
            finished = assemble(self._spill.rows_path, self._spill.written, self.facts, self.path)
            _remove_stale_sidecars(self.path)
            # The map comes last, or a run killed here would leave one without its style for good. That of
            # an older map is not put beside it before it goes.
            replaces = self.path.exists()
            if not replaces:
                self._write_sidecars()
            if self._companion_of is not None:
                note_companion(self._companion_of, self.path, finished)
            publish(finished, self.path)
            if replaces:
                self._write_sidecars()

    def _write_sidecars(self) -> None:
        if self._classes is not None:
            _write_text(self.path.with_name(self.path.name + ".aux.xml"), class_raster_aux_xml(self._classes))
            write_style(self.path, class_raster_qml(self._classes), self._overwrite)
        elif self.facts.units is not None:
            write_style(self.path, value_raster_qml(self.facts.statistics[0]), self._overwrite)
        elif self._style is not None:
            write_style(self.path, self._style, self._overwrite)


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
    """A small GeoTIFF as bytes, without overviews; zstd if this GDAL has it.

    Made in memory, to be written by Python, because GDAL does not report a failed write.

    Args:
        pixels: (C, H, W) stored values.
        grid: Georeference.
        nodata: Stored value that means nodata.
        descriptions: A name per band.
        scales: A scale factor per band.
        offsets: An offset per band.
        valid: (H, W) valid mask, stored as an internal mask: exact where every value may be a measurement.
        tags: Metadata.
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
        # One block per band: a chip is always read whole, and GDAL's strips of 8 KB take a third of the time
        # of writing it.
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
    """Write `NAME.qml` beside `NAME.*`; a style that eo_dl did not write is kept unless `overwrite`."""
    target = path.with_suffix(".qml")
    if (target.exists() or target.is_symlink()) and not (overwrite or _is_our_style(target)):
        return
    _write_text(target, qml)


def _is_our_style(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(_STYLE_START)


def _rasterio_crs(crs: pyproj.CRS) -> rasterio.crs.CRS:
    """The same CRS for rasterio.

    Each thread remembers its last one by identity: chips of one scene share theirs, and making a WKT takes as
    long as writing a chip.
    """
    known: tuple[pyproj.CRS, rasterio.crs.CRS] | None = getattr(_recent, "crs", None)
    if known is None or known[0] is not crs:
        known = _recent.crs = (crs, rasterio.crs.CRS.from_wkt(crs.to_wkt()))
    return known[1]


def _chip_compression(dtype: np.dtype[np.generic]) -> dict[str, str | int]:
    predictor = 2  # horizontal differences
    if dtype.itemsize == 1:
        predictor = 1  # none
    elif dtype.kind == "f":
        predictor = 3  # for floating point
    if _has_zstd():
        return {"compress": "zstd", "zstd_level": 1, "predictor": predictor, "interleave": "band"}
    return {"compress": "deflate", "zlevel": 1, "predictor": predictor, "interleave": "band"}


@cache
def _has_zstd() -> bool:
    """True if this build of GDAL writes zstd in TIFF (wheels do, some distributions do not)."""
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
        write_bytes(temporary, text.encode(), durable=False)  # `publish` syncs it
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_sidecars(path: Path, overwrite: bool) -> None:
    """Refuse to write a raster where GDAL would take files that are there for its overviews or mask."""
    others = sidecars(path)
    if others and not overwrite:
        raise OutputExistsError(
            f"{others[0]}: would be taken for a part of {path.name}; move it away, or replace both with "
            "`overwrite=True`"
        )


def _remove_stale_sidecars(path: Path) -> None:
    """Delete the side files of an overwritten raster: they describe other pixels."""
    for sidecar in sidecars(path):
        sidecar.unlink(missing_ok=True)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
