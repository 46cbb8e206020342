"""A logistic regression on the bands of the single pixel: the simplest thing that learns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ...chips.dataset import Sample
from ...core.classes import IGNORE_ID
from ...core.seeds import generator

_PIXELS = 40_000
_PER_CHIP = 400

Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PixelRegression:
    """Logistic regression on the bands of one pixel: `coefficients` (K, C), `intercepts` (K,), `class_ids`
    (K,).
    """

    coefficients: npt.NDArray[np.float64]
    intercepts: npt.NDArray[np.float64]
    class_ids: npt.NDArray[np.uint8]
    name: str = "logistic regression on the pixel's bands"
    threshold: float | None = None

    def answer(self, image: Image) -> npt.NDArray[np.uint8]:
        """(H, W) uint8."""
        return np.asarray(self.class_ids[self.margins(image).argmax(axis=0)], np.uint8)

    def margins(self, image: Image) -> npt.NDArray[np.float64]:
        """(K, H, W) log odds up to a constant."""
        return np.asarray(
            np.tensordot(self.coefficients, image, axes=1) + self.intercepts[:, None, None], np.float64
        )


def drawn_pixels(
    sample: Sample, truth: npt.NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Bands (N, C) and classes (N,) of some valid pixels of a chip whose class (H, W) is not 255."""
    rows, cols = np.nonzero((truth != IGNORE_ID) & sample.valid)
    if len(rows) > _PER_CHIP:
        index = rng.choice(len(rows), _PER_CHIP, replace=False)
        rows, cols = rows[index], cols[index]
    return sample.image[:, rows, cols].T, truth[rows, cols]


def thinned(values: Image, classes: npt.NDArray[np.uint8], seed: int) -> tuple[Image, npt.NDArray[np.uint8]]:
    """As many of all chips' pixels as a regression needs."""
    if len(values) <= _PIXELS:
        return values, classes
    index = generator(seed, "baseline", "pixels").choice(len(values), _PIXELS, replace=False)
    return values[index], classes[index]


def fitted_regression(
    values: Image, classes: npt.NDArray[np.uint8], weighting: str | None, name: str
) -> PixelRegression | None:
    """None where there is one class only; `weighting` None or "balanced"."""
    if len(np.unique(classes)) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are enough for a floor
        model = LogisticRegression(max_iter=300, class_weight=weighting).fit(
            values.astype(np.float64), classes
        )
    coefficients, intercepts = np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64)
    if len(coefficients) == 1:  # two classes: one row, the odds of the second
        coefficients, intercepts = (
            np.concatenate([np.zeros_like(coefficients), coefficients]),
            np.concatenate([[0.0], intercepts]),
        )
    return PixelRegression(coefficients, intercepts, model.classes_.astype(np.uint8), name)
