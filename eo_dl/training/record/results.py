"""What a finished run returns: the model, its scores beside those of the baselines, and its folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from ...bundle import Bundle
from ...core.htmlcard import grid_table
from ...modelspec import ScoreSpec
from ...scores.intervals import Draws, lead
from ...scores.score import Score

Row = tuple[str, ...]

REPORT_NAME = "report.html"
"""Name of the report in the folder of a run."""


@dataclass(frozen=True)
class SplitScores:
    """The scores of one predictor on one split."""

    name: str
    """The predictor: "this model", a baseline, or the file name of a model."""
    split: str
    scores: tuple[Score, ...]
    """Over all classes and per class."""
    draws: Draws = field(default_factory=dict, repr=False, compare=False)
    """The overall scores in each resampling of the ground, by which two predictors are compared."""

    def overall(self, score: str) -> Score:
        """The score of that name over all classes; an undefined one (NaN) if there is none."""
        for candidate in self.scores:
            if candidate.name == score and candidate.class_name is None:
                return candidate
        return Score(score, math.nan, None, 0)

    def of_class(self, score: str, class_name: str | None) -> Score | None:
        """The score of that name and class (None: over all classes); None if there is none."""
        for candidate in self.scores:
            if (candidate.name, candidate.class_name) == (score, class_name):
                return candidate
        return None

    def lead_over(self, other: SplitScores, score: str) -> Score:
        """By how much this predictor is ahead of another on the same chips.

        Args:
            other: The scores of the other predictor on the same split.
            score: Name of a score over all classes.

        Returns:
            The difference with its 95 % interval.
        """
        return lead(self.overall(score), other.overall(score), self.draws, other.draws)

    def specs(self, names: Iterable[str] | None = None, prefix: str = "") -> tuple[ScoreSpec, ...]:
        """The scores as they are kept in a bundle, where an undefined value is None.

        Args:
            names: Only scores of these names (default: all).
            prefix: Put before each name.
        """
        wanted = {score.name for score in self.scores} if names is None else set(names)
        return tuple(_spec(score, self.split, prefix) for score in self.scores if score.name in wanted)


@dataclass(frozen=True)
class Summary:
    """A result for the command line."""

    values: dict[str, JsonValue]
    """For machines."""
    header: Row
    rows: tuple[Row, ...]
    """For people: a table."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished training."""

    model: Bundle
    """The model with the best weights."""
    folder: Path
    """`NAME.run/`: configuration, history, curves, pictures."""
    primary: str
    """Name of the score by which the best epoch was chosen."""
    scores: tuple[SplitScores, ...]
    """The model's scores, one item per split."""
    baselines: tuple[SplitScores, ...]
    """The scores of each baseline on each split."""
    history: tuple[dict[str, float], ...]
    """Losses and validation scores, one row per epoch."""
    notes: tuple[str, ...]
    """What was left out, converted or decided, one sentence each."""

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.folder / REPORT_NAME

    def summary(self) -> Summary:
        """The primary score beside those of the baselines, then all other scores."""
        splits = tuple(scores.split for scores in self.scores)
        rows = [
            (f"{self.primary}: this model", *(scores.overall(self.primary).text() for scores in self.scores))
        ]
        for name in dict.fromkeys(scores.name for scores in self.baselines):
            rows += self._baseline_rows(name, splits)
        rows += self._other_rows()
        return Summary(self._values(), ("score", *splits), tuple(rows))

    def _baseline_rows(self, name: str, splits: Sequence[str]) -> list[Row]:
        by_split = {scores.split: scores for scores in self.baselines if scores.name == name}
        reached, ahead = [], []
        for split in splits:
            baseline = by_split.get(split)
            reached.append("" if baseline is None else baseline.overall(self.primary).text())
            ahead.append("" if baseline is None else self._lead(baseline).text())
        return [(f"{self.primary}: {name}", *reached), ("  this model is ahead by", *ahead)]

    def _other_rows(self) -> list[Row]:
        rows: list[Row] = []
        listed = self.scores[0].scores if self.scores else ()
        for score in listed:
            if (score.name, score.class_name) == (self.primary, None):
                continue
            label = score.name if score.class_name is None else f"{score.name}: {score.class_name}"
            of_splits = [scores.of_class(score.name, score.class_name) for scores in self.scores]
            rows.append((label, *("" if score is None else score.text() for score in of_splits)))
        return rows

    def _lead(self, baseline: SplitScores) -> Score:
        of_model = next(scores for scores in self.scores if scores.split == baseline.split)
        return of_model.lead_over(baseline, self.primary)

    def _values(self) -> dict[str, JsonValue]:
        scores: dict[str, JsonValue] = {
            scores.split: [spec.model_dump(mode="json") for spec in scores.specs()] for scores in self.scores
        }
        baselines: list[JsonValue] = [
            {
                "name": baseline.name,
                "split": baseline.split,
                **_interval(baseline.overall(self.primary)),
                "lead": _interval(self._lead(baseline)),
            }
            for baseline in self.baselines
        ]
        return {
            "model": str(self.model.path),
            "run_folder": str(self.folder),
            "report": str(self.report),
            "primary": self.primary,
            "scores": scores,
            "baselines": baselines,
            "epochs": len(self.history),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        summary = self.summary()
        return grid_table(summary.header, summary.rows, title=str(self.model.path))


def _spec(score: Score, split: str, prefix: str) -> ScoreSpec:
    return ScoreSpec.model_validate(
        {
            "name": prefix + score.name,
            "value": _finite(score.value),
            "class_name": score.class_name,
            "count": score.count,
            "threshold": score.threshold,
            "low": _finite(score.low),
            "high": _finite(score.high),
            "split": split,
        }
    )


def _interval(score: Score) -> dict[str, JsonValue]:
    return {"value": _finite(score.value), "low": _finite(score.low), "high": _finite(score.high)}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
