"""The scores of a training, as `eo-dl train` prints them."""

from __future__ import annotations

import math
from types import SimpleNamespace

from eo_dl.scores.score import Score, score_title
from eo_dl.training.record.results import SplitScores
from eo_dl_cli.scoretable import score_lines


def _split(name: str, split: str, mean: float, rail: float) -> SplitScores:
    scores = (
        Score("mean_iou", mean, None, 100, low=mean - 0.05, high=mean + 0.05),
        Score("overall_accuracy", mean + 0.1, None, 100),
        Score("iou", mean, "building", 80),
        Score("iou", rail, "rail", 0 if math.isnan(rail) else 20),
        Score("recall", mean, "building", 80),
        Score("recall", rail, "rail", 0 if math.isnan(rail) else 20),
    )
    return SplitScores(name, split, scores, {})


def _result() -> SimpleNamespace:
    return SimpleNamespace(
        primary="mean_iou",
        scores=(_split("this model", "val", 0.7, 0.6), _split("this model", "test", 0.65, math.nan)),
        baselines=(
            _split("logistic regression on the values of each pixel", "val", 0.3, 0.2),
            _split("logistic regression on the values of each pixel", "test", 0.25, math.nan),
        ),
    )


def test_no_line_wraps_on_a_terminal_of_80_columns() -> None:
    assert max(map(len, score_lines(_result()))) <= 80


def test_headline_then_other_scores_then_one_row_per_class() -> None:
    lines = score_lines(_result())
    assert lines[0].split() == ["mean", "IoU", "val", "test"]
    assert lines[2].split()[:3] == ["this", "model", "0.700"]
    assert [line.split()[0] for line in lines[3:5]] == ["logistic", "this"]
    assert any(line.startswith("overall accuracy") for line in lines)
    assert next(line for line in lines if line.startswith("per class, test")).split()[3:] == ["IoU", "recall"]
    assert next(line for line in lines if line.startswith("rail")).split() == ["rail", "-", "-"]


def test_a_mean_over_fewer_classes_is_reported() -> None:
    assert score_lines(_result())[-1] == "test: no rail, so means are over the other classes"


def test_scores_have_the_names_of_the_field() -> None:
    assert [score_title(name) for name in ("mean_iou", "ap50", "precision")] == [
        "mean IoU",
        "AP at IoU 0.5",
        "precision",
    ]
