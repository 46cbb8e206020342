"""Accuracy and area from a probability sample, with standard errors.

All numbers are estimated in the form of Stehman (2014), Estimating area and map accuracy for stratified
random sampling when the strata are different from the map classes, International Journal of Remote Sensing
35(13): shares of the area are means of indicators over the strata, user's and producer's accuracies are
ratios of two such means. Where the strata are the classes of the map these are the estimators of Olofsson et
al. (2013, 2014), to the digit.

Units of different ground area (pixels of a grid in degrees, chips cut off at the edge) count with their area.
Within a stratum a share is then the ratio of two sums over the sample, and its variance that of the residuals
weighted with the area (Cochran 1977, section 6.3 and equation 6.45). With equal areas nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.arraytypes import BoolArray, Float64Array, Int64Array

Z_95 = 1.96
"""Half a 95 % interval in standard errors, as in the publications."""

_NEGLIGIBLE_FRACTION = 0.05
"""A stratum of which a smaller share was sampled counts as endless (Cochran 1977, section 2.6), as it does in
Olofsson et al. (2013, 2014)."""


@dataclass(frozen=True)
class Estimate:
    """An estimated number with its standard error."""

    value: float
    """NaN where the sample says nothing, e.g. the user's accuracy of a class that no unit was mapped as."""
    standard_error: float
    """NaN where it is not known: a stratum with a single answer has no spread."""

    @property
    def half_width(self) -> float:
        """Half the 95 % interval."""
        return Z_95 * self.standard_error

    def times(self, factor: float) -> Estimate:
        """The same in another unit, e.g. a share as an area."""
        return Estimate(self.value * factor, self.standard_error * abs(factor))

    def values(self) -> dict[str, float | None]:
        """JSON-ready: value, standard error and 95 % interval; null where not known."""
        numbers = {
            "value": self.value,
            "standard_error": self.standard_error,
            "low": self.value - self.half_width,
            "high": self.value + self.half_width,
        }
        return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


@dataclass(frozen=True)
class SampledUnits:
    """Answered units of a sample, and the strata that they were drawn from."""

    stratum: Int64Array
    """(N,) index of the stratum of each unit."""
    area: Float64Array
    """(N,) ground area of each unit, in the unit of `stratum_area`."""
    stratum_area: Float64Array
    """(H,) ground area of each stratum; their sum is the area that is estimated."""
    stratum_units: Int64Array
    """(H,) number of units that each stratum has."""

    @property
    def answered(self) -> Int64Array:
        """(H,) number of units of the sample in each stratum."""
        return np.bincount(self.stratum, minlength=len(self.stratum_area)).astype(np.int64)

    def mean(self, values: Float64Array) -> float:
        """The mean of a value over the area.

        Args:
            values: (N,) the value of each unit; 0 and 1 give a share of the area.
        """
        means = self._stratum_means(values)
        return float((self.stratum_area * means).sum() / self.stratum_area.sum())

    def estimate(self, values: Float64Array) -> Estimate:
        """The mean of a value over the area, with its standard error (Stehman 2014, equations 3 and 25)."""
        residuals = values - self._stratum_means(values)[self.stratum]
        total = float(self.stratum_area.sum())
        return Estimate(self.mean(values), math.sqrt(self._variance(residuals)) / total)

    def ratio(self, above: Float64Array, below: Float64Array) -> Estimate:
        """The ratio of two means, with its standard error (Stehman 2014, equations 27 and 28).

        Args:
            above: (N,) the value of each unit above the line.
            below: (N,) the value below it.
        """
        denominator = self.mean(below)
        if not denominator > 0:
            return Estimate(math.nan, math.nan)
        value = self.mean(above) / denominator
        above_residuals = above - self._stratum_means(above)[self.stratum]
        below_residuals = below - self._stratum_means(below)[self.stratum]
        variance = self._variance(above_residuals - value * below_residuals)
        total = denominator * float(self.stratum_area.sum())
        return Estimate(value, math.sqrt(variance) / total)

    def _stratum_means(self, values: Float64Array) -> Float64Array:
        """(H,) mean of each stratum, weighted with the areas; 0 in strata without answers."""
        count = len(self.stratum_area)
        sums = np.bincount(self.stratum, self.area * values, minlength=count)
        areas = np.bincount(self.stratum, self.area, minlength=count)
        return np.divide(sums, areas, out=np.zeros(count), where=areas > 0)

    def _variance(self, residuals: Float64Array) -> float:
        """Variance of an estimated total, from the residuals (N,) around the mean of each stratum.

        NaN if a stratum has one answer, and is not known completely by it.
        """
        count, answered = len(self.stratum_area), self.answered
        areas = np.bincount(self.stratum, self.area, minlength=count)
        mean_area = np.divide(areas, answered, out=np.ones(count), where=answered > 0)
        weighted = residuals * self.area / mean_area[self.stratum]
        squares = np.bincount(self.stratum, weighted**2, minlength=count)
        fraction = answered / self.stratum_units
        unsampled = np.where(fraction < _NEGLIGIBLE_FRACTION, 1.0, 1 - fraction)
        variance = 0.0
        for stratum in np.flatnonzero((answered > 0) & (unsampled > 0)).tolist():
            size = int(answered[stratum])
            if size < 2:
                return math.nan
            spread = squares[stratum] / (size - 1)
            variance += float(self.stratum_area[stratum] ** 2 * unsampled[stratum] * spread / size)
        return variance


@dataclass(frozen=True)
class AccuracyEstimates:
    """What a sample says about a class map; classes in one order throughout."""

    shares: Float64Array
    """(K, K) error matrix in shares of the area [mapped, reference]."""
    counts: Int64Array
    """(K, K) number of units of the sample [mapped, reference]."""
    overall: Estimate
    """Overall accuracy."""
    users: tuple[Estimate, ...]
    """User's accuracy of each class: what is mapped as the class and is."""
    producers: tuple[Estimate, ...]
    """Producer's accuracy of each class: what is the class and is mapped so."""
    area_shares: tuple[Estimate, ...]
    """Share of the area that each class truly has."""


def estimate_accuracy(
    units: SampledUnits, mapped: Int64Array, reference: Int64Array, classes: int
) -> AccuracyEstimates:
    """Accuracies and areas of a class map.

    Args:
        units: The units and their strata.
        mapped: (N,) index of the class that the map shows at each unit.
        reference: (N,) index of the class that the interpreter saw.
        classes: Number of classes.
    """
    correct = _indicator(mapped == reference)
    shares = np.zeros((classes, classes))
    counts = np.zeros((classes, classes), np.int64)
    for row, column in {*zip(mapped.tolist(), reference.tolist(), strict=True)}:
        cell = (mapped == row) & (reference == column)
        shares[row, column] = units.mean(_indicator(cell))
        counts[row, column] = int(cell.sum())
    users, producers, area_shares = [], [], []
    for index in range(classes):
        is_mapped, is_true = _indicator(mapped == index), _indicator(reference == index)
        users.append(units.ratio(correct * is_mapped, is_mapped))
        producers.append(units.ratio(correct * is_true, is_true))
        area_shares.append(units.estimate(is_true))
    return AccuracyEstimates(
        shares=shares,
        counts=counts,
        overall=units.estimate(correct),
        users=tuple(users),
        producers=tuple(producers),
        area_shares=tuple(area_shares),
    )


def _indicator(condition: BoolArray) -> Float64Array:
    return condition.astype(np.float64)


@dataclass(frozen=True)
class InterpreterAgreement:
    """How far two interpreters agree on the units that both answered."""

    units: int
    """Number of these units."""
    raw: float
    """Share of them with the same answer; NaN without any."""
    kappa: float
    """Cohen's kappa (1960): agreement beyond chance, 1 at most; NaN where chance alone would agree."""


def agreement(first: Int64Array, second: Int64Array, answers: int) -> InterpreterAgreement:
    """InterpreterAgreement of two interpreters.

    Args:
        first: (N,) index of the answer of the first interpreter.
        second: (N,) index of the answer of the second one.
        answers: Number of possible answers.
    """
    if not len(first):
        return InterpreterAgreement(0, math.nan, math.nan)
    table = np.bincount(first * answers + second, minlength=answers**2).reshape(answers, answers)
    shares = table / len(first)
    raw = float(np.trace(shares))
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    kappa = (raw - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan
    return InterpreterAgreement(len(first), raw, kappa)
