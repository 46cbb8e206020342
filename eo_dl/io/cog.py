"""From raw rows to a verified Cloud Optimized GeoTIFF.

Why a VRT over the raw rows goes straight into GDAL's COG driver: it saves writing the pixels once more (8192
x 8192 uint8: 1.2 s in all). One thread, because two cost more here than they gain (1.2 s against 3.4 s on two
busy cores). Overviews of class maps are the nearest pixel: the most frequent class would cost 2.8 s more.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from .gdal import libtiff_complaints, open_dataset, quietly, small_cache
from .qgisstyles import xml_attribute, xml_text
from .spill import RasterLayout, Written

_GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
_BLOCK_PX = 512


@dataclass(frozen=True)
class RasterFacts:
    """What a raster file says besides its pixels."""

    grid: PixelGrid
    layout: RasterLayout
    nodata: float | None
    descriptions: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    categorical: bool = True


def assemble(rows: Path, written: Sequence[Written], facts: RasterFacts, target: Path) -> Path:
    """Turn the raw rows into a GeoTIFF in the same folder, read it back and compare; its path.

    A COG, or a tiled GeoTIFF with overviews where the COG driver does not take the grid. Raises `WriteError`
    naming `target` where anything differs from what was written.
    """
    text = rows.with_name("rows.vrt")
    text.write_text(_raw_vrt(rows.name, facts), encoding="utf-8")
    out = rows.with_name("assembled.tif")
    try:
        with rasterio.Env(), small_cache(), quietly(), libtiff_complaints() as complaints:
            rasterio.shutil.copy(str(text), str(out), driver="COG", **_cog_options(facts))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise WriteError(
            f"{target}: could not be written ({' '.join(str(error).split())[:200]}); check the free space"
        ) from error
    if complaints:
        raise WriteError(
            f"{target}: could not be written ({complaints[0][:200]}); free some space or write elsewhere"
        )
    with small_cache():
        verify(out, written, facts, target)
    return out


def verify(path: Path, written: Sequence[Written], facts: RasterFacts, target: Path) -> None:
    """Read a raster back and compare it with what was meant: size, type, place, nodata, names, tags, every
    pixel; overviews must decode.

    GDAL does not report a failed write on closing (reference/reliability.md, finding 1), so this is where a
    full disk shows.
    """
    try:
        with open_dataset(str(path), "GTiff") as dataset:
            differing = _differences(dataset, facts)
            for entry in written:
                if _crc(dataset, entry) != entry.crc:
                    differing.append(f"pixels of rows {entry.row0} to {entry.row0 + entry.rows - 1}")
                    break
            levels = len(dataset.overviews(1))
        for level in range(levels):
            _decode_overview(path, level)
    except (SceneError, RasterioError, CPLE_BaseError, OSError) as error:
        raise WriteError(
            f"{target}: what was written cannot be read back ({' '.join(str(error).split())[:200]}); the disk is full or failing, write elsewhere"
        ) from error
    if differing:
        raise WriteError(
            f"{target}: did not read back as it was written ({', '.join(differing)}); the disk is full or failing, write elsewhere"
        )


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


def _raw_vrt(rows_name: str, facts: RasterFacts) -> str:
    layout, grid = facts.layout, facts.grid
    srs = f"<SRS>{xml_text(grid.crs.to_wkt())}</SRS>" if grid.crs is not None else ""
    placed = (
        ""
        if grid.transform == Affine.identity()
        else f"<GeoTransform>{', '.join(repr(v) for v in grid.transform.to_gdal())}</GeoTransform>"
    )
    tags = "".join(
        f"<MDI key={xml_attribute(key)}>{xml_text(value)}</MDI>" for key, value in sorted(facts.tags.items())
    )
    bands = "".join(_raw_band(rows_name, facts, band) for band in range(layout.count))
    return f'<VRTDataset rasterXSize="{layout.width}" rasterYSize="{layout.height}">{srs}{placed}<Metadata>{tags}</Metadata>{bands}</VRTDataset>'


def _raw_band(rows_name: str, facts: RasterFacts, band: int) -> str:
    layout = facts.layout
    size = np.dtype(layout.dtype).itemsize
    nodata = "" if facts.nodata is None else f"<NoDataValue>{facts.nodata!r}</NoDataValue>"
    name = f"<Description>{xml_text(facts.descriptions[band])}</Description>" if facts.descriptions else ""
    scale = f"<Offset>0</Offset><Scale>{facts.scales[band]!r}</Scale>" if facts.scales else ""
    return (
        f'<VRTRasterBand dataType="{_GDAL_TYPES[layout.dtype]}" band="{band + 1}" subClass="VRTRawRasterBand">{name}{nodata}{scale}'
        f"<ColorInterp>{'Gray' if band == 0 else 'Undefined'}</ColorInterp>"
        f'<SourceFilename relativeToVRT="1">{rows_name}</SourceFilename><ImageOffset>{band * layout.width * size}</ImageOffset>'
        f"<PixelOffset>{size}</PixelOffset><LineOffset>{layout.row_bytes}</LineOffset><ByteOrder>{'LSB' if np.little_endian else 'MSB'}</ByteOrder></VRTRasterBand>"
    )


def _differences(dataset: rasterio.DatasetReader, facts: RasterFacts) -> list[str]:
    layout = facts.layout
    found = dataset.nodata
    same_nodata = found == facts.nodata or (
        found is not None and facts.nodata is not None and np.isnan(found) and np.isnan(facts.nodata)
    )
    tags = dataset.tags()
    checks = {
        "size": (dataset.height, dataset.width, dataset.count) == (layout.height, layout.width, layout.count),
        "type": set(dataset.dtypes) == {layout.dtype},
        "nodata": same_nodata,
        "transform": np.allclose(
            tuple(dataset.transform)[:6], tuple(facts.grid.transform)[:6], rtol=1e-12, atol=0
        ),
        "CRS": same_place(dataset.crs, facts.grid),
        "band names": not facts.descriptions
        or tuple(name or "" for name in dataset.descriptions) == facts.descriptions,
        "scales": not facts.scales or tuple(dataset.scales) == facts.scales,
        "tags": all(tags.get(key) == value for key, value in facts.tags.items()),
    }
    return [name for name, same in checks.items() if not same]


def same_place(found: rasterio.crs.CRS | None, grid: PixelGrid) -> bool:
    """True where a CRS read back means the same: equal, or the grid's corners come out within a millionth of
    a pixel.

    GeoTIFF keeps the numbers of a CRS without a code, not always its names.
    """
    if grid.crs is None or not found:
        return grid.crs is None and not found
    back = CRS.from_wkt(found.to_wkt())
    if back == grid.crs:
        return True
    xs, ys = np.array(grid.footprint().exterior.coords).T
    try:
        moved = Transformer.from_crs(back, grid.crs, always_xy=True).transform(xs, ys)
    except ProjError:
        return False
    cols, rows = grid.to_pixel(*moved)
    want_cols, want_rows = grid.to_pixel(xs, ys)
    return bool(np.isfinite(cols).all() and np.hypot(cols - want_cols, rows - want_rows).max() < 1e-6)


def _crc(dataset: rasterio.DatasetReader, entry: Written) -> int:
    """CRC-32 of rows as the spill holds them, read by rows of blocks so that memory stays flat."""
    crc = 0
    for row in range(entry.row0, entry.row0 + entry.rows, _BLOCK_PX):
        rows = min(_BLOCK_PX, entry.row0 + entry.rows - row)
        pixels = dataset.read(window=RasterioWindow(0, row, dataset.width, rows))
        crc = zlib.crc32(np.ascontiguousarray(pixels.transpose(1, 0, 2)).reshape(-1).view(np.uint8).data, crc)
    return crc


def _decode_overview(path: Path, level: int) -> None:
    with open_dataset(str(path), "GTiff", overview=level) as dataset:
        for row in range(0, dataset.height, _BLOCK_PX):
            dataset.read(window=RasterioWindow(0, row, dataset.width, min(_BLOCK_PX, dataset.height - row)))
