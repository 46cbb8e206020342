"""Which class lies where in a chip, and how much of the chip each class covers."""

from __future__ import annotations

import numpy as np
import shapely

from ..core.arraytypes import BoolArray, Float64Array, Int64Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet
from ..core.geometries import polygons_in
from ..core.pixellabels import PixelLabels
from ..io.rasterize import burn


def class_mask(labels: PixelLabels, height: int, width: int, valid: BoolArray | None = None) -> UInt8Array:
    """The labels of a chip as class ids.

    Where features overlap the later one wins, as in the drawing order of a GIS; ignored features win over
    all.

    Args:
        labels: Labels in the pixels of the chip.
        height: Rows of the chip.
        width: Columns of the chip.
        valid: (H, W) True where the image was measured; None: everywhere.

    Returns:
        (H, W) class ids: 0 where nothing is labelled, 255 where the class is unknown (ignored, outside
        `annotated`, or not `valid`).
    """
    if labels.mask is not None:
        mask = labels.mask.copy()
    else:
        order = np.argsort(labels.ignore, kind="stable")
        values = np.where(labels.ignore, IGNORE_ID, labels.class_ids)
        mask = burn(labels.geometries[order], values[order], height, width).astype(np.uint8, copy=False)
    known = annotated_mask(labels, height, width)
    if known is not None:
        mask[~known] = IGNORE_ID
    if valid is not None:
        mask[~valid] = IGNORE_ID
    return mask


def annotated_mask(labels: PixelLabels, height: int, width: int) -> BoolArray | None:
    """(H, W) True where labels are complete; None: everywhere."""
    if labels.annotated is None:
        return None
    parts = polygons_in(labels.annotated)
    return np.asarray(burn(parts, np.ones(len(parts), np.uint8), height, width) == 1, np.bool_)


def class_covers(
    labels: PixelLabels, classes: ClassSet, height: int, width: int
) -> tuple[Float64Array, float]:
    """How much of a chip each class covers.

    Known ground is annotated, measured (`labels.valid`) and not ignored. Where features of two classes
    overlap the ground counts for both, so the shares may sum to more than 1. The background (id 0) covers the
    ground without features.

    Returns:
        (K,) the share of the known ground that each of `classes` covers, all 0 where nothing is known; and
        the share of the chip that is known.
    """
    whole_chip = _classes_of_whole_chip(labels, height, width)
    if whole_chip is not None:
        return np.isin(classes.ids, whole_chip).astype(np.float64), 1.0
    known = class_mask(labels, height, width, labels.valid) != IGNORE_ID
    known_px = int(known.sum())
    if not known_px:
        return np.zeros(len(classes)), 0.0
    covered_px = [float((_ground_of_class(labels, info.id, height, width) & known).sum()) for info in classes]
    return np.array(covered_px) / known_px, known_px / (height * width)


def _classes_of_whole_chip(labels: PixelLabels, height: int, width: int) -> Int64Array | None:
    """The class ids of a chip that every feature covers completely, as labels of whole images do.

    None where pixels have to be counted.
    """
    if labels.mask is not None or labels.annotated is not None or labels.valid is not None:
        return None
    if not len(labels) or labels.ignore.any():
        return None
    frame = shapely.box(0, 0, width, height)
    return labels.class_ids if bool(shapely.covers(labels.geometries, frame).all()) else None


def _ground_of_class(labels: PixelLabels, class_id: int, height: int, width: int) -> BoolArray:
    """(H, W) True where a class is; for the background, where no feature is."""
    if labels.mask is not None:
        return np.asarray(labels.mask == class_id, np.bool_)
    of_class = labels.class_ids != 0 if class_id == 0 else labels.class_ids == class_id
    geometries = labels.geometries[of_class]
    burnt = burn(geometries, np.ones(len(geometries), np.uint8), height, width)
    return np.asarray(burnt == (0 if class_id == 0 else 1), np.bool_)
