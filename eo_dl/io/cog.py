"""From raw rows to a verified Cloud Optimized GeoTIFF.

The raw rows go through a VRT straight into GDAL's COG driver, which saves writing the pixels a second time
(8192 x 8192 uint8: 1.2 s in all). One thread, because two cost more than they gain here (1.2 s against 3.4 s
on two busy cores). Overviews of class maps take the nearest pixel; the most frequent class would cost 2.8 s
more.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from ..core.pixelgrid import PixelGrid
from ..errors import SceneError, WriteError
from .atomic import write_bytes
from .gdal import libtiff_complaints, open_dataset, quietly, small_cache
from .rowstatistics import PlaneStatistics
from .spill import RasterLayout, WrittenRows
from .xmltree import element, to_xml

_GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
_BLOCK_PX = 512


@dataclass(frozen=True)
class RasterFacts:
    """Everything in a raster file besides its pixels."""

    grid: PixelGrid
    """Georeference and size."""
    layout: RasterLayout
    """Size, number of bands and data type."""
    nodata: float | None
    """Stored value that means "not measured", or None."""
    descriptions: tuple[str, ...] = ()
    """A name per band, or empty."""
    scales: tuple[float, ...] = ()
    """A scale factor per band, or empty."""
    units: tuple[str, ...] | None = None
    """The unit of each band of a raster of values; None for all other rasters."""
    statistics: tuple[PlaneStatistics, ...] = ()
    """What the bands hold, or empty."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the file: provenance."""
    categorical: bool = True
    """True if the pixels are class ids: overviews then take the nearest pixel instead of the average."""


def assemble(rows: Path, written: Sequence[WrittenRows], facts: RasterFacts, target: Path) -> Path:
    """Turn raw rows into a GeoTIFF, read it back and compare it with what was written.

    Args:
        rows: The file of raw rows.
        written: Its writes, with their checksums.
        facts: Everything besides the pixels.
        target: The output, for messages.

    Returns:
        The path of the finished file, in the folder of `rows`: a COG, or a tiled GeoTIFF with overviews if
        the COG driver does not accept the grid.

    Raises:
        WriteError: Writing failed, or the file differs from what was written.
    """
    vrt = rows.with_name("rows.vrt")
    write_bytes(vrt, to_xml(_raw_vrt(rows.name, facts)).encode())
    out = rows.with_name("assembled.tif")
    # Of an earlier, killed run: GDAL would open it, and delete the files that it names.
    for leftover in rows.parent.glob("assembled.*"):
        leftover.unlink()
    try:
        with rasterio.Env(), small_cache(), quietly(), libtiff_complaints() as complaints:
            rasterio.shutil.copy(str(vrt), str(out), driver="COG", **_cog_options(facts))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise WriteError(
            f"{target}: could not be written ({_one_line(error)}); check the free space"
        ) from error
    if complaints:
        raise WriteError(
            f"{target}: could not be written ({complaints[0][:200]}); free some space or write elsewhere"
        )
    with small_cache():
        verify(out, written, facts, target)
    return out


def verify(path: Path, written: Sequence[WrittenRows], facts: RasterFacts, target: Path) -> None:
    """Read a raster back and compare size, type, georeference, nodata, names, tags and every pixel.

    Overviews must decode. GDAL does not report a failed write when it closes a file, so a full disk shows
    here (docs/design/reliability.md, 1). Raises `WriteError` naming `target`.
    """
    try:
        with open_dataset(str(path), "GTiff") as dataset:
            differences = _differences(dataset, facts)
            for write in written:
                if _crc(dataset, write) != write.crc:
                    differences.append(f"pixels of rows {write.row0} to {write.row1 - 1}")
                    break
            levels = len(dataset.overviews(1))
        for level in range(levels):
            _decode_overview(path, level)
    except (SceneError, RasterioError, CPLE_BaseError, OSError) as error:
        raise WriteError(
            f"{target}: cannot be read back ({_one_line(error)}); the disk is full or failing, write "
            "elsewhere"
        ) from error
    if differences:
        raise WriteError(
            f"{target}: differs from the data when read back ({', '.join(differences)}); the disk is full or "
            "failing, write elsewhere"
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _cog_options(facts: RasterFacts) -> dict[str, str]:
    return {
        "COMPRESS": "DEFLATE",
        "LEVEL": "1" if facts.categorical else "4",
        "PREDICTOR": "NO" if facts.categorical else "YES",
        "BLOCKSIZE": str(_BLOCK_PX),
        "OVERVIEW_RESAMPLING": "NEAREST" if facts.categorical else "AVERAGE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "1",
    }


def _raw_vrt(rows_name: str, facts: RasterFacts) -> Element:
    layout, grid = facts.layout, facts.grid
    root = element("VRTDataset", {"rasterXSize": str(layout.width), "rasterYSize": str(layout.height)})
    if grid.crs is not None:
        root.append(element("SRS", text=grid.crs.to_wkt()))
    if grid.transform != Affine.identity():
        numbers = ", ".join(repr(number) for number in grid.transform.to_gdal())
        root.append(element("GeoTransform", text=numbers))
    tags = [element("MDI", {"key": key}, text=value) for key, value in sorted(facts.tags.items())]
    root.append(element("Metadata", children=tags))
    root.extend(_raw_band(rows_name, facts, index) for index in range(layout.count))
    return root


def _raw_band(rows_name: str, facts: RasterFacts, index: int) -> Element:
    """The band with this 0-based index. In the file, a row holds one line of each band."""
    layout = facts.layout
    pixel_bytes = np.dtype(layout.dtype).itemsize
    band = element(
        "VRTRasterBand",
        {
            "dataType": _GDAL_TYPES[layout.dtype],
            "band": str(index + 1),
            "subClass": "VRTRawRasterBand",
        },
    )
    if facts.descriptions:
        band.append(element("Description", text=facts.descriptions[index]))
    if facts.nodata is not None:
        band.append(element("NoDataValue", text=repr(facts.nodata)))
    if facts.scales:
        band.append(element("Offset", text="0"))
        band.append(element("Scale", text=repr(facts.scales[index])))
    if facts.units is not None and facts.units[index]:
        band.append(element("UnitType", text=facts.units[index]))
    if facts.statistics and facts.statistics[index].count:
        items = facts.statistics[index].gdal_items().items()
        band.insert(0, element("Metadata", children=[element("MDI", {"key": k}, text=v) for k, v in items]))
    band.append(element("ColorInterp", text="Gray" if index == 0 else "Undefined"))
    band.append(element("SourceFilename", {"relativeToVRT": "1"}, text=rows_name))
    band.append(element("ImageOffset", text=str(index * layout.width * pixel_bytes)))
    band.append(element("PixelOffset", text=str(pixel_bytes)))
    band.append(element("LineOffset", text=str(layout.row_bytes)))
    band.append(element("ByteOrder", text="LSB" if np.little_endian else "MSB"))
    return band


def _differences(dataset: rasterio.DatasetReader, facts: RasterFacts) -> list[str]:
    layout = facts.layout
    size = (dataset.height, dataset.width, dataset.count)
    transform = tuple(dataset.transform)[:6]
    names = tuple(name or "" for name in dataset.descriptions)
    tags = dataset.tags()
    checks = {
        "size": size == (layout.height, layout.width, layout.count),
        "type": set(dataset.dtypes) == {layout.dtype},
        "nodata": _same_nodata(dataset.nodata, facts.nodata),
        "transform": np.allclose(transform, tuple(facts.grid.transform)[:6], rtol=1e-12, atol=0),
        "CRS": same_place(dataset.crs, facts.grid),
        "band names": not facts.descriptions or names == facts.descriptions,
        "scales": not facts.scales or tuple(dataset.scales) == facts.scales,
        "units": facts.units is None or tuple(unit or "" for unit in dataset.units) == facts.units,
        "tags": all(tags.get(key) == value for key, value in facts.tags.items()),
    }
    return [name for name, same in checks.items() if not same]


def _same_nodata(read: float | None, written: float | None) -> bool:
    if read is None or written is None:
        return read is written
    return read == written or bool(np.isnan(read) and np.isnan(written))


def same_place(crs: rasterio.crs.CRS | None, grid: PixelGrid) -> bool:
    """True if `crs`, read back from a file, puts the grid in the same place as the grid's own CRS.

    Either the two are equal, or the grid's corners agree within a millionth of a pixel: GeoTIFF keeps the
    numbers of a CRS without an authority code, but not always its names.
    """
    if grid.crs is None or not crs:
        return grid.crs is None and not crs
    read_back = CRS.from_wkt(crs.to_wkt())
    if read_back == grid.crs:
        return True
    xs, ys = np.array(grid.footprint().exterior.coords).T
    try:
        moved = Transformer.from_crs(read_back, grid.crs, always_xy=True).transform(xs, ys)
    except ProjError:
        return False
    cols, rows = grid.to_pixel(*moved)
    expected_cols, expected_rows = grid.to_pixel(xs, ys)
    shift_px = np.hypot(cols - expected_cols, rows - expected_rows)
    return bool(np.isfinite(cols).all() and shift_px.max() < 1e-6)


def _crc(dataset: rasterio.DatasetReader, written: WrittenRows) -> int:
    """CRC-32 of rows in the order of the raw file, read by rows of blocks so that memory stays flat."""
    crc = 0
    for row in range(written.row0, written.row1, _BLOCK_PX):
        height = min(_BLOCK_PX, written.row1 - row)
        pixels = dataset.read(window=RasterioWindow(0, row, dataset.width, height))
        as_stored = np.ascontiguousarray(pixels.transpose(1, 0, 2)).reshape(-1).view(np.uint8)
        crc = zlib.crc32(as_stored.data, crc)
    return crc


def _decode_overview(path: Path, level: int) -> None:
    with open_dataset(str(path), "GTiff", overview=level) as dataset:
        for row in range(0, dataset.height, _BLOCK_PX):
            dataset.read(window=RasterioWindow(0, row, dataset.width, min(_BLOCK_PX, dataset.height - row)))
