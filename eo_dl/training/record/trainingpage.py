"""The report of a training as one HTML page: scores beside the baselines, curves, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ...core.htmlpage import html_figure, html_row, html_table, note_list, page_head
from ...modelcard import (
    CALIBRATION_HEADER,
    COVERAGE_HEADER,
    applicability_text,
    calibration_rows,
    calibration_text,
    coverage_rows,
    sets_text,
)
from ...scores.score import score_title
from ...scores.scorecards import score_cards
from .results import SplitScores, TrainingResult

_MEANING = (
    "Scores on ground that the model was not trained on. On the validation split (val) the best epoch was "
    "chosen; the test split (test) was only looked at once, at the end. In brackets: the 95 % interval."
)

_CALIBRATION_MEANING = (
    "The calibration error is the mean difference between a probability and how often it came true: with "
    "0.05, of 100 pixels said to be 80 % likely about 75 or 85 are right. The calibration was fitted to the "
    "validation blocks (val), so the test blocks (test) are the honest judges of it."
)


def training_page(result: TrainingResult, pictures: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        result: The finished training.
        pictures: PNGs by caption, in their order on the page.
    """
    name = str(result.model.path.name) if result.model.path is not None else "model"
    sections = [
        page_head(name),
        f"<h1>{escape(name)}</h1>",
        f"<p class='what'>{_MEANING}</p>",
        _cards(result),
        _baselines(result),
        *(html_figure(caption, picture) for caption, picture in pictures.items()),
        _calibration(result),
        _applicability(result),
        _overall(result),
        *(_classes(scores) for scores in result.scores[-1:]),
        note_list(result.notes),
        f"<footer>Everything about this run is in <code>{escape(str(result.folder))}</code>.</footer>",
        "</body></html>",
    ]
    return "\n".join(section for section in sections if section)


def _cards(result: TrainingResult) -> str:
    """The score by which the best epoch was chosen, one card per split, the last split first."""
    title = score_title(result.primary)
    splits = list(reversed(result.scores))
    names = [f"{title}, {scores.split}" for scores in splits]
    return score_cards([scores.overall(result.primary) for scores in splits], names)


def _baselines(result: TrainingResult) -> str:
    if not result.baselines:
        return ""
    of_split = {scores.split: scores for scores in result.scores}
    rows = []
    for baseline in result.baselines:
        model = of_split[baseline.split]
        cells = (
            baseline.name,
            baseline.split,
            baseline.overall(result.primary).text(),
            model.lead_over(baseline, result.primary).text(),
        )
        rows.append(html_row([escape(cell) for cell in cells]))
    header = ("", "split", escape(score_title(result.primary)), "this model is ahead by")
    return f"<h2>Simple baselines</h2>{html_table(header, rows)}"


def _calibration(result: TrainingResult) -> str:
    """What the probabilities mean, and how far off they were before."""
    calibration = result.model.spec.calibration
    if calibration is None:
        return ""
    rows = [html_row([escape(cell) for cell in row]) for row in calibration_rows(calibration)]
    table = html_table([escape(cell) for cell in CALIBRATION_HEADER], rows)
    text = f"{escape(calibration_text(calibration))} {_CALIBRATION_MEANING}"
    return f"<h2>Calibration</h2><p class='what'>{text}</p>{table}{_sets(result)}"


def _applicability(result: TrainingResult) -> str:
    applicability = result.model.spec.applicability
    if applicability is None:
        return ""
    text = escape(applicability_text(applicability))
    return f"<h2>Where the model may be used</h2><p class='what'>{text}</p>"


def _sets(result: TrainingResult) -> str:
    """How often sets of classes hold the true one."""
    sets = result.model.spec.prediction_sets
    if sets is None:
        return ""
    rows = [html_row([escape(cell) for cell in row]) for row in coverage_rows(sets)]
    table = html_table([escape(cell) for cell in COVERAGE_HEADER], rows)
    return f"<h2>Sets of classes</h2><p class='what'>{escape(sets_text(sets))}</p>{table}"


def _overall(result: TrainingResult) -> str:
    names = dict.fromkeys(
        score.name for scores in result.scores for score in scores.scores if score.class_name is None
    )
    rows = [
        html_row([escape(score_title(name)), *(escape(s.overall(name).text()) for s in result.scores)])
        for name in names
    ]
    header = ("over all classes", *(escape(scores.split) for scores in result.scores))
    return f"<h2>Scores</h2>{html_table(header, rows)}"


def _classes(scores: SplitScores) -> str:
    """One row per class, one column per score."""
    names = dict.fromkeys(score.name for score in scores.scores if score.class_name is not None)
    classes = dict.fromkeys(score.class_name for score in scores.scores if score.class_name is not None)
    if not classes:
        return ""
    rows = []
    for class_name in classes:
        found = [scores.of_class(name, class_name) for name in names]
        cells = ["" if score is None else escape(score.text()) for score in found]
        rows.append(html_row([escape(class_name), *cells]))
    header = (f"class ({escape(scores.split)})", *(escape(score_title(name)) for name in names))
    return f"<h2>Classes</h2>{html_table(header, rows)}"
