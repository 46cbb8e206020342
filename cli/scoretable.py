"""The scores of a training as text: the headline beside the baselines, the rest, then each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eo_dl.scores.score import score_title

from .reporter import table

if TYPE_CHECKING:
    from eo_dl.training.record.results import SplitScores, TrainingResult

_LONGEST_LABEL = 34  # with two splits and their intervals a row then fits into 80 columns


def score_lines(result: TrainingResult) -> list[str]:
    """All scores of a training; no line is longer than 80 characters, unless classes are many."""
    lines = _headline(result)
    for block in (_other_scores(result), *(_per_class(scores) for scores in result.scores[-1:])):
        if block:
            lines += ["", *block]
    return [*lines, *_undefined_classes(result)]


def _headline(result: TrainingResult) -> list[str]:
    """The primary score of the model and of the baselines, per split."""
    splits = [scores.split for scores in result.scores]
    rows = [("this model", *(scores.overall(result.primary).text() for scores in result.scores))]
    for name in dict.fromkeys(scores.name for scores in result.baselines):
        of_split = {scores.split: scores for scores in result.baselines if scores.name == name}
        reached, ahead = [], []
        for scores in result.scores:
            baseline = of_split.get(scores.split)
            reached.append("" if baseline is None else baseline.overall(result.primary).text())
            ahead.append("" if baseline is None else scores.lead_over(baseline, result.primary).text())
        rows += [(_short(name), *reached), ("  this model is ahead by", *ahead)]
    return table(rows, (score_title(result.primary), *splits))


def _other_scores(result: TrainingResult) -> list[str]:
    """The other scores over all classes, per split."""
    names = [score.name for score in result.scores[0].scores if score.class_name is None]
    others = [name for name in dict.fromkeys(names) if name != result.primary]
    rows = [(_short(score_title(name)), *(s.overall(name).text() for s in result.scores)) for name in others]
    return table(rows, ("over all classes", *(s.split for s in result.scores))) if rows else []


def _per_class(scores: SplitScores) -> list[str]:
    """One row per class, one column per score, on one split."""
    of_class = {(score.class_name, score.name): score for score in scores.scores if score.class_name}
    classes = dict.fromkeys(class_name for class_name, _ in of_class)
    names = dict.fromkeys(name for _, name in of_class)
    rows = []
    for class_name in classes:
        cells = []
        for name in names:
            score = of_class.get((class_name, name))
            cells.append(f"{score.value:.3f}" if score is not None and score.defined else "-")
        rows.append((_short(str(class_name)), *cells))
    return table(rows, (f"per class, {scores.split}", *map(score_title, names))) if rows else []


def _undefined_classes(result: TrainingResult) -> list[str]:
    """Splits whose means leave out classes, because these do not occur there."""
    lines = []
    for scores in result.scores:
        absent = sorted(
            {str(s.class_name) for s in scores.scores if s.class_name and not s.defined and not s.count}
        )
        if absent:
            lines.append(f"{scores.split}: no {', '.join(absent)}, so means are over the other classes")
    return ["", *lines] if lines else []


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 3]}..."
