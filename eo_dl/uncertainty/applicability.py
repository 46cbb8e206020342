"""Area of applicability: is this ground like the ground that the model learnt from?

After Meyer & Pebesma 2021, "Predicting into unknown space? Estimating the area of applicability of spatial
prediction models": the dissimilarity of a place is the distance of its predictors to the nearest training
sample, divided by the mean distance of training samples to each other; a place is outside if it is more
dissimilar than nearly all training samples are from those of other parts of the ground.

Here predictors are features: what the backbone of the network sees in a cell of ground. They are turned onto
few axes (principal components), in units of the training's spread along each, and what these leave out counts
as one more axis, because what is new may lie there. Of the training samples a core set is kept, spread so
that every sample has a near one (greedy k-center; Gonzalez 1985, Sener & Savarese 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import AnyArray, BoolArray, Float32Array, Float64Array, FloatArray, Int64Array
from ..core.seeds import generator

AXES = 32
CORE_SIZE = 512
_MOST_PAIRS = 1500
"""Samples whose mean distance to each other is the unit of dissimilarity."""
_WHISKER = 1.5
"""Dissimilarities above the upper quartile by this many quartile ranges are outliers (Tukey 1977)."""
_LEAST_SPREAD = 1e-6
_LEAST_SHARE = 0.25
"""Features with less than this share of the usual spread count as if they had it."""
_SAMPLES_PER_AXIS = 20
_ROWS = 4096
_EXPLAINED = 0.99
"""Share of the variance that the axes hold."""
_NAMES = ("mean", "spread", "axes", "axis_spread", "rest_mean", "core")
FEWEST_BLOCKS = 3


@dataclass(frozen=True)
class FeatureSpace:
    """From D features to the axes on which distances are taken."""

    mean: Float32Array
    """(D,) of the training."""
    spread: Float32Array
    """(D,) standard deviations of the training."""
    axes: Float32Array
    """(A, D) orthonormal directions, those with most spread first."""
    axis_spread: Float32Array
    """(A + 1,) standard deviations along the axes, and of what they leave out."""
    rest_mean: float
    """Mean of what the axes leave out."""

    @classmethod
    def of(cls, features: FloatArray, axes: int = AXES) -> FeatureSpace:
        """The space of the features (N, D) of a training."""
        values = np.asarray(features, np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        # A feature that was silent in the training may say a little on other ground; measured by its own
        # spread of next to nothing that would be immensely far.
        usual = float(np.sqrt(np.square(spread).mean()))
        spread = np.maximum(spread, max(usual * _LEAST_SHARE, _LEAST_SPREAD))
        scaled = (values - mean) / spread
        variances, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        shares = np.cumsum(variances[::-1]) / max(float(variances.sum()), _LEAST_SPREAD)
        # Few samples know little of many axes.
        most = max(1, min(axes, len(scaled) // _SAMPLES_PER_AXIS))
        count = min(most, int(np.searchsorted(shares, _EXPLAINED)) + 1)
        directions = vectors[:, ::-1].T[:count]
        unscaled = _places(scaled, directions)
        axis_spread = unscaled.std(axis=0)
        axis_spread = np.maximum(axis_spread, _LEAST_SPREAD * max(float(axis_spread.max()), 1.0))
        return cls(
            mean=mean.astype(np.float32),
            spread=spread.astype(np.float32),
            axes=directions.astype(np.float32),
            axis_spread=axis_spread.astype(np.float32),
            rest_mean=float(np.float32(unscaled[:, -1].mean())),  # as a file keeps it
        )

    def places(self, features: FloatArray) -> Float64Array:
        """(N, A + 1) the places of features (N, D) on the axes, in units of their spread; the last number is
        how far they lie from the axes.
        """
        scaled = (np.asarray(features, np.float32) - self.mean) / self.spread
        places = _places(scaled, self.axes)
        places[:, -1] -= self.rest_mean
        return np.asarray(places / self.axis_spread, np.float64)


def _places(scaled: FloatArray, axes: FloatArray) -> Float64Array:
    """(N, A + 1) of scaled features: on each axis, and how far they lie from all of them."""
    on_axes = (scaled @ axes.T).astype(np.float64)
    rest = np.square(scaled).sum(axis=1, dtype=np.float64) - np.square(on_axes).sum(axis=1)
    return np.concatenate([on_axes, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1)


@dataclass(frozen=True)
class Applicability:
    """What is kept of a training, to tell ground like it from other ground."""

    space: FeatureSpace
    """Where distances are taken."""
    core: Float32Array
    """(M, A + 1) the core set of the training samples."""
    threshold: float
    """The distance to the core set up to which ground is like that of the training."""

    def dissimilarity(self, features: FloatArray) -> Float32Array:
        """(N,) of features (N, D), in units of the threshold: above 1 the ground is outside."""
        parts = []
        for start in range(0, len(features), _ROWS):
            places = self.space.places(features[start : start + _ROWS])
            parts.append(_distances(places, self.core.astype(np.float64)).min(axis=1))
        nearest = np.concatenate(parts) if parts else np.empty(0)
        return np.asarray(nearest / self.threshold, np.float32)

    def arrays(self) -> dict[str, Float32Array]:
        """The arrays by name; see `of_arrays`."""
        return {
            "mean": self.space.mean,
            "spread": self.space.spread,
            "axes": self.space.axes,
            "axis_spread": self.space.axis_spread,
            "rest_mean": np.array([self.space.rest_mean], np.float32),
            "core": self.core,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, AnyArray], threshold: float) -> Applicability:
        """From arrays of a file. Raises `ValueError` if they do not fit together."""
        try:
            mean, spread, axes, axis_spread, rest_mean, core = (
                np.asarray(arrays[name], np.float32) for name in _NAMES
            )
        except KeyError as error:
            raise ValueError(f"holds no {error}") from error
        count = len(mean)
        fits = mean.shape == spread.shape == (count,) and axes.ndim == core.ndim == 2
        fits = fits and axes.shape[1] == count and core.shape[1] == len(axes) + 1 and len(core) > 0
        if not fits or axis_spread.shape != (len(axes) + 1,) or rest_mean.shape != (1,):
            raise ValueError("its arrays do not fit together")
        return cls(FeatureSpace(mean, spread, axes, axis_spread, float(rest_mean[0])), core, threshold)


@dataclass(frozen=True)
class FittedApplicability:
    """What is kept of a training, with figures for people."""

    applicability: Applicability
    mean_distance: float
    """Mean distance of training samples to each other."""
    threshold_index: float
    """The threshold in units of that: the index of Meyer & Pebesma."""
    samples: int
    """Training samples that were looked at."""
    blocks: int
    """Blocks of ground in which they lie."""


def fit_applicability(
    features: FloatArray, blocks: Sequence[str], *, core_size: int = CORE_SIZE, seed: int = 0
) -> FittedApplicability | None:
    """The area of applicability of a training; None with samples of fewer than three blocks of ground.

    Args:
        features: (N, D) of the training.
        blocks: (N) the block of ground of each sample. Within a block samples are alike, so the threshold
            comes from distances to samples of other blocks.
        core_size: Number of samples that are kept.
        seed: Of the choice of samples.
    """
    names, index = np.unique(np.asarray(blocks, str), return_inverse=True)
    if len(names) < FEWEST_BLOCKS:
        return None
    space = FeatureSpace.of(features)
    places = space.places(features)
    rng = generator(seed, "applicability")
    chosen = _core_set(places, core_size, rng)
    core = places[chosen].astype(np.float32)
    some = places[rng.permutation(len(places))[:_MOST_PAIRS]]
    mean_distance = float(_distances(some, some).sum() / max(len(some) * (len(some) - 1), 1))
    # To samples of other blocks: how far new ground like that of the training lies from it.
    nearest = np.empty(len(places))
    for start in range(0, len(places), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = _distances(places[rows], core.astype(np.float64))
        distances[index[rows, None] == index[chosen][None]] = np.inf
        nearest[rows] = distances.min(axis=1)
    threshold = _upper_whisker(nearest[np.isfinite(nearest)])
    return FittedApplicability(
        applicability=Applicability(space, core, threshold),
        mean_distance=mean_distance,
        threshold_index=threshold / mean_distance,
        samples=len(places),
        blocks=len(names),
    )


def outside(dissimilarity: FloatArray) -> BoolArray:
    """True for ground that is unlike that of the training."""
    return np.asarray(dissimilarity > 1, np.bool_)


def _upper_whisker(values: Float64Array) -> float:
    """The largest value that is no outlier of a box plot."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(values[values <= upper + _WHISKER * (upper - lower)].max())


def _core_set(places: Float64Array, size: int, rng: np.random.Generator) -> Int64Array:
    """Indices of a core set: each next sample is the one that lies farthest from those chosen."""
    chosen = [int(rng.integers(len(places)))]
    nearest = np.square(places - places[chosen[0]]).sum(axis=1)
    while len(chosen) < min(size, len(places)):
        chosen.append(int(nearest.argmax()))
        np.minimum(nearest, np.square(places - places[chosen[-1]]).sum(axis=1), out=nearest)
    return np.array(chosen, np.int64)


def _distances(first: Float64Array, second: Float64Array) -> Float64Array:
    """(N, M) distances of all pairs."""
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)[None]
    return np.asarray(np.sqrt(np.maximum(squares - 2 * first @ second.T, 0)), np.float64)
