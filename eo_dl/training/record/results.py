"""What a run leaves: the model, its scores beside the baselines', and its folder."""

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


@dataclass(frozen=True)
class SplitScores:
    """The scores that one predictor (`name`) reaches on one split.

    `draws`: its overall scores in each resampling of the ground, by which two predictors are compared
    (`lead_over`).
    """

    name: str
    split: str
    scores: tuple[Score, ...]
    draws: Draws = field(default_factory=dict, repr=False, compare=False)

    def overall(self, score: str) -> Score:
        """The score of that name over all classes; a NaN one where there is none."""
        return next(
            (s for s in self.scores if s.name == score and s.class_name is None),
            Score(score, math.nan, None, 0),
        )

    def lead_over(self, other: SplitScores, score: str) -> Score:
        """By how much this predictor is above another one on the same chips, with the interval of the
        difference.
        """
        return lead(self.overall(score), other.overall(score), self.draws, other.draws)

    def specs(self, names: Iterable[str] | None = None, prefix: str = "") -> tuple[ScoreSpec, ...]:
        """As they are kept in the bundle (NaN becomes None); `names`: only these."""
        wanted = None if names is None else set(names)
        return tuple(
            _spec(score, self.split, prefix)
            for score in self.scores
            if wanted is None or score.name in wanted
        )


@dataclass(frozen=True)
class Summary:
    """For the command line: `values` for machines, a table for people."""

    values: dict[str, JsonValue]
    header: Row
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training. `scores` and `baselines`: each predictor on each split; `history`: one row an
    epoch; `notes`: what a person should know.
    """

    model: Bundle
    folder: Path
    primary: str
    scores: tuple[SplitScores, ...]
    baselines: tuple[SplitScores, ...]
    history: tuple[dict[str, float], ...]
    notes: tuple[str, ...]

    def summary(self) -> Summary:
        """The primary score beside those of the baselines, then the other scores."""
        splits = tuple(found.split for found in self.scores)
        rows = [
            (f"{self.primary}: this model", *(found.overall(self.primary).text() for found in self.scores))
        ]
        for name in dict.fromkeys(found.name for found in self.baselines):
            own = {
                found.split: found.overall(self.primary).text()
                for found in self.baselines
                if found.name == name
            }
            rows.append((f"{self.primary}: {name}", *(own.get(split, "") for split in splits)))
            ahead = {found.split: self._lead(found).text() for found in self.baselines if found.name == name}
            rows.append(("  this model is ahead by", *(ahead.get(split, "") for split in splits)))
        rows += _other_rows(self.scores, self.primary)
        return Summary(self._values(), ("score", *splits), tuple(rows))

    def _lead(self, baseline: SplitScores) -> Score:
        own = next(found for found in self.scores if found.split == baseline.split)
        return own.lead_over(baseline, self.primary)

    def _values(self) -> dict[str, JsonValue]:
        return {
            "model": str(self.model.path),
            "run_folder": str(self.folder),
            "primary": self.primary,
            "scores": {
                found.split: [spec.model_dump(mode="json") for spec in found.specs()] for found in self.scores
            },
            "baselines": [
                {
                    "name": found.name,
                    "split": found.split,
                    **_interval(found.overall(self.primary)),
                    "lead": _interval(self._lead(found)),
                }
                for found in self.baselines
            ],
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
            "value": _known(score.value),
            "class_name": score.class_name,
            "count": score.count,
            "threshold": score.threshold,
            "low": _known(score.low),
            "high": _known(score.high),
            "split": split,
        }
    )


def _interval(score: Score) -> dict[str, JsonValue]:
    return {"value": _known(score.value), "low": _known(score.low), "high": _known(score.high)}


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _other_rows(scores: Sequence[SplitScores], primary: str) -> list[Row]:
    rows: list[Row] = []
    if not scores:
        return rows
    for score in scores[0].scores:
        if (score.name, score.class_name) == (primary, None):
            continue
        label = score.name if score.class_name is None else f"{score.name}: {score.class_name}"
        same = [
            next(
                (s.text() for s in found.scores if (s.name, s.class_name) == (score.name, score.class_name)),
                "",
            )
            for found in scores
        ]
        rows.append((label, *same))
    return rows
