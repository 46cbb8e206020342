"""`Report`: how good a prediction is, where, and how sure that is; as values, JSON, HTML and a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..core.arraytypes import Int64Array
from ..core.classes import ClassSet
from ..core.htmlcard import grid_table
from ..scores.score import Score, find_score
from ..version import __version__

SCHEMA = "eo_dl report"
SCHEMA_VERSION = 1

_HEADLINES = {
    "pixels": ("mean_iou", "mean_f1", "overall_accuracy"),
    "objects": ("corloc", "mean_box_iou", "accuracy", "ap50", "f1", "precision", "recall", "ap50_95"),
    "chips": ("mean_f1", "overall_accuracy", "mean_ap"),
}
_OF_CLASS = {
    "pixels": ("iou", "f1", "precision", "recall"),
    "objects": ("corloc", "mean_box_iou", "precision", "recall", "f1", "ap50", "ap50_95"),
    "chips": ("f1", "precision", "recall", "ap"),
}


@dataclass(frozen=True)
class Report:
    """The outcome of `evaluate`.

    `kind`: "pixels" (class maps), "objects" or "chips" (chips or images as a whole). `scores`: overall
    (`class_name` None), then of each class. `counts`: per class name, what stands behind them. `confusion`
    (K, K) pixels or chips [truth, predicted] in the order of `classes`. `settings`: what was asked for.
    `notes`: what was left out or decided, counted. `pictures`: PNG files by name. `path`: the HTML file,
    where one was written.
    """

    kind: Literal["pixels", "objects", "chips"]
    scores: tuple[Score, ...]
    classes: ClassSet
    counts: dict[str, dict[str, int]]
    prediction: str
    truth: str
    settings: dict[str, str]
    notes: tuple[str, ...] = ()
    confusion: Int64Array | None = field(default=None, repr=False)
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    path: Path | None = None

    @property
    def headline(self) -> tuple[Score, ...]:
        """The overall scores, most important first."""
        known = {score.name: score for score in self.scores if score.class_name is None}
        return tuple(known[name] for name in _HEADLINES[self.kind] if name in known)

    def score(self, name: str, class_name: str | None = None) -> Score:
        """One score. Raises `KeyError` naming what there is."""
        return find_score(self.scores, name, class_name)

    def table(self) -> list[tuple[str, ...]]:
        """For people: a header row, then one row a score."""
        rows: list[tuple[str, ...]] = [("score", "class", "value", "95 %", "count")]
        for score in (*self.headline, *self.of_classes()):
            interval = (
                "" if score.low is None or score.high is None else f"{score.low:.3f} to {score.high:.3f}"
            )
            value = f"{score.value:.3f}" if score.defined else "not defined"
            rows.append(
                (
                    _title(score),
                    score.class_name or "all",
                    value,
                    interval,
                    f"{score.count:,}".replace(",", " "),
                )
            )
        return rows

    def of_classes(self) -> tuple[Score, ...]:
        """The scores of single classes, class by class."""
        order = {name: place for place, name in enumerate(_OF_CLASS[self.kind])}
        place = {info.name: number for number, info in enumerate(self.classes)}
        found = [score for score in self.scores if score.class_name is not None and score.name in order]
        return tuple(
            sorted(found, key=lambda score: (place.get(score.class_name or "", 0), order[score.name]))
        )

    def values(self) -> dict[str, object]:
        """For machines: JSON-ready values; what is not defined is null."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "eo_dl": __version__,
            "kind": self.kind,
            "prediction": self.prediction,
            "truth": self.truth,
            "settings": dict(self.settings),
            "classes": [{"id": info.id, "name": info.name, "color": info.color} for info in self.classes],
            "scores": [_score_values(score) for score in self.scores],
            "counts": self.counts,
            "confusion": None
            if self.confusion is None
            else {"rows": "truth", "columns": "prediction", self.kind: self.confusion.tolist()},
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return grid_table(header, rows, f"{Path(self.prediction).name} against {Path(self.truth).name}")


def _title(score: Score) -> str:
    return (
        score.name
        if score.threshold is None or score.name == "ap50"
        else f"{score.name} (IoU {score.threshold:g})"
    )


def _score_values(score: Score) -> dict[str, object]:
    return {
        "name": score.name,
        "class": score.class_name,
        "value": None if math.isnan(score.value) else score.value,
        "low": score.low,
        "high": score.high,
        "count": score.count,
        "iou": score.threshold,
    }
