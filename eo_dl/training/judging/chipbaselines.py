"""Baselines for whole chips: the class frequencies, and a logistic regression on the statistics of each
band."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...chips.dataset import Sample
from ...core.arrays import ChipTarget
from ...core.arraytypes import Float32Array, Float64Array, Int64Array
from ...tasks import ChipCodec
from .pixelregression import one_row_per_class

MAJORITY = "majority class"
REGRESSION = "logistic regression on band means and spreads"
_STEPS = 300
"""Steps of the solver; more would not matter for a baseline."""
_CERTAIN = 30.0
"""Log odds of a class that all train chips have, or none has."""
_NEVER = -1e9
"""Intercept of a class that no train chip has."""


@dataclass(frozen=True)
class ClassFrequencies:
    """The share of each class among the train chips, as the answer for every chip."""

    shares: Float32Array
    """(K,)"""
    name: str = MAJORITY
    threshold: float | None = None

    def answer(self, image: Float32Array) -> Float32Array:
        """(K,): the shares."""
        return self.shares


@dataclass(frozen=True)
class BandRegression:
    """Logistic regression on the statistics of a chip (`features_of`)."""

    coefficients: Float64Array
    """(K, F)"""
    intercepts: Float64Array
    """(K,)"""
    multi_label: bool
    """True: a sigmoid per class; False: a softmax over the classes."""
    name: str = REGRESSION
    threshold: float | None = None

    def answer(self, image: Float32Array) -> Float32Array:
        """(K,): the probabilities."""
        margins = self.coefficients @ features_of(image) + self.intercepts
        if self.multi_label:
            return np.asarray(0.5 * (1 + np.tanh(margins / 2)), np.float32)
        powers = np.exp(margins - margins.max())
        return np.asarray(powers / powers.sum(), np.float32)


def features_of(image: Float32Array) -> Float64Array:
    """(2 C,): mean and standard deviation of each band over the valid pixels (invalid ones are 0 in all
    bands)."""
    pixels = image.reshape(len(image), -1).astype(np.float64)
    pixels = pixels[:, (pixels != 0).any(axis=0)]
    if not pixels.size:
        return np.zeros(2 * len(image))
    return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)])


def chip_baselines(
    codec: ChipCodec, train: Iterable[Sample[ChipTarget]]
) -> list[ClassFrequencies | BandRegression]:
    """The baselines, fitted on train chips that are not augmented.

    Without the regression if all chips are of one class.
    """
    features, values = [], []
    for sample in train:
        features.append(features_of(sample.image))
        values.append(np.asarray(codec.truth(sample.target), np.float64))
    inputs, truth = np.array(features), np.array(values)
    frequencies = ClassFrequencies(np.nanmean(truth, axis=0).astype(np.float32))
    fit = _multi_label_regression if codec.rule.multi_label else _one_class_regression
    regression = fit(inputs, truth)
    return [frequencies] if regression is None else [frequencies, regression]


def _one_class_regression(inputs: Float64Array, truth: Float64Array) -> BandRegression | None:
    known = np.isfinite(truth).all(axis=1)
    channels = truth[known].argmax(axis=1)
    if len(np.unique(channels)) < 2:
        return None
    model, coefficients, intercepts = _fitted(inputs[known], channels)
    # rows for the classes that no train chip has, which are never chosen
    all_coefficients = np.zeros((truth.shape[1], inputs.shape[1]))
    all_intercepts = np.full(truth.shape[1], _NEVER)
    seen = np.asarray(model.classes_, np.int64)
    all_coefficients[seen], all_intercepts[seen] = coefficients, intercepts
    return BandRegression(all_coefficients, all_intercepts, multi_label=False)


def _multi_label_regression(inputs: Float64Array, truth: Float64Array) -> BandRegression | None:
    """A regression per class; a class that all train chips have, or none, is certain."""
    count = truth.shape[1]
    if count == 0:
        return None
    coefficients, intercepts = np.zeros((count, inputs.shape[1])), np.zeros(count)
    for channel in range(count):
        known = np.isfinite(truth[:, channel])
        has_class = (truth[known, channel] >= 0.5).astype(np.int64)
        if len(np.unique(has_class)) < 2:
            intercepts[channel] = _CERTAIN if has_class.any() else -_CERTAIN
            continue
        _, of_two, starts = _fitted(inputs[known], has_class)
        coefficients[channel], intercepts[channel] = of_two[1], starts[1]
    return BandRegression(coefficients, intercepts, multi_label=True)


def _fitted(
    inputs: Float64Array, classes: Int64Array
) -> tuple[LogisticRegression, Float64Array, Float64Array]:
    """A fitted model, with coefficients (K, F) and intercepts (K,) for inputs that are not standardized."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(inputs, classes)
    scaler, model = pipeline[0], pipeline[1]
    standardized, intercepts = one_row_per_class(model)
    coefficients = standardized / scaler.scale_
    return model, coefficients, intercepts - coefficients @ scaler.mean_
