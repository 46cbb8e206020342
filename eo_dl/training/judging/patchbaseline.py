"""The baseline for outlines: connected pixels that a logistic regression on pixel values assigns to a
class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely

from ...chips.dataset import Sample
from ...core.arrays import BoxTarget, Objects
from ...core.arraytypes import Float32Array, Float64Array, GeometryArray, IntArray
from ...core.classes import IGNORE_ID
from ...core.pixelpolygons import polygonize
from ...io.rasterize import burn
from .pixelregression import DrawnPixels, PixelRegression
from .thresholds import best_threshold

_AREA_FRACTIONS = (0.1, 0.25, 0.5)
"""Smaller patches than this fraction of the median true area are no objects; the train chips decide which
one."""


@dataclass(frozen=True)
class PixelPatches:
    """Patches of 4-connected pixels of one class, with their mean probability as score."""

    regression: PixelRegression
    """Of the classes of objects, and id 0 for ground without an object."""
    min_area_px: float
    """Smaller patches are no objects."""
    threshold: float | None = None
    name: str = "patches of the logistic regression on the pixel's bands"

    def answer(self, image: Float32Array) -> Objects:
        """Objects whose outlines follow the pixels."""
        margins = self.regression.margins(image)
        odds = np.exp(margins - margins.max(axis=0))
        probability = (1 / odds.sum(axis=0)).astype(np.float64)  # of the likeliest class, whose odds are 1
        ids = self.regression.class_ids[margins.argmax(axis=0)]
        outlines, values = polygonize(ids, ids > 0)
        large = shapely.area(outlines) >= max(self.min_area_px, 1.0)
        outlines, values = outlines[large], values[large]
        return Objects(
            shapely.bounds(outlines).reshape(-1, 4),
            values,
            _mean_inside(outlines, probability).astype(np.float32),
            outlines,
        )


def fit_patches(
    samples: Sequence[Sample[BoxTarget]], truths: Sequence[Objects], seed: int
) -> PixelPatches | None:
    """The baseline whose minimum area and threshold suit the train chips best.

    Args:
        samples: Train chips, not augmented.
        truths: Their objects, with outlines.
        seed: Of the pixels that are drawn.

    Returns:
        The baseline; None if there are no objects, or nothing but objects of one class.
    """
    outlines = np.concatenate([truth.polygons[truth.counted] for truth in truths])
    regression = _class_regression(samples, truths, seed)
    if regression is None or not len(outlines):
        return None
    typical = float(np.median(shapely.area(outlines)))
    best, best_f1 = None, -math.inf
    for fraction in _AREA_FRACTIONS:
        patches = PixelPatches(regression, fraction * typical)
        pairs = [(patches.answer(sample.image), truth) for sample, truth in zip(samples, truths, strict=True)]
        threshold, f1 = best_threshold(pairs)
        f1 = f1 if math.isfinite(f1) else -1.0
        if f1 > best_f1:
            best, best_f1 = replace(patches, threshold=threshold), f1
    return best


def _class_regression(
    samples: Sequence[Sample[BoxTarget]], truths: Sequence[Objects], seed: int
) -> PixelRegression | None:
    """Pixels of each class of objects and of ground without; those of ignored objects are left out."""
    drawn = DrawnPixels(seed)
    for sample, truth in zip(samples, truths, strict=True):
        ids: IntArray = np.where(truth.counted, truth.class_ids, IGNORE_ID)
        classes = np.asarray(burn(truth.polygons, ids, *sample.image.shape[1:]), np.uint8)
        drawn.add(sample, classes)
    return drawn.fit("class of an object", balanced=True)


def _mean_inside(outlines: GeometryArray, values: Float64Array) -> Float64Array:
    """(N,): the mean of `values` (H, W) inside each outline."""
    numbers = np.arange(1, len(outlines) + 1)
    patch_of_pixel = np.asarray(burn(outlines, numbers, *values.shape, dtype="int32"), np.int64).ravel()
    totals = np.bincount(patch_of_pixel, values.ravel(), len(outlines) + 1)[1:]
    pixels = np.bincount(patch_of_pixel, minlength=len(outlines) + 1)[1:]
    return np.asarray(totals / np.maximum(pixels, 1), np.float64)
