"""Colours of numbers: one ramp for maps, pictures and styles, from dark (low) to light (high).

The stops follow matplotlib's viridis, which colour-blind people can read and which keeps its order in grey.
"""

from __future__ import annotations

import numpy as np

from .arraytypes import FloatArray, UInt8Array

RAMP = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""Colours at equal steps from the lowest to the highest number."""

UNKNOWN_COLOR = "#ffffff"
"""Colour of pixels without a number."""


def value_colors(plane: FloatArray, low: float, high: float) -> UInt8Array:
    """(H, W, 3) the colours of numbers (H, W); white for NaN.

    Args:
        plane: The numbers.
        low: The number of the first colour; lower ones have it, too.
        high: The number of the last colour; higher ones have it, too.
    """
    stops = np.array(
        [[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in RAMP], np.float64
    )
    span = high - low if high > low else 1.0
    known = np.isfinite(plane)
    position = np.clip((np.where(known, plane, low) - low) / span, 0, 1) * (len(RAMP) - 1)
    below = np.minimum(position.astype(np.int64), len(RAMP) - 2)
    share = (position - below)[..., None]
    colors = stops[below] * (1 - share) + stops[below + 1] * share
    return np.where(known[..., None], np.rint(colors), 255).astype(np.uint8)
