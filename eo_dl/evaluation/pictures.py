"""A map beside its scene and the truth, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import CRS

from ..chips.truth import SceneTruth
from ..core.arraytypes import Float32Array, UInt8Array
from ..core.classes import IGNORE_ID, ClassSet, rgb_of
from ..core.geometries import reproject
from ..core.labeloutlines import ImageOutlines, MapOutlines, Outlines
from ..core.labelset import LabelSet
from ..core.pixellabels import PixelLabels
from ..core.plotting import figure_png, new_figure
from ..core.rasterlabels import RasterLabels
from ..core.valuecolors import RAMP, value_colors
from ..io.atomic import atomic_file
from ..io.quicklook import quicklook, reduced_size
from ..io.rasterize import burn
from ..io.scene import Scene, SceneReader, open_scene
from ..io.vectorlayers import read_layer
from ..labels.placement import PlacedLabels
from ..labels.raster.masks import read_mask
from ..labels.valueplanes import value_planes
from ..scores.chipscores import YES
from .chipwise import FoundChips, read_chips
from .predictionfiles import Part, parts_of
from .valuewise import open_value_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CASING = (255, 255, 255)
_UNKNOWN = "#9e9e9e"  # ignored objects, and classes that the model does not have


def side_by_side(
    scene: Scene,
    prediction: str | Path,
    classes: ClassSet,
    *,
    out: str | Path,
    truth: LabelSet | None = None,
    longest_px: int = 900,
    overwrite: bool = False,
) -> Path:
    """Draw scene, truth and prediction side by side.

    Args:
        scene: The scene.
        prediction: A class raster (drawn in the class colours), classes of whole chips (likewise, in stripes
            for chips with several), a vector file of objects (drawn as outlines over the scene), or a map of
            values (its first value, in the colours of `core.valuecolors.RAMP` over the numbers of the truth).
        classes: The classes of the prediction.
        out: The PNG.
        truth: Labels for a panel of their own; None: no such panel.
        longest_px: Longer side of a panel, pixels.
        overwrite: Replace an existing file.

    Returns:
        The path `out`.
    """
    small = scene.resized(*reduced_size(scene, longest_px))
    base = quicklook(small)
    if classes.are_values:
        picture_of_values = _values_figure(base, _value_planes(small, prediction, truth), classes)
        with atomic_file(out, overwrite=overwrite) as temporary:
            temporary.write_bytes(picture_of_values)
        return Path(out)
    labels = None if truth is None else _true_labels(truth, small)
    part = parts_of(prediction, scene.path)[0]
    vector = _holds_objects(part)
    panels = [("scene", base)]
    if labels is not None:
        draw = outlined if vector else painted
        panels.append(("truth", draw(base, labels, classes)))
    panels.append(("prediction", _picture(part, small, base, classes)))
    with atomic_file(out, overwrite=overwrite) as temporary:
        temporary.write_bytes(_figure(panels, classes))
    return Path(out)


def _value_planes(
    small: Scene, prediction: str | Path, truth: LabelSet | None
) -> list[tuple[str, Float32Array]]:
    """The first value of truth and prediction on the picture's grid, (H, W); NaN where it is not known."""
    window, planes = small.grid.window, []
    if truth is not None:
        chip = SceneTruth.of(truth, small).chip(window)
        planes.append(("truth", value_planes(chip, window.height, window.width)[0]))
    shown = open_value_map(Path(prediction)).resized(window.height, window.width)
    with SceneReader(shown) as reader:
        found = reader.read(window)
    planes.append(("prediction", np.where(found.valid, found.pixels[0], np.nan).astype(np.float32)))
    return planes


def _values_figure(base: UInt8Array, planes: Sequence[tuple[str, Float32Array]], classes: ClassSet) -> bytes:
    """Panels of numbers beside the scene, all in the colours of the first one."""
    from matplotlib.cm import ScalarMappable  # lazy, see core.plotting
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    known = planes[0][1][np.isfinite(planes[0][1])]
    low, high = np.percentile(known, (2, 98)).tolist() if len(known) else (0.0, 1.0)
    panels = [("scene", base), *((title, value_colors(plane, low, high)) for title, plane in planes)]
    figure = _panel_figure(panels)
    axis = figure.add_axes((0.35, 0.08, 0.3, 0.022))
    ramp = LinearSegmentedColormap.from_list("values", list(RAMP))
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), ramp), orientation="horizontal", cax=axis)
    info, unit = classes.classes[0], classes.value_infos[0].unit
    bar.set_label(f"{info.name} ({unit})" if unit else info.name, fontsize=9)
    return figure_png(figure)


def scene_and_result(
    scene: Scene, prediction: str | Path, classes: ClassSet, longest_px: int
) -> tuple[UInt8Array, UInt8Array]:
    """A scene and its prediction as two (H, W, 3) pictures of one size.

    Args:
        scene: The scene.
        prediction: As for `side_by_side`.
        classes: The classes of the prediction.
        longest_px: Longer side of a picture, pixels.
    """
    small = scene.resized(*reduced_size(scene, longest_px))
    base = quicklook(small)
    return base, _picture(parts_of(prediction, scene.path)[0], small, base, classes)


def _picture(part: Part, small: Scene, base: UInt8Array, classes: ClassSet) -> UInt8Array:
    """A prediction on the picture's grid."""
    if _holds_objects(part):
        return outlined(base, _predicted_objects(part.path, small, classes), classes)
    if part.is_raster:
        return _class_map(part.path, small, classes)
    return painted(base, _cells(read_chips(part), small), classes)


def _holds_objects(part: Part) -> bool:
    return not part.is_raster and not part.of_chips


def _true_labels(truth: LabelSet, small: Scene) -> PixelLabels:
    """The labels on the picture's grid; label rasters as class ids (H, W)."""
    placed = PlacedLabels.of(truth, small)
    if placed.raster is not None:
        return replace(placed.labels, mask=read_mask(placed.raster, small, small.grid.window))
    if isinstance(truth, RasterLabels):  # none of the rasters is of this scene, so nothing is known
        unknown = np.full((small.grid.height, small.grid.width), IGNORE_ID, np.uint8)
        return replace(placed.labels, mask=unknown)
    return placed.labels


def painted(base: UInt8Array, labels: PixelLabels, classes: ClassSet) -> UInt8Array:
    """The scene with labels as areas filled in their class colours."""
    ids: UInt8Array = np.full(base.shape[:2], IGNORE_ID, np.uint8)
    if len(labels):
        shown = np.array(
            [_shown_id(labels.classes, int(class_id), classes) for class_id in labels.class_ids], np.int64
        )
        ids = burn(labels.geometries, shown, *base.shape[:2], fill=IGNORE_ID).astype(np.uint8)
    if labels.mask is not None:
        table = np.full(IGNORE_ID + 1, IGNORE_ID, np.uint8)
        table[list(labels.classes.ids)] = [
            _shown_id(labels.classes, class_id, classes) for class_id in labels.classes.ids
        ]
        ids = table[labels.mask]
    elif classes.has_background:
        ids[ids == IGNORE_ID] = 0
    return _colored(ids, classes, base)


def outlined(base: UInt8Array, labels: PixelLabels, classes: ClassSet) -> UInt8Array:
    """The scene with labels as outlines in their class colours, cased in white: trees are green, too."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(base)
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(base.shape) / 450))
    for geometry, class_id in zip(labels.geometries, labels.class_ids, strict=True):
        for part in shapely.get_parts(shapely.boundary(geometry)):
            shown = _shown_id(labels.classes, int(class_id), classes)
            color = _UNKNOWN if shown == IGNORE_ID else classes.by_id(shown).color
            points = [tuple(point) for point in shapely.get_coordinates(part)]
            draw.line(points, fill=_CASING, width=width + 2)
            draw.line(points, fill=rgb_of(color), width=width)
    return np.asarray(image)


def _shown_id(own: ClassSet, class_id: int, classes: ClassSet) -> int:
    """The id in `classes` of a class of the labels, found by name; `IGNORE_ID` if it is ignored or
    unknown.
    """
    if class_id == IGNORE_ID:
        return IGNORE_ID
    name = own.by_id(class_id).name
    return next((info.id for info in classes if info.name == name), IGNORE_ID)


def _class_map(prediction: str | Path, small: Scene, classes: ClassSet) -> UInt8Array:
    """The class raster on the picture's grid, by nearest neighbour.

    Its pixels may be larger than the scene's (one per chip) and extend beyond the scene.
    """
    source = open_scene(prediction, nodata="none")
    steps = np.arange(max(small.grid.width, small.grid.height)) + 0.5
    cols, rows = source.native.to_pixel(*small.grid.to_map(steps, steps))
    cols = np.clip(cols[: small.grid.width], 0, source.native.width - 1).astype(np.int64)
    rows = np.clip(rows[: small.grid.height], 0, source.native.height - 1).astype(np.int64)
    ids = np.empty((len(rows), len(cols)), np.uint8)
    with SceneReader(source) as reader:
        for place, row in enumerate(rows):
            ids[place] = reader.read_rows(int(row), int(row) + 1)[0][0, 0, cols]
    return _colored(ids, classes, np.full((*ids.shape, 3), 255, np.uint8))


def _predicted_objects(prediction: str | Path, small: Scene, classes: ClassSet) -> PixelLabels:
    """Predicted objects, in pixels of the picture."""
    frame = read_layer(prediction)
    geometries = np.asarray(frame.geometry, dtype=object)
    ids = np.asarray(frame["class_id"], np.int64)
    outlines: Outlines = ImageOutlines(geometries, np.full(len(ids), small.name, dtype=object))
    if small.native.crs is not None and frame.crs is not None:
        outlines = MapOutlines(geometries, CRS(frame.crs), str(prediction))
    index, in_pixels = outlines.on_grid(small.grid, small.place, small.native)
    return PixelLabels(classes, in_pixels, ids[index], np.zeros(len(index), np.bool_), index)


def _cells(found: FoundChips, small: Scene) -> PixelLabels:
    """Whole chips, in pixels of the picture, one stripe per class."""
    outlines = found.outlines
    if found.crs is not None and small.grid.crs is not None:
        outlines = reproject(outlines, found.crs, small.grid.crs, str(found.part.path))
    boxes = shapely.bounds(small.grid.geometries_to_pixel(outlines)).reshape(-1, 4)
    stripes, ids = [], []
    for (col0, row0, col1, row1), values in zip(boxes.tolist(), found.probabilities, strict=True):
        channels = np.flatnonzero(values >= YES) if found.rule.multi_label else [int(values.argmax())]
        edges = np.linspace(col0, col1, len(channels) + 1)
        stripes += [shapely.box(left, row0, right, row1) for left, right in pairwise(edges.tolist())]
        ids += [found.classes.ids[channel] for channel in channels]
    count = len(ids)
    shapes = np.array(stripes, dtype=object).reshape(-1)
    return PixelLabels(
        found.classes,
        shapes,
        np.array(ids, np.int64),
        np.zeros(count, np.bool_),
        np.arange(count, dtype=np.int64),
    )


def _colored(ids: UInt8Array, classes: ClassSet, base: UInt8Array) -> UInt8Array:
    out = base.copy()
    for info in classes:
        out[ids == info.id] = rgb_of(info.color)
    return out


def _figure(panels: Sequence[tuple[str, UInt8Array]], classes: ClassSet) -> bytes:
    from matplotlib.patches import Patch  # lazy, see core.plotting

    figure = _panel_figure(panels)
    handles = [Patch(facecolor=info.color, edgecolor="#555555", label=info.name) for info in classes]
    figure.legend(handles=handles, loc="lower center", ncol=min(8, len(handles)), frameon=False, fontsize=9)
    return figure_png(figure)


def _panel_figure(panels: Sequence[tuple[str, UInt8Array]]) -> Figure:
    """Pictures of one size side by side, with room for a legend below."""
    height, width = panels[0][1].shape[:2]
    side = 4.6
    figure = new_figure(side * len(panels), side * height / width + 0.9, dpi=110)
    for axis, (title, picture) in zip(_axes(figure, len(panels)), panels, strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.1, wspace=0.03)
    return figure


def _axes(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])
