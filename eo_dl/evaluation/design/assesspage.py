"""The report of an assessment as one self-contained HTML page, its JSON, and its picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ...core.htmlpage import html_figure, html_row, html_table, note_list, page_head
from ...core.plotting import figure_png, new_figure
from ...io.atomic import atomic_folder, write_bytes
from ...scores.designestimates import Estimate
from .assessment import AreaUnit, Assessment, area_text, number_text, share_text

JSON_NAME, HTML_NAME = "assessment.json", "assessment.html"

_METHODS = {
    "stratified": "Stratified random sample",
    "simple": "Simple random sample",
    "systematic": "Systematic sample with a random start",
}
_USERS_COLOR, _PRODUCERS_COLOR = "#0072b2", "#d55e00"


def write_assessment(result: Assessment, out: str | Path, overwrite: bool = False) -> Assessment:
    """Write an assessment to a folder: assessment.json, assessment.html and the picture.

    Args:
        result: The assessment.
        out: The folder.
        overwrite: Replace an existing assessment.

    Returns:
        The assessment with its `path`, the HTML file.

    Raises:
        OutputExistsError: The folder exists and is not to be replaced, or holds no assessment.
        WriteError: The folder cannot be written.
    """
    values = json.dumps(result.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, assessment_page(result).encode())
        for name, data in result.pictures.items():
            write_bytes(folder / f"{name}.png", data)
    return replace(result, path=Path(out) / HTML_NAME)


def assessment_page(result: Assessment) -> str:
    """The assessment as one HTML page, picture included."""
    title = f"Accuracy of {Path(result.map).name}"
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{escape(_what(result))}</p>",
        _cards(result),
        "<p class='what'>± is half of the 95 % interval, from the sampling design.</p>",
        _section("Areas and accuracies", result.table()),
        _matrix(result),
        *(html_figure("Areas and accuracies with 95 % intervals", data) for data in result.pictures.values()),
        _section("The sample", result.progress_table()),
        note_list(result.notes),
        _footer(result),
    ]
    return "\n".join(section for section in sections if section)


def _footer(result: Assessment) -> str:
    return (
        f"<footer>Sample <code>{escape(str(result.sample))}</code>, map <code>{escape(result.map)}</code>, "
        f"seed {result.design.seed}. The same numbers are in <code>{JSON_NAME}</code>.</footer>"
        "</body></html>"
    )


def _what(result: Assessment) -> str:
    drawn = sum(one.drawn for one in result.progress)
    unit = "pixels" if result.design.unit_px == 1 else f"chips of {result.design.unit_px} px"
    return f"{_METHODS[result.design.method]} of {drawn} {unit}, {result.answered} with an answer."


def _cards(result: Assessment) -> str:
    cards = []
    if result.estimates is not None:
        cards.append(("overall accuracy", share_text(result.estimates.overall)))
    if result.number is not None:
        cards.append(("objects", area_text(result.number)))
        cards.append(("objects on the map", number_text(float(result.design.objects or 0))))
    if result.agreement.units:
        cards.append(("two interpreters agree", f"{result.agreement.raw:.1%}"))
        if np.isfinite(result.agreement.kappa):
            cards.append(("kappa", f"{result.agreement.kappa:.2f}"))
    parts = [
        f"<div class='card'><span class='name'>{escape(name)}</span><b>{escape(text)}</b></div>"
        for name, text in cards
    ]
    return f"<div class='cards'>{''.join(parts)}</div>" if parts else ""


def _section(title: str, table: Sequence[Sequence[str]]) -> str:
    if not table:
        return ""
    header, *rows = table
    body = [html_row([escape(cell) for cell in row]) for row in rows]
    return f"<h2>{escape(title)}</h2>" + html_table([escape(name) for name in header], body)


def _matrix(result: Assessment) -> str:
    if result.estimates is None:
        return ""
    return _section("Error matrix in shares of the area (rows: map, columns: reference)", result.matrix())


def areas_figure(result: Assessment) -> bytes:
    """Areas on the map and adjusted, and the accuracies of each class, with their 95 % intervals."""
    names = result.classes.names
    figure = new_figure(10.5, 1.5 + 0.5 * len(names), dpi=110, layout="constrained")
    areas_axis, accuracy_axis = figure.subplots(1, 2)
    unit = AreaUnit.of(result.design)
    places = np.arange(len(names))
    for index, area in enumerate(result.areas):
        color = result.classes.classes[index].color
        areas_axis.barh(
            index, area.value / unit.size, color=color, edgecolor="#555555", linewidth=0.6, height=0.6
        )
        _whisker(areas_axis, index, area.times(1 / unit.size), "#1f2430")
    if result.mapped_areas:
        mapped = np.array(result.mapped_areas) / unit.size
        areas_axis.plot(
            mapped, places, "|", color="#1f2430", markersize=16, markeredgewidth=2.2, label="on the map"
        )
        areas_axis.legend(fontsize=8.5, frameon=False)
    areas_axis.set_xlabel(f"area, {unit.name}", fontsize=9)
    areas_axis.set_xlim(left=0)
    estimates = result.estimates
    if estimates is not None:
        _dots(accuracy_axis, estimates.users, -0.12, _USERS_COLOR, "user's accuracy")
        _dots(accuracy_axis, estimates.producers, 0.12, _PRODUCERS_COLOR, "producer's accuracy")
        accuracy_axis.legend(fontsize=8.5, frameon=False, loc="lower left")
    accuracy_axis.set_xlim(0, 1.02)
    accuracy_axis.set_xlabel("accuracy", fontsize=9)
    for axis in (areas_axis, accuracy_axis):
        axis.set_yticks(places, list(names), fontsize=9, parse_math=False)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    return figure_png(figure)


def _dots(axis: Axes, estimates: Sequence[Estimate], shift: float, color: str, label: str) -> None:
    for index, estimate in enumerate(estimates):
        if not np.isfinite(estimate.value):
            continue
        named = label if index == 0 else None
        axis.plot(estimate.value, index + shift, "o", color=color, markersize=5, label=named)
        _whisker(axis, index + shift, estimate, color)


def _whisker(axis: Axes, place: float, estimate: Estimate, color: str) -> None:
    if np.isfinite(estimate.half_width):
        ends = [estimate.value - estimate.half_width, estimate.value + estimate.half_width]
        axis.plot(ends, [place, place], color=color, linewidth=1.5, solid_capstyle="butt")
