"""Figures of a report about values as PNG: predicted against true numbers, and where the errors lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm

from ..core.arraytypes import Float32Array
from ..core.classes import ClassInfo
from ..core.plotting import figure_png, new_figure
from .figures import MOST_PANELS, map_axes, map_canvas, plain_axes, plain_text
from .valuewise import ValueThumbnail

_BINS = 90
_TOO_LOW_TOO_HIGH = "RdBu_r"
_OUTLIERS = 98  # percentile of the numbers and errors that fill the figures


def scatter_plot(thumbnails: Sequence[ValueThumbnail], info: ClassInfo) -> bytes:
    """How many pixels have which true (x) and predicted (y) number, with the line on which both agree."""
    true, predicted = _known(thumbnails)
    figure = new_figure(5.4, 4.8, dpi=120, layout="constrained")
    axis = figure.subplots()
    plain_axes(axis)
    if len(true):
        together = np.concatenate([true, predicted])
        low, high = (
            np.percentile(together, (100 - _OUTLIERS) / 2),
            np.percentile(together, (100 + _OUTLIERS) / 2),
        )
        high = high if high > low else low + 1
        counts, xs, ys = np.histogram2d(true, predicted, bins=_BINS, range=[[low, high], [low, high]])
        shown = np.ma.masked_equal(counts.T, 0)
        most = max(2.0, float(counts.max()))
        mesh = axis.pcolormesh(xs, ys, shown, norm=LogNorm(1, most), cmap="viridis", rasterized=True)
        figure.colorbar(mesh, ax=axis, label="pixels of the reduced maps")
        axis.plot([low, high], [low, high], color="#d55e00", linewidth=1.2)
        axis.set_xlim(low, high)
        axis.set_ylim(low, high)
    axis.set_aspect("equal")
    axis.set_xlabel(f"true {_title(info)}", fontsize=9, parse_math=False)
    axis.set_ylabel(f"predicted {_title(info)}", fontsize=9, parse_math=False)
    return figure_png(figure)


def residual_map(thumbnails: Sequence[ValueThumbnail], info: ClassInfo) -> bytes:
    """The first maps: predicted minus true, red where the prediction is too high."""
    shown = thumbnails[:MOST_PANELS]
    errors = [item.predicted - item.truth for item in shown]
    known = np.concatenate([error[np.isfinite(error)] for error in errors])
    most = float(np.percentile(np.abs(known), _OUTLIERS)) if len(known) else 1.0
    figure = map_canvas([error.shape for error in errors])
    axes = map_axes(figure, len(shown))
    for axis, item, error in zip(axes, shown, errors, strict=True):
        image = axis.imshow(
            error, vmin=-most or -1.0, vmax=most or 1.0, cmap=_TOO_LOW_TOO_HIGH, interpolation="nearest"
        )
        axis.set_title(item.name, fontsize=9)
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, fraction=0.05, aspect=40, pad=0.03)
    bar.set_label(f"predicted - true {plain_text(_title(info))}", fontsize=9)
    return figure_png(figure)


def _known(thumbnails: Sequence[ValueThumbnail]) -> tuple[Float32Array, Float32Array]:
    """(N,) true and predicted numbers where both are known."""
    true = np.concatenate([item.truth.ravel() for item in thumbnails])
    predicted = np.concatenate([item.predicted.ravel() for item in thumbnails])
    both = np.isfinite(true) & np.isfinite(predicted)
    return true[both], predicted[both]


def _title(info: ClassInfo) -> str:
    unit = info.value.unit if info.value else ""
    return f"{info.name} ({unit})" if unit else info.name
