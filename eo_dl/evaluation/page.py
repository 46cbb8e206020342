"""The report as one self-contained HTML page: no script, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from ..io.atomic import atomic_folder, write_bytes
from ..scores.score import Score
from .report import Report

JSON_NAME, HTML_NAME = "report.json", "report.html"

_CSS = """
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:#1f2430;background:#fbfbf9;max-width:1020px;margin:2.5em auto;padding:0 1.2em}
h1{font-size:1.7em;margin:0 0 .1em}h2{font-size:1.15em;margin:2.2em 0 .6em}
p.what{color:#5a6270;margin:.1em 0 1.6em}code{font-size:.92em;background:#efefe9;padding:.1em .3em;border-radius:3px}
.cards{display:flex;flex-wrap:wrap;gap:.9em}.card{background:#fff;border:1px solid #e4e3dc;border-radius:8px;padding:.8em 1.1em;min-width:9.5em}
.card b{display:block;font-size:1.75em;line-height:1.2}.card .name{color:#5a6270;font-size:.86em}.card .sure{color:#5a6270;font-size:.82em}
.card:first-child{border-color:#0072b2;box-shadow:inset 0 3px 0 #0072b2}
table{border-collapse:collapse;font-size:.93em}th,td{padding:.34em .8em;text-align:right;border-bottom:1px solid #e4e3dc}
th:first-child,td:first-child{text-align:left}thead th{color:#5a6270;font-weight:600}
.scroll{overflow-x:auto}.matrix td,.matrix th{text-align:center;border:1px solid #fff;min-width:4.2em}.matrix th:first-child{text-align:right;font-weight:500;border:0}
.matrix small{display:block;opacity:.75;font-size:.78em}.dot{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.5em;border:1px solid #0003;vertical-align:-.05em}
img{max-width:100%;border:1px solid #e4e3dc;border-radius:6px;background:#fff}ul{padding-left:1.2em}footer{color:#5a6270;font-size:.85em;margin:3em 0 1em}
"""

_NAMES = {
    "mean_iou": "mean IoU",
    "mean_f1": "mean F1",
    "overall_accuracy": "overall accuracy",
    "iou": "IoU",
    "f1": "F1",
    "mean_ap": "mean AP",
    "ap": "AP",
    "corloc": "CorLoc, chip by chip",
    "mean_box_iou": "IoU of the chip's box",
    "accuracy": "right class or rightly none, chip by chip",
    "ap50": "AP at IoU 0.5",
    "ap50_95": "AP, IoU 0.5 to 0.95",
    "precision": "precision",
    "recall": "recall",
}
_KINDS = {
    "pixels": "Class map, pixel by pixel",
    "objects": "Objects, one by one",
    "chips": "Chips as a whole",
}
_CAPTIONS = {
    "errors": "Where it is right and where not",
    "classes": "Each class with its 95 % interval",
    "curves": "Precision and recall as the score threshold falls",
}
_COUNTS = {"truth": "true", "predicted": "predicted", "found": "found", "missed": "missed", "false": "false"}


def write_report(report: Report, out: str | Path, overwrite: bool = False) -> Report:
    """Write a report into a folder: report.json, report.html and the figures; gives the report with its
    `path`.

    Raises `OutputExistsError` where the folder holds something else, `WriteError` where it cannot be written.
    """
    values = json.dumps(report.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, page(report).encode())
        for name, data in report.pictures.items():
            write_bytes(folder / f"{name}.png", data)
    return replace(report, path=Path(out) / HTML_NAME)


def page(report: Report) -> str:
    """A report as one HTML page with everything in it, figures too."""
    title = f"{Path(report.prediction).name} against {Path(report.truth).name}"
    what = _KINDS[report.kind]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>",
        f"<h1>{escape(title)}</h1><p class='what'>{what}. {_asked(report)}</p>",
        "<div class='cards'>" + "".join(_card(score) for score in report.headline) + "</div>",
        _sureness(report),
        "<h2>Classes</h2>" + _class_table(report),
        _matrix(report),
        *(_figure(name, data) for name, data in report.pictures.items()),
        _notes(report.notes),
        f"<footer>Prediction <code>{escape(report.prediction)}</code>, truth <code>{escape(report.truth)}</code>. "
        "The same numbers are in <code>report.json</code>.</footer></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _asked(report: Report) -> str:
    return " ".join(
        f"{escape(name.capitalize())}: {escape(value)}." for name, value in report.settings.items()
    )


def _card(score: Score) -> str:
    value = f"{score.value:.3f}" if score.defined else "n/a"
    sure = (
        f"95 %: {score.low:.3f} to {score.high:.3f}"
        if score.low is not None and score.high is not None
        else "&nbsp;"
    )
    at = (
        f" at IoU {score.threshold:g}"
        if score.threshold is not None and not score.name.startswith("ap")
        else ""
    )
    return f"<div class='card'><span class='name'>{escape(_NAMES.get(score.name, score.name) + at)}</span><b>{value}</b><span class='sure'>{sure}</span></div>"


def _sureness(report: Report) -> str:
    if any(score.low is not None for score in report.headline):
        return "<p class='what'>Intervals: squares of ground are drawn again and again with replacement, and scored each time (block bootstrap).</p>"
    return "<p class='what'>Too few blocks of ground for intervals.</p>"


def _class_table(report: Report) -> str:
    names = list(dict.fromkeys(score.name for score in report.of_classes()))
    by_place = {(score.class_name, score.name): score for score in report.of_classes()}
    columns = list(next(iter(report.counts.values()), {}))
    head = "".join(f"<th>{escape(_NAMES.get(name, name))}</th>" for name in names) + "".join(
        f"<th>{escape(_COUNTS.get(name, name))}</th>" for name in columns
    )
    rows = []
    for info in report.classes:
        if (info.name, names[0] if names else "") not in by_place:
            continue
        cells = "".join(f"<td>{_cell(by_place.get((info.name, name)))}</td>" for name in names)
        counts = "".join(f"<td>{_number(report.counts[info.name][name])}</td>" for name in columns)
        rows.append(
            f"<tr><td><span class='dot' style='background:{escape(info.color)}'></span>{escape(info.name)}</td>{cells}{counts}</tr>"
        )
    return f"<div class='scroll'><table><thead><tr><th>class</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _cell(score: Score | None) -> str:
    if score is None or not score.defined:
        return "–"
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"<span title='95 %: {score.low:.3f} to {score.high:.3f}'>{score.value:.3f}</span>"


def _matrix(report: Report) -> str:
    """Confusion matrix, coloured by the share of each true class."""
    if report.confusion is None:
        return ""
    names = report.classes.names
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for name, counts in zip(names, report.confusion.tolist(), strict=True):
        total = sum(counts)
        cells = "".join(
            _matrix_cell(count, count / total if total else 0.0, names[column] == name)
            for column, count in enumerate(counts)
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return (
        "<h2>Confusion matrix</h2><p class='what'>Rows: truth. Columns: prediction. "
        f"Share of the true class, and {report.kind}.</p>"
        f"<div class='scroll'><table class='matrix'><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _matrix_cell(count: int, share: float, right: bool) -> str:
    red, green, blue = (0, 114, 178) if right else (213, 94, 0)
    dark = "#fff" if share > 0.6 else "#1f2430"
    return f"<td style='background:rgba({red},{green},{blue},{0.04 + 0.86 * share:.3f});color:{dark}'>{share:.1%}<small>{_number(count)}</small></td>"


def _figure(name: str, data: bytes) -> str:
    caption = _CAPTIONS.get(name, name)
    return f"<h2>{escape(caption)}</h2><img alt='{escape(caption)}' src='data:image/png;base64,{base64.b64encode(data).decode()}'>"


def _notes(notes: Sequence[str]) -> str:
    return (
        "<h2>What was left out or decided</h2><ul>"
        + "".join(f"<li>{escape(note)}</li>" for note in notes)
        + "</ul>"
        if notes
        else ""
    )


def _number(count: int) -> str:
    return f"{count:,}".replace(",", "&#8239;")
