"""What weak labels came to: coverage, conflict and accuracy of each function and of all together, from vote
patterns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.classes import ClassSet
from ...core.htmlcard import grid_table
from .labelmodel import LabelModel
from .votes import ABSTAINS, Patterns

Truth = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VoteReport:
    """One function, or all together. Shares of the measured pixels: `coverage` (it votes), `overlap` (another
    one votes too), `conflict` (another one votes for another class). `accuracy`: as agreement tells (NaN:
    nothing does). `hand_accuracy`: share of its votes on `hand_px` hand-labelled pixels that are right (NaN
    without any).
    """

    name: str
    classes: tuple[str, ...]
    coverage: float
    overlap: float
    conflict: float
    accuracy: float
    hand_px: int
    hand_accuracy: float


@dataclass(frozen=True)
class WeakLabels:
    """Weak labels as written: a raster of probabilities (uint8, 1/254, 255 = all abstain) for each scene, and
    how they came about.

    `together`: the likeliest class of all functions, as a function of its own. `class_shares`: probability of
    each class over the covered pixels.
    """

    paths: tuple[Path, ...]
    classes: ClassSet
    functions: tuple[VoteReport, ...]
    together: VoteReport
    class_shares: dict[str, float]
    notes: tuple[str, ...]

    @property
    def header(self) -> tuple[str, ...]:
        """Column names of `rows`."""
        return ("function", "votes for", "coverage", "overlap", "conflict", "accuracy", "by hand", "hand px")

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        """A line for each function, and one for all together."""
        return tuple(_row(report) for report in (*self.functions, self.together))

    @property
    def values(self) -> dict[str, object]:
        """Everything as plain values; None where a number is not known."""
        return {
            "paths": [str(path) for path in self.paths],
            "classes": list(self.classes.names),
            "functions": [_plain(report) for report in self.functions],
            "together": _plain(self.together),
            "class_shares": self.class_shares,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return grid_table(self.header, self.rows, "weak labels")


def _row(report: VoteReport) -> tuple[object, ...]:
    shares = (f"{value:.1%}" for value in (report.coverage, report.overlap, report.conflict))
    sure = ("n/a" if np.isnan(value) else f"{value:.1%}" for value in (report.accuracy, report.hand_accuracy))
    return (report.name, ", ".join(report.classes), *shares, *sure, report.hand_px)


def _plain(report: VoteReport) -> dict[str, object]:
    return {
        key: None if isinstance(value, float) and np.isnan(value) else value
        for key, value in asdict(report).items()
    }


def vote_reports(
    names: Sequence[str], classes: ClassSet, patterns: Patterns, model: LabelModel, truth: Truth
) -> tuple[VoteReport, ...]:
    """Of each function, and of all together as the last. `truth` (P, K): of each pattern, its pixels that are
    of each class by hand.
    """
    total = max(int(patterns.pixels.sum()), 1)
    best = np.where(patterns.voters > 0, model.probabilities.argmax(1) + 1, ABSTAINS)
    several, conflict = patterns.voters >= 2, patterns.conflict

    def report(name: str, votes: npt.NDArray[np.integer], accuracy: float, alone: bool) -> VoteReport:
        voted = votes != ABSTAINS
        against = (
            conflict
            if alone
            else conflict & (patterns.votes != votes[:, None]).any(1, where=patterns.votes != ABSTAINS)
        )
        px = int(truth[voted].sum())
        right = int(truth[np.flatnonzero(voted), votes[voted].astype(np.int64) - 1].sum())
        coverage, overlap, conflicting = (
            float(patterns.pixels[voted & where].sum() / total) for where in (np.True_, several, against)
        )
        said = tuple(classes.names[place - 1] for place in np.unique(votes[voted]))
        return VoteReport(
            name, said, coverage, overlap, conflicting, accuracy, px, right / px if px else float("nan")
        )

    found = [
        report(name, patterns.votes[:, place], float(model.accuracies[place]), False)
        for place, name in enumerate(names)
    ]
    return (*found, report("together", best, float("nan"), True))
