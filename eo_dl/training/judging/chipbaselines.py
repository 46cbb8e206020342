"""What a network for whole chips must beat: the most frequent answer, and a logistic regression on the mean
and spread of each band.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...chips.dataset import Sample
from ...core.arrays import ChipTarget
from ...tasks import ChipCodec

Image = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
MAJORITY = "majority class"
REGRESSION = "logistic regression on band means and spreads"


@dataclass(frozen=True)
class Frequencies:
    """The share of each class (K,) in the train chips, for every chip."""

    shares: npt.NDArray[np.float32]
    name: str = MAJORITY
    threshold: float | None = None

    def answer(self, image: Image) -> npt.NDArray[np.float32]:
        """(K,) the shares."""
        return self.shares


@dataclass(frozen=True)
class BandRegression:
    """Logistic regression on `features_of` a chip: `coefficients` (K, F), `intercepts` (K,). `multi_label`: a
    sigmoid each, else a softmax.
    """

    coefficients: Floats
    intercepts: Floats
    multi_label: bool
    name: str = REGRESSION
    threshold: float | None = None

    def answer(self, image: Image) -> npt.NDArray[np.float32]:
        """(K,) probabilities."""
        margins = self.coefficients @ features_of(image) + self.intercepts
        if self.multi_label:
            return np.asarray(0.5 * (1 + np.tanh(margins / 2)), np.float32)
        powers = np.exp(margins - margins.max())
        return np.asarray(powers / powers.sum(), np.float32)


def features_of(image: Image) -> Floats:
    """(2 C,) mean and standard deviation of each band over the pixels that were measured (others hold 0 in
    every band).
    """
    flat = image.reshape(len(image), -1).astype(np.float64)
    flat = flat[:, (flat != 0).any(axis=0)]
    return np.concatenate([flat.mean(axis=1), flat.std(axis=1)]) if flat.size else np.zeros(2 * len(image))


def chip_baselines(
    codec: ChipCodec, train: Iterable[Sample[ChipTarget]]
) -> list[Frequencies | BandRegression]:
    """Fitted on unaugmented train chips; without the regression where all chips are of one class."""
    features, values = [], []
    for sample in train:
        features.append(features_of(sample.image))
        values.append(np.asarray(codec.truth(sample.target), np.float64))
    inputs, truth = np.array(features), np.array(values)
    found: list[Frequencies | BandRegression] = [Frequencies(np.nanmean(truth, axis=0).astype(np.float32))]
    regression = _multi_label(inputs, truth) if codec.rule.multi_label else _one_class(inputs, truth)
    return [*found, regression] if regression is not None else found


def _one_class(inputs: Floats, truth: Floats) -> BandRegression | None:
    known = np.isfinite(truth).all(axis=1)
    channels = truth[known].argmax(axis=1)
    if len(np.unique(channels)) < 2:
        return None
    coefficients, intercepts, seen = _fitted(inputs[known], channels)
    if len(coefficients) == 1:  # two classes: one row, the odds of the second
        coefficients, intercepts = (
            np.concatenate([np.zeros_like(coefficients), coefficients]),
            np.concatenate([[0.0], intercepts]),
        )
    return BandRegression(*_on_all(coefficients, intercepts, seen, truth.shape[1]), multi_label=False)


def _multi_label(inputs: Floats, truth: Floats) -> BandRegression | None:
    """A regression for each class; one that all chips have, or none, is what it is."""
    parts = []
    for channel in range(truth.shape[1]):
        known = np.isfinite(truth[:, channel])
        yes = (truth[known, channel] >= 0.5).astype(np.int64)
        if len(np.unique(yes)) < 2:
            parts.append((np.zeros(inputs.shape[1]), 30.0 if yes.size and yes[0] else -30.0))
        else:
            coefficients, intercepts, _ = _fitted(inputs[known], yes)
            parts.append((coefficients[0], float(intercepts[0])))
    return (
        BandRegression(np.stack([row for row, _ in parts]), np.array([b for _, b in parts]), multi_label=True)
        if parts
        else None
    )


def _fitted(inputs: Floats, classes: npt.NDArray[np.int64]) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Coefficients and intercepts on the inputs as they are, and the classes in their order."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps are enough for a floor
        model.fit(inputs, classes)
    scaler, regression = model[0], model[1]
    coefficients = np.asarray(regression.coef_, np.float64) / scaler.scale_
    return (
        coefficients,
        np.asarray(regression.intercept_, np.float64) - coefficients @ scaler.mean_,
        np.asarray(regression.classes_, np.int64),
    )


def _on_all(
    coefficients: Floats, intercepts: Floats, seen: npt.NDArray[np.int64], count: int
) -> tuple[Floats, Floats]:
    """With rows for the classes that no train chip has: never chosen."""
    rows, starts = np.zeros((count, coefficients.shape[1])), np.full(count, -1e9)
    rows[seen], starts[seen] = coefficients, intercepts
    return rows, starts
