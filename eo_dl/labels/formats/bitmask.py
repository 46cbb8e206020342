"""The bitmask of Label Studio: a PNG as a data URL, opaque where the object is, transparent elsewhere.

Source: the tag's page in Label Studio's documentation ("black pixels on transparent background").
"""

from __future__ import annotations

import base64
import binascii
import io
import re

import numpy as np
from PIL import Image

from ...core.arraytypes import BoolArray

_MAX_PX = 2**26
_DATA_URL = re.compile(r"data(?:-url)?:image/png;(?:base64,)?")


def png_mask(url: object, width: int, height: int) -> BoolArray:
    """(H, W) True where the picture of a data URL is not wholly transparent.

    Raises:
        ValueError: It is no PNG of this size with transparency.
    """
    start = _DATA_URL.match(url) if isinstance(url, str) else None
    if start is None or not isinstance(url, str):
        raise ValueError("its bitmask is no PNG as a data URL (data:image/png;base64,...)")
    if not 0 < width * height <= _MAX_PX:
        raise ValueError(f"the mask of {width}x{height} px is empty or too large")
    try:
        data = base64.b64decode(url[start.end() :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if picture.size != (width, height):
                found = "x".join(map(str, picture.size))
                raise ValueError(f"its bitmask has {found} px, but its image {width}x{height}")
            if not picture.has_transparency_data:
                raise ValueError("its bitmask has no transparency, so every pixel would belong to the object")
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    except (binascii.Error, OSError, SyntaxError) as cause:
        raise ValueError(f"its bitmask cannot be read as a PNG ({cause})") from cause
    return np.asarray(alpha > 0, np.bool_)
