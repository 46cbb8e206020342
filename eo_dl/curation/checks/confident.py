"""Confident learning: which labels a model doubts, without a threshold that somebody made up.

Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", section
3.1: the threshold of a class is the mean probability that the model gives it where it is the label; a sample
counts as the likeliest of the classes that reach their own threshold. Where that is not its label, the label
is suspect. One thing is asked beyond the paper: that the other class is also likelier than the label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


def class_thresholds(probabilities: FloatArray, labels: Index) -> FloatArray:
    """(K,) mean probability of each class over the samples (N, K) labelled so; infinite for classes that
    label nothing.
    """
    classes = probabilities.shape[1]
    return np.array(
        [probabilities[labels == k, k].mean() if (labels == k).any() else np.inf for k in range(classes)]
    )


def confident_classes(probabilities: FloatArray, thresholds: FloatArray) -> Index:
    """(N,) the likeliest of the classes that reach their threshold, -1 where none does."""
    reaching = np.where(probabilities >= thresholds, probabilities, -1.0)
    seen = reaching.argmax(axis=-1)
    return np.where(reaching.max(axis=-1) > 0, seen, -1).astype(np.int64)


def suspects(
    probabilities: FloatArray, labels: Index, thresholds: FloatArray | None = None
) -> tuple[Index, Index]:
    """Samples (N, K) whose label the model doubts, the surest first, and the class that it sees in place of
    it.

    `thresholds` (K,): where they are known from elsewhere; else `class_thresholds`.
    """
    limits = class_thresholds(probabilities, labels) if thresholds is None else thresholds
    rows = np.arange(len(labels))
    seen = confident_classes(probabilities, limits)
    margin = probabilities[rows, seen] - probabilities[rows, labels]
    doubted = np.flatnonzero((seen >= 0) & (seen != labels) & (margin > 0))
    order = doubted[np.argsort(-margin[doubted], kind="stable")]
    return order.astype(np.int64), seen[order]
