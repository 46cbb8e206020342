"""The report as one self-contained HTML page: no scripts, no external files, every text escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from ..core.htmlcard import inline_png
from ..io.atomic import atomic_folder, write_bytes
from ..scores.score import Score, score_title
from .report import Report

JSON_NAME, HTML_NAME = "report.json", "report.html"

_CSS = """
body {
  font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
  color:#1f2430;
  background:#fbfbf9;
  max-width:1020px;
  margin:2.5em auto;
  padding:0 1.2em;
}
h1 { font-size:1.7em; margin:0 0 .1em }
h2 { font-size:1.15em; margin:2.2em 0 .6em }
p.what { color:#5a6270; margin:.1em 0 1.6em }
code { font-size:.92em; background:#efefe9; padding:.1em .3em; border-radius:3px }
.cards { display:flex; flex-wrap:wrap; gap:.9em }
.card {
  background:#fff;
  border:1px solid #e4e3dc;
  border-radius:8px;
  padding:.8em 1.1em;
  min-width:9.5em;
}
.card b { display:block; font-size:1.75em; line-height:1.2 }
.card .name { color:#5a6270; font-size:.86em }
.card .interval { color:#5a6270; font-size:.82em }
.card:first-child { border-color:#0072b2; box-shadow:inset 0 3px 0 #0072b2 }
table { border-collapse:collapse; font-size:.93em }
th,td { padding:.34em .8em; text-align:right; border-bottom:1px solid #e4e3dc }
th:first-child,td:first-child { text-align:left }
thead th { color:#5a6270; font-weight:600 }
.scroll { overflow-x:auto }
.matrix td,.matrix th { text-align:center; border:1px solid #fff; min-width:4.2em }
.matrix th:first-child { text-align:right; font-weight:500; border:0 }
.matrix small { display:block; opacity:.75; font-size:.78em }
.dot {
  display:inline-block;
  width:.8em;
  height:.8em;
  border-radius:2px;
  margin-right:.5em;
  border:1px solid #0003;
  vertical-align:-.05em;
}
img { max-width:100%; border:1px solid #e4e3dc; border-radius:6px; background:#fff }
ul { padding-left:1.2em }
footer { color:#5a6270; font-size:.85em; margin:3em 0 1em }
"""

_KINDS = {
    "pixels": "Class map, scored per pixel",
    "objects": "Objects, scored one by one",
    "chips": "Classes of whole chips or images",
}
_CAPTIONS = {
    "errors": "Map of errors",
    "classes": "Scores per class with 95 % intervals",
    "curves": "Precision-recall curves",
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
    values = json.dumps(report.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, page(report).encode())
        for name, data in report.pictures.items():
            write_bytes(folder / f"{name}.png", data)
    return replace(report, path=Path(out) / HTML_NAME)


def page(report: Report) -> str:
    """The report as one HTML page, figures included."""
    title = f"{Path(report.prediction).name} against {Path(report.truth).name}"
    sections = [
        _head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{_KINDS[report.kind]}. {_settings(report)}</p>",
        _cards(report.headline),
        _interval_note(report),
        f"<h2>Classes</h2>{_class_table(report)}",
        _matrix(report),
        *(_figure(name, data) for name, data in report.pictures.items()),
        _notes(report.notes),
        _footer(report),
    ]
    return "\n".join(section for section in sections if section)


def _head(title: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>"
    )


def _footer(report: Report) -> str:
    return (
        f"<footer>Prediction <code>{escape(report.prediction)}</code>, truth "
        f"<code>{escape(report.truth)}</code>. The same numbers are in <code>{JSON_NAME}</code>.</footer>"
        "</body></html>"
    )


def _settings(report: Report) -> str:
    texts = [f"{escape(name.capitalize())}: {escape(value)}." for name, value in report.settings.items()]
    return " ".join(texts)


def _cards(scores: Sequence[Score]) -> str:
    return "<div class='cards'>" + "".join(_card(score) for score in scores) + "</div>"


def _card(score: Score) -> str:
    name = score_title(score.name)
    if score.threshold is not None and not score.name.startswith("ap"):
        name += f" at IoU {score.threshold:g}"
    value = f"{score.value:.3f}" if score.defined else "n/a"
    interval = _interval(score) or "&nbsp;"
    return (
        f"<div class='card'><span class='name'>{escape(name)}</span><b>{value}</b>"
        f"<span class='interval'>{interval}</span></div>"
    )


def _interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return ""
    return f"95 %: {score.low:.3f} to {score.high:.3f}"


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
        rows.append(_row([f"{dot}{escape(info.name)}", *cells]))
    return _table([escape(title) for title in ("class", *titles)], rows)


def _score_cell(score: Score | None) -> str:
    if score is None or not score.defined:
        return "–"
    interval = _interval(score)
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
        + _table(["", *(escape(name) for name in names)], rows, style="matrix")
    )


def _matrix_cell(count: int, share: float, correct: bool) -> str:
    red, green, blue = (0, 114, 178) if correct else (213, 94, 0)
    background = f"rgba({red},{green},{blue},{0.04 + 0.86 * share:.3f})"
    color = "#fff" if share > 0.6 else "#1f2430"
    text = f"{share:.1%}<small>{_number(count)}</small>"
    return f"<td style='background:{background};color:{color}'>{text}</td>"


def _table(header: Sequence[str], rows: Sequence[str], style: str = "") -> str:
    """A table of escaped texts; `rows` are whole `<tr>` elements."""
    cells = "".join(f"<th>{title}</th>" for title in header)
    head = f"<thead><tr>{cells}</tr></thead>"
    attribute = f" class='{style}'" if style else ""
    return f"<div class='scroll'><table{attribute}>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _figure(name: str, data: bytes) -> str:
    caption = escape(_CAPTIONS.get(name, name))
    return f"<h2>{caption}</h2><img alt='{caption}' src='{inline_png(data)}'>"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Notes</h2><ul>{items}</ul>"


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "&#8239;")
