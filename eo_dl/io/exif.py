"""`exif_orientation`: how viewers turn a picture, which GDAL does not."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL.Image import Exif
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_TAG = 274
_UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error)
_TIFF_HEADER_BYTES = 8


def exif_orientation(path: Path, driver: str, tag: str | None) -> int:
    """The orientation of a picture, 1 to 8 as in EXIF; 1 (not turned) where it states none.

    Only headers are read. GDAL tells the orientation of JPEG files alone.

    Args:
        path: The file, which GDAL has opened.
        driver: Its GDAL driver.
        tag: Its tag `EXIF_Orientation`, as GDAL has it.
    """
    try:
        if driver == "GTiff":
            value = _of_tiff(path)
        elif driver == "PNG":
            value = _of_png(path)
        else:
            value = int(tag or 1)
    except _UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _of_tiff(path: Path) -> object:
    with path.open("rb") as file:
        directory = ImageFileDirectory_v2(file.read(_TIFF_HEADER_BYTES))
        file.seek(directory.next)
        directory.load(file)
    return directory.get(_TAG, 1)


def _of_png(path: Path) -> object:
    with path.open("rb") as file:
        block = PngImageFile(file).info.get("exif")
    if not block:
        return 1
    exif = Exif()
    exif.load(block)
    return exif.get(_TAG, 1)
