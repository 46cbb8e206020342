"""Which candidates to queue: uncertain ones, unlike one another, and spread over the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arraytypes import Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class Selection:
    """The candidates selected, best first."""

    order: Int64Array
    """(N,) indices of the candidates."""

    novelty: Float64Array
    """(N,) the distance of each, when it was selected, from all that were selected or known before, 0 to
    1.
    """

    score: Float64Array
    """(N,) the value of each when it was selected, 0 to 1; never higher than that of the one before."""


def select(
    uncertainty: Float64Array,
    features: Float32Array,
    known: Float32Array,
    neighbourhood: Int64Array,
    *,
    count: int,
    diversity: float,
) -> Selection:
    """Select greedily the candidate with the largest `u ** (1 - diversity) * d ** diversity / (1 + n)`.

    u is the rank of a candidate by uncertainty, 1 for the highest. d is its distance in feature space to the
    nearest candidate selected before or known, as a share of the largest such distance at the start (greedy
    k-center; Sener & Savarese 2018). n is the number of candidates already selected in its neighbourhood.
    Among equal values the first candidate wins.

    Args:
        uncertainty: (N,) of the candidates.
        features: (N, D) of the candidates.
        known: (M, D) features of what is labelled already.
        neighbourhood: (N,) a number for the ground around each candidate.
        count: How many to select; fewer if there are fewer candidates.
        diversity: 0: uncertainty alone counts; 1: difference alone counts.
    """
    standardized = _standardized(np.concatenate([features, known]))
    points, known_points = standardized[: len(features)], standardized[len(features) :]
    rank = _ranks(uncertainty)
    distance = np.full(len(points), np.inf)
    for centre in known_points:
        distance = np.minimum(distance, _distances(points, centre))

    selected = np.zeros(len(points), np.bool_)
    count_around = np.zeros(int(neighbourhood.max(initial=-1)) + 1, np.int64)
    order, novelty, scores = [], [], []
    largest = 0.0
    for _ in range(min(count, len(points))):
        # One yardstick for all steps: it does not change the choice, and scores of different steps compare.
        largest = largest or float(distance[np.isfinite(distance)].max(initial=0.0))
        relative = np.ones(len(points))
        if largest > 0:
            relative = np.where(np.isfinite(distance), distance / largest, 1.0)
        value = rank ** (1 - diversity) * relative**diversity / (1 + count_around[neighbourhood])
        best = int(np.argmax(np.where(selected, -1.0, value)))
        order.append(best)
        novelty.append(float(relative[best]))
        scores.append(float(value[best]))
        selected[best] = True
        count_around[neighbourhood[best]] += 1
        distance = np.minimum(distance, _distances(points, points[best]))
    return Selection(np.array(order, np.int64), np.array(novelty), np.array(scores))


def _ranks(values: Float64Array) -> Float64Array:
    """1 for the largest, 1/N for the smallest; equal values share the lower of their ranks."""
    below_or_equal = np.searchsorted(np.sort(values), values, side="left") + 1
    return np.asarray(below_or_equal / max(len(values), 1), np.float64)


def _standardized(features: Float32Array) -> Float64Array:
    """Each dimension with mean 0 and standard deviation 1; 0 if it is constant."""
    values = features.astype(np.float64)
    centred = values - values.mean(0, keepdims=True)
    deviation = np.asarray(values.std(0, keepdims=True), np.float64)
    standardized = np.divide(centred, deviation, out=np.zeros_like(values), where=deviation > 1e-9)
    return np.asarray(standardized, np.float64)


def _distances(points: Float64Array, centre: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(np.maximum(((points - centre) ** 2).sum(1), 0)), np.float64)
