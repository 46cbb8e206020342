"""From votes to probabilities: by counting, or by weighting each function by the accuracy estimated from its
agreement with the others.

The model of agreement (Dawid & Skene 1979, with one accuracy per function as in Ratner et al. 2016): a pixel
has one true class; a function that votes names it with its accuracy a, and each other class with (1 - a) / (K
- 1); whether it votes carries no information. Accuracies and classes are found in turn (expectation
  maximization).
Functions that are copies of each other look more accurate than they are: use only one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .votes import ABSTAINS, Patterns

Floats = npt.NDArray[np.float64]

_ROUNDS = 500
_STILL = 1e-7
_SUREST = 0.995


@dataclass(frozen=True)
class Prior:
    """What is assumed before any vote is seen."""

    shares: Floats
    """(K,) shares of the classes."""

    accuracy: float
    """Accuracy of each function."""

    trust: float
    """Weight of that accuracy, in pixels per hundred with two votes."""


@dataclass(frozen=True)
class LabelModel:
    """What votes mean."""

    probabilities: Floats
    """(P, K) of each pattern, 0 if all abstain."""

    accuracies: Floats
    """(M,) of the functions, NaN if it cannot be estimated."""


def majority(patterns: Patterns, classes: int) -> LabelModel:
    """The share of the votes that each class has."""
    votes_per_class = [(patterns.votes == index + 1).sum(1) for index in range(classes)]
    counts = np.stack(votes_per_class, axis=1).astype(np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return LabelModel(shares, np.full(patterns.votes.shape[1], np.nan))


def by_agreement(patterns: Patterns, classes: int, prior: Prior) -> LabelModel:
    """Probabilities under the model of agreement; accuracies come from pixels on which at least two functions
    vote.
    """
    functions = patterns.votes.shape[1]
    right = patterns.votes[:, :, None] == np.arange(1, classes + 1, dtype=np.uint8)
    voted = patterns.votes != ABSTAINS
    met = np.where(patterns.voters >= 2, patterns.pixels, 0).astype(np.float64)
    together = (met[:, None] * voted).sum(0)
    believed = prior.trust / 100 * met.sum()
    accuracies = np.full(functions, prior.accuracy)
    probabilities = _posterior(accuracies, right, voted, prior.shares)
    for _ in range(_ROUNDS):
        agreed = np.einsum("p,pmk,pk->m", met, right, probabilities)
        newer = np.where(
            together > 0,
            (agreed + believed * prior.accuracy) / np.maximum(together + believed, 1e-9),
            prior.accuracy,
        )
        newer = np.clip(newer, 1 / classes, _SUREST)
        moved = float(np.abs(newer - accuracies).max(initial=0))
        accuracies = newer
        probabilities = _posterior(accuracies, right, voted, prior.shares)
        if moved < _STILL:
            break
    return LabelModel(
        probabilities * (patterns.voters > 0)[:, None], np.where(together > 0, accuracies, np.nan)
    )


def _posterior(
    accuracies: Floats, right: npt.NDArray[np.bool_], voted: npt.NDArray[np.bool_], shares: Floats
) -> Floats:
    """(P, K) probability of each class given the votes."""
    others = max(right.shape[2] - 1, 1)
    hit, miss = np.log(accuracies)[:, None], np.log((1 - accuracies) / others)[:, None]
    logs = (np.where(right, hit, miss) * voted[:, :, None]).sum(1) + np.log(shares)
    powers = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float64)
