"""Pixels for looking at: which bands to show, how to stretch them, and the picture as a PNG file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from .arraytypes import AnyArray, BoolArray, UInt8Array


def display_bands(names: Sequence[str]) -> tuple[int, ...]:
    """Indices of the bands to show: red, green, blue where all are known, else the first three, else the
    first.
    """
    if {"red", "green", "blue"} <= set(names):
        return tuple(names.index(name) for name in ("red", "green", "blue"))
    if len(names) >= 3:
        return (0, 1, 2)
    return (0,)


def stretch(pixels: AnyArray, valid: BoolArray) -> UInt8Array:
    """Pixels of any type as 8-bit colours: each band from the 2nd to the 98th percentile of its valid pixels.

    Takes (3 or 1, H, W) and the valid mask (H, W); gives (H, W, 3), white where not valid.
    """
    planes = []
    for plane in pixels.astype(np.float32):
        low, high = np.percentile(plane[valid], (2, 98)) if valid.any() else (0.0, 1.0)
        planes.append(np.clip((plane - low) / max(high - low, 1e-12), 0, 1))
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
