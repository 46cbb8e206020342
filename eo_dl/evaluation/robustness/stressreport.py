"""`StressReport`: scores and agreement against the strength of alterations, as table, JSON and HTML."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np

from ...core.htmlcard import grid_table
from ...core.htmlpage import html_figure, html_row, html_table, note_list, page_head
from ...core.plotting import figure_png, new_figure
from ...io.atomic import atomic_folder, write_bytes
from ...scores.score import Score, score_title
from ...version import __version__

SCHEMA, SCHEMA_VERSION = "eo_dl stress", 1
JSON_NAME, HTML_NAME = "stress.json", "stress.html"

_SCORE_COLOR, _AGREEMENT_COLOR = "#0072b2", "#d55e00"
_COLUMNS = 3


@dataclass(frozen=True)
class StressRow:
    """A model on an altered piece of a scene."""

    kind: str
    """What was altered."""
    strength: float
    """How strongly, in the unit of the kind."""
    text: str
    """The strength in words."""
    score: Score
    """The score on the altered piece."""
    drop: Score
    """Altered minus unaltered, with its interval where there are enough blocks."""
    agreement: float
    """Share of the ground on which the model says the same as of the unaltered piece; NaN if not known."""


@dataclass(frozen=True)
class StressReport:
    """The result of `stress`."""

    model: str
    """Path of the model."""
    scene: str
    """Path of the scene."""
    truth: str
    """Path of the reference."""
    score_name: str
    """The score."""
    base: Score
    """The score on the unaltered piece."""
    piece: tuple[int, int, int, int]
    """The piece of the scene (col0, row0, col1, row1), pixels at the GSD of the model."""
    rows: tuple[StressRow, ...]
    """One per kind and strength."""
    notes: tuple[str, ...] = ()
    """What was chosen, and what was not tried."""
    path: Path | None = None
    """The HTML file, if the report was written."""

    def of_kind(self, kind: str) -> tuple[StressRow, ...]:
        """The rows of a kind, in the order in which they were tried."""
        return tuple(row for row in self.rows if row.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were tried."""
        return tuple(dict.fromkeys(row.kind for row in self.rows))

    def table(self) -> list[tuple[str, ...]]:
        """The scores as texts: a header row, the unaltered piece, then one row per alteration."""
        title = score_title(self.score_name)
        rows: list[tuple[str, ...]] = [("alteration", "strength", title, "change", "agreement")]
        rows.append(("none", "", _number(self.base.value), "", "1.000"))
        for row in self.rows:
            change = f"{row.drop.value:+.3f}" if row.drop.defined else "-"
            rows.append((row.kind, row.text, _number(row.score.value), change, _number(row.agreement)))
        return rows

    def values(self) -> dict[str, object]:
        """The report as JSON-ready values; numbers that are not defined are null."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "eo_dl": __version__,
            "model": self.model,
            "scene": self.scene,
            "truth": self.truth,
            "piece_px": list(self.piece),
            "score": self.score_name,
            "unaltered": _finite(self.base.value),
            "rows": [_row_values(row) for row in self.rows],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.table()
        return grid_table(header, rows, Path(self.model).name)


def _row_values(row: StressRow) -> dict[str, object]:
    return {
        "kind": row.kind,
        "strength": row.strength,
        "text": row.text,
        "score": _finite(row.score.value),
        "change": {"value": _finite(row.drop.value), "low": row.drop.low, "high": row.drop.high},
        "agreement": _finite(row.agreement),
    }


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_stress(report: StressReport, out: str | Path, overwrite: bool) -> StressReport:
    """Write a report to a folder: stress.json, stress.html and stress.png.

    Args:
        report: The report.
        out: The folder.
        overwrite: Replace an existing report.

    Returns:
        The report with its `path`.

    Raises:
        OutputExistsError: The folder exists and is not to be replaced, or holds no such report.
        WriteError: The folder cannot be written.
    """
    picture = _figure(report)
    values = json.dumps(report.values(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_folder(out, overwrite=overwrite, marker=JSON_NAME) as folder:
        write_bytes(folder / JSON_NAME, values.encode())
        write_bytes(folder / HTML_NAME, _page(report, picture).encode())
        write_bytes(folder / "stress.png", picture)
    return replace(report, path=Path(out) / HTML_NAME)


def _page(report: StressReport, picture: bytes) -> str:
    title = f"{Path(report.model).name} under stress"
    header, *rows = report.table()
    body = [html_row([escape(cell) for cell in row]) for row in rows]
    sections = [
        page_head(title),
        f"<h1>{escape(title)}</h1>",
        f"<p class='what'>Pixels {report.piece} of {escape(Path(report.scene).name)} were altered, predicted "
        "and scored. Agreement: share of the ground on which the model says the same as of the unaltered "
        "pixels.</p>",
        html_figure("Score and agreement by strength", picture),
        f"<h2>Numbers</h2>{html_table([escape(name) for name in header], body)}",
        note_list(report.notes),
        f"<footer>The same numbers are in <code>{JSON_NAME}</code>.</footer></body></html>",
    ]
    return "\n".join(section for section in sections if section)


def _figure(report: StressReport) -> bytes:
    """A panel per kind: score and agreement against the strength."""
    kinds = report.kinds
    down = max(1, -(-len(kinds) // _COLUMNS))
    figure = new_figure(4.1 * _COLUMNS, 2.9 * down, dpi=100, layout="constrained")
    axes = np.ravel(figure.subplots(down, _COLUMNS, squeeze=False))
    for axis, kind in zip(axes, kinds, strict=False):
        rows = sorted(report.of_kind(kind), key=lambda row: row.strength)
        places = range(len(rows))
        axis.axhline(report.base.value, color="#9e9e9e", linewidth=0.9)
        axis.plot(places, [row.score.value for row in rows], "o-", color=_SCORE_COLOR, markersize=4)
        axis.plot(places, [row.agreement for row in rows], "s--", color=_AGREEMENT_COLOR, markersize=4)
        turned = 45 if max((len(row.text) for row in rows), default=0) > 7 else 0
        axis.set_xticks(places, [row.text for row in rows], fontsize=7, rotation=turned, parse_math=False)
        axis.set_ylim(-0.02, 1.04)
        axis.set_title(kind, fontsize=9)
        axis.tick_params(axis="y", labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(kinds) :]:
        axis.set_axis_off()
    lines = axes[0].get_lines()
    figure.legend(
        lines[:3],
        ["unaltered", score_title(report.score_name), "agreement"],
        loc="outside lower center",
        ncol=3,
        frameon=False,
        fontsize=9,
    )
    return figure_png(figure)
