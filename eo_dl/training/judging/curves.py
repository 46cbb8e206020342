"""The course of a run as a picture: training losses, validation score, and the best epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...core.plotting import figure_png, new_figure
from ...io.atomic import atomic_file
from ...scores.score import score_title

HistoryRow = dict[str, float]
"""The losses and validation scores of one epoch, as in history.csv."""

_LOSS, _SCORE, _MARK, _GRID, _TEXT = "#0072b2", "#009e73", "#d55e00", "#e3e3e3", "#333333"
_PARTS = ("#56b4e9", "#cc79a7", "#e69f00", "#999999", "#8c564b")


def draw_curves(history: Sequence[HistoryRow], primary: str, best_epoch: int | None, path: Path) -> None:
    """Write the picture: losses on the left, the validation score on the right.

    Args:
        history: One row per epoch, at least one.
        primary: Name of the score.
        best_epoch: Marked in both halves, where there is one.
        path: A PNG file, replaced if it exists.
    """
    figure = new_figure(10, 4, dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    _draw_losses(left, history, epochs)
    _draw_scores(right, history, epochs, primary)
    if best_epoch is not None:
        _mark_best(left, right, history, primary, best_epoch)
    for axes in (left, right):
        _style(axes, epochs)
    with atomic_file(path, overwrite=True) as part:
        part.write_bytes(figure_png(figure))


def _draw_losses(axes: Axes, history: Sequence[HistoryRow], epochs: list[float]) -> None:
    parts = [name for name in history[0] if name.startswith("train_") and name != "train_loss"]
    for name, color in zip(parts, _PARTS, strict=False):  # more parts than colours are not drawn
        label = _label(name.removeprefix("train_"))
        axes.plot(epochs, _column(history, name), color=color, linewidth=1, label=label)
    axes.plot(epochs, _column(history, "train_loss"), color=_LOSS, linewidth=2.2, label="loss")
    axes.set_title("Training loss", loc="left", color=_TEXT, fontweight="bold")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _draw_scores(axes: Axes, history: Sequence[HistoryRow], epochs: list[float], primary: str) -> None:
    axes.plot(epochs, _column(history, f"val_{primary}"), color=_SCORE, linewidth=2.2)
    axes.set_title(f"Validation score: {_label(primary)}", loc="left", color=_TEXT, fontweight="bold")
    axes.set_ylim(0, 1)


def _mark_best(left: Axes, right: Axes, history: Sequence[HistoryRow], primary: str, best_epoch: int) -> None:
    for axes in (left, right):
        axes.axvline(best_epoch, color=_MARK, linewidth=1, linestyle=(0, (4, 3)))
    scores = {row["epoch"]: row.get(f"val_{primary}", math.nan) for row in history}
    score = scores.get(best_epoch, math.nan)
    if not math.isfinite(score):
        return
    right.plot([best_epoch], [score], marker="o", color=_MARK, markersize=7, zorder=5)
    # the text stands where the curve is not
    in_second_half = best_epoch > (history[0]["epoch"] + history[-1]["epoch"]) / 2
    right.annotate(
        f"best: {score:.3f} (epoch {best_epoch})",
        (best_epoch, 0.04 if score > 0.3 else 0.92),
        xytext=(-7 if in_second_half else 7, 0),
        textcoords="offset points",
        ha="right" if in_second_half else "left",
        color=_MARK,
        fontsize=9,
    )


def _style(axes: Axes, epochs: list[float]) -> None:
    axes.set_xlabel("epoch", color=_TEXT)
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_TEXT, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _column(history: Sequence[HistoryRow], name: str) -> list[float]:
    return [row.get(name, math.nan) for row in history]


def _label(name: str) -> str:
    return score_title(name.removeprefix("loss_"))
