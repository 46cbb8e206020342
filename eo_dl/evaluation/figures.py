"""Figures of a report as PNG: errors, scores per class with intervals, precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..core.arrays import Objects
from ..core.arraytypes import UInt8Array
from ..core.classes import IGNORE_ID, ClassSet, rgb_of
from ..core.plotting import figure_png, new_figure
from ..scores.matching import match
from ..scores.objectscores import Curve
from ..scores.score import Score
from .objectwise import Pictured
from .pixelwise import Thumbnail

# The same colours in both kinds of error picture (Okabe & Ito 2008).
_RIGHT, _FALSE, _MISSED, _WRONG = "#009e73", "#d55e00", "#0072b2", "#cc79a7"
# Correct areas are pale, so that errors stand out.
_RIGHT_AREA, _NOTHING, _NOT_SCORED = "#9ad3bb", "#eceae3", "#ffffff"
MOST_PANELS = 4
"""Files that an error picture shows."""


def error_map(thumbnails: Sequence[Thumbnail], background_id: int | None) -> bytes:
    """The first class maps: correct pixels, false positives, false negatives and confused classes."""
    shown = thumbnails[:MOST_PANELS]
    figure = map_canvas([item.predicted.shape for item in shown])
    for axis, item in zip(map_axes(figure, len(shown)), shown, strict=True):
        axis.imshow(_colored(item, background_id), interpolation="nearest")
        axis.set_title(item.name, fontsize=9)
    entries = [(_RIGHT_AREA, "correct"), (_WRONG, "wrong class")]
    if background_id is not None:
        entries += [(_FALSE, "false positive"), (_MISSED, "false negative"), (_NOTHING, "background")]
    _legend(figure, [*entries, (_NOT_SCORED, "not scored")])
    return figure_png(figure)


def _colored(item: Thumbnail, background_id: int | None) -> UInt8Array:
    predicted, truth = item.predicted, item.truth
    out = np.full((*predicted.shape, 3), 255, np.uint8)
    scored = (predicted != IGNORE_ID) & (truth != IGNORE_ID)
    out[scored & (predicted != truth)] = rgb_of(_WRONG)
    out[scored & (predicted == truth)] = rgb_of(_RIGHT_AREA)
    if background_id is not None:
        out[scored & (truth == background_id) & (predicted != background_id)] = rgb_of(_FALSE)
        out[scored & (truth != background_id) & (predicted == background_id)] = rgb_of(_MISSED)
        out[scored & (truth == background_id) & (predicted == background_id)] = rgb_of(_NOTHING)
    return out


def object_errors(compared: Sequence[Pictured], iou: float, use_polygons: bool) -> bytes:
    """Outlines of true positives, false negatives and false positives, in the files with most objects."""
    by_size = sorted(compared, key=lambda item: len(item.truth) + len(item.predicted), reverse=True)
    shown = by_size[:MOST_PANELS]
    figure = map_canvas([(item.grid.height, item.grid.width) for item in shown])
    for axis, item in zip(map_axes(figure, len(shown)), shown, strict=True):
        found = match(item.predicted, item.truth, (iou,), use_polygons)
        hit = np.zeros(len(item.truth), np.bool_)
        hit[found.found[0][found.found[0] >= 0]] = True
        ignored = item.truth.ignore if item.truth.ignore is not None else np.zeros(len(item.truth), np.bool_)
        false = (found.found[0] < 0) & ~found.excused[0]
        _draw(axis, item.truth.take(hit), _RIGHT)
        _draw(axis, item.predicted.take(false), _FALSE)
        _draw(axis, item.truth.take(~hit & ~ignored), _MISSED)
        axis.set_xlim(0, item.grid.width)
        axis.set_ylim(item.grid.height, 0)
        axis.set_aspect("equal")
        axis.set_facecolor("#f6f5f0")
        axis.set_title(item.name, fontsize=9)
    _legend(figure, [(_RIGHT, "true positive"), (_FALSE, "false positive"), (_MISSED, "false negative")])
    return figure_png(figure)


def _draw(axis: Axes, objects: Objects, color: str) -> None:
    rings = (
        [shapely.get_coordinates(ring) for ring in shapely.get_parts(shapely.boundary(objects.outlines()))]
        if len(objects)
        else []
    )
    axis.add_collection(LineCollection(rings, colors=color, linewidths=0.9))


def class_bars(scores: Sequence[Score], classes: ClassSet) -> bytes:
    """One bar per class in its colour, with its interval."""
    by_class = {score.class_name: score for score in scores if score.defined}
    infos = [info for info in classes if info.name in by_class]
    figure = new_figure(7.2, 0.9 + 0.42 * max(1, len(infos)), dpi=120)
    axis = figure.subplots()
    for place, info in enumerate(infos):
        score = by_class[info.name]
        axis.barh(place, score.value, color=info.color, edgecolor="#555555", linewidth=0.6, height=0.66)
        if score.low is not None and score.high is not None:
            axis.plot(
                [score.low, score.high], [place, place], color="#1f2430", linewidth=1.6, solid_capstyle="butt"
            )
        axis.text(
            min(max(score.value, score.high or 0) + 0.015, 0.93),
            place,
            f"{score.value:.2f}",
            va="center",
            fontsize=9,
        )
    axis.set_yticks(range(len(infos)), [info.name for info in infos], fontsize=9, parse_math=False)
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.set_xlabel(
        {"iou": "IoU", "f1": "F1"}.get(scores[0].name, scores[0].name) if scores else "", fontsize=9
    )
    plain_axes(axis)
    figure.tight_layout()
    return figure_png(figure)


def curves(found: Mapping[str, Curve], classes: ClassSet) -> bytes:
    """Precision-recall curves, one per class."""
    figure = new_figure(6.4, 4.2, dpi=120)
    axis = figure.subplots()
    lines = []
    for info in classes:
        if info.name in found and np.isfinite(found[info.name].recall).all():
            curve = found[info.name]
            axis.plot(
                [0, *curve.recall],
                [1 if not len(curve.precision) else curve.precision[0], *curve.precision],
                color=info.color,
                linewidth=1.8,
            )
            lines.append(Line2D([], [], color=info.color, label=plain_text(info.name)))
    axis.set_xlim(0, 1.01)
    axis.set_ylim(0, 1.03)
    axis.set_xlabel("recall", fontsize=9)
    axis.set_ylabel("precision", fontsize=9)
    if lines:
        axis.legend(handles=lines, fontsize=9, frameon=False, loc="lower left")
    plain_axes(axis)
    figure.tight_layout()
    return figure_png(figure)


def plain_axes(axis: Axes) -> None:
    """A plot without a frame, with a pale grid."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=9)
    axis.grid(color="#e4e3dc", linewidth=0.7)
    axis.set_axisbelow(True)


def map_canvas(shapes: Sequence[tuple[int, ...]]) -> Figure:
    """A figure for maps of these shapes (h, w), side by side."""
    columns = len(shapes)
    width = 8.6 if columns == 1 else 11.0
    tallest = max(height / max(1, across) for height, across in shapes)
    return new_figure(width, min(11.0, width / columns * tallest) + 0.75, dpi=110)


def map_axes(figure: Figure, count: int) -> list[Axes]:
    """The axes of maps side by side, without ticks."""
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_color("#c9c7bd")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.94, bottom=0.08, wspace=0.04)
    return axes


def _legend(figure: Figure, entries: Sequence[tuple[str, str]]) -> None:
    handles = [
        Patch(facecolor=color, edgecolor="#888888", linewidth=0.5, label=text) for color, text in entries
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncol=len(handles),
        frameon=False,
        fontsize=8.5,
        columnspacing=1.4,
        handlelength=1.5,
    )


def plain_text(name: str) -> str:
    """A class name as plain text for matplotlib: no formula, and no leading "_", which legends leave out."""
    return name.replace("$", r"\$").lstrip("_") or "class"
