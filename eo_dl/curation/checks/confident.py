"""Confident learning: which labels a model doubts, without a threshold to be chosen.

Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", section
3.1: the threshold of a class is the mean probability that the model gives it where it is the label; a sample
counts as the likeliest of the classes that reach their own threshold. If that is not its label, the label is
suspect. Beyond the paper, the other class must also be likelier than the label.
"""

from __future__ import annotations

import numpy as np

from ...core.arraytypes import Float64Array, Int64Array


def class_thresholds(probabilities: Float64Array, labels: Int64Array) -> Float64Array:
    """(K,) the mean probability of each class over the samples (N, K) labelled so; infinite for classes that
    no sample has.
    """
    return means_by_class(probabilities[np.arange(len(labels)), labels], labels, probabilities.shape[1])


def means_by_class(values: Float64Array, labels: Int64Array, class_count: int) -> Float64Array:
    """(K,) the mean of the values (N,) of each class; infinite for classes that no value has."""
    means = np.full(class_count, np.inf)
    for channel in range(class_count):
        of_class = labels == channel
        if of_class.any():
            means[channel] = values[of_class].mean()
    return means


def confident_classes(probabilities: Float64Array, thresholds: Float64Array) -> Int64Array:
    """(N,) the likeliest of the classes that reach their threshold; -1 if none does."""
    reaching = np.where(probabilities >= thresholds, probabilities, -1.0)
    return np.where(reaching.max(axis=-1) > 0, reaching.argmax(axis=-1), -1).astype(np.int64)


def suspects(
    probabilities: Float64Array, labels: Int64Array, thresholds: Float64Array | None = None
) -> tuple[Int64Array, Int64Array]:
    """The samples whose label the model doubts, the most certain doubts first.

    Args:
        probabilities: (N, K) of the model.
        labels: (N,) the class of each sample.
        thresholds: (K,) if they are known from elsewhere (default: `class_thresholds`).

    Returns:
        Indices of the samples (M,), and the class that the model sees instead (M,).
    """
    if thresholds is None:
        thresholds = class_thresholds(probabilities, labels)
    rows = np.arange(len(labels))
    seen = confident_classes(probabilities, thresholds)
    lead = probabilities[rows, seen] - probabilities[rows, labels]
    doubted = np.flatnonzero((seen >= 0) & (seen != labels) & (lead > 0))
    doubted = doubted[np.argsort(-lead[doubted], kind="stable")]
    return doubted.astype(np.int64), seen[doubted]
