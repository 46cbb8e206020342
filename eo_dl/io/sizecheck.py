"""Rasters that lie about their size: found from the header and the size of the file, before memory is taken.

A file of 200 kB may say that it has 2^31 x 2^31 pixels: cut-off downloads do, and files made to fill memory.
Small files of large rasters exist, though: constant blocks shrink by a factor of 1000 (deflate) to 40,000
(zstd), and GDAL stores no block at all where nothing was written. So three things are compared: the table of
blocks must fit into the file, the blocks of an uncompressed file must lie in it, and beyond a size that does
no harm, the pixels must not be more than any compression makes of so many bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio

from ..errors import SceneError

_MOST_BLOCK_BYTES = 2**30
_MOST_RATIO = 70_000
_HARMLESS_PX = 2**33  # 92,000 x 92,000
_TABLED_PX = 2**26  # of smaller files, GDAL shows the rows as blocks, which no table lists
_TABLE_BYTES = 4  # of a block in the table of a TIFF, at least
_SAMPLES = 5  # blocks looked up per side


def check_size(dataset: rasterio.DatasetReader, path: str, files: Iterable[Path]) -> None:
    """Refuse a raster that has more pixels than its files can hold.

    Args:
        dataset: The open raster.
        path: Its path, for messages.
        files: The files with its pixels: itself, or the sources of a VRT.

    Raises:
        SceneError: The header and the size of the files contradict each other.
    """
    size = sum(file.stat().st_size for file in files)
    pixels = dataset.width * dataset.height * dataset.count
    stated = pixels * _stored_bits(dataset) // 8
    too_many = pixels > _HARMLESS_PX and stated > size * _MOST_RATIO
    if dataset.driver == "GTiff":
        blocks = _block_count(dataset) if pixels > _TABLED_PX else 0
        too_many = too_many or blocks * _TABLE_BYTES > size
        too_many = too_many or (
            dataset.compression is None and stated > size and _ends_too_early(dataset, size)
        )
    if too_many:
        raise SceneError(
            f"{path}: says that it has {dataset.width}x{dataset.height} px and {dataset.count} bands, which "
            f"{size} bytes cannot hold; it is damaged or incomplete, copy or download it again"
        )
    block_bytes = _block_bytes(dataset)
    if block_bytes > _MOST_BLOCK_BYTES:
        raise SceneError(
            f"{path}: its blocks have {block_bytes / 1e9:.1f} GB each, too much to read one; write it in "
            "small blocks, e.g. gdal_translate -co TILED=YES IN OUT.tif"
        )


def _stored_bits(dataset: rasterio.DatasetReader) -> int:
    """Bits of a stored value, at least: some files have 1 or 12, and halve colours in both directions."""
    bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", _item_bytes(dataset) * 8))
    photometric = dataset.photometric
    return bits // 4 if photometric is not None and photometric.name == "ycbcr" else bits


def _item_bytes(dataset: rasterio.DatasetReader) -> int:
    return np.dtype(_real_type(dataset.dtypes[0])).itemsize


def _real_type(dtype: str) -> str:
    return {"complex_int16": "complex64", "int4": "int8", "uint4": "uint8"}.get(dtype, dtype)


def _block_bytes(dataset: rasterio.DatasetReader) -> int:
    height, width = dataset.block_shapes[0]
    bands = dataset.count if dataset.interleaving is not None and dataset.interleaving.name == "pixel" else 1
    return int(min(height, dataset.height) * min(width, dataset.width) * _item_bytes(dataset) * bands)


def _block_count(dataset: rasterio.DatasetReader) -> int:
    height, width = dataset.block_shapes[0]
    return int(math.ceil(dataset.height / height) * math.ceil(dataset.width / width))


def _ends_too_early(dataset: rasterio.DatasetReader, size: int) -> bool:
    """True if a block of an uncompressed TIFF lies beyond the end of the file; blocks that were never
    written lie nowhere.
    """
    height, width = dataset.block_shapes[0]
    rows, cols = math.ceil(dataset.height / height), math.ceil(dataset.width / width)
    row_bits = _block_bytes(dataset) // min(height, dataset.height) // _item_bytes(dataset)
    row_bits *= _stored_bits(dataset)
    for row in {round(share * (rows - 1) / (_SAMPLES - 1)) for share in range(_SAMPLES)}:
        for col in {round(share * (cols - 1) / (_SAMPLES - 1)) for share in range(_SAMPLES)}:
            offset = dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1)
            length = min(height, dataset.height - row * height) * row_bits // 8
            if offset is not None and int(offset) + length > size:
                return True
    return False
