"""Figures without pyplot: no global state, no display, no matplotlib before the first figure is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(
    width_in: float, height_in: float, dpi: int, layout: Literal["constrained"] | None = None
) -> Figure:
    """An empty white figure.

    Args:
        width_in: Width, inches.
        height_in: Height, inches.
        dpi: Pixels per inch.
        layout: "constrained" lets matplotlib keep axes and legends apart; None leaves it to the caller.

    Returns:
        The figure, with a canvas that draws in memory.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # lazy: half a second
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=dpi, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def figure_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file.

    Equal figures give equal bytes: the version of matplotlib is left out.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
