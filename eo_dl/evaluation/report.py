"""`Report`: how good a prediction is, where, and with what confidence."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..core.arraytypes import Int64Array
from ..core.classes import ClassInfo, ClassSet
from ..core.htmlcard import grid_table
from ..scores.score import Score, find_score
from ..version import __version__
from .comparison import MeasurementKind

SCHEMA = "eo_dl report"
SCHEMA_VERSION = 1

_HEADLINES = {
    "pixels": ("mean_iou", "mean_f1", "overall_accuracy", "calibration_error", "set_coverage"),
    "objects": ("corloc", "mean_box_iou", "accuracy", "ap50", "f1", "precision", "recall", "ap50_95"),
    "chips": ("mean_f1", "overall_accuracy", "mean_ap", "calibration_error"),
    "values": ("r2", "rmse", "mae", "bias", "coverage"),
}
_OF_CLASS = {
    "pixels": ("iou", "f1", "precision", "recall", "calibration_error", "set_coverage"),
    "objects": ("corloc", "mean_box_iou", "precision", "recall", "f1", "ap50", "ap50_95"),
    "chips": ("f1", "precision", "recall", "ap", "calibration_error"),
    "values": ("r2", "rmse", "mae", "bias", "coverage", "interval_width"),
}


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`."""

    kind: MeasurementKind
    """What was scored: "pixels" of class maps, "objects", "chips" (or images) as a whole, or "values"."""
    scores: tuple[Score, ...]
    """Overall scores (`class_name` None), then those of each class."""
    classes: ClassSet
    """The classes that are scored."""
    counts: dict[str, dict[str, int]]
    """Per class name, the counts behind its scores."""
    prediction: str
    """Path of the prediction."""
    truth: str
    """Path of the truth."""
    settings: dict[str, str]
    """What was asked for: IoU, AOI, chips."""
    notes: tuple[str, ...] = ()
    """What was decided, and how much was left out."""
    confusion: Int64Array | None = field(default=None, repr=False)
    """(K, K) pixels or chips [truth, predicted], in the order of `classes`."""
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    """PNG files by name."""
    path: Path | None = None
    """The HTML file, if the report was written."""

    @property
    def headline(self) -> tuple[Score, ...]:
        """The overall scores, most important first."""
        known = {score.name: score for score in self.scores if score.class_name is None}
        return tuple(known[name] for name in _HEADLINES[self.kind] if name in known)

    def score(self, name: str, class_name: str | None = None) -> Score:
        """The score of a name (and class). Raises `KeyError` listing the known names."""
        return find_score(self.scores, name, class_name)

    def table(self) -> list[tuple[str, ...]]:
        """The scores as texts: a header row, then one row per score."""
        rows: list[tuple[str, ...]] = [("score", "class", "value", "95 %", "count")]
        for score in (*self.headline, *self.of_classes()):
            interval = ""
            if score.low is not None and score.high is not None:
                interval = f"{score.low:.3f} to {score.high:.3f}"
            value = f"{score.value:.3f}" if score.defined else "not defined"
            count = f"{score.count:,}".replace(",", " ")
            rows.append((_title(score), score.class_name or "all", value, interval, count))
        return rows

    def of_classes(self) -> tuple[Score, ...]:
        """The scores of single classes, class by class, most important first."""
        rank_of_score = {name: rank for rank, name in enumerate(_OF_CLASS[self.kind])}
        rank_of_class = {info.name: rank for rank, info in enumerate(self.classes)}
        for score in self.scores:
            if score.class_name is not None:  # a range of a value comes after the values
                rank_of_class.setdefault(score.class_name, len(rank_of_class))
        ranked = []
        for score in self.scores:
            if score.class_name is not None and score.name in rank_of_score:
                rank = rank_of_class[score.class_name], rank_of_score[score.name]
                ranked.append((rank, score))
        return tuple(score for _, score in sorted(ranked, key=lambda pair: pair[0]))

    def values(self) -> dict[str, object]:
        """The report as JSON-ready values; scores that are not defined are null."""
        confusion: dict[str, object] | None = None
        if self.confusion is not None:
            confusion = {"rows": "truth", "columns": "prediction", self.kind: self.confusion.tolist()}
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "eo_dl": __version__,
            "kind": self.kind,
            "prediction": self.prediction,
            "truth": self.truth,
            "settings": dict(self.settings),
            "classes": [_class_values(info) for info in self.classes],
            "scores": [_score_values(score) for score in self.scores],
            "counts": self.counts,
            "confusion": confusion,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return grid_table(header, rows, f"{Path(self.prediction).name} against {Path(self.truth).name}")


def _title(score: Score) -> str:
    if score.threshold is None or score.name == "ap50":
        return score.name
    return f"{score.name} (IoU {score.threshold:g})"


def _class_values(info: ClassInfo) -> dict[str, object]:
    values: dict[str, object] = {"id": info.id, "name": info.name, "color": info.color}
    return values if info.value is None else values | asdict(info.value)


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
