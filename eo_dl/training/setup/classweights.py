"""How much each class counts in the loss, from the pixel shares of the train split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.classes import ClassSet

LARGEST_RATIO = 10.0
"""The rarest class counts at most so many times the most frequent one: beyond, a few mislabelled pixels steer the training."""


def class_weights(kind: str, classes: ClassSet, shares: Mapping[int, float]) -> tuple[float, ...] | None:
    """(K,) weights with mean 1 over the pixels, or None for "none".

    `shares` by class id. "inverse": 1 / share; "sqrt_inverse": its square root, half way to equal weights;
    "effective": 1 / (1 - exp(-share)), the effective number of samples of Cui et al. (2019) with beta = 1 -
    1/N for N pixels in all. A class without train pixels gets 1.
    """
    if kind == "none":
        return None
    share = np.array([shares.get(class_id, 0.0) for class_id in classes.ids], np.float64)
    there = share > 0
    if not there.any():
        return None
    share[there] = np.maximum(share[there] / share[there].sum(), np.finfo(np.float32).tiny)
    weights = np.ones(len(share))
    weights[there] = {
        "inverse": lambda s: 1 / s,
        "sqrt_inverse": lambda s: 1 / np.sqrt(s),
        "effective": lambda s: -1 / np.expm1(-s),
    }[kind](share[there])
    weights[there] = np.minimum(weights[there], LARGEST_RATIO * weights[there].min())
    weights[there] /= float((weights[there] * share[there]).sum())
    return tuple(float(round(weight, 6)) for weight in weights)
