"""Sets of classes that hold the true one: fitted on validation blocks, measured on test blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ...core.arraytypes import Float64Array, Int64Array, ObjectArray
from ...core.classes import ClassSet
from ...modelspec import PredictionSetsSpec, ScoreSpec
from ...scores.setcoverage import SetCoverage
from ...uncertainty.predictionsets import ClassQuantiles, blocks_needed, covered_shares, in_sets
from ...uncertainty.temperature import tempered
from ..record.results import SplitScores
from .logitsample import LogitSample

FITTED_ON = "val"
COVERAGES = (0.8, 0.9, 0.95)
"""The coverages that a report states."""


def prediction_sets(
    samples: Mapping[str, LogitSample], temperature: tuple[float, ...], classes: ClassSet
) -> PredictionSetsSpec:
    """What is kept of the validation blocks, and what it is worth on each split.

    Args:
        samples: By split, that of `FITTED_ON` among them.
        temperature: What calibrates the probabilities.
        classes: Classes in channel order.
    """
    fitted = samples[FITTED_ON]
    probabilities = _probabilities(fitted, temperature)
    quantiles = []
    for channel in range(len(classes)):
        own = fitted.truth == channel
        quantiles.append(ClassQuantiles.of(probabilities[own, channel], fitted.places[own].tolist()))
    most = max(one.blocks for one in quantiles)
    specs: list[ScoreSpec] = []
    for coverage in COVERAGES:
        if blocks_needed(coverage) > most:
            continue
        thresholds = [one.threshold(coverage) for one in quantiles]
        for split, sample in samples.items():
            if len(sample):
                measured = _measured(_probabilities(sample, temperature), sample, thresholds, classes)
                scores = tuple(replace(score, threshold=coverage) for score in measured.scores())
                specs += SplitScores("", split, scores).specs()
    return PredictionSetsSpec(
        blocks=tuple(one.blocks for one in quantiles),
        least=tuple(one.least for one in quantiles),
        coverage=tuple(specs),
    )


def _probabilities(sample: LogitSample, temperature: tuple[float, ...]) -> Float64Array:
    """(N, K)."""
    logits = np.asarray(tempered(sample.logits, temperature, axis=1), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _measured(
    probabilities: Float64Array, sample: LogitSample, thresholds: list[float], classes: ClassSet
) -> SetCoverage:
    members = in_sets(probabilities.T, thresholds)
    coverage = SetCoverage(classes)
    for place, counts in covered_shares(members, sample.truth, sample.places.tolist(), len(classes)).items():
        coverage.add(counts, place)
    coverage.add_sizes(np.bincount(members.sum(axis=0), minlength=len(classes) + 1))
    return coverage


def by_place(places: ObjectArray) -> Iterator[tuple[str, Int64Array]]:
    """The indices of the samples of each block of ground."""
    names, inverse = np.unique(places.astype(str), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    edges = np.searchsorted(inverse[order], np.arange(len(names) + 1))
    for number, name in enumerate(names.tolist()):
        yield name, order[edges[number] : edges[number + 1]]
