"""The baseline of outlines: what a logistic regression on the single pixel calls a class, patch by patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import shapely

from ...chips.dataset import Sample
from ...core.arrays import Objects
from ...core.classes import IGNORE_ID
from ...core.seeds import generator
from ...io.rasterize import burn, polygonize
from .pixelregression import PixelRegression, drawn_pixels, fitted_regression, thinned
from .thresholds import best_threshold

_LEAST_SHARES = (0.1, 0.25, 0.5)
"""Of the median true area: smaller patches are no objects. Which of these, the train chips decide."""


@dataclass(frozen=True)
class Patches:
    """4-connected pixels of one class of `regression` (class id 0: no object) of at least `min_area_px`; the
    score is their mean probability.
    """

    regression: PixelRegression
    min_area_px: float
    threshold: float | None = None
    name: str = "patches of the logistic regression on the pixel's bands"

    def answer(self, image: npt.NDArray[np.float32]) -> Objects:
        """Objects with outlines of pixels."""
        margins = self.regression.margins(image)
        odds = np.exp(margins - margins.max(axis=0))
        surest = (1 / odds.sum(axis=0)).astype(np.float64)  # the largest of the odds is 1
        ids = self.regression.class_ids[margins.argmax(axis=0)]
        outlines, values = polygonize(ids, ids > 0)
        large = shapely.area(outlines) >= max(self.min_area_px, 1.0)
        outlines, values = outlines[large], values[large]
        places = np.asarray(
            burn(outlines, np.arange(1, len(outlines) + 1), *ids.shape, dtype="int32"), np.int64
        ).ravel()
        total, pixels = (
            np.bincount(places, surest.ravel(), len(outlines) + 1)[1:],
            np.bincount(places, minlength=len(outlines) + 1)[1:],
        )
        return Objects(
            shapely.bounds(outlines).reshape(-1, 4),
            values,
            (total / np.maximum(pixels, 1)).astype(np.float32),
            outlines,
        )


def fit_patches(samples: Sequence[Sample], true: Sequence[Objects], seed: int) -> list[Patches]:
    """The baseline with the least area and the threshold that suit the train chips best; none where there is
    nothing to tell apart.
    """
    outlines = np.concatenate(
        [one.polygons if one.ignore is None else one.polygons[~one.ignore] for one in true]
    )
    regression = _class_regression(samples, true, seed)
    if regression is None or not len(outlines):
        return []
    typical, tried = float(np.median(shapely.area(outlines))), []
    for share in _LEAST_SHARES:
        patches = Patches(regression, share * typical)
        threshold, f1 = best_threshold(
            [(patches.answer(sample.image), truth) for sample, truth in zip(samples, true, strict=True)]
        )
        tried.append((f1 if np.isfinite(f1) else -1.0, replace(patches, threshold=threshold)))
    return [max(tried, key=lambda pair: pair[0])[1]]


def _class_regression(
    samples: Sequence[Sample], true: Sequence[Objects], seed: int
) -> PixelRegression | None:
    """Pixels of each class of object and of none; those of ignored objects are left out."""
    pixels, labels = [], []
    for sample, objects in zip(samples, true, strict=True):
        ids = (
            np.where(objects.ignore, IGNORE_ID, objects.class_ids)
            if objects.ignore is not None
            else objects.class_ids
        )
        classes = np.asarray(burn(objects.polygons, ids, *sample.image.shape[1:]), np.uint8)
        drawn = drawn_pixels(sample, classes, generator(seed, "baseline", sample.chip_id))
        pixels.append(drawn[0])
        labels.append(drawn[1])
    return fitted_regression(
        *thinned(np.concatenate(pixels), np.concatenate(labels), seed), "balanced", "class of an object"
    )
