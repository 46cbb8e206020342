"""Chips as a picture: the image, the truth and the prediction, one row per chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from matplotlib.patheffects import withStroke

from ...core.arrays import Objects
from ...core.arraytypes import AnyArray, Float64Array, ObjectArray, UInt8Array
from ...core.classes import IGNORE_ID, ClassSet
from ...core.plotting import figure_png, new_figure
from ...core.valuecolors import RAMP, value_colors
from ...core.window import Window
from ...tasks.codecs import Answer

ROWS = 4
"""Chips in the preview of a run."""
_MOST_LEGEND_ENTRIES = 12
_MOST_BARS = 4
_TITLES = ("image", "truth", "prediction")
_DASHED = (0, (3, 2))


@dataclass(frozen=True)
class PreviewRow:
    """One chip of the picture."""

    caption: str
    image: UInt8Array
    """(H, W, 3) for display."""
    truth: Answer
    predicted: Answer


def chips_to_show(
    truths: Sequence[Answer], windows: Sequence[tuple[int, Window]], count: int = ROWS
) -> list[int]:
    """Indices of the chips with most to see: many classes or many objects, in falling order.

    Args:
        truths: The truth of each chip.
        windows: The scene and the window of each chip. Chips that share pixels with one already chosen are
            only chosen when no others are left.
        count: Most chips to choose.
    """
    order = sorted(range(len(truths)), key=lambda index: (-_content(truths[index]), index))
    apart: list[int] = []
    for index in order:
        if not any(_overlap(windows[index], windows[other]) for other in apart):
            apart.append(index)
    overlapping = [index for index in order if index not in apart]
    return [*apart, *overlapping][:count]


def draw_preview(rows: Sequence[PreviewRow], classes: ClassSet) -> bytes:
    """The picture as the bytes of a PNG file.

    Class maps have the colours of the classes (white: ignored), objects are outlines over the image, the
    classes of a whole chip are bars, and of values the first one is shown in the colours of `RAMP`.
    """
    figure = new_figure(8.4, 2.8 * len(rows) + 0.7, dpi=100, layout="constrained")
    shown = Shown(classes, _value_span([row.truth for row in rows]))
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for row, axes in zip(rows, grid, strict=True):
        _show_image(axes[0], row.image)
        _show_answer(axes[1], row.image, row.truth, shown)
        _show_answer(axes[2], row.image, row.predicted, shown)
        axes[0].set_ylabel(row.caption, fontsize=6, color="#666666")
    for axes, title in zip(grid[0], _TITLES, strict=True):
        axes.set_title(title, fontsize=11, color="#333333")
    if shown.span is not None:
        _draw_ramp(figure, grid, classes, shown.span)
    else:
        _draw_legend(figure, classes, with_ignored=any(_has_ignored(row.truth) for row in rows))
    return figure_png(figure)


@dataclass(frozen=True)
class Shown:
    """What decides the colours of a picture."""

    classes: ClassSet
    span: tuple[float, float] | None
    """The numbers of the first and the last colour of the first value; None where answers are no values."""


def _value_span(truths: Sequence[Answer]) -> tuple[float, float] | None:
    """The 2nd and the 98th percentile of the first value of all chips; None where answers are no values."""
    planes = [np.asarray(truth)[0] for truth in truths if _are_values(truth)]
    if not planes:
        return None
    numbers = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not len(numbers):
        return 0.0, 1.0
    low, high = np.percentile(numbers, (2, 98))
    return float(low), float(high)


def _are_values(answer: Answer) -> bool:
    """True for numbers (K, H, W)."""
    return not isinstance(answer, Objects) and answer.ndim == 3


def _draw_ramp(figure: Figure, grid: ObjectArray, classes: ClassSet, span: tuple[float, float]) -> None:
    """The colours of the first value below the pictures."""
    info, unit = classes.classes[0], classes.value_infos[0].unit
    mappable = ScalarMappable(Normalize(*span), LinearSegmentedColormap.from_list("values", list(RAMP)))
    bar = figure.colorbar(
        mappable, ax=grid.ravel().tolist(), location="bottom", shrink=0.5, aspect=40, pad=0.02
    )
    bar.set_label(f"{info.name} ({unit})" if unit else info.name, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _draw_legend(figure: Figure, classes: ClassSet, *, with_ignored: bool) -> None:
    handles = []
    for info in list(classes)[:_MOST_LEGEND_ENTRIES]:
        handles.append(Patch(facecolor=info.color, edgecolor="#999999", linewidth=0.5, label=info.name))
    if with_ignored:
        handles.append(
            Patch(
                facecolor="white", edgecolor="#999999", linewidth=0.8, linestyle=(0, (2, 1)), label="ignored"
            )
        )
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, len(handles)),
        frameon=False,
        fontsize=9,
    )


def _overlap(chip: tuple[int, Window], other: tuple[int, Window]) -> bool:
    """True if two chips (scene, window) share pixels."""
    return chip[0] == other[0] and chip[1].intersection(other[1]) is not None


def _content(truth: Answer) -> float:
    """How much there is to see: objects, classes of a chip, or the entropy of the class shares of a map."""
    if isinstance(truth, Objects):
        return float(len(truth))
    if _are_values(truth):
        known = np.asarray(truth, np.float64)[0]
        return float(np.nanstd(known)) if np.isfinite(known).any() else 0.0
    if _is_whole_chip(truth):
        return float(np.nansum(np.asarray(truth, np.float64) >= 0.5))
    counts = np.bincount(np.asarray(truth, np.uint8).ravel(), minlength=256)[:IGNORE_ID].astype(np.float64)
    share = counts[counts > 0] / max(1.0, counts.sum())
    return float(-(share * np.log(share)).sum())


def _is_whole_chip(answer: AnyArray) -> bool:
    """True for one value per class, False for a class map."""
    return answer.ndim == 1


def _has_ignored(truth: Answer) -> bool:
    if isinstance(truth, Objects):
        return not truth.counted.all()
    if _is_whole_chip(truth):
        return bool(np.isnan(truth).any())
    return bool((np.asarray(truth) == IGNORE_ID).any())


def _show_answer(axes: Axes, image: UInt8Array, answer: Answer, shown: Shown) -> None:
    classes = shown.classes
    if isinstance(answer, Objects):
        _show_objects(axes, image, answer, classes)
    elif shown.span is not None:
        _show_image(axes, value_colors(np.asarray(answer, np.float64)[0], *shown.span))
    elif _is_whole_chip(answer):
        _show_bars(axes, np.asarray(answer, np.float64), classes)
    else:
        _show_image(axes, _colored(np.asarray(answer, np.uint8), classes))


def _show_image(axes: Axes, image: UInt8Array) -> None:
    axes.imshow(image, interpolation="nearest")
    _hide_frame(axes)


def _show_objects(axes: Axes, image: UInt8Array, objects: Objects, classes: ClassSet) -> None:
    """Outlines in the colours of their classes, cased in white; white and dashed for objects of no class,
    which are ignored."""
    _show_image(axes, (image * 0.65 + 255 * 0.2).astype(np.uint8))
    color_of = {info.id: info.color for info in classes}
    for outline, class_id in zip(objects.outlines(), objects.class_ids, strict=True):
        color = color_of.get(int(class_id), "#ffffff")
        line = "solid" if int(class_id) in color_of else _DASHED
        for ring in shapely.get_rings(outline):
            corners = shapely.get_coordinates(ring) - 0.5  # imshow has the centre of the first pixel at 0
            patch = Polygon(corners, fill=False, linewidth=1.4, edgecolor=color, linestyle=line)
            if line == "solid":
                patch.set_path_effects([withStroke(linewidth=2.6, foreground="white")])
            axes.add_patch(patch)


def _show_bars(axes: Axes, values: Float64Array, classes: ClassSet) -> None:
    """The likeliest classes as bars with their names."""
    values = np.nan_to_num(values)
    infos = list(classes)
    likeliest = np.argsort(-values, kind="stable")[:_MOST_BARS]
    for row, channel in enumerate(likeliest.tolist()):
        info, share = infos[channel], float(values[channel])
        axes.barh(row, share, height=0.34, color=info.color, edgecolor="#777777", linewidth=0.4)
        axes.text(
            0,
            row - 0.3,
            f"{info.name} {share:.2f}",
            fontsize=8,
            color="#333333",
            va="bottom",
            parse_math=False,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(_MOST_BARS - 0.4, -0.9)
    _hide_frame(axes)


def _hide_frame(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _colored(ids: UInt8Array, classes: ClassSet) -> UInt8Array:
    """(H, W, 3): class ids (H, W) in the colours of their classes, white for all others."""
    table = np.full((256, 3), 255, np.uint8)
    for info in classes:
        table[info.id] = np.rint(np.array(to_rgb(info.color)) * 255)
    return np.asarray(table[ids], np.uint8)
