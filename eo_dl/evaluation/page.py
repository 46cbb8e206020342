"""The report as one self-contained HTML page: no scripts, no external files, every text escaped."""

from __future__ import annotations

import json
from dataclasses import replace
from html import escape
from pathlib import Path

from ..core.htmlpage import html_figure, html_row, html_table, note_list, page_head
from ..io.atomic import atomic_folder, write_bytes
from ..io.discover import relative_path
from ..scores.score import Score, score_title
from ..scores.scorecards import interval_text, score_cards
from .report import Report

JSON_NAME, HTML_NAME = "report.json", "report.html"

_KINDS = {
    "pixels": "Class map, scored per pixel",
    "objects": "Objects, scored one by one",
    "chips": "Classes of whole chips or images",
    "values": "Map of values, scored per pixel",
}
_CAPTIONS = {
    "errors": "Map of errors",
    "classes": "Scores per class with 95 % intervals",
    "curves": "Precision-recall curves",
    "scatter": "Predicted against true numbers",
    "residuals": "Predicted minus true: red is too high, blue too low",
    "reliability": "Reliability: how often what is said to be likely comes true",
    "coverage": "Scores of the rest if the least certain ground is left to a person",
}
_COUNTS = {"truth": "true", "predicted": "predicted", "found": "found", "missed": "missed", "false": "false"}


def write_report(report: Report, out: str | Path, overwrite: bool = False) -> Report:
    """Write a report to a folder: report.json, report.html and the figures.

    Args:
        report: The report.
        out: The folder.
        overwrite: Replace an existing report.

    Returns:
        The report with its `path`, the HTML file.

    Raises:
        OutputExistsError: The folder exists and is not to be replaced, or holds no report.
        WriteError: The folder cannot be written.
    """
    written = replace(report, prediction=_beside(report.prediction, Path(out)))
    values = json.dumps(written.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, page(written).encode())
        for name, data in report.pictures.items():
            write_bytes(folder / f"{name}.png", data)
    return replace(report, path=Path(out) / HTML_NAME)


def _beside(prediction: str, folder: Path) -> str:
    """The path of a prediction as a report in `folder` states it: relative to that folder if both lie in the
    same one, with which they are moved together.
    """
    relative = relative_path(prediction, folder)
    return relative if relative.startswith("../") and not relative.startswith("../../") else prediction


def page(report: Report) -> str:
    """The report as one HTML page, figures included."""
    title = f"{Path(report.prediction).name} against {Path(report.truth).name}"
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{_KINDS[report.kind]}. {_settings(report)}</p>",
        score_cards(report.headline),
        _interval_note(report),
        f"<h2>{'Values' if report.kind == 'values' else 'Classes'}</h2>{_class_table(report)}",
        _range_table(report),
        _matrix(report),
        *(_figure(name, data) for name, data in report.pictures.items()),
        note_list(report.notes),
        _footer(report),
    ]
    return "\n".join(section for section in sections if section)


def _footer(report: Report) -> str:
    return (
        f"<footer>Prediction <code>{escape(report.prediction)}</code>, truth "
        f"<code>{escape(report.truth)}</code>. The same numbers are in <code>{JSON_NAME}</code>.</footer>"
        "</body></html>"
    )


def _settings(report: Report) -> str:
    texts = [f"{escape(name.capitalize())}: {escape(value)}." for name, value in report.settings.items()]
    return " ".join(texts)


def _interval_note(report: Report) -> str:
    text = "No intervals: the scored area has too few blocks."
    if any(score.low is not None for score in report.headline):
        text = "95 % intervals: squares of the scene are resampled with replacement (block bootstrap)."
    return f"<p class='what'>{text}</p>"


def _class_table(report: Report) -> str:
    scores = {(score.class_name, score.name): score for score in report.of_classes()}
    score_names = list(dict.fromkeys(score.name for score in report.of_classes()))
    count_names = list(next(iter(report.counts.values()), {}))
    titles = [score_title(name) for name in score_names]
    titles += [_COUNTS.get(name, name) for name in count_names]
    rows = []
    for info in report.classes:
        if not score_names or (info.name, score_names[0]) not in scores:
            continue
        cells = [_score_cell(scores.get((info.name, name))) for name in score_names]
        cells += [_number(report.counts[info.name][name]) for name in count_names]
        dot = f"<span class='dot' style='background:{escape(info.color)}'></span>"
        rows.append(html_row([f"{dot}{escape(info.name)}", *cells]))
    return html_table([escape(title) for title in ("class", *titles)], rows)


def _range_table(report: Report) -> str:
    """The scores by range of a value; nothing where classes were scored."""
    of_ranges = [score for score in report.of_classes() if score.class_name not in report.classes.names]
    if not of_ranges:
        return ""
    names = list(dict.fromkeys(score.name for score in of_ranges))
    rows = []
    for title in dict.fromkeys(score.class_name for score in of_ranges):
        found = {score.name: score for score in of_ranges if score.class_name == title}
        cells = [_score_cell(found.get(name)) for name in names]
        count = next(iter(found.values())).count
        rows.append(html_row([escape(str(title)), *cells, _number(count)]))
    titles = ["range of the truth", *(score_title(name) for name in names), "pixels"]
    note = "<p class='what'>The quarters of the true numbers.</p>"
    return f"<h2>By range</h2>{note}" + html_table([escape(title) for title in titles], rows)


def _score_cell(score: Score | None) -> str:
    if score is None or not score.defined:
        return "–"
    interval = interval_text(score)
    return f"<span title='{interval}'>{score.value:.3f}</span>" if interval else f"{score.value:.3f}"


def _matrix(report: Report) -> str:
    """The confusion matrix, coloured by the share of the true class."""
    if report.confusion is None:
        return ""
    names = report.classes.names
    rows = []
    for row, (name, counts) in enumerate(zip(names, report.confusion.tolist(), strict=True)):
        total = max(sum(counts), 1)
        cells = [_matrix_cell(count, count / total, column == row) for column, count in enumerate(counts)]
        rows.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        "<h2>Confusion matrix</h2><p class='what'>Rows: truth. Columns: prediction. Per cell: share of the "
        f"true class, number of {report.kind}.</p>"
        + html_table(["", *(escape(name) for name in names)], rows, style="matrix")
    )


def _matrix_cell(count: int, share: float, correct: bool) -> str:
    red, green, blue = (0, 114, 178) if correct else (213, 94, 0)
    background = f"rgba({red},{green},{blue},{0.04 + 0.86 * share:.3f})"
    color = "#fff" if share > 0.6 else "#1f2430"
    text = f"{share:.1%}<small>{_number(count)}</small>"
    return f"<td style='background:{background};color:{color}'>{text}</td>"


def _figure(name: str, data: bytes) -> str:
    return html_figure(_CAPTIONS.get(name, name), data)


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "&#8239;")
