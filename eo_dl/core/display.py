"""Pixels for looking at: which bands to show, how to stretch them, and the picture as a PNG file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from .arraytypes import AnyArray, BoolArray, Float32Array, UInt8Array
from .bands import Band


def display_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Indices of the bands to show: red, green, blue where all are known, else the first three, else the
    first.
    """
    if {"red", "green", "blue"} <= set(names):
        return tuple(names.index(name) for name in ("red", "green", "blue"))
    if len(names) >= 3:
        return (0, 1, 2)
    return (0,)


def display_plane(stored: Float32Array, band: Band, low: float, high: float) -> Float32Array:
    """One band as brightness from 0 to 255, linear between two physical values.

    Args:
        stored: (H, W) pixels, not yet in physical values.
        band: Their band, with scale and offset to physical values.
        low: Physical value that becomes 0; lower ones too.
        high: Physical value that becomes 255; higher ones too.

    Returns:
        (H, W) float32, not rounded; 0 where the band is missing (NaN).
    """
    factor = 255 / max(high - low, 1e-9)
    plane = stored * np.float32(band.scale * factor) + np.float32((band.offset - low) * factor)
    return np.nan_to_num(np.asarray(np.clip(plane, 0, 255), np.float32), copy=False)


def stretch(pixels: AnyArray, valid: BoolArray) -> UInt8Array:
    """Pixels of any type as 8-bit colours: each band from the 2nd to the 98th percentile of its valid pixels.

    Takes (3 or 1, H, W) and the valid mask (H, W); gives (H, W, 3), white where not valid.
    """
    planes = []
    for plane in pixels.astype(np.float32):
        values = plane[valid & np.isfinite(plane)]  # a band may be missing in a valid pixel
        low, high = np.percentile(values, (2, 98)) if len(values) else (0.0, 1.0)
        planes.append(np.nan_to_num(np.clip((plane - low) / max(high - low, 1e-12), 0, 1)))
    if len(planes) == 1:
        planes = planes * 3
    picture = (np.stack(planes, axis=-1) * 255).astype(np.uint8)
    picture[~valid] = 255
    return picture


def png(picture: UInt8Array) -> bytes:
    """A picture (H, W, 3) as the bytes of a PNG file."""
    from PIL import Image  # lazy: Pillow is loaded only when a picture is made

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
