"""`VersusReport`: scores of two maps side by side, as table, JSON, HTML and picture."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import numpy as np

from ...core.arraytypes import UInt8Array
from ...core.classes import ClassSet, rgb_of
from ...core.htmlcard import grid_table
from ...core.htmlpage import html_figure, html_row, html_table, note_list, page_head
from ...core.plotting import figure_png, new_figure
from ...io.atomic import atomic_folder, write_bytes
from ...scores.score import Score, score_title
from ...version import __version__
from ..comparison import MeasurementKind
from .contrast import DIFFERENCES, Contrast

SCHEMA, SCHEMA_VERSION = "eo_dl comparison", 1
JSON_NAME, HTML_NAME = "compare.json", "compare.html"

_HEADLINES = (
    "mean_iou",
    "mean_f1",
    "overall_accuracy",
    "ap50",
    "f1",
    "precision",
    "recall",
    "ap50_95",
    "mean_ap",
)
_SETTLED_COLOR, _OPEN_COLOR = "#0072b2", "#9e9e9e"


@dataclass(frozen=True)
class VersusReport:
    """The result of `compare`."""

    kind: MeasurementKind
    """What was scored: "pixels", "objects" or "chips"."""
    first: str
    """The first map or model."""
    second: str
    """The second map or model."""
    truth: str
    """Path of the reference."""
    classes: ClassSet
    """The classes that are scored."""
    contrasts: tuple[Contrast, ...]
    """Overall scores, then those of classes."""
    counts: dict[str, int]
    """How much both have right or wrong, and only one of them."""
    settings: dict[str, str]
    """What was asked for: IoU, AOI, chips."""
    notes: tuple[str, ...] = ()
    """What was decided, and how much was left out."""
    thumbnail: UInt8Array | None = field(default=None, repr=False, compare=False)
    """(h, w) a reduced map of where class maps differ."""
    path: Path | None = None
    """The HTML file, if the report was written."""

    @property
    def headline(self) -> tuple[Contrast, ...]:
        """The overall scores, most important first."""
        known = {one.name: one for one in self.contrasts if one.class_name is None}
        order = dict.fromkeys((*_HEADLINES, *known))
        return tuple(known[name] for name in order if name in known)

    def difference(self, name: str, class_name: str | None = None) -> Score:
        """By how much the second map is ahead in a score. Raises `KeyError` if there is no such score."""
        for one in self.contrasts:
            if (one.name, one.class_name) == (name, class_name):
                return one.difference
        raise KeyError(name if class_name is None else f"{name} of {class_name}")

    def table(self) -> list[tuple[str, ...]]:
        """The scores as texts: a header row, then one row per score."""
        rows: list[tuple[str, ...]] = [("score", "class", "first", "second", "second ahead by", "95 %")]
        for one in (*self.headline, *self.of_classes()):
            values = [f"{score.value:.3f}" if score.defined else "-" for score in (one.first, one.second)]
            ahead = f"{one.difference.value:+.3f}" if one.difference.defined else "-"
            rows.append(
                (
                    score_title(one.name),
                    one.class_name or "all",
                    *values,
                    ahead,
                    _interval_text(one.difference),
                )
            )
        return rows

    def of_classes(self) -> tuple[Contrast, ...]:
        """The scores of single classes."""
        return tuple(one for one in self.contrasts if one.class_name is not None)

    def verdict(self) -> str:
        """What the first score says, in one sentence."""
        if not self.headline:
            return "nothing to compare"
        one = self.headline[0]
        title, difference = score_title(one.name), one.difference
        if not difference.defined:
            return f"{title} is not defined"
        if difference.low is None:
            return (
                f"{title}: the second is ahead by {difference.value:+.3f}, on too few blocks for an interval"
            )
        if difference.low == 0 == difference.high:
            return f"{title}: there is no difference at all"
        if not one.settled:
            return (
                f"{title}: neither is ahead for sure ({difference.value:+.3f}, {_interval_text(difference)})"
            )
        ahead = "second" if difference.value > 0 else "first"
        return f"{title}: the {ahead} is ahead ({difference.value:+.3f}, {_interval_text(difference)})"

    def values(self) -> dict[str, object]:
        """The report as JSON-ready values; scores that are not defined are null."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "eo_dl": __version__,
            "kind": self.kind,
            "first": self.first,
            "second": self.second,
            "truth": self.truth,
            "verdict": self.verdict(),
            "settings": dict(self.settings),
            "scores": [_contrast_values(one) for one in (*self.headline, *self.of_classes())],
            "counts": dict(self.counts),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return grid_table(header, rows, f"{Path(self.first).name} and {Path(self.second).name}")


def _contrast_values(one: Contrast) -> dict[str, object]:
    return {
        "name": one.name,
        "class": one.class_name,
        "first": _numbers(one.first),
        "second": _numbers(one.second),
        "difference": _numbers(one.difference),
    }


def _numbers(score: Score) -> dict[str, float | None]:
    return {
        "value": None if math.isnan(score.value) else score.value,
        "low": score.low,
        "high": score.high,
    }


def _interval_text(score: Score) -> str:
    if score.low is None or score.high is None:
        return ""
    return f"{score.low:+.3f} to {score.high:+.3f}"


# The page


def write_versus(report: VersusReport, out: Path, made: Path, overwrite: bool) -> VersusReport:
    """Write a comparison to a folder: compare.json, compare.html, the pictures and the map of differences.

    Args:
        report: The comparison.
        out: The folder.
        made: Folder in which the map of differences and the predictions of models were made.
        overwrite: Replace an existing comparison.

    Returns:
        The report with its `path`.

    Raises:
        OutputExistsError: The folder exists and is not to be replaced, or holds no comparison.
        WriteError: The folder cannot be written.
    """
    pictures = _pictures(report)
    values = json.dumps(report.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, versus_page(report, pictures).encode())
        for name, data in pictures.items():
            write_bytes(folder / f"{name}.png", data)
        for path in sorted(made.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, folder / path.name)
    return replace(report, path=out / HTML_NAME)


def versus_page(report: VersusReport, pictures: dict[str, bytes]) -> str:
    """The comparison as one HTML page, pictures included."""
    title = f"{Path(report.first).name} (first) and {Path(report.second).name} (second)"
    settings = " ".join(f"{name.capitalize()}: {value}." for name, value in report.settings.items())
    header, *rows = report.table()
    body = [html_row([escape(cell) for cell in row]) for row in rows]
    counts = [
        html_row([escape(name), f"{count:,}".replace(",", " ")]) for name, count in report.counts.items()
    ]
    captions = {"differences": "Where they differ", "leads": "By how much the second is ahead"}
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>{escape(report.verdict())}. {escape(settings)}</p>",
        "<p class='what'>Differences are second minus first; their 95 % intervals are from blocks of ground "
        "resampled for both together (paired block bootstrap).</p>",
        html_table([escape(name) for name in header], body),
        *(html_figure(captions[name], data) for name, data in pictures.items()),
        f"<h2>Right and wrong</h2>{html_table(['', escape(report.kind)], counts)}",
        note_list(report.notes),
        f"<footer>Reference <code>{escape(report.truth)}</code>. The same numbers are in "
        f"<code>{JSON_NAME}</code>.</footer></body></html>",
    ]
    return "\n".join(section for section in sections if section)


def _pictures(report: VersusReport) -> dict[str, bytes]:
    pictures = {"leads": _leads_figure((*report.headline, *report.of_classes()))}
    if report.thumbnail is not None:
        pictures["differences"] = _difference_map(report.thumbnail)
    return pictures


def _difference_map(thumbnail: UInt8Array) -> bytes:
    from matplotlib.patches import Patch  # lazy, see core.plotting

    colors = np.full((256, 3), 255, np.uint8)
    for info in DIFFERENCES:
        colors[info.id] = rgb_of(info.color)
    height, width = thumbnail.shape
    figure = new_figure(8.6, min(11.0, 8.6 * height / width) + 0.9, dpi=110)
    axis = figure.add_axes((0.01, 0.12, 0.98, 0.87))
    axis.imshow(colors[thumbnail], interpolation="nearest")
    axis.set_axis_off()
    handles = [Patch(facecolor=info.color, edgecolor="#888888", label=info.name) for info in DIFFERENCES]
    figure.legend(handles=handles, loc="lower center", ncol=3, frameon=False, fontsize=8.5)
    return figure_png(figure)


def _leads_figure(contrasts: Sequence[Contrast]) -> bytes:
    """Each difference with its interval: blue where that does not hold 0."""
    shown = [one for one in contrasts if one.difference.defined][:24]
    figure = new_figure(7.4, 0.9 + 0.3 * max(1, len(shown)), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color="#1f2430", linewidth=0.8)
    names = []
    for place, one in enumerate(shown):
        color = _SETTLED_COLOR if one.settled else _OPEN_COLOR
        difference = one.difference
        axis.plot(difference.value, place, "o", color=color, markersize=5)
        if difference.low is not None and difference.high is not None:
            axis.plot([difference.low, difference.high], [place, place], color=color, linewidth=1.8)
        names.append(score_title(one.name) + (f", {one.class_name}" if one.class_name else ""))
    axis.set_yticks(range(len(shown)), names, fontsize=9, parse_math=False)
    axis.invert_yaxis()
    axis.set_xlabel("second minus first", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="#e4e3dc", linewidth=0.7)
    return figure_png(figure)
