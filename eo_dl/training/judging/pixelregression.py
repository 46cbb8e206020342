"""A logistic regression on the bands of single pixels: the simplest predictor that is fitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ...chips.dataset import Sample
from ...core.arraytypes import Float32Array, Float64Array, UInt8Array
from ...core.classes import IGNORE_ID
from ...core.seeds import generator

_PIXELS = 40_000
"""Pixels that a regression is fitted on."""
_PER_CHIP = 400
"""Pixels that are drawn from a chip."""
_STEPS = 300
"""Steps of the solver; more would not matter for a baseline."""


@dataclass(frozen=True)
class PixelRegression:
    """Logistic regression on the bands of one pixel."""

    coefficients: Float64Array
    """(K, C)"""
    intercepts: Float64Array
    """(K,)"""
    class_ids: UInt8Array
    """(K,)"""
    name: str = "logistic regression on the pixel's bands"
    threshold: float | None = None

    def answer(self, image: Float32Array) -> UInt8Array:
        """(H, W): the likeliest class of each pixel."""
        return np.asarray(self.class_ids[self.margins(image).argmax(axis=0)], np.uint8)

    def margins(self, image: Float32Array) -> Float64Array:
        """(K, H, W): the logarithm of the probabilities, up to a constant."""
        products = np.tensordot(self.coefficients, image, axes=1)
        return np.asarray(products + self.intercepts[:, None, None], np.float64)


class DrawnPixels:
    """Pixels of chips with their classes, drawn for regressions.

    Args:
        seed: Of the draws, with the id of each chip.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._values: list[Float32Array] = []
        self._classes: list[UInt8Array] = []

    def add(self, sample: Sample, classes: UInt8Array) -> None:
        """Draw some valid pixels of a chip whose class is known.

        Args:
            sample: The chip.
            classes: (H, W) class ids; 255 is ignored.
        """
        rows, cols = np.nonzero((classes != IGNORE_ID) & sample.valid)
        if len(rows) > _PER_CHIP:
            rng = generator(self._seed, "baseline", sample.chip_id)
            index = rng.choice(len(rows), _PER_CHIP, replace=False)
            rows, cols = rows[index], cols[index]
        self._values.append(sample.image[:, rows, cols].T)
        self._classes.append(classes[rows, cols])

    def fit(self, name: str, *, balanced: bool) -> PixelRegression | None:
        """A regression on the pixels so far.

        Args:
            name: Name of the predictor.
            balanced: Give all classes the same weight instead of all pixels.

        Returns:
            The regression, or None if all pixels are of one class.
        """
        values, classes = np.concatenate(self._values), np.concatenate(self._classes)
        if len(values) > _PIXELS:
            rng = generator(self._seed, "baseline", "pixels")
            index = rng.choice(len(values), _PIXELS, replace=False)
            values, classes = values[index], classes[index]
        if len(np.unique(classes)) < 2:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(max_iter=_STEPS, class_weight="balanced" if balanced else None)
            model.fit(values.astype(np.float64), classes)
        coefficients, intercepts = one_row_per_class(model)
        return PixelRegression(coefficients, intercepts, model.classes_.astype(np.uint8), name)


def one_row_per_class(model: LogisticRegression) -> tuple[Float64Array, Float64Array]:
    """Coefficients (K, F) and intercepts (K,) of a fitted regression.

    With two classes scikit-learn keeps one row, the log odds of the second class; the first one gets zeros.
    """
    coefficients = np.asarray(model.coef_, np.float64)
    intercepts = np.asarray(model.intercept_, np.float64)
    if len(coefficients) == 1:
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    return coefficients, intercepts
