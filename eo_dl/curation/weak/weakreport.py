"""The report on weak labels: coverage, conflict and accuracy of each function and of all together, from vote
patterns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.arraytypes import BoolArray
from ...core.classes import ClassSet
from ...core.htmlcard import grid_table
from .labelmodel import LabelModel
from .votes import ABSTAINS, Patterns

Truth = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VoteReport:
    """One function, or all together."""

    name: str
    """Name of the function; "together" for all."""

    classes: tuple[str, ...]
    """The classes that it votes for."""

    coverage: float
    """Share of the measured pixels on which it votes."""

    overlap: float
    """Share on which another one votes, too."""

    conflict: float
    """Share on which another one votes for another class."""

    accuracy: float
    """Accuracy estimated from agreement; NaN if it cannot be estimated."""

    hand_px: int
    """Number of hand-labelled pixels on which it votes."""

    hand_accuracy: float
    """Share of its votes on these that are right; NaN without any."""


@dataclass(frozen=True)
class WeakLabels:
    """Weak labels as written, and how they came about."""

    paths: tuple[Path, ...]
    """For each scene a raster of probabilities: uint8, in 1/254; 255: all functions abstain."""

    classes: ClassSet
    """The classes, one band each."""

    functions: tuple[VoteReport, ...]
    """The functions."""

    together: VoteReport
    """The likeliest class of all functions, as if it were a function."""

    class_shares: dict[str, float]
    """Mean probability of each class over the covered pixels."""

    notes: tuple[str, ...]
    """What is worth a look."""

    @property
    def header(self) -> tuple[str, ...]:
        """Column names of `rows`."""
        return ("function", "votes for", "coverage", "overlap", "conflict", "accuracy", "by hand", "hand px")

    @property
    def rows(self) -> tuple[tuple[object, ...], ...]:
        """One row per function, and one for all together."""
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
    """A report on each function, and one on all together as the last.

    Args:
        names: Names of the functions.
        classes: The classes that are voted for.
        patterns: The votes.
        model: What they mean.
        truth: (P, K) pixels of each pattern that are labelled by hand, per class.
    """
    several_vote = patterns.voters >= 2
    reports = []
    for index, name in enumerate(names):
        votes = patterns.votes[:, index]
        others_differ = (patterns.votes != votes[:, None]).any(1, where=patterns.votes != ABSTAINS)
        reports.append(
            _report(
                name,
                votes,
                patterns,
                classes,
                overlap=several_vote,
                conflict=patterns.conflict & others_differ,
                accuracy=float(model.accuracies[index]),
                truth=truth,
            )
        )
    likeliest = np.where(patterns.voters > 0, model.probabilities.argmax(1) + 1, ABSTAINS)
    together = _report(
        "together",
        likeliest,
        patterns,
        classes,
        overlap=several_vote,
        conflict=patterns.conflict,
        accuracy=float("nan"),
        truth=truth,
    )
    return (*reports, together)


def _report(
    name: str,
    votes: npt.NDArray[np.integer],
    patterns: Patterns,
    classes: ClassSet,
    *,
    overlap: BoolArray,
    conflict: BoolArray,
    accuracy: float,
    truth: Truth,
) -> VoteReport:
    """The report on one function by its votes (P,)."""
    total = max(int(patterns.pixels.sum()), 1)
    voted = votes != ABSTAINS
    hand_px = int(truth[voted].sum())
    right_px = int(truth[np.flatnonzero(voted), votes[voted].astype(np.int64) - 1].sum())
    return VoteReport(
        name=name,
        classes=tuple(classes.names[vote - 1] for vote in np.unique(votes[voted]).tolist()),
        coverage=float(patterns.pixels[voted].sum() / total),
        overlap=float(patterns.pixels[voted & overlap].sum() / total),
        conflict=float(patterns.pixels[voted & conflict].sum() / total),
        accuracy=accuracy,
        hand_px=hand_px,
        hand_accuracy=right_px / hand_px if hand_px else float("nan"),
    )
