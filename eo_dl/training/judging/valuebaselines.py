"""Baselines for maps of values: the mean of the train chips, and regressions on the bands of a pixel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from ...chips.dataset import Sample
from ...core.arrays import ValueTarget
from ...core.arraytypes import Float32Array, Float64Array
from ...core.classes import ClassSet
from ...core.seeds import derived_seed, generator
from ...tasks import ValueCodec

MEAN = "mean of the train chips"
LINEAR = "linear regression on the pixel's bands"
BOOSTING = "gradient boosting on the pixel's bands"

_PIXELS = 40_000
"""Pixels that a regression is fitted on."""
_PER_CHIP = 400
"""Pixels that are drawn from a chip."""
_TREES = 100


@dataclass(frozen=True)
class MeanValue:
    """The mean of each value everywhere."""

    means: Float32Array
    """(K,)"""
    name: str = MEAN
    threshold: float | None = None

    def answer(self, image: Float32Array) -> Float32Array:
        """(K, H, W): the means."""
        return np.broadcast_to(self.means[:, None, None], (len(self.means), *image.shape[1:]))


class _Model(Protocol):
    """A fitted regression of scikit-learn."""

    def predict(self, bands: Float64Array) -> Float64Array:
        """(N,) the numbers of pixels (N, C)."""
        ...


@dataclass(frozen=True)
class PixelModels:
    """A regression on the bands of one pixel for each value, kept in the valid range."""

    models: tuple[_Model, ...]
    classes: ClassSet
    name: str
    threshold: float | None = None

    def answer(self, image: Float32Array) -> Float32Array:
        """(K, H, W): the numbers of each pixel."""
        bands = image.reshape(len(image), -1).T.astype(np.float64)
        planes = []
        for model, info in zip(self.models, self.classes.value_infos, strict=True):
            plane = np.asarray(model.predict(bands), np.float32).reshape(image.shape[1:])
            limited = info.low is not None or info.high is not None
            planes.append(np.clip(plane, info.low, info.high) if limited else plane)
        return np.stack(planes)


def value_baselines(
    codec: ValueCodec, train: Iterable[Sample[ValueTarget]], seed: int
) -> list[MeanValue | PixelModels]:
    """The baselines, fitted on train chips that are not augmented.

    Args:
        codec: The task's.
        train: The chips.
        seed: Of the pixels that are drawn from them.
    """
    drawn = _DrawnNumbers(seed)
    for sample in train:
        drawn.add(sample, codec.truth(sample.target))
    bands, numbers = drawn.together()
    linear, boosted = [], []
    for column in numbers.T:
        known = np.isfinite(column)
        linear.append(LinearRegression().fit(bands[known], column[known]))
        boosting = HistGradientBoostingRegressor(
            max_iter=_TREES, random_state=derived_seed(seed, "boosting") % 2**31
        )
        boosted.append(boosting.fit(bands[known], column[known]))
    means = np.nanmean(numbers, axis=0).astype(np.float32)
    return [
        MeanValue(means),
        PixelModels(tuple(linear), codec.classes, LINEAR),
        PixelModels(tuple(boosted), codec.classes, BOOSTING),
    ]


class _DrawnNumbers:
    """Pixels of chips with their numbers, drawn for regressions.

    Args:
        seed: Of the draws, with the id of each chip.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._bands: list[Float32Array] = []
        self._numbers: list[Float32Array] = []

    def add(self, sample: Sample[ValueTarget], truth: Float32Array) -> None:
        """Draw some pixels of a chip of which a number (K, H, W) is known."""
        rows, cols = np.nonzero(np.isfinite(truth).any(axis=0) & sample.valid)
        if len(rows) > _PER_CHIP:
            rng = generator(self._seed, "baseline", sample.chip_id)
            index = rng.choice(len(rows), _PER_CHIP, replace=False)
            rows, cols = rows[index], cols[index]
        self._bands.append(sample.image[:, rows, cols].T)
        self._numbers.append(truth[:, rows, cols].T)

    def together(self) -> tuple[Float64Array, Float64Array]:
        """(N, C) bands and (N, K) numbers, NaN where one is not known."""
        bands, numbers = np.concatenate(self._bands), np.concatenate(self._numbers)
        if len(bands) > _PIXELS:
            rng = generator(self._seed, "baseline", "pixels")
            index = rng.choice(len(bands), _PIXELS, replace=False)
            bands, numbers = bands[index], numbers[index]
        return bands.astype(np.float64), numbers.astype(np.float64)
