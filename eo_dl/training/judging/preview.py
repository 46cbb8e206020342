"""Validation chips as a picture: the image, what is true, what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Polygon

from ...core.arrays import Objects
from ...core.classes import IGNORE_ID, ClassSet
from ...core.plotting import figure_png, new_figure
from ...core.window import Window
from ...tasks.codecs import Answer

ROWS = 4
_LEGEND = 12
_BARS = 4
_TITLES = ("image", "truth", "prediction")


@dataclass(frozen=True)
class PreviewRow:
    """One chip: `image` (H, W, 3) uint8 for looking."""

    chip_id: str
    image: npt.NDArray[np.uint8]
    truth: Answer
    predicted: Answer


def chips_to_show(
    truths: Sequence[Answer], windows: Sequence[tuple[int, Window]], count: int = ROWS
) -> list[int]:
    """Places of the chips that show most: many classes or objects, in falling order, ties by place.

    `windows`: scene and window of each. Chips that share pixels with one already chosen come only where there
    are no others.
    """
    order = sorted(range(len(truths)), key=lambda index: (-_content(truths[index]), index))
    apart: list[int] = []
    for index in order:
        if not any(_meet(windows[index], windows[other]) for other in apart):
            apart.append(index)
    return [*apart, *(index for index in order if index not in apart)][:count]


def draw_preview(rows: Sequence[PreviewRow], classes: ClassSet) -> bytes:
    """A PNG with one row a chip; class maps in the classes' colours (white: ignored), objects as outlines
    over the image.
    """
    figure = new_figure(8.4, 2.8 * len(rows) + 0.7, dpi=100, layout="constrained")
    places = figure.subplots(len(rows), 3, squeeze=False)
    for row, axes in zip(rows, places, strict=True):
        _show_image(axes[0], row.image)
        _show_answer(axes[1], row.image, row.truth, classes)
        _show_answer(axes[2], row.image, row.predicted, classes)
        axes[0].set_ylabel(row.chip_id, fontsize=6, color="#666666")
    for axes, title in zip(places[0], _TITLES, strict=True):
        axes.set_title(title, fontsize=11, color="#333333")
    handles = [
        Patch(facecolor=c.color, edgecolor="#999999", linewidth=0.5, label=c.name)
        for c in list(classes)[:_LEGEND]
    ]
    if any(_ignores(row.truth) for row in rows):
        handles.append(
            Patch(
                facecolor="white", edgecolor="#999999", linestyle=(0, (2, 1)), linewidth=0.8, label="ignored"
            )
        )
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, len(handles)),
        frameon=False,
        fontsize=9,
    )
    return figure_png(figure)


def _meet(one: tuple[int, Window], other: tuple[int, Window]) -> bool:
    return one[0] == other[0] and one[1].intersection(other[1]) is not None


def _content(truth: Answer) -> float:
    if isinstance(truth, Objects):
        return float(len(truth))
    if _of_chip(truth):
        return float(np.nansum(np.asarray(truth, np.float64) >= 0.5))
    counts = np.bincount(np.asarray(truth, np.uint8).ravel(), minlength=256)[:255].astype(np.float64)
    share = counts[counts > 0] / max(1.0, counts.sum())
    return float(-(share * np.log(share)).sum())


def _show_image(axes: Axes, image: npt.NDArray[np.uint8]) -> None:
    axes.imshow(image, interpolation="nearest")
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _show_answer(axes: Axes, image: npt.NDArray[np.uint8], answer: Answer, classes: ClassSet) -> None:
    if not isinstance(answer, Objects) and _of_chip(answer):
        _show_classes(axes, np.asarray(answer, np.float64), classes)
        return
    if not isinstance(answer, Objects):
        _show_image(axes, _colored(np.asarray(answer, np.uint8), classes))
        return
    _show_image(axes, (image * 0.65 + 255 * 0.2).astype(np.uint8))
    color_of = {info.id: info.color for info in classes}
    for outline, class_id in zip(answer.outlines(), answer.class_ids, strict=True):
        color = color_of.get(int(class_id))
        line = "solid" if color is not None else (0, (3, 2))
        for ring in shapely.get_rings(outline):
            corners = shapely.get_coordinates(ring) - 0.5
            axes.add_patch(
                Polygon(corners, fill=False, linewidth=1.4, edgecolor=color or "#ffffff", linestyle=line)
            )


def _of_chip(answer: Answer) -> bool:
    """True for one value a class."""
    return not isinstance(answer, Objects) and answer.ndim == 1


def _show_classes(axes: Axes, values: npt.NDArray[np.float64], classes: ClassSet) -> None:
    """The likeliest classes as bars with their names."""
    order = np.argsort(-np.nan_to_num(values), kind="stable")[:_BARS]
    infos = list(classes)
    for place, channel in enumerate(order.tolist()):
        share = float(np.nan_to_num(values[channel]))
        axes.barh(place, share, height=0.34, color=infos[channel].color, edgecolor="#777777", linewidth=0.4)
        axes.text(
            0,
            place - 0.3,
            f"{infos[channel].name} {share:.2f}",
            fontsize=8,
            color="#333333",
            va="bottom",
            parse_math=False,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(_BARS - 0.4, -0.9)
    _bare(axes)


def _ignores(truth: Answer) -> bool:
    if isinstance(truth, Objects):
        return truth.ignore is not None and bool(truth.ignore.any())
    if _of_chip(truth):
        return bool(np.isnan(truth).any())
    return bool((np.asarray(truth) == IGNORE_ID).any())


def _colored(ids: npt.NDArray[np.uint8], classes: ClassSet) -> npt.NDArray[np.uint8]:
    table = np.full((256, 3), 255, np.uint8)
    for info in classes:
        table[info.id] = np.rint(np.array(to_rgb(info.color)) * 255)
    return np.asarray(table[ids], np.uint8)
