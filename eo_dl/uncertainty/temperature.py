"""Temperature scaling: one number that makes the probabilities of a network mean shares.

A network that is trained until its loss is small is more certain than it is right. Its logits are divided by
a temperature T, fitted on ground that the network was not trained on (Guo et al. 2017, "On calibration of
modern neural networks"). T > 1 makes probabilities less extreme. The order of the classes of a pixel stays as
it is, so no label of a class map changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arraytypes import BoolArray, Float32Array, FloatArray, IntArray

LEAST, MOST = 0.5, 20.0
"""The temperature lies between these. A few pixels that are all right would ask for one near 0."""

_STEPS = 30
"""Halvings of the interval of log T: 9 digits."""

UNCHANGED = (1.0,)
"""The temperature of a network that is not calibrated."""


def fit_temperature(logits: FloatArray, truth: IntArray) -> float:
    """The temperature with the least negative log-likelihood (Guo et al. 2017, section 4.2).

    The negative log-likelihood is convex in 1/T, so its slope has one zero, which is found by bisection.

    Args:
        logits: (N, K) of held-out pixels or chips.
        truth: (N,) true channels.

    Returns:
        T, from `LEAST` to `MOST`.

    Raises:
        ValueError: There are no samples.
    """
    if not len(logits):
        raise ValueError("expected logits of at least one pixel or chip, found none")
    # Logits are used as differences from the true one: then the slope is the mean of these under the softmax.
    values = np.asarray(logits, np.float32)
    ahead = values - values[np.arange(len(values)), truth][:, None]
    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _slope(ahead, np.float32(np.exp(-middle))) > 0:
            low = middle  # probabilities are too extreme: a larger T fits better
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def fit_temperatures(logits: FloatArray, truth: BoolArray) -> tuple[float, ...]:
    """One temperature per class, where a chip may have several classes (sigmoids).

    Args:
        logits: (N, K).
        truth: (N, K) True where the chip has the class.

    Returns:
        (K) temperatures.
    """
    # A sigmoid is the softmax over 0 and the logit.
    pairs = [np.stack([np.zeros_like(column), column], axis=1) for column in logits.T]
    return tuple(
        fit_temperature(pair, has.astype(np.int64)) for pair, has in zip(pairs, truth.T, strict=True)
    )


def _slope(ahead: Float32Array, inverse: np.float32) -> float:
    """The derivative by 1/T of the mean negative log-likelihood."""
    scaled = ahead * inverse
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    means = (powers * ahead).sum(axis=1) / powers.sum(axis=1)
    return float(means.mean(dtype=np.float64))


def tempered(logits: FloatArray, temperature: Sequence[float], axis: int = 0) -> FloatArray:
    """Logits divided by their temperature; the same array where that is 1.

    Args:
        logits: Classes along `axis`.
        temperature: One for all classes, or one per class.
        axis: The axis of the classes.
    """
    if tuple(temperature) == UNCHANGED:
        return logits
    factors = np.float32(1) / np.asarray(temperature, np.float32)
    shape = [1] * logits.ndim
    shape[axis] = len(factors)
    return np.asarray(logits * factors.reshape(shape))
