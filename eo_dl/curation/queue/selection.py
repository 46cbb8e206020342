"""Which candidates to take: the unsure ones, unlike each other, and not all from one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """`order` (N,): the candidates taken, best first; `novelty` (N,): how far each was, when taken, from all
    that was taken or known before, 0 to 1; `score` (N,): its value then, 0 to 1, never more than that of one
    taken before.
    """

    order: npt.NDArray[np.int64]
    novelty: Floats
    score: Floats


def choose(
    uncertainty: Floats,
    features: npt.NDArray[np.float32],
    places: npt.NDArray[np.int64],
    known: npt.NDArray[np.float32],
    count: int,
    diversity: float,
) -> Choice:
    """Greedily the candidate of the largest `u ** (1 - diversity) * d ** diversity / (1 + n)`.

    u: its rank by `uncertainty` (N,), 1 for the largest. d: its distance in `features` (N, D) to the nearest
    one taken before or `known` (M, D), in shares of the largest such distance at first (greedy k-center;
    Sener & Savarese 2018). n: how many were taken from its place (`places` (N,)). Ties go to the first.
    """
    scaled = _standardised(np.concatenate([features, known]))
    own, old = scaled[: len(features)], scaled[len(features) :]
    rank = _ranks(uncertainty)
    distance = np.full(len(own), np.inf)
    for centre in old:
        distance = np.minimum(distance, _distances(own, centre))
    taken = np.zeros(len(own), np.bool_)
    met: dict[int, int] = {}
    order, novelty, scores = [], [], []
    largest = 0.0
    for _ in range(min(count, len(own))):
        # One yardstick for all steps: it does not touch the choice, and values of different steps can be
        # compared.
        largest = largest or float(distance[np.isfinite(distance)].max(initial=0.0))
        far = np.where(np.isfinite(distance), distance / largest if largest > 0 else 1.0, 1.0)
        crowd = np.array([met.get(int(place), 0) for place in places])
        value = rank ** (1 - diversity) * far**diversity / (1 + crowd)
        best = int(np.argmax(np.where(taken, -1.0, value)))
        order.append(best)
        novelty.append(float(far[best]))
        scores.append(float(value[best]))
        taken[best] = True
        met[int(places[best])] = met.get(int(places[best]), 0) + 1
        distance = np.minimum(distance, _distances(own, own[best]))
    return Choice(np.array(order, np.int64), np.array(novelty), np.array(scores))


def _ranks(values: Floats) -> Floats:
    """1 for the largest, 1/N for the smallest; equal values share the lower of their ranks."""
    return np.asarray(np.searchsorted(np.sort(values), values, side="left") + 1, np.float64) / max(
        len(values), 1
    )


def _standardised(features: npt.NDArray[np.float32]) -> Floats:
    """Each dimension with mean 0 and deviation 1; constant ones 0."""
    found = features.astype(np.float64)
    centred = found - found.mean(0, keepdims=True)
    deviation = np.asarray(found.std(0, keepdims=True), np.float64)
    return np.asarray(
        np.divide(centred, deviation, out=np.zeros_like(found), where=deviation > 1e-9), np.float64
    )


def _distances(points: Floats, centre: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(((points - centre) ** 2).sum(1), 0)), np.float64)
