"""The numbers of a chip, where labels are values and not classes."""

from __future__ import annotations

import numpy as np

from ..core.arraytypes import BoolArray, Float32Array
from ..core.pixellabels import PixelLabels
from ..io.rasterize import burn
from .classcover import annotated_mask


def value_planes(
    labels: PixelLabels, height: int, width: int, valid: BoolArray | None = None
) -> Float32Array:
    """The labels of a chip as numbers.

    Where features overlap the later one wins, also with a number that is missing; ignored features win over
    all.

    Args:
        labels: Labels in the pixels of the chip.
        height: Rows of the chip.
        width: Columns of the chip.
        valid: (H, W) True where the image was measured; None: everywhere.

    Returns:
        (K, H, W) numbers; NaN where nothing is labelled, outside `annotated`, and where not `valid`.
    """
    planes = _burnt(labels, height, width) if labels.values is None else labels.values.copy()
    known = annotated_mask(labels, height, width)
    if known is not None:
        planes[:, ~known] = np.nan
    if valid is not None:
        planes[:, ~valid] = np.nan
    return planes


def _burnt(labels: PixelLabels, height: int, width: int) -> Float32Array:
    """(K, H, W) the numbers of features."""
    planes = np.full((len(labels.classes), height, width), np.nan, np.float32)
    if labels.feature_values is None or not len(labels):
        return planes
    order = np.argsort(labels.ignore, kind="stable")
    # Rows are burnt, and not numbers: one pass for all values, and a missing number hides like any other.
    rows = burn(labels.geometries[order], order + 1, height, width, dtype="int32")
    numbers = np.where(labels.ignore[:, None], np.nan, labels.feature_values).astype(np.float32)
    places = np.asarray(rows, np.int64)
    labelled = places > 0
    planes[:, labelled] = numbers[places[labelled] - 1].T
    return planes
