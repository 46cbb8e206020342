"""How much each class counts in the loss, from its share of the train split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.arraytypes import Float64Array
from ...core.classes import ClassSet

LARGEST_RATIO = 10.0
"""Largest ratio of two class weights. Beyond it, a few mislabelled pixels of a rare class would steer the
training."""


def class_weights(kind: str, classes: ClassSet, shares: Mapping[int, float]) -> tuple[float, ...] | None:
    """The weights of the classes, with mean 1 over the pixels (or chips) of the train split.

    Args:
        kind: "none"; "inverse": 1 / share; "sqrt_inverse": 1 / sqrt(share), half way to equal weights;
            "effective": 1 / (1 - exp(-share)), the effective number of samples of Cui et al. (2019,
            equation 2) with beta = 1 - 1/N for N pixels in all.
        classes: In channel order.
        shares: Of the train split, by class id; they need not sum to 1.

    Returns:
        (K,) weights, 1 for a class without train pixels; None for "none" or where no class has any.
    """
    if kind == "none":
        return None
    share = np.array([shares.get(class_id, 0.0) for class_id in classes.ids], np.float64)
    present = share > 0
    if not present.any():
        return None
    known = share[present] / share[present].sum()
    known = np.maximum(known, np.finfo(np.float32).tiny)
    raw = _raw_weights(kind, known)
    raw = np.minimum(raw, LARGEST_RATIO * raw.min())
    weights = np.ones(len(share))
    weights[present] = raw / float((raw * known).sum())
    return tuple(float(round(weight, 6)) for weight in weights)


def _raw_weights(kind: str, share: Float64Array) -> Float64Array:
    if kind == "inverse":
        return 1 / share
    if kind == "effective":
        return -1 / np.expm1(-share)
    return 1 / np.sqrt(share)
