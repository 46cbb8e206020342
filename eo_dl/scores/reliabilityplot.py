"""The reliability diagram: claimed probability against the share that came true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.classes import ClassSet
from ..core.plotting import figure_png, new_figure
from .reliability import ALL, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OVERALL_COLOR, _IDEAL_COLOR, _BAR_COLOR = "#1f2430", "#9a9a9a", "#c9d3df"


def reliability_diagram(panels: Mapping[str, Reliability], classes: ClassSet, claim: str) -> bytes:
    """One panel per title as a PNG. On the dashed line claims come true as often as they say.

    Args:
        panels: What is shown, by title.
        classes: Classes, whose colours the curves have.
        claim: Label of the horizontal axis, e.g. "probability".
    """
    figure = new_figure(4.2 * len(panels) + 0.4, 4.4, dpi=110, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, reliability) in zip(axes, panels.items(), strict=True):
        _draw(axis, reliability, classes)
        error = reliability.errors()[0]
        axis.set_title(f"{title}\ncalibration error {error.text()}", fontsize=9)
        axis.set_xlabel(claim, fontsize=9)
    axes[0].set_ylabel("share that came true", fontsize=9)
    axes[0].legend(fontsize=8, loc="upper left", frameon=False)
    return figure_png(figure)


def _draw(axis: Axes, reliability: Reliability, classes: ClassSet) -> None:
    axis.plot([0, 1], [0, 1], color=_IDEAL_COLOR, linestyle="--", linewidth=1)
    overall = reliability.points(ALL)
    if len(overall.count):
        # Bars: where the claims lie. Their height has no scale of its own.
        heights = 0.25 * overall.count / overall.count.max()
        axis.bar(overall.claimed, heights, width=0.05, color=_BAR_COLOR, zorder=0)
    for info in classes:
        if info.name in reliability.curves:
            points = reliability.points(info.name)
            axis.plot(points.claimed, points.right, color=info.color, linewidth=1.2, label=_plain(info.name))
    axis.plot(
        overall.claimed,
        overall.right,
        color=_OVERALL_COLOR,
        linewidth=2,
        marker="o",
        markersize=4,
        label="all",
    )
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _plain(name: str) -> str:
    """A name of users without what matplotlib reads as mathematics, or as "leave out of the legend"."""
    return name.replace("$", r"\$").lstrip("_") or name
